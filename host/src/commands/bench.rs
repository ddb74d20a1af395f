//! `sealnet bench`: one file a thing that is measured.

#[cfg(unix)]
mod device;
mod host;

use sealnet::error::Result;

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
    }
}
