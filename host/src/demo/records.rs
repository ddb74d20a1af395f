//! Records: sealed, tampered with, opened.

use std::time::Instant;

use serde::Serialize;

use super::trials::{Scene, Trials};
use super::{Files, Stage};
use crate::attack::tamper::VaultTampering;
use crate::dataset::{Dataset, LoadOptions, Part};
use crate::error::Result;
use crate::progress::Silent;
use crate::store::Store;
use crate::vault::{
    self, DatasetSource, OpenOptions, Profile, SealOptions, Sealed, SourceData, SourceOptions,
    load_source,
};

/// Phase 1.
#[derive(Debug, Clone, Serialize)]
pub struct SealReport {
    /// Records sealed.
    pub records: u64,
    /// Objects' bytes.
    pub bytes: u64,
    /// Seconds taken, writing to disk included.
    pub seconds: f64,
}

/// Phase 2.
#[derive(Debug, Clone, Serialize)]
pub struct OpenReport {
    /// Records opened and verified.
    pub records: usize,
    /// Records that failed.
    pub failed: u64,
    /// Seconds taken.
    pub seconds: f64,
}

impl Stage<'_> {
    /// Seals the data twice, as an owner does who has corrected it: the older serial is what a storage
    /// could replay. The second is the one reported.
    pub(super) fn seal(&self) -> Result<(SealReport, Sealed)> {
        let store = Store::create(&self.files.vault.display().to_string())?;
        let source = DatasetSource::new(self.demo.data);
        let options = SealOptions::default();
        vault::seal(
            &source,
            &store,
            self.seal_keys(),
            &options,
            &self.memory,
            self.progress,
        )?;
        let start = Instant::now();
        let sealed = vault::seal(
            &source,
            &store,
            self.seal_keys(),
            &options,
            &self.memory,
            self.progress,
        )?;
        let report = SealReport {
            records: sealed.manifest.records(),
            bytes: sealed.bytes,
            seconds: start.elapsed().as_secs_f64(),
        };
        self.progress.note(&format!(
            "seal    {} records in {} shards, {:.0} MB of Fernet tokens, manifest signed: {:.2} s",
            report.records,
            sealed.manifest.shards.len(),
            report.bytes as f64 / 1e6,
            report.seconds
        ));
        Ok((report, sealed))
    }

    /// Opens the whole vault; training gets what comes out of here.
    pub(super) fn open(&self, trials: &mut Trials) -> Result<(OpenReport, SourceData)> {
        let options = SourceOptions {
            keys: Some(self.open_keys()),
            open: OpenOptions::default(),
            must_be_vault: true,
            load: LoadOptions::default(),
            memory: self.memory.clone(),
        };
        let start = Instant::now();
        let place = self.files.vault.display().to_string();
        let source = trials.clean(load_source(&place, &options, self.progress))?;
        let report = OpenReport {
            records: source.dataset.count(),
            failed: source.quarantined().len() as u64,
            seconds: start.elapsed().as_secs_f64(),
        };
        self.progress.note(&format!(
            "open    {} records decrypted, H1 recomputed and equal to H0, Merkle root holds: {:.2} s",
            report.records, report.seconds
        ));
        Ok((report, source))
    }

    /// Each way of tampering, on a copy of the vault.
    pub(super) fn tamper_with_vault(&self, sealed: &Sealed, trials: &mut Trials) -> Result<()> {
        let scene = self.scene(&self.files, sealed);
        let before = trials.clone();
        for (number, tampering) in VaultTampering::ALL.into_iter().enumerate() {
            let trial = scene.try_vault(tampering, CHOICE * (number + 1))?;
            trials.record(trial);
            // An untouched copy must pass, or refusing proves nothing. If not, it is counted.
            let _ = trials.clean(scene.open_untouched()?);
        }
        self.progress.note(&format!(
            "tamper  with copies of the vault {}",
            trials.since(&before)
        ));
        Ok(())
    }

    /// Whether a vault as the paper has it, plain SHA-512 and no manifest, accepts the insider's forgery. A
    /// small one shows it as well as a large one.
    pub(super) fn paper_profile(&self) -> Result<bool> {
        let data = first_records(self.demo.data, PAPER_RECORDS);
        let files = Files {
            vault: self.demo.folder.join("paper-vault"),
            ..self.files.clone()
        };
        let store = Store::create(&files.vault.display().to_string())?;
        let options = SealOptions {
            profile: Profile::PAPER,
            ..SealOptions::default()
        };
        let source = DatasetSource::new(&data);
        let sealed = vault::seal(
            &source,
            &store,
            self.seal_keys(),
            &options,
            &self.memory,
            &Silent,
        )?;
        let options = OpenOptions {
            profile: Profile::PAPER,
            ..OpenOptions::default()
        };
        let accepts = self.scene(&files, &sealed).accepts(
            VaultTampering::InsiderForgery,
            CHOICE,
            &options,
        )?;
        self.progress.note(&format!(
            "paper   the scheme as published (--profile paper) {} what an insider forged",
            if accepts { "accepts" } else { "refuses" }
        ));
        Ok(accepts)
    }

    fn scene<'s>(&'s self, files: &'s Files, sealed: &'s Sealed) -> Scene<'s> {
        Scene {
            vault: &files.vault,
            sealed,
            keys: self.open_keys(),
            insider: &self.vault_keys[0],
            memory: &self.memory,
            scratch: self.demo.folder,
        }
    }
}

/// The first records as a data set of one part.
fn first_records(data: &Dataset, wanted: usize) -> Dataset {
    let count = wanted.min(data.count());
    Dataset {
        features: data.features[..count * data.feature_count()].to_vec(),
        labels: data.labels[..count].to_vec(),
        parts: vec![Part {
            name: "all".into(),
            start: 0,
            len: count as u64,
        }],
        ..data.clone()
    }
}

/// Picks shard and record; any number does.
const CHOICE: usize = 1009;

/// Records of the vault of profile `paper`.
const PAPER_RECORDS: usize = 1000;
