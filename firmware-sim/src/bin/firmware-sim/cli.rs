//! The command line: every type clap parses, and nothing that acts on them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[cfg(unix)]
use crate::{campaign, constant_time, emulated};

/// Runs Sealnet's device on this machine: flash in a file, frames on standard input and output.
#[derive(Debug, Parser)]
#[command(
    name = "firmware-sim",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_long_help = NOTES
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How to speak.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// Print one JSON document on standard output and nothing else there
    #[arg(long, display_order = 900)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a device's flash: its keys, a model, counters
    Provision(ProvisionArgs),
    /// Give the device of a flash image a newer model over its wire; it keeps the old one if it refuses
    Update(UpdateArgs),
    /// Boot the device and answer frames until standard input ends
    Run(RunArgs),
    /// Attack the device with faults at every place, and say what came of it
    #[cfg(unix)]
    Campaign(campaign::CampaignArgs),
    /// Measure what the device costs on a Cortex-M4 in QEMU: flash, RAM with stack, instructions
    #[cfg(unix)]
    #[command(after_help = BUDGET_NOTES)]
    Budget {
        #[command(flatten)]
        output: Output,
    },
    /// Show that what the device executes does not depend on its secrets, on a Cortex-M in QEMU
    #[cfg(unix)]
    ConstantTime(constant_time::ConstantTimeArgs),
    /// Say what a flash image holds, secrets aside; changes nothing
    Info {
        /// The flash image
        #[arg(long, value_name = "FILE")]
        flash: PathBuf,
        #[command(flatten)]
        output: Output,
    },
}

/// `firmware-sim provision`
#[derive(Debug, Args)]
pub(crate) struct ProvisionArgs {
    /// The device's keys: the folder DIR/device-ID that `sealnet keygen DIR` made
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: PathBuf,
    /// The sealed model, by `sealnet export`
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// The flash image to make, readable by its owner alone: it holds the device's keys
    #[arg(long, value_name = "FILE")]
    pub(crate) flash: PathBuf,
    /// The lowest security counter that the device takes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) min_counter: u32,
    /// Replace a flash image that exists; if it is the same device's, its counters go on
    #[arg(long)]
    pub(crate) force: bool,
    /// Make it even if the model would not boot, to see the device refuse it
    #[arg(long)]
    pub(crate) no_check: bool,
    /// For a board that streams encrypted models: one that is longer than model RAM boots there
    #[arg(long)]
    pub(crate) streamed: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `firmware-sim update`
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// The flash image
    #[arg(long, value_name = "FILE")]
    pub(crate) flash: PathBuf,
    /// The sealed model, with a security counter above the device's
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// On a board without RAM for a model: an encrypted one stays encrypted in flash
    #[arg(long)]
    pub(crate) streamed: bool,
    /// Where the device runs
    #[arg(long, value_enum, default_value_t = Place::Sim)]
    pub(crate) on: Place,
    #[command(flatten)]
    pub(crate) output: Output,
    #[cfg(unix)]
    #[command(flatten)]
    pub(crate) emulated: emulated::Emulated,
}

/// `firmware-sim run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The flash image, which the device changes as it runs
    #[arg(long, value_name = "FILE")]
    pub(crate) flash: PathBuf,
    /// Without RAM for a model: leave an encrypted one encrypted in flash; each answer decrypts it in pieces
    #[arg(long)]
    pub(crate) streamed: bool,
    /// Where the device runs
    #[arg(long, value_enum, default_value_t = Place::Sim)]
    pub(crate) on: Place,
    #[cfg(unix)]
    #[command(flatten)]
    pub(crate) emulated: emulated::Emulated,
}

/// Where the device runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Place {
    /// In this process
    Sim,
    /// As a Cortex-M image in QEMU; Unix alone
    Qemu,
}

impl Command {
    /// Whether the result, and so an error, is to be one JSON document.
    pub(crate) fn json(&self) -> bool {
        let output = match self {
            Self::Provision(args) => &args.output,
            Self::Update(args) => &args.output,
            Self::Info { output, .. } => output,
            #[cfg(unix)]
            Self::Budget { output } => output,
            #[cfg(unix)]
            Self::Campaign(args) => &args.output,
            #[cfg(unix)]
            Self::ConstantTime(args) => &args.output,
            // Its standard output is the device's wire.
            Self::Run(_) => return false,
        };
        output.json
    }
}

const NOTES: &str = "\
Examples:
  firmware-sim provision --keys keys/device-0001 --model model.sealed --flash flash.bin
  firmware-sim info --flash flash.bin --json
  firmware-sim run --flash flash.bin --on qemu < /dev/null
  firmware-sim update --flash flash.bin --model newer.sealed
  firmware-sim campaign --quick

Data goes to standard output, everything else to standard error.

Exit codes:
  0  done
  1  something did not verify: tampering, wrong key, replay, mismatch; or a fault was not withstood
  2  usage, input or environment

Environment:
  SEALNET_SOURCES   a clone of the repository, where the firmware is built from [default: where this
                    program was built]
  CARGO_TARGET_DIR  where the built firmware is kept [default: target in the repository]";

#[cfg(unix)]
const BUDGET_NOTES: &str = "\
The bytes of stack are those of the mode that takes most; RAM, of each mode, has its own stack in it.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_types_are_consistent() {
        Cli::command().debug_assert();
    }
}
