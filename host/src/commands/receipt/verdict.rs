//! What became of all receipts together: every failure named, and the exit code of the worst.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Display;

use sealnet::error::{Error, Failure, Result};
use sealnet::receipt::check::Unverified;
use sealnet_core::sign::{Digest512, sha512};
use serde_json::{Value, json};

use crate::commands::Outcome;
use crate::ui::Ui;

/// Gathers what is found, so that one failure hides no other.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// How many receipts hold, each counted once.
    verified: u64,
    /// Where each of them was first, by its digest.
    places: HashMap<Digest512, String>,
    /// How many were there again, and of the first ones where.
    duplicates: u64,
    again: Vec<String>,
    /// One that holds is signed with a key that its verifier has as well.
    pub(super) shared_key: bool,
    /// No model was expected of one that holds.
    pub(super) model_unknown: bool,
    /// No weights were expected of one that holds.
    pub(super) weights_unknown: bool,
    failed: u64,
    failures: Vec<Failure>,
    unread: Vec<Error>,
}

impl Verdict {
    /// A receipt holds. Gives the place where the same one was before: shown twice it is still one answer.
    pub(super) fn holds(&mut self, receipt: &[u8], place: &str) -> Option<String> {
        match self.places.entry(sha512(&[receipt])) {
            Entry::Vacant(new) => {
                new.insert(place.to_owned());
                self.verified += 1;
                None
            }
            Entry::Occupied(first) => {
                let first = first.get().clone();
                self.duplicates += 1;
                if self.again.len() < MAX_NAMED {
                    self.again.push(format!("{place} is {first}"));
                }
                Some(first)
            }
        }
    }

    /// A receipt did not verify, or could not be checked.
    pub(super) fn refused(&mut self, why: Unverified, place: impl Display) {
        match why.at(place.to_string()) {
            Err(error) => self.unread(error),
            Ok(failure) => {
                self.failed += 1;
                // The others are counted.
                if self.failures.len() < MAX_LISTED {
                    self.failures.push(failure);
                }
            }
        }
    }

    /// Something could not be checked.
    pub(super) fn unread(&mut self, error: Error) {
        // For each receipt of a file it would be the same.
        let said = error.to_string();
        if self.unread.iter().all(|other| other.to_string() != said) {
            self.unread.push(error);
        }
    }

    /// Says it all.
    pub(super) fn tell(mut self, files: Vec<Value>, ui: &Ui) -> Result<Outcome> {
        if self.duplicates > 0 {
            let more = self.duplicates.saturating_sub(self.again.len() as u64);
            let more = match more {
                0 => String::new(),
                _ => format!("; and {more} more (--json names them)"),
            };
            let again = self.again.join("; ");
            ui.say(format!(
                "note: a receipt is counted once, and {} of {} were there before: {again}{more}",
                self.duplicates,
                self.duplicates + self.verified,
            ));
        }
        if self.shared_key {
            ui.say(SHARED_KEY);
        }
        if self.model_unknown {
            ui.say(MODEL_UNKNOWN);
        }
        if self.weights_unknown {
            ui.say(WEIGHTS_UNKNOWN);
        }
        let document = json!({
            "verified": self.verified,
            "duplicates": self.duplicates,
            "failed": self.failed,
            "files": files,
        });
        let outcome = match (self.failed, self.unread.len()) {
            (0, 0) => {
                ui.document(&document)?;
                return Ok(Outcome::Done);
            }
            (_, 0) => Outcome::Refused,
            _ => Outcome::NotReady,
        };
        let error = self.error();
        if let Value::Object(document) = document {
            ui.error_in(&error, document);
        }
        Ok(outcome)
    }

    /// All that went wrong as one error; there is something.
    fn error(&mut self) -> Error {
        let unread = self.unread.len();
        if self.failed == 0 && unread == 1 {
            return self.unread.remove(0);
        }
        if self.failed == 0 {
            let each: Vec<_> = self.unread.iter().map(ToString::to_string).collect();
            return Error::input(
                format!("{unread} things are in the way: {}", each.join("; ")),
                "one at a time is told with what to do about it",
            );
        }
        let hint = hint(&self.failures);
        let listed = self.failures.len() as u64;
        if let (1, 0, Some(failure)) = (self.failed, unread, self.failures.first()) {
            return Error::verification(
                format!("{} is refused: {}", failure.place, failure.cause),
                hint,
            );
        }
        let mut failures = std::mem::take(&mut self.failures);
        let bare = |place: String, check, cause| Failure {
            place,
            check,
            cause,
            index: None,
            shard: None,
        };
        if self.failed > listed {
            let place = format!("{} more", self.failed - listed);
            failures.push(bare(
                place,
                "receipts",
                "refused too, too many to list".into(),
            ));
        }
        let others = match unread {
            0 => String::new(),
            _ => format!("; {unread} more could not be checked"),
        };
        for error in &self.unread {
            failures.push(bare("not checked".into(), error.kind(), error.to_string()));
        }
        Error::Refused {
            what: format!(
                "{} of {} receipts are refused{others}",
                self.failed,
                self.failed + self.verified + self.duplicates
            ),
            hint: hint.into(),
            failures,
            failed: self.failed + unread as u64,
        }
    }
}

/// What to do, where all failures are of one kind.
fn hint(failures: &[Failure]) -> &'static str {
    let all = |checks: &[&str]| failures.iter().all(|one| checks.contains(&one.check));
    if all(&["key"]) {
        "give the keys of that device: --keys DIR or --key FILE"
    } else if all(&["device", "model", "request", "label", "weights"]) {
        "it may be genuine, but it is not the one that was asked for"
    } else if all(&["signature"]) {
        "it was changed, or the keys are not those of who signed it; do not believe it"
    } else {
        "do not believe it; get it again from where it was made"
    }
}

/// Duplicates that a note names.
const MAX_NAMED: usize = 5;
const SHARED_KEY: &str = "note: an HMAC key is shared: whoever can verify such a receipt, as this machine can, \
                          could have made it";
const MODEL_UNKNOWN: &str = "note: any model was taken; --model FILE|DIGEST says which it must be";
const WEIGHTS_UNKNOWN: &str =
    "note: any weights were taken; --weights FILE says which they must be";
/// Most failures that are listed.
const MAX_LISTED: usize = 1000;
