//! `sealnet bench`: what is measured, and beside which peer.

mod device;
mod host;
mod recipe;
mod train;

use clap::{Args, Subcommand};

pub(crate) use device::BenchDeviceArgs;
pub(crate) use host::BenchHostArgs;
pub(crate) use recipe::BenchRecipeArgs;
pub(crate) use train::{BenchTrainArgs, PeerArg};

/// `sealnet bench`
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Examples:
  sealnet bench device
  sealnet bench host
  sealnet bench train
  sealnet bench recipe quick
  sealnet --json bench host | jq .ratio"
)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Count what a Cortex-M executes for an image, by each kernel, mode and layer
    Device(BenchDeviceArgs),
    /// Batches of records on this machine, in integers, beside ONNX Runtime in int8 and f32
    Host(BenchHostArgs),
    /// The paper's training on this machine, beside JAX, PyTorch, scikit-learn and Keras
    Train(BenchTrainArgs),
    /// What a recipe reaches over several seeds, in f32 and in integers
    Recipe(BenchRecipeArgs),
}
