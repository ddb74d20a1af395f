//! Trials: someone tampers, and the pipeline must refuse, with the right reason.

use std::path::{Path, PathBuf};

use sealnet_core::fernet::FernetKey;
use serde::Serialize;

use crate::attack::tamper::VaultTampering;
use crate::error::{Error, Result};
use crate::files;
use crate::progress::{Progress, Silent};
use crate::state::SerialMemory;
use crate::store::Store;
use crate::vault::{self, NullSink, OpenKeys, OpenOptions, Sealed};

/// One trial and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// What was done.
    pub tampering: String,
    /// Who refused it.
    pub refused_by: &'static str,
    /// Whether it was refused, and by the check that ought to notice.
    pub detected: bool,
    /// The reason given.
    pub reason: String,
}

impl Trial {
    /// A trial that `result` ended: detected if it was refused for a reason that has `expected` in it.
    pub(super) fn of<T>(
        tampering: &str,
        refused_by: &'static str,
        expected: &str,
        result: Result<T, String>,
    ) -> Trial {
        let (detected, reason) = match result {
            Ok(_) => (false, "it was accepted".to_owned()),
            Err(reason) => (reason.contains(expected), reason),
        };
        Trial {
            tampering: tampering.to_owned(),
            refused_by,
            detected,
            reason,
        }
    }
}

/// All trials, and how often something whole was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Trials {
    /// Number of trials.
    pub trials: usize,
    /// Of those, refused with the right reason.
    pub detected: usize,
    /// Whole vaults, weights, models and requests that were tried too.
    pub clean: usize,
    /// Of those, refused.
    pub false_alarms: usize,
    /// Each trial.
    pub list: Vec<Trial>,
}

impl Trials {
    pub(super) fn record(&mut self, trial: Trial) {
        self.trials += 1;
        self.detected += usize::from(trial.detected);
        self.list.push(trial);
    }

    /// What was counted since `before`, for people.
    pub(super) fn since(&self, before: &Trials) -> String {
        let (tried, refused) = (self.trials - before.trials, self.detected - before.detected);
        let (whole, alarms) = (
            self.clean - before.clean,
            self.false_alarms - before.false_alarms,
        );
        format!(
            "in {tried} ways: {refused} refused; {} of {whole} untouched accepted",
            whole - alarms
        )
    }

    /// Something whole was tried; passes on how it ended.
    pub(super) fn clean<T, E>(&mut self, result: Result<T, E>) -> Result<T, E> {
        self.clean += 1;
        self.false_alarms += usize::from(result.is_err());
        result
    }
}

/// A vault to tamper with copies of.
pub(super) struct Scene<'a> {
    /// Its folder.
    pub(super) vault: &'a Path,
    /// What was sealed last.
    pub(super) sealed: &'a Sealed,
    /// The owner's keys, to open with.
    pub(super) keys: OpenKeys<'a>,
    /// The Fernet key that the insider has.
    pub(super) insider: &'a FernetKey,
    /// The serials seen.
    pub(super) memory: &'a SerialMemory,
    /// Where the copies go.
    pub(super) scratch: &'a Path,
}

impl Scene<'_> {
    /// Opens a copy of the vault tampered with in one way; an error only if the trial itself failed.
    pub(super) fn try_vault(&self, tampering: VaultTampering, choice: usize) -> Result<Trial> {
        let opened = self.open_tampered(tampering, choice, &OpenOptions::default())?;
        let expected = tampering.noticed_by();
        let (detected, reason) = match opened {
            Ok(()) => (false, "it was accepted".to_owned()),
            Err(error) => {
                let failure = error.failures().iter().find(|f| f.check == expected);
                let reason = failure.map_or_else(|| error.to_string(), ToString::to_string);
                (error.exit_code() == 1 && failure.is_some(), reason)
            }
        };
        Ok(Trial {
            tampering: tampering.name().to_owned(),
            refused_by: "open",
            detected,
            reason,
        })
    }

    /// Whether a copy tampered with in one way is opened without complaint.
    pub(super) fn accepts(
        &self,
        tampering: VaultTampering,
        choice: usize,
        options: &OpenOptions,
    ) -> Result<bool> {
        Ok(self.open_tampered(tampering, choice, options)?.is_ok())
    }

    /// Opens a copy that nobody touched; the outer error is the trial's own.
    pub(super) fn open_untouched(&self) -> Result<Result<()>> {
        self.open_copy("Untouched", |_| Ok(()), &OpenOptions::default())
    }

    fn open_tampered(
        &self,
        tampering: VaultTampering,
        choice: usize,
        options: &OpenOptions,
    ) -> Result<Result<()>> {
        let tamper =
            |copy: &Path| tampering.apply(copy, &self.sealed.manifest, self.insider, choice);
        self.open_copy(&format!("{tampering:?}"), tamper, options)
    }

    fn open_copy(
        &self,
        name: &str,
        tamper: impl FnOnce(&Path) -> Result<()>,
        options: &OpenOptions,
    ) -> Result<Result<()>> {
        let copy = link_tree(self.vault, &self.scratch.join(name))?;
        tamper(&copy)?;
        let store = Store::open(&copy.display().to_string())?;
        let opened = vault::open(
            &store,
            self.keys,
            options,
            self.memory,
            &mut NullSink,
            &Silent,
        );
        std::fs::remove_dir_all(&copy).map_err(Error::io("remove", &copy))?;
        Ok(opened.map(drop))
    }
}

/// A copy of a folder whose files are hard links where the file system has them.
fn link_tree(from: &Path, to: &Path) -> Result<PathBuf> {
    files::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).map_err(Error::io("read", from))? {
        let entry = entry.map_err(Error::io("read", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            link_tree(&source, &target)?;
        } else if std::fs::hard_link(&source, &target).is_err() {
            std::fs::copy(&source, &target).map_err(Error::io("copy", &source))?;
        }
    }
    Ok(to.to_owned())
}

/// Passes on bars but not notes: the story has a line of its own for each step.
pub(super) struct Bars<'a>(pub(super) &'a dyn Progress);

impl Progress for Bars<'_> {
    fn start(&self, label: &str, total: u64) {
        self.0.start(label, total);
    }

    fn inc(&self, n: u64) {
        self.0.inc(n);
    }

    fn finish(&self) {
        self.0.finish();
    }

    fn note(&self, _line: &str) {}

    fn relabel(&self, label: &str) {
        self.0.relabel(label);
    }
}
