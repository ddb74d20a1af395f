//! Arguments of `sealnet train` and of `sealnet recipe`.

use std::path::PathBuf;

use clap::Args;

use super::WeightsArg;
use super::options::{ComputeOptions, DataOptions, KeysOption, StoreOptions};
use super::values::Hidden;

/// `sealnet train`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet train vault -o model.safetensors --keys keys
  sealnet train vault -o wide.safetensors --keys keys --hidden 128,64 --seed 7
  sealnet train vault -o mine.safetensors --keys keys --recipe mine.toml
  sealnet train vault -o model.safetensors --keys keys --report report --log log.csv
  sealnet train vault -o best.safetensors --keys keys --recipe best
  sealnet train iris.csv -o iris.safetensors --keys keys --label species --hidden 16,16

Stopped by Ctrl-C, training leaves FILE.checkpoint beside the weights, and once a minute too: the same command goes on \
from there, from the end of the last epoch, to the same bits.")]
pub(crate) struct TrainArgs {
    /// A vault (folder or file:// URL), or unsealed data: a folder of IDX files, a CSV file, `mnist`
    #[arg(value_name = "STORE|DATA")]
    pub(crate) source: String,
    /// Where the weights go
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) keys: KeysOption,
    /// How to train: a recipe that `sealnet recipe` lists, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "paper")]
    pub(crate) recipe: String,
    /// Widths of the two hidden layers
    #[arg(long, value_name = "A,B", default_value = "64,64")]
    pub(crate) hidden: Hidden,
    /// Seed of initial weights and of the order of records
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// See weights as integers this fine will have them in the last epochs, so that `export` loses little; a fifth of
    /// the epochs where the recipe does not say how many [default: the recipe's]
    #[arg(long, value_enum)]
    pub(crate) weights: Option<WeightsArg>,
    /// Epochs [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) epochs: Option<u32>,
    /// Draw training and validation records at random with this seed [default: the first and the last]
    #[arg(long, value_name = "N")]
    pub(crate) split_seed: Option<u64>,
    /// Where the training receipt goes [default: beside the weights, with .receipt.json at the end]
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,
    /// A folder for pictures and tables of the run: curves, confusion matrix, hardest test records, log
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// A CSV file that gets a row at the end of each epoch, to be followed as training goes on
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Begin anew, and discard what a stopped training left beside the weights in FILE.checkpoint
    #[arg(long)]
    pub(crate) fresh: bool,
    #[command(flatten)]
    pub(crate) compute: ComputeOptions,
    #[command(flatten)]
    pub(crate) data_options: DataOptions,
    #[command(flatten)]
    pub(crate) store_options: StoreOptions,
}

/// `sealnet recipe`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealnet recipe
  sealnet recipe paper > mine.toml
  sealnet recipe mine.toml > /dev/null && echo well-formed")]
pub(crate) struct RecipeArgs {
    /// A recipe in the program, or a TOML file
    #[arg(value_name = "NAME|FILE")]
    pub(crate) recipe: Option<String>,
}

/// What `sealnet recipe --help` says first.
pub(crate) const ABOUT_RECIPE: &str = "\
List training recipes, or print one to copy and edit.

A recipe is everything that decides the weights except data, split, widths and seed: a TOML file in which a \
comment explains each field. Without an argument the recipes in the program are listed. A file is read as \
`sealnet train --recipe FILE` reads it, and printed if nothing in it is wrong.";
