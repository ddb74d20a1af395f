//! What a training receipt says: all that decided the weights.

use serde::{Deserialize, Serialize};

use super::records_digest;
use super::statement::Resource;
use crate::dataset::split;
use crate::error::{Error, Result};
use crate::train::numerics::Numerics;
use crate::train::{Epoch, Metrics, Recipe, Shape};
use crate::vault::{SourceData, finding::Finding, manifest_name};

/// All that decided the weights, and how good they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The records.
    pub data: Data,
    /// Which of them trained, validated and tested.
    pub split: Split,
    /// The four widths.
    pub network: Widths,
    /// Everything else that decides the weights.
    pub recipe: Recipe,
    /// Decides the first weights and the order of the records.
    pub seed: u64,
    /// The arithmetic that made the same of all this.
    pub numerics: Numerics,
    /// One entry an epoch.
    pub epochs: Vec<EpochScore>,
    /// One entry an epoch of the teacher, where the recipe has one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teacher_epochs: Vec<EpochScore>,
    /// After the last epoch.
    pub validation: Score,
    /// After the last epoch, on records that decided nothing.
    pub test: Score,
    /// What trained.
    pub software: Software,
    /// What had no influence on the weights.
    pub run: Run,
}

/// How it was run, which decides no bit of the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Which instructions did the arithmetic: [`Backend::name`](crate::train::Backend::name).
    pub backend: String,
    /// How many threads.
    pub threads: u32,
    /// Processor architecture and operating system, as Rust calls them: `x86_64-linux`.
    pub machine: String,
    /// How long the training took, all sittings together.
    pub seconds: f64,
    /// When it was over, seconds since the Unix epoch.
    pub created: u64,
}

/// The records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Where they were, as it was typed.
    pub source: String,
    /// What people call them.
    pub name: String,
    /// The heading of the label's column, where the columns have headings.
    pub label: Option<String>,
    /// What vouches for them.
    pub origin: Origin,
    /// How many there are, without those set aside.
    pub records: u64,
    /// [`records_digest`] of them, hexadecimal.
    pub records_sha512: String,
    /// The sealed records that failed and were set aside.
    pub quarantined: Vec<Quarantined>,
}

/// What vouches for the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "snake_case",
    deny_unknown_fields
)]
pub enum Origin {
    /// A signed manifest of a vault.
    Manifest {
        /// The manifest object: its name in the vault, and the SHA-512 of its bytes.
        manifest: Resource,
        /// 32 hexadecimal digits.
        dataset_id: String,
        /// Its serial.
        serial: u64,
    },
    /// A vault without a signed manifest.
    UnsignedVault {
        /// 32 hexadecimal digits.
        dataset_id: String,
        /// The vault's profile.
        profile: String,
    },
    /// Nothing: they were never sealed.
    Unsealed,
}

/// A sealed record that failed and was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quarantined {
    /// Its index in the vault.
    pub record: u64,
    /// The check that failed: `decrypt`, `tag`, `index`, `count`, `root`.
    pub check: String,
    /// What the check found.
    pub cause: String,
}

/// Which records trained, validated and tested: those of [`split`](crate::dataset::split::split) with
/// this seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The seed of `--split-seed`; none means the first and the last records.
    pub seed: Option<u64>,
    /// How many trained.
    pub training: u64,
    /// How many validated.
    pub validation: u64,
    /// How many tested.
    pub test: u64,
}

/// The four widths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Widths {
    /// Features of a record.
    pub inputs: usize,
    /// Neurons of the hidden layers.
    pub hidden: [usize; 2],
    /// Classes.
    pub classes: usize,
}

/// Loss (mean cross-entropy) and accuracy (0 to 1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Of validation and test records the mean cross-entropy, natural logarithm; of training records what the recipe
    /// makes small: against smoothed targets or a teacher's, on attacked records.
    pub loss: f64,
    /// Share predicted correctly, 0 to 1.
    pub accuracy: f64,
}

