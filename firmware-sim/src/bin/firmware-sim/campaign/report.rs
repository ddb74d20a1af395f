//! What a campaign has found so far: kept in a file, and added up.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sealnet_firmware::campaign::skip::{Scenario, Skips};
use sealnet_firmware::keyfile::{self, KeyFileError};
use serde::{Deserialize, Serialize};

use super::kept::{self, Kept};
use super::pieces::{PIECES, Piece};
use super::{FaultKind, skip_parts};
use crate::failure::Failure;
use crate::files::write_new;

/// What has been found so far; kept between runs with `--report`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Report {
    /// Whether it is of the sample.
    pub(super) quick: bool,
    /// SHA-512 of what the firmware's image puts into flash: what was found of one says nothing of another.
    pub(super) image: String,
    /// Bytes of stack of the budget's session, where anything is compared with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stack_budget: Option<u64>,
    /// By piece, and by part of it.
    #[serde(default)]
    tried: BTreeMap<String, BTreeMap<usize, Found>>,
    /// By scenario.
    #[serde(default)]
    pub(super) skips: BTreeMap<String, SkipsOfOne>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SkipsOfOne {
    /// Instructions that the boot executes, and at how many addresses; how many trials there are.
    pub(super) instructions: usize,
    pub(super) addresses: usize,
    pub(super) all_trials: usize,
    /// Parts that are done.
    pub(super) parts: BTreeMap<usize, Skips>,
}

/// What a part of a piece came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Found {
    /// Faults tried, and after how many something was wrong.
    pub(super) trials: u64,
    pub(super) failures: u64,
    /// After how many the device was dead.
    #[serde(default)]
    pub(super) panics: u64,
    /// Honest requests answered in between.
    #[serde(default)]
    pub(super) honest: u64,
    /// Bytes of stack at its highest, in QEMU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stack: Option<u64>,
    /// The first of the failures, as sentences.
    pub(super) examples: Vec<String>,
}

impl SkipsOfOne {
    pub(super) fn sum(&self) -> Skips {
        let mut sum = Skips::default();
        self.parts.values().cloned().for_each(|part| sum.add(part));
        sum
    }
}

impl Report {
    /// The report that is to be gone on from, or a new one; it is kept at once, to see whether it can be.
    pub(super) fn open(path: Option<&Path>, quick: bool, image: String) -> Result<Self, Failure> {
        let there = path
            .map(|path| Self::read(path, &GO_ON))
            .transpose()?
            .flatten();
        let report = match (there, path) {
            (Some(there), Some(path)) if (there.quick, &there.image) != (quick, &image) => {
                return Err(GO_ON.fails(path, OF_ANOTHER));
            }
            (Some(there), _) => there,
            (None, _) => Self {
                quick,
                image,
                ..Self::default()
            },
        };
        report.keep(path)?;
        Ok(report)
    }

    /// The report at `path`, or an empty one, and what others found of the same image. What is in several must be
    /// the same there.
    pub(super) fn added(path: &Path, others: &[PathBuf]) -> Result<Self, Failure> {
        let mut sum = Self::read(path, &GO_ON)?;
        for other in others {
            let report = Self::read(other, &ADD)?
                .ok_or_else(|| ADD.fails(other, "there is no such file"))?;
            match &mut sum {
                None => sum = Some(report),
                Some(sum) => sum.add(report).map_err(|what| ADD.fails(other, &what))?,
            }
        }
        let sum = sum.unwrap_or_default();
        sum.keep(Some(path))?;
        Ok(sum)
    }

    /// Whether a part has been tried.
    pub(super) fn has(&self, piece: &Piece, part: usize) -> bool {
        self.tried
            .get(piece.name)
            .is_some_and(|parts| parts.contains_key(&part))
    }

    pub(super) fn insert(&mut self, piece: &Piece, part: usize, found: Found) {
        let parts = self.tried.entry(piece.name.into()).or_default();
        parts.insert(part, found);
    }

    /// The parts that were tried of pieces of one kind.
    pub(super) fn parts_of(&self, kind: FaultKind) -> impl Iterator<Item = (&Piece, &Found)> {
        let pieces = PIECES.iter().filter(move |piece| piece.kind == kind);
        pieces.flat_map(|piece| {
            let parts = self.tried.get(piece.name).into_iter().flatten();
            parts.map(move |(_, found)| (piece, found))
        })
    }

    /// Writes the report whole or not at all.
    pub(super) fn keep(&self, path: Option<&Path>) -> Result<(), Failure> {
        let Some(path) = path else {
            return Ok(());
        };
        let text =
            serde_json::to_vec_pretty(self).map_err(|error| Failure::Output(error.into()))?;
        let mut kept = kept::writing();
        write_new(path, &text, true)?;
        let tried: usize = self.tried.values().map(BTreeMap::len).sum();
        let skipped: usize = self.skips.values().map(|one| one.parts.len()).sum();
        *kept = Some(Kept {
            path: path.to_owned(),
            parts: tried + skipped,
        });
        Ok(())
    }

