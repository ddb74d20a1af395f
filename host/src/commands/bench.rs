//! `sealnet bench`: one file a thing that is measured.

#[cfg(unix)]
mod device;
mod host;
mod recipe;
mod train;

use sealnet::dataset::Dataset;
use sealnet::dataset::split::Split;
use sealnet::error::Result;
use sealnet::train::recipe::PAPER_HIDDEN;
use sealnet::train::{Backend, Network, Plan, Recipe, Records, Shape};

use super::Outcome;
use crate::cli::{BenchArgs, BenchCommand};
use crate::ui::Ui;

pub(crate) fn run(args: &BenchArgs, ui: &Ui) -> Result<Outcome> {
    match &args.command {
        #[cfg(unix)]
        BenchCommand::Device(args) => device::run(args, ui),
        #[cfg(not(unix))]
        BenchCommand::Device(_) => Err(sealnet::error::Error::input(
            "boards in QEMU need Unix",
            "run it on Linux or macOS",
        )),
        BenchCommand::Host(args) => host::run(args, ui),
        BenchCommand::Train(args) => train::run(args, ui),
        BenchCommand::Recipe(args) => recipe::run(args, ui),
    }
}

/// What `sealnet train` makes of the data by default: recipe `paper`, seed 1.
fn trained(data: &Dataset, split: &Split, ui: &Ui) -> Result<Network> {
    let plan = Plan {
        records: Records::from(data),
        training: &split.train,
        validation: &split.validation,
        shape: Shape::new(data.feature_count(), PAPER_HIDDEN, data.classes.into())?,
        image: None,
        recipe: &Recipe::paper(),
        seed: 1,
        backend: Backend::detect(),
        threads: 0,
    };
    Ok(sealnet::train::train(&plan, ui.progress())?.network)
}
