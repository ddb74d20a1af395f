//! Arguments of `sealnet bench recipe`.

use clap::Args;

use crate::cli::options::ComputeOptions;
use crate::cli::values::Hidden;
use crate::cli::{DataOptions, WeightsArg};

/// `sealnet bench recipe`
#[derive(Debug, Args)]
#[command(
    after_help = "A recipe's accuracy over several seeds, in f32 and in integers, as `sealnet train` and \
`sealnet export` have it. Hyper-parameters belong chosen by the validation column.

Examples:
  sealnet bench recipe quick
  sealnet bench recipe best --seeds 3
  sealnet bench recipe best --weights int8,int4 --seeds 3"
)]
pub(crate) struct BenchRecipeArgs {
    /// A recipe that `sealnet recipe` lists, or a TOML file
    #[arg(value_name = "NAME|FILE")]
    pub(crate) recipe: String,
    /// How many seeds, from 1
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) seeds: u64,
    /// How fine the integers are, and with int4 how the last epochs see the weights; a seed's trainings begin alike, so
    /// several types at once are done sooner than one after the other
    #[arg(
        long,
        value_enum,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "int8"
    )]
    pub(crate) weights: Vec<WeightsArg>,
    /// Widths of the two hidden layers
    #[arg(long, value_name = "A,B", default_value = "64,64")]
    pub(crate) hidden: Hidden,
    /// The records: a folder of IDX files, a CSV file, or `mnist`
    #[arg(long, value_name = "DATA", default_value = "mnist")]
    pub(crate) data: String,
    #[command(flatten)]
    pub(crate) compute: ComputeOptions,
    #[command(flatten)]
    pub(crate) data_options: DataOptions,
}