    /// The report in a file, if there is one.
    fn read(path: &Path, used: &Use) -> Result<Option<Self>, Failure> {
        let mut text = Vec::new();
        match keyfile::open_regular(path) {
            Ok(file) => file
                .take(REPORT_LEN_MAX)
                .read_to_end(&mut text)
                .map_err(Failure::io("read", path))?,
            Err(KeyFileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(KeyFileError::NoFile(path)) => return Err(Failure::NoFile(path)),
            Err(error) => return Err(Failure::Model(error)),
        };
        let report: Self =
            serde_json::from_slice(&text).map_err(|error| used.fails(path, &error.to_string()))?;
        match report.strange() {
            Some(what) => Err(used.fails(path, &what)),
            None => Ok(Some(report)),
        }
    }

    /// A part that no campaign has.
    fn strange(&self) -> Option<String> {
        let is_known = |name: &str, part: usize| {
            let piece = PIECES.iter().find(|piece| piece.name == name);
            piece.is_some_and(|piece| part < piece.parts(self.quick).get())
        };
        let is_scenario = |name: &str, part: usize| {
            let mut all = Scenario::ALL.iter();
            all.any(|scenario| scenario.name() == name) && part < skip_parts(self.quick)
        };
        let tried = self.tried.iter();
        let mut tried = tried.flat_map(|(name, parts)| parts.keys().map(move |part| (name, *part)));
        let strange = tried.find(|(name, part)| !is_known(name, *part));
        let mut skipped = self.skips.iter().flat_map(|(name, one)| {
            let parts = one.parts.keys();
            parts.map(move |part| (name, *part))
        });
        let skipped = skipped.find(|(name, part)| !is_scenario(name, *part));
        strange
            .or(skipped)
            .map(|(name, part)| format!("there is no part {} of {name}", part + 1))
    }

    /// Adds what another report has.
    ///
    /// # Errors
    /// Why it is no report of the same campaign.
    fn add(&mut self, other: Self) -> Result<(), String> {
        if (self.quick, &self.image) != (other.quick, &other.image) {
            return Err(OF_ANOTHER.into());
        }
        match (self.stack_budget, other.stack_budget) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                return Err(format!(
                    "its budget of the stack is {theirs} bytes, not {ours}"
                ));
            }
            (ours, theirs) => self.stack_budget = ours.or(theirs),
        }
        for (name, parts) in other.tried {
            let ours = self.tried.entry(name.clone()).or_default();
            merge(&name, ours, parts)?;
        }
        for (name, theirs) in other.skips {
            let Some(ours) = self.skips.get_mut(&name) else {
                self.skips.insert(name, theirs);
                continue;
            };
            let recorded = |one: &SkipsOfOne| (one.instructions, one.addresses, one.all_trials);
            if recorded(ours) != recorded(&theirs) {
                return Err(format!(
                    "its boot with {name} executed something else: {} instructions, not {}",
                    theirs.instructions, ours.instructions
                ));
            }
            merge(&name, &mut ours.parts, theirs.parts)?;
        }
        Ok(())
    }
}

/// Adds parts to others. One that is in both must have come to the same.
fn merge<T: PartialEq>(
    name: &str,
    ours: &mut BTreeMap<usize, T>,
    theirs: BTreeMap<usize, T>,
) -> Result<(), String> {
    for (part, found) in theirs {
        match ours.entry(part) {
            Entry::Vacant(free) => drop(free.insert(found)),
            Entry::Occupied(there) if *there.get() == found => {}
            Entry::Occupied(_) => {
                return Err(format!(
                    "part {} of {name} came to something else there",
                    part + 1
                ));
            }
        }
    }
    Ok(())
}

/// What a report was to be used for.
struct Use {
    cannot: &'static str,
    hint: &'static str,
}

impl Use {
    fn fails(&self, path: &Path, what: &str) -> Failure {
        Failure::Report {
            path: path.into(),
            cannot: self.cannot,
            what: what.into(),
            hint: self.hint,
        }
    }
}

const GO_ON: Use = Use {
    cannot: "gone on from",
    hint: "name another file, or delete this one",
};
const ADD: Use = Use {
    cannot: "added",
    hint: "leave it out; nothing was added",
};
const OF_ANOTHER: &str = "it is of another firmware (other sources, toolchain or path of the sources), or of the sample and not of everything";
/// A whole report has some 10 MiB.
const REPORT_LEN_MAX: u64 = 256 << 20;
