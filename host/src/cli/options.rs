//! Options that several commands share.

use std::path::PathBuf;

use clap::Args;
use sealnet::error::{Error, Result};
use sealnet::train::{Backend, Compute};
use sealnet::weights::Input;

use super::values::{HexBytes, Tolerance};
use super::{BackendArg, Profile};

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

/// What computes a training; the weights are the same bits whatever is chosen.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Computing (no influence on the result)")]
pub(crate) struct ComputeOptions {
    /// Which instructions to use
    #[arg(long, value_enum, default_value_t = BackendArg::Auto)]
    pub(crate) backend: BackendArg,
    /// How many threads work at once [default: as many as there are cores and as pay]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

impl ComputeOptions {
    /// What was asked for.
    ///
    /// # Errors
    /// [`Error::Input`] where this processor lacks the instructions.
    pub(crate) fn compute(&self) -> Result<Compute> {
        let name = match self.backend {
            BackendArg::Auto => Backend::detect().name(),
            BackendArg::Avx512 => "avx512",
            BackendArg::Avx2 => "avx2",
            BackendArg::Portable => "portable",
        };
        let Some(backend) = Backend::named(name) else {
            let available = Backend::available().into_iter().map(Backend::name);
            return Err(Error::input(
                format!("this processor lacks what --backend {name} needs"),
                format!(
                    "it has: {}; without the option the fastest is taken, and the weights are the same",
                    available.collect::<Vec<_>>().join(", ")
                ),
            ));
        };
        let threads = self.threads.map_or(0, usize::from);
        Ok(Compute { backend, threads })
    }
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
