//! One door for commands that work on records, sealed or not: a vault is verified exactly as `open` does it.

use std::path::Path;

use sealnet_core::sign::Digest512;

use super::finding::Finding;
use super::records::PartSize;
use super::{DatasetSink, OpenKeys, OpenOptions, Opened, open};
use crate::dataset::{self, Dataset, LoadOptions, SourceKind};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::state::{Contact, Location, SerialMemory};
use crate::store::Store;

/// How to get records from `STORE|DATA`.
#[derive(Debug, Clone)]
pub struct SourceOptions<'k> {
    /// The owner's keys; `None` takes unsealed data only.
    pub keys: Option<OpenKeys<'k>>,
    /// How strictly to open a vault.
    pub open: OpenOptions,
    /// Whether the source must be a vault: something was asked that only a vault can answer.
    pub must_be_vault: bool,
    /// How to read unsealed data.
    pub load: LoadOptions,
    /// The serials seen.
    pub memory: SerialMemory,
}

/// Records in memory, and what vouches for them.
#[derive(Debug, Clone)]
pub struct SourceData {
    /// The records, without those set aside.
    pub dataset: Dataset,
    /// The vault they come from; `None` when they were never sealed.
    pub vault: Option<VaultOrigin>,
    /// Of a CSV file read in a prescribed form: how many values lay beyond it and became its ends.
    pub clamped: u64,
}

/// The verified vault that records come from.
#[derive(Debug, Clone)]
pub struct VaultOrigin {
    /// The data set's name.
    pub name: String,
    /// 32 hexadecimal digits.
    pub dataset_id: String,
    /// `default`, `paper`, …
    pub profile: &'static str,
    /// Absent without a signed manifest.
    pub serial: Option<u64>,
    /// SHA-512 of the manifest object; absent without a signed manifest.
    pub manifest_digest: Option<Digest512>,
    /// Whether nothing of this data set and signer was seen before, so that its age cannot be judged.
    pub first_contact: bool,
    /// The records set aside, in order.
    pub quarantined: Vec<Finding>,
    /// Records and parts as sealed, those set aside included.
    pub sealed_parts: Vec<PartSize>,
    /// What harms no record but should be known.
    pub warnings: Vec<String>,
}

impl SourceData {
    /// The records set aside; none when the data was never sealed.
    pub fn quarantined(&self) -> &[Finding] {
        self.vault.as_ref().map_or(&[], |vault| &vault.quarantined)
    }
}

/// Gets the records that `place` names, a vault or unsealed data, whichever lies there.
///
/// A vault is verified exactly as [`open()`] does; nothing of one that failed is returned. Whoever can write to
/// a vault's folder could put plain files there instead: a place that held a vault when this machine last
/// looked is refused as unsealed data.
///
/// # Errors
/// As [`open()`] and [`dataset::load`]; [`Error::Verification`] when a vault's place holds plain data.
pub fn load_source(
    place: &str,
    options: &SourceOptions<'_>,
    progress: &dyn Progress,
) -> Result<SourceData> {
    if dataset::source_kind(place) == SourceKind::Data && !options.must_be_vault {
        refuse_replaced_vault(place, &options.memory)?;
        let loaded = dataset::load_in_form(place, &options.load, progress)?;
        return Ok(SourceData {
            dataset: loaded.dataset,
            vault: None,
            clamped: loaded.clamped,
        });
    }
    if place == "mnist" || Path::new(place).is_file() {
        refuse_replaced_vault(place, &options.memory)?;
        return Err(Error::input(
            format!("{place} is unsealed data, and what was asked can only be asked of a vault"),
            "seal it first, or leave out what judges a vault (--min-serial, --max-tampered and their like)",
        ));
    }
    let Some(keys) = options.keys else {
        return Err(Error::input(
            format!("{place} is a vault, and there are no keys to open it"),
            "give the owner's keys: --keys DIR",
        ));
    };
    let store = Store::open(place)?;
    let mut sink = DatasetSink::default();
    let opened = open(
        &store,
        keys,
        &options.open,
        &options.memory,
        &mut sink,
        progress,
    )?;
    let dataset = sink.into_dataset().ok_or_else(|| {
        Error::input(
            format!("{place} gave no records"),
            "please report this defect",
        )
    })?;
    Ok(SourceData {
        dataset,
        vault: Some(VaultOrigin::from(opened)),
        clamped: 0,
    })
}

impl From<Opened> for VaultOrigin {
    fn from(opened: Opened) -> VaultOrigin {
        let manifest = opened.manifest;
        VaultOrigin {
            name: manifest.about.name,
            dataset_id: manifest.dataset_id.to_string(),
            profile: manifest.profile.name(),
            serial: manifest.seal.as_ref().map(|seal| seal.serial),
            manifest_digest: opened.manifest_digest,
            first_contact: opened.contact == Some(Contact::First),
            quarantined: opened.quarantined,
            sealed_parts: manifest.about.parts,
            warnings: opened.warnings,
        }
    }
}

fn refuse_replaced_vault(place: &str, memory: &SerialMemory) -> Result<()> {
    // A name of a data set, not of a place.
    if place == "mnist" {
        return Ok(());
    }
    let known = memory.vaults_at(&Location::of(Path::new(place)))?;
    match known.first() {
        None => Ok(()),
        Some(dataset_id) => Err(Error::verification(
            format!("{place} held a vault of data set {dataset_id} and now holds none"),
            format!(
                "if plain data was put there on purpose, use another folder, or remove the place from {}",
                memory.file().display()
            ),
        )),
    }
}
