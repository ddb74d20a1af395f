//! Options that several commands share.

use std::path::PathBuf;

use clap::Args;
use sealnet::weights::Input;

use super::Profile;
use super::values::{HexBytes, Tolerance};

/// Where the keys are.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeysOption {
    /// The folder that `sealnet keygen` made
    #[arg(
        long = "keys",
        value_name = "DIR",
        env = "SEALNET_KEYS",
        hide_env_values = true
    )]
    pub(crate) dir: PathBuf,
}

/// How to read weights.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct InputOption {
    /// What the first layer was trained on, of a feature u from 0 to 255: u/255 as in Keras's examples,
    /// (u/255-0.1307)/0.3081 with torchvision's Normalize, or the like [default: what the weights say, else u/255-0.5]
    #[arg(long = "input", value_name = "EXPRESSION")]
    pub(crate) expression: Option<Input>,
}

/// How to read unsealed data.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Unsealed data")]
pub(crate) struct DataOptions {
    /// The CSV column that holds the label: its name, or `first` [default: the first; for `export` the one
    /// that the training receipt names, for `infer` the one that the model does not know]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label: Option<String>,
}

/// How strictly to open a vault. Any of these means that the source must be a vault.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Opening a vault")]
pub(crate) struct StoreOptions {
    /// Set records aside whose own failure is certain, up to N or P %; says so, and the training
    /// receipt does too [default: 0]
    #[arg(long, value_name = "N|P%")]
    pub(crate) max_tampered: Option<Tolerance>,
    /// Refuse a vault whose serial is lower
    #[arg(long, value_name = "N")]
    pub(crate) min_serial: Option<u64>,
    /// Refuse any data set but the one with this id
    #[arg(long, value_name = "HEX")]
    pub(crate) dataset_id: Option<HexBytes<16>>,
    /// Refuse any manifest but the one with this SHA-512 digest
    #[arg(long, value_name = "HEX")]
    pub(crate) manifest_digest: Option<HexBytes<64>>,
    /// Open this serial [default: the newest]
    #[arg(long, value_name = "N")]
    pub(crate) serial: Option<u64>,
    /// `paper` opens a vault sealed with --profile paper: no manifest, so less is noticed
    #[arg(long, value_enum)]
    pub(crate) profile: Option<Profile>,
}

impl StoreOptions {
    /// Whether anything was asked that only a vault can answer.
    pub(crate) fn any(&self) -> bool {
        self.max_tampered.is_some()
            || self.min_serial.is_some()
            || self.dataset_id.is_some()
            || self.manifest_digest.is_some()
            || self.serial.is_some()
            || self.profile.is_some()
    }
}