/// One epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochScore {
    /// Over training records, each just before it was learnt from.
    pub training: Score,
    /// Over validation records, after the epoch.
    pub validation: Score,
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Software {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Data {
    /// What a receipt says about records that came from `source`.
    pub fn of(source: &str, data: &SourceData) -> Data {
        let origin = match &data.vault {
            None => Origin::Unsealed,
            Some(vault) => match (vault.manifest_digest, vault.serial) {
                (Some(digest), Some(serial)) => Origin::Manifest {
                    manifest: Resource::new(&manifest_name(serial), &digest),
                    dataset_id: vault.dataset_id.clone(),
                    serial,
                },
                _ => Origin::UnsignedVault {
                    dataset_id: vault.dataset_id.clone(),
                    profile: vault.profile.into(),
                },
            },
        };
        Data {
            source: source.into(),
            name: data.dataset.name.clone(),
            label: data
                .dataset
                .headings
                .as_ref()
                .map(|headings| headings.label.clone()),
            origin,
            records: data.dataset.count() as u64,
            records_sha512: hex::encode(records_digest(&data.dataset)),
            quarantined: data.quarantined().iter().map(Quarantined::from).collect(),
        }
    }

    /// Whether `data` are these records, vouched for in the same way.
    ///
    /// # Errors
    /// [`Error::Verification`] naming what differs.
    pub fn check(&self, data: &Data) -> Result<()> {
        if self.origin != data.origin {
            return Err(Data::other(
                data,
                &format!("{} there, {} here", self.origin, data.origin),
            ));
        }
        self.check_records(data)
    }

    /// Whether `data` are these records, whatever vouches for them: what decides the weights.
    ///
    /// # Errors
    /// [`Error::Verification`] naming what differs.
    pub fn check_records(&self, data: &Data) -> Result<()> {
        if self.records_sha512 == data.records_sha512 {
            return Ok(());
        }
        let differs = format!(
            "{} records there, {} here, with other content, parts or form",
            self.records, data.records
        );
        Err(Data::other(data, &differs))
    }

    fn other(data: &Data, differs: &str) -> Error {
        Error::verification(
            format!(
                "{} is not the data that the training receipt names: {differs}",
                data.source
            ),
            "give the data that the weights were trained on",
        )
    }
}

impl From<&Finding> for Quarantined {
    fn from(finding: &Finding) -> Quarantined {
        Quarantined {
            record: finding.index.unwrap_or_default(),
            check: finding.kind.name().into(),
            cause: finding.cause.to_string(),
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Manifest {
                manifest, serial, ..
            } => {
                let sha512 = &manifest.digest.sha512;
                write!(
                    f,
                    "manifest {serial} ({}…)",
                    sha512.get(..16).unwrap_or(sha512)
                )
            }
            Origin::UnsignedVault {
                dataset_id,
                profile,
            } => {
                write!(
                    f,
                    "vault {dataset_id} of profile {profile}, without a manifest"
                )
            }
            Origin::Unsealed => f.write_str("unsealed data"),
        }
    }
}

impl From<Metrics> for Score {
    fn from(metrics: Metrics) -> Score {
        Score {
            loss: metrics.loss(),
            accuracy: metrics.accuracy(),
        }
    }
}

impl From<Epoch> for EpochScore {
    fn from(epoch: Epoch) -> EpochScore {
        EpochScore {
            training: epoch.training.into(),
            validation: epoch.validation.into(),
        }
    }
}

impl From<Shape> for Widths {
    fn from(shape: Shape) -> Widths {
        let Shape {
            inputs,
            hidden,
            classes,
        } = shape;
        Widths {
            inputs,
            hidden,
            classes,
        }
    }
}

/// As a [`Shape`] is written.
impl std::fmt::Display for Widths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Widths {
            inputs,
            hidden,
            classes,
        } = *self;
        let shape = Shape {
            inputs,
            hidden,
            classes,
        };
        shape.fmt(f)
    }
}

impl Software {
    /// This program.
    pub fn this() -> Software {
        Software {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

impl Split {
    /// What a receipt says of `split`, made with `seed`.
    pub fn of(seed: Option<u64>, split: &split::Split) -> Split {
        Split {
            seed,
            training: split.train.len() as u64,
            validation: split.validation.len() as u64,
            test: split.test.len() as u64,
        }
    }

    /// Whether `split`, made of the records in `source`, is this one.
    ///
    /// # Errors
    /// [`Error::Verification`] with both.
    pub fn check(&self, source: &str, split: &Split) -> Result<()> {
        if self == split {
            return Ok(());
        }
        Err(Error::verification(
            format!(
                "{source} is split otherwise than the training receipt says: {self} there, {split} here"
            ),
            "give the data that the weights were trained on, with its parts as they were",
        ))
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} training, {} validation and {} test records",
            self.training, self.validation, self.test
        )
    }
}
