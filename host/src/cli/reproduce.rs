//! Arguments of `sealnet reproduce`.

use std::path::PathBuf;

use clap::Args;

use super::options::{ComputeOptions, DataOptions, StoreOptions};

/// `sealnet reproduce`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet reproduce model.safetensors.receipt.json --keys keys
  sealnet reproduce model.safetensors.receipt.json --keys keys --weights model.safetensors
  sealnet reproduce model.safetensors.receipt.json --key owner.pub.pem --data mnist -o again.safetensors

Exit codes: 0 the same to the bit; 1 something differs or did not verify; 2 it could not be tried.")]
pub(crate) struct ReproduceArgs {
    /// The training receipt
    #[arg(value_name = "RECEIPT")]
    pub(crate) receipt: PathBuf,
    /// The folder that `sealnet keygen` made: its owner must have signed the receipt, and its keys open a vault
    #[arg(
        long = "keys",
        value_name = "DIR",
        env = "SEALNET_KEYS",
        hide_env_values = true,
        required_unless_present = "key"
    )]
    pub(crate) keys: Option<PathBuf>,
    /// Who must have signed the receipt instead: an Ed25519 public key in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// The records: a vault, or the same records unsealed [default: where the receipt says that they were]
    #[arg(long, value_name = "STORE|DATA")]
    pub(crate) data: Option<String>,
    /// The weights in question: if others come out, how far they are apart is told
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
    /// Keep the weights that come out here, whether or not they are the same
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) compute: ComputeOptions,
    #[command(flatten)]
    pub(crate) data_options: DataOptions,
    #[command(flatten)]
    pub(crate) store_options: StoreOptions,
}

/// What `sealnet reproduce --help` says first.
pub(crate) const ABOUT_REPRODUCE: &str = "\
Train again what a training receipt names, and compare to the bit.

The receipt says all that decides the weights: records, split, widths, recipe, seed and numerics. Its signature \
is verified first, then that the records are those it names: from the vault, or unsealed, since the records \
alone decide. Then they are trained on again. Weights, every epoch's losses and accuracies, validation and \
test must be the same. A vault is opened as the receipt says: the manifest of that digest, however old, the \
profile, as many records set aside; options below say otherwise. It has no key to sign a checkpoint with: what is stopped begins anew.";
