//! The command line: every type clap parses, and nothing that acts on them.

mod args;
mod attack;
mod bench;
mod choices;
mod onnx;
mod options;
mod receipt;
mod reproduce;
mod train;
mod values;

use clap::{Args, Parser, Subcommand};

pub(crate) use args::*;
pub(crate) use attack::{
    ABOUT_ATTACK, AttackArgs, AttackCommand, EvasionArgs, JsmaArgs, PoisonArg, PoisonArgs,
    SaliencyArg, TamperArgs, TargetArg,
};
pub(crate) use bench::{
    BenchArgs, BenchCommand, BenchDeviceArgs, BenchHostArgs, BenchRecipeArgs, BenchTrainArgs,
    PeerArg,
};
pub(crate) use choices::{
    BackendArg, BoardArg, GranularityArg, HostKernelArg, KernelArg, KnownData, PartArg, Place,
    Profile, ReplyArg, SchemeArg, TagSchemeArg, WeightsArg,
};
pub(crate) use onnx::OnnxArgs;
pub(crate) use options::{DataOptions, InputOption, KeysOption, StoreOptions};
pub(crate) use receipt::{ReceiptArgs, ReceiptCommand, ReceiptVerifyArgs};
pub(crate) use reproduce::{ABOUT_REPRODUCE, ReproduceArgs};
pub(crate) use train::{ABOUT_RECIPE, RecipeArgs, TrainArgs};
pub(crate) use values::{ModelOrDigest, Tolerance};

/// Seals data and models, and refuses anything that was touched on the way to a device's answer.
#[derive(Debug, Parser)]
#[command(
    name = "sealnet",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    help_template = ROOT_TEMPLATE,
    after_long_help = ROOT_NOTES
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) output: OutputOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How to speak.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputOptions {
    /// Print one JSON document on standard output and nothing else there
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    /// No progress and no notes; results, warnings and errors only
    #[arg(short, long, global = true, display_order = 901)]
    pub(crate) quiet: bool,
}

/// The commands, in the order in which the story goes. [`ROOT_TEMPLATE`] groups them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole story on real MNIST: seal, tamper, open, train, export, answer
    Demo(DemoArgs),
    /// Get a known data set into the cache, digests pinned
    Fetch(FetchArgs),
    /// Make keys: one a role, for owner, publisher and devices
    Keygen(KeygenArgs),
    /// Seal records into a vault (Phase 1)
    Seal(SealArgs),
    /// Open a vault, verify every record, name those that fail (Phase 2)
    Open(OpenArgs),
    /// Train on verified records (Phase 3)
    Train(TrainArgs),
    /// List training recipes, or print one to copy and edit
    #[command(long_about = ABOUT_RECIPE)]
    Recipe(RecipeArgs),
    /// Train again what a training receipt names, and compare to the bit
    #[command(long_about = ABOUT_REPRODUCE)]
    Reproduce(ReproduceArgs),
    /// Quantise, verify, sign and seal a trained model
    Export(ExportArgs),
    /// Write a trained model as ONNX, in f32 and unsigned, for other runtimes
    Onnx(OnnxArgs),
    /// Run a sealed model on the host, on a simulated device, or on a Cortex-M in QEMU
    Infer(InferArgs),
    /// Verify receipts: a device's for its answers, the owner's for a training
    Receipt(ReceiptArgs),
    /// Make adversarial and poisoned records, to see what notices them
    #[command(long_about = ABOUT_ATTACK)]
    Attack(AttackArgs),
    /// Say what a file is, without trusting it
    Inspect(InspectArgs),
    /// Fernet tokens from standard input to standard output
    Fernet(FernetArgs),
    /// Measure beside peers, in the same run
    Bench(BenchArgs),
    /// Check what this machine has and what the demo needs
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// clap lists commands in one heap; a reader wants them by purpose.
const ROOT_TEMPLATE: &str = "\
{about}

Usage: {usage}

The story:
  demo         The whole story on real MNIST: seal, tamper, open, train, export, answer

Data:
  fetch        Get a known data set into the cache, digests pinned
  seal         Seal records into a vault (Phase 1)
  open         Open a vault, verify every record, name those that fail (Phase 2)

Models:
  train        Train on verified records (Phase 3)
  recipe       List training recipes, or print one to copy and edit
  reproduce    Train again what a training receipt names, and compare to the bit
  export       Quantise, verify, sign and seal a trained model
  onnx         Write a trained model as ONNX, in f32 and unsigned, for other runtimes
  infer        Run a sealed model on the host, on a simulated device, or on a Cortex-M in QEMU
  receipt      Verify receipts: a device's for its answers, the owner's for a training

Keys and tokens:
  keygen       Make keys: one a role, for owner, publisher and devices
  fernet       Fernet tokens from standard input to standard output

Measuring:
  attack       Make adversarial and poisoned records, to see what notices them
  bench        Measure beside peers, in the same run

Help:
  inspect      Say what a file is, without trusting it
  doctor       Check what this machine has and what the demo needs
  completions  Print a completion script for a shell

Options:
{options}{after-help}";

const ROOT_NOTES: &str = "\
Data goes to standard output, everything else to standard error. Colour follows NO_COLOR.

Exit codes:
  0  done
  1  something did not verify: tampering, wrong key, replay, mismatch
  2  usage, input or environment
  130, 143  stopped by Ctrl-C or by SIGTERM; every output is whole or absent

Environment:
  SEALNET_KEYS       the folder of --keys
  SEALNET_CACHE_DIR  where fetched data is kept [default: the platform's cache folder]
  SEALNET_STATE_DIR  where the highest serials and counters seen are kept [default: the platform's
                     state folder]";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_types_are_consistent_and_every_command_is_in_the_overview() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            let about = command.get_about().map(ToString::to_string);
            let line = format!("  {:<12} {}", command.get_name(), about.unwrap_or_default());
            assert!(ROOT_TEMPLATE.contains(&line), "{line}");
        }
    }
}
