//! `firmware-sim`: the simulated device as a program of its own.
//!
//! Its flash is a file, written through at every operation, so that killing the program is a power cut.
//! Frames come in on standard input and go out on standard output; the device logs on standard error.
//! Exit codes are `sealnet`'s: 0 done; 1 verification failed; 2 usage, input or environment.
#![forbid(unsafe_code)]

#[cfg(unix)]
mod budget;
#[cfg(unix)]
mod campaign;
mod cli;
#[cfg(unix)]
mod constant_time;
#[cfg(unix)]
mod emulated;
mod failure;
mod files;
mod info;
#[cfg(unix)]
mod progress;
mod provision;
mod run;
mod text;
mod update;

use std::process::ExitCode;

use sealnet_firmware::usage;
use serde_json::json;

use cli::{Cli, Command, Place};
use failure::Failure;
use text::{document, say};

fn main() -> ExitCode {
    let command = match usage::parse::<Cli>() {
        Ok(cli) => cli.command,
        Err(error) => {
            let code = usage::tell(&error, "firmware-sim --help", |told| drop(document(told)));
            return ExitCode::from(code);
        }
    };
    match carry_out(&command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(format_args!("error: {failure}"));
            let hint = failure.hint();
            if !hint.is_empty() {
                say(format_args!("  hint: {hint}"));
            }
            // What has a document of its own says it there.
            if command.json() && !failure.is_of_a_result() {
                let _ = document(&json!({"error": failure.told()}));
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn carry_out(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Provision(args) => provision::provision(args),
        #[cfg(unix)]
        Command::Update(args) => {
            args.emulated.is_asked_for(args.on)?;
            match args.on {
                Place::Sim => update::in_process(args),
                Place::Qemu => args.emulated.update(args),
            }
        }
        #[cfg(unix)]
        Command::Run(args) => {
            args.emulated.is_asked_for(args.on)?;
            match args.on {
                Place::Sim => run::run(&args.flash, args.streamed),
                Place::Qemu => args.emulated.run(&args.flash, args.streamed),
            }
        }
        #[cfg(not(unix))]
        Command::Update(args) if args.on == Place::Sim => update::in_process(args),
        #[cfg(not(unix))]
        Command::Run(args) if args.on == Place::Sim => run::run(&args.flash, args.streamed),
        #[cfg(not(unix))]
        Command::Update(_) | Command::Run(_) => Err(Failure::NeedsUnix),
        #[cfg(unix)]
        Command::Campaign(args) => campaign::campaign(args),
        #[cfg(unix)]
        Command::Budget { output } => budget::budget(*output),
        #[cfg(unix)]
        Command::ConstantTime(args) => constant_time::constant_time(args),
        Command::Info { flash, output } => info::info(flash, *output),
    }
}
