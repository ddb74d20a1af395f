//! Arguments of `sealnet bench host`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::DataOptions;
use crate::cli::HostKernelArg;

/// `sealnet bench host`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:
  sealnet bench host
  sealnet bench host --model model.safetensors --rounds 15
  sealnet bench host --kernel avx2 --alone",
    after_long_help = "All test records are one batch. A time is from their bytes to their logits. Rounds alternate \
between all that is measured, on one core and on two; a round's figure is its fastest batch of 20, and what is told is \
the rounds' median, with the slowest and the fastest round beside it. Every logit is compared with the portable kernel's.

`skip` leaves out groups of four features that are all zero, such as an image's background, and is what the host \
evaluates with; its time tells how many there are. `dense` takes every product.

ONNX Runtime gets the same network, quantised by its own tools in nine ways; the fastest one counts, also \
if it takes bytes as they are. Its Python package is installed into the cache, once.

Exit codes: 0 all logits are the portable kernel's; 1 one is not; 2 something is missing.

Examples:
  sealnet bench host
  sealnet bench host --model model.safetensors --rounds 15
  sealnet bench host --kernel avx2 --alone"
)]
pub(crate) struct BenchHostArgs {
    /// Trained weights [default: trains recipe `paper` first]
    #[arg(long, value_name = "MODEL.safetensors")]
    pub(crate) model: Option<PathBuf>,
    /// The records: a folder of IDX files, a CSV file, or `mnist`
    #[arg(long, value_name = "DATA", default_value = "mnist")]
    pub(crate) data: String,
    /// How often all is measured
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(5..=1000))]
    pub(crate) rounds: u32,
    /// Which kernel [default: the fastest that this machine has]
    #[arg(long, value_enum)]
    pub(crate) kernel: Option<HostKernelArg>,
    /// A Python interpreter that has onnxruntime and onnx; nothing is installed then
    #[arg(long, value_name = "FILE")]
    pub(crate) python: Option<PathBuf>,
    /// Without ONNX Runtime
    #[arg(long, conflicts_with = "python")]
    pub(crate) alone: bool,
    #[command(flatten)]
    pub(crate) data_options: DataOptions,
}
