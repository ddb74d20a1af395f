//! The whole story on one data set: sealed, tampered with and refused, opened and verified, trained on,
//! quantised, exported, and answered by a simulated device that runs the same core.

mod answers;
mod model;
mod records;
mod trials;

use std::path::{Path, PathBuf};

use sealnet_core::fernet::FernetKey;
use sealnet_core::record::TagKey;
use sealnet_core::sign::{SigningKey, TrustedKey};
use sealnet_firmware::identity::DeviceName;
use serde::Serialize;

use crate::dataset::Dataset;
use crate::dataset::split::split;
use crate::error::Result;
use crate::keys::{self, DeviceSet, KeyFolder};
use crate::progress::Progress;
use crate::state::SerialMemory;
use crate::vault::{OpenKeys, SealKeys};

pub use answers::{DeviceReport, Missing, QemuReport};
pub use model::{ExportReport, TrainReport};
pub use records::{OpenReport, SealReport};
pub use trials::{Trial, Trials};

/// What the story is told with.
#[derive(Debug)]
pub struct Demo<'a> {
    /// The data set.
    pub data: &'a Dataset,
    /// An empty or new folder for everything that is made.
    pub folder: &'a Path,
    /// Seed of the training.
    pub seed: u64,
}

/// How the story went.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The data set.
    pub data: DataReport,
    /// Phase 1.
    pub seal: SealReport,
    /// Phase 2, after the tampering.
    pub open: OpenReport,
    /// What was tampered with, and what noticed.
    pub tamper: Trials,
    /// Whether a vault of profile `paper` accepted the insider's forgery that the default refuses.
    pub paper_profile_accepts_insider: bool,
    /// Phase 3.
    pub train: TrainReport,
    /// The sealed model.
    pub export: ExportReport,
    /// The device's answers.
    pub device: DeviceReport,
    /// Where everything is.
    pub files: Files,
}

/// The data set.
#[derive(Debug, Clone, Serialize)]
pub struct DataReport {
    /// Its name.
    pub name: String,
    /// Its number of records.
    pub records: usize,
}

/// Where everything is.
#[derive(Debug, Clone, Serialize)]
pub struct Files {
    /// Keys, one a role.
    pub keys: PathBuf,
    /// The sealed data set.
    pub vault: PathBuf,
    /// The weights.
    pub weights: PathBuf,
    /// Their training receipt.
    pub receipt: PathBuf,
    /// The sealed model.
    pub model: PathBuf,
}

/// Tells the story. Each step is noted in a line; what was tried, and refused why, is in the report.
///
/// # Errors
/// When a step that ought to succeed fails. Tampering that goes unnoticed is no error here: the report
/// counts it.
pub fn run(demo: &Demo<'_>, progress: &dyn Progress) -> Result<Report> {
    let stage = Stage::set(demo, progress)?;
    let mut tamper = Trials::default();

    let (seal, sealed) = stage.seal()?;
    let (open, source) = stage.open(&mut tamper)?;
    stage.tamper_with_vault(&sealed, &mut tamper)?;
    let paper_profile_accepts_insider = stage.paper_profile()?;

    let (train, finished) = stage.train(&source)?;
    let split = split(&source.dataset, None)?;
    let exported = stage.export(&source, &split, finished, &mut tamper)?;
    let device = stage.answer(&source.dataset, &split, &exported, &mut tamper)?;
    Ok(Report {
        data: DataReport {
            name: demo.data.name.clone(),
            records: demo.data.count(),
        },
        seal,
        open,
        tamper,
        paper_profile_accepts_insider,
        train,
        export: exported.report,
        device,
        files: stage.files,
    })
}

/// What every step needs.
struct Stage<'a> {
    demo: &'a Demo<'a>,
    progress: &'a dyn Progress,
    files: Files,
    folder: KeyFolder,
    device: DeviceName,
    memory: SerialMemory,
    vault_keys: Vec<FernetKey>,
    tag_key: TagKey,
    owner: SigningKey,
    owner_public: TrustedKey,
}

impl<'a> Stage<'a> {
    /// Makes the keys.
    fn set(demo: &'a Demo<'a>, progress: &'a dyn Progress) -> Result<Stage<'a>> {
        let files = Files::below(demo.folder);
        progress.note(&format!(
            "data    {}: {} records",
            demo.data.name,
            demo.data.count()
        ));
        let device = keys::device_name(DEVICE)?;
        let devices = DeviceSet {
            names: std::slice::from_ref(&device),
            clear_only: false,
            hmac: false,
        };
        let made = keys::generate(&files.keys, devices, false)?;
        progress.note(&format!(
            "keys    {} files: owner, publisher and device {DEVICE}, one key a role",
            made.files.len()
        ));
        let folder = KeyFolder::open(&files.keys)?;
        Ok(Stage {
            memory: SerialMemory::at(demo.folder.join("state")),
            vault_keys: folder.vault_keys()?,
            tag_key: folder.record_tag_key()?,
            owner: folder.owner_signing()?,
            owner_public: folder.owner_public()?,
            demo,
            progress,
            files,
            folder,
            device,
        })
    }

    fn seal_keys(&self) -> SealKeys<'_> {
        SealKeys {
            vault: &self.vault_keys,
            tag: &self.tag_key,
            signer: &self.owner,
        }
    }

    fn open_keys(&self) -> OpenKeys<'_> {
        OpenKeys {
            vault: &self.vault_keys,
            tag: &self.tag_key,
            signer: &self.owner_public,
        }
    }
}

impl Files {
    fn below(folder: &Path) -> Files {
        Files {
            keys: folder.join("keys"),
            vault: folder.join("vault"),
            weights: folder.join("model.safetensors"),
            receipt: folder.join("model.safetensors.receipt.json"),
            model: folder.join("model.sealed"),
        }
    }
}

/// The device that answers.
const DEVICE: &str = "0001";

/// What a story writes at most, in bytes, with room to spare: the vault, a tampered shard at a time, keys and
/// models.
pub const SPACE: u64 = 300_000_000;
