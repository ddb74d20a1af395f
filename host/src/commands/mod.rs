//! One file a command: each turns its arguments into calls of the library and tells the result.

mod attack;
mod bench;
mod completions;
mod demo;
mod doctor;
mod export;
mod fernet;
mod fetch;
mod infer;
mod inspect;
mod keygen;
mod onnx;
mod open;
mod receipt;
mod recipe;
mod reproduce;
mod resuming;
mod seal;
mod source;
mod train;
mod watching;

use sealnet::error::Result;

use crate::cli::Command;
use crate::ui::Ui;

/// How a command ended that had no error to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well: exit code 0.
    Done,
    /// It has said itself that something did not verify: exit code 1.
    Refused,
    /// It has said itself that something is missing: exit code 2.
    NotReady,
}

/// Runs one command.
pub(crate) fn run(command: &Command, ui: &Ui) -> Result<Outcome> {
    match command {
        Command::Attack(args) => attack::run(args, ui),
        Command::Bench(args) => bench::run(args, ui),
        Command::Completions(args) => completions::run(args, ui),
        Command::Demo(args) => demo::run(args, ui),
        Command::Doctor(args) => doctor::run(args, ui),
        Command::Export(args) => export::run(args, ui),
        Command::Fernet(args) => fernet::run(args, ui),
        Command::Fetch(args) => fetch::run(args, ui),
        Command::Infer(args) => infer::run(args, ui),
        Command::Inspect(args) => inspect::run(args, ui),
        Command::Keygen(args) => keygen::run(args, ui),
        Command::Onnx(args) => onnx::run(args, ui),
        Command::Open(args) => open::run(args, ui),
        Command::Receipt(args) => receipt::run(args, ui),
        Command::Recipe(args) => recipe::run(args, ui),
        Command::Reproduce(args) => reproduce::run(args, ui),
        Command::Seal(args) => seal::run(args, ui),
        Command::Train(args) => train::run(args, ui),
    }
}
