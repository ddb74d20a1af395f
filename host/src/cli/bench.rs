//! Arguments of `sealnet bench`.

mod device;

use clap::{Args, Subcommand};

pub(crate) use device::BenchDeviceArgs;

/// `sealnet bench`
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

/// Where to run.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Count what a Cortex-M executes for an image, by each kernel, mode and layer
    Device(BenchDeviceArgs),
}
