//! Arguments of `sealnet bench train`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::DataOptions;

/// A system to measure beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerArg {
    /// An epoch as one jitted scan
    Jax,
    /// Eager, with fused Adam
    Pytorch,
    /// MLPClassifier
    ScikitLearn,
    /// On TensorFlow, 50 steps an execution
    Keras,
}

/// `sealnet bench train`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:
  sealnet bench train
  sealnet bench train --peers jax --rounds 9
  sealnet --json bench train --peers jax | jq .ratio_to_jax",
    after_long_help = "Recipe `paper`: 784-64-64-10 on MNIST, batches of 32 in a new random order each epoch, 5 epochs, \
Adam. A time is that of a whole training; reading, turning bytes to reals, compiling and testing are outside of it, and \
compile times are told apart. Rounds alternate between all that is measured, by one thread and by two; each round trains \
from other weights, and what is told is the rounds' median, with the least and the most. Each peer is a process that may \
use as many cores as it has threads.

The ratio of one thread is Sealnet's seconds to JAX's by one thread; that of two is Sealnet's by two to the less of JAX's \
by one and by two.

The peers' Python packages are installed into the cache, once. On Linux the usual package index has PyTorch only with \
CUDA's libraries, some 5 GB, of which nothing is used here; a pip that knows an index of processor-only ones takes \
these. With --peers what is left out is not installed.

Exit codes: 0 measured; 1 a trainer stays below --least-accuracy, or Sealnet's weights depend on the number of threads; 2 \
something is missing.

Examples:
  sealnet bench train
  sealnet bench train --peers jax --rounds 9
  sealnet --json bench train --peers jax | jq .ratio_to_jax"
)]
pub(crate) struct BenchTrainArgs {
    /// The records: a folder of IDX files, a CSV file, or `mnist`
    #[arg(long, value_name = "DATA", default_value = "mnist")]
    pub(crate) data: String,
    /// How often each trains
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(5..=1000))]
    pub(crate) rounds: u32,
    /// Beside which systems
    #[arg(
        long,
        value_enum,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "jax,pytorch,scikit-learn,keras"
    )]
    pub(crate) peers: Vec<PeerArg>,
    /// A Python interpreter that has all of --peers; nothing is installed then
    #[arg(long, value_name = "FILE")]
    pub(crate) python: Option<PathBuf>,
    /// Without any peer
    #[arg(long, conflicts_with_all = ["python", "peers"])]
    pub(crate) alone: bool,
    /// Refuse times of a trainer that classifies less of the test records
    #[arg(long, value_name = "PERCENT", default_value_t = 94, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) least_accuracy: u8,
    #[command(flatten)]
    pub(crate) data_options: DataOptions,
}
