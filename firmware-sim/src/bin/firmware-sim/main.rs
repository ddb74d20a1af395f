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

use clap::Parser;
use clap::error::ErrorKind;
use serde_json::json;

use cli::{Cli, Command, Place};
use failure::Failure;
use text::{document, say};

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return usage(&repeatable(error)),
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

/// The error as it would be of arguments that are harmless to print: it repeats them.
fn repeatable(error: clap::Error) -> clap::Error {
    let arguments = std::env::args_os();
    let arguments = arguments.map(|text| text::plain(&text.to_string_lossy()));
    Cli::try_parse_from(arguments).err().unwrap_or(error)
}

/// Help and version are answers; anything else is a usage error, in JSON too if that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return match printed {
            // Whoever closed the pipe does not want to read it.
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::from(2),
            _ => ExitCode::SUCCESS,
        };
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let said = text.lines().take_while(|line| !line.is_empty());
        let message = said.map(str::trim).collect::<Vec<_>>().join(" ");
        let _ = document(&json!({"error": {
            "kind": "usage",
            "message": message.trim_start_matches("error: "),
            "hint": "firmware-sim --help",
            "failures": [],
        }}));
    }
    ExitCode::from(2)
}
