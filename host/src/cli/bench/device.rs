//! Arguments of `sealnet bench device`.

use std::path::PathBuf;

use clap::Args;

/// `sealnet bench device`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = [EXAMPLES, NOTES].concat())]
pub(crate) struct BenchDeviceArgs {
    /// Images to run [default: all 10,000 test images]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) images: Option<u64>,
    /// Run the network of this sealed model [default: train one by recipe `paper`, seed 1]
    #[arg(long, value_name = "FILE", requires = "keys")]
    pub(crate) model: Option<PathBuf>,
    /// With --model: the folder that `sealnet keygen` made
    #[arg(long, value_name = "DIR", env = "SEALNET_KEYS", hide_env_values = true)]
    pub(crate) keys: Option<PathBuf>,
    /// With --model: the keys of which device verify and open it
    #[arg(long, value_name = "ID", default_value = "0001")]
    pub(crate) device: String,
    /// Take the MNIST files from here instead of fetching them
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
    /// How long a board may take for 500 images, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120,
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
}

const EXAMPLES: &str = "\
Examples:
  sealnet bench device
  sealnet bench device --images 100
  sealnet bench device --model model.sealed --keys keys
  sealnet --json bench device | jq .kernels

Exit codes: 0 done; 1 an image has other logits on a board than on the host; 2 nothing could be counted.";

const NOTES: &str = "

MNIST's test images run on Cortex-M4 boards in QEMU (qemu-system-arm): by the kernels `dense` and `skip` with DSP \
instructions, by plain loops over the same weights in the same program, and by the portable kernel in one of its own, \
on a Cortex-M3 too, where the compiler has no DSP instructions either. All is built as the device's firmware is, and \
kept between runs. Each run's logits are compared with the host's.

Instructions are counted by a timer of the board, exactly to two or three, from features to logits. The modes: clear \
weights lie in the board's 16 MiB of memory, where an instruction is one as it is in flash; confidential ones are \
decrypted into RAM before; streamed ones by each run, of the first 20 images alone.

The first 20 images are traced, instruction by instruction: that gives what each layer takes and loads. Cycles are an \
estimate: one for each instruction, and one more for each register that is loaded, so that a load of eight registers \
counts nine. Branches that are taken, which cost one to three cycles more each, are counted beside it; what slow flash \
costs is not.

Figures of other libraries were measured separately: their kernels, with a network of the same widths, in the same QEMU. \
They are not run here.";
