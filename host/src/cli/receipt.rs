//! Arguments of `sealnet receipt`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::ModelOrDigest;

/// `sealnet receipt`
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Examples:
  sealnet receipt verify receipts.bin --keys keys
  sealnet receipt verify model.safetensors.receipt.json --keys keys --weights model.safetensors"
)]
pub(crate) struct ReceiptArgs {
    #[command(subcommand)]
    pub(crate) command: ReceiptCommand,
}

/// What to do with it.
#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Verify receipts: a device's for its answers, the owner's for a training
    Verify(ReceiptVerifyArgs),
}

/// `sealnet receipt verify`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:
  sealnet receipt verify receipts.bin --keys keys
  sealnet receipt verify receipts.jsonl --keys keys --model model.sealed --device 0001
  sealnet receipt verify receipt.bin --key receipt.key --request request.fernet --label 7
  sealnet receipt verify model.safetensors.receipt.json --keys keys --weights model.safetensors

Exit codes: 0 all receipts hold; 1 one does not; 2 one could not be checked, whatever became of the others.",
    long_about = "Verify receipts: a device's for its answers, the owner's for a training.

Each file says of itself which it is. A device's receipts come as `sealnet infer --receipts` writes them: \
binary, 320 bytes each, or JSON, an in-toto statement a receipt. What the JSON says beside the signed bytes \
that it carries must be what those say. All files are checked, and every failure is named. A receipt that is there \
twice is counted once.

A device's receipt binds the digest of the model's plaintext body. What --model FILE says besides (its name, its \
security counter, its provenance) is its publisher's signed word about that file: another file with the same body \
may say something else, and no receipt tells which of them the device had."
)]
pub(crate) struct ReceiptVerifyArgs {
    /// Files of receipts
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The folder that `sealnet keygen` made: a device's receipt is verified with the key of the device that
    /// it names, a training receipt with the owner's
    #[arg(
        long = "keys",
        value_name = "DIR",
        env = "SEALNET_KEYS",
        hide_env_values = true,
        required_unless_present = "key"
    )]
    pub(crate) keys: Option<PathBuf>,
    /// Verify all receipts with this key instead: an Ed25519 public key in PEM, or a device's `receipt.key`
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Refuse receipts of any other device
    #[arg(long, value_name = "ID", help_heading = "What a device must say")]
    pub(crate) device: Option<String>,
    /// Refuse receipts for any other model: a sealed one, whose signature is verified with --keys, or the
    /// SHA-512 of a model's plaintext body, 128 hex digits
    #[arg(
        long,
        value_name = "FILE|DIGEST",
        help_heading = "What a device must say"
    )]
    pub(crate) model: Option<ModelOrDigest>,
    /// Refuse receipts for any other request: the Fernet token that was sent, binary or text, or its frame
    #[arg(long, value_name = "FILE", help_heading = "What a device must say")]
    pub(crate) request: Option<PathBuf>,
    /// Refuse receipts for any other label, as a number
    #[arg(long, value_name = "N", help_heading = "What a device must say")]
    pub(crate) label: Option<u16>,
    /// Refuse training receipts for any other weights
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "What a training receipt must be about"
    )]
    pub(crate) weights: Option<PathBuf>,
}
