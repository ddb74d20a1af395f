//! `sealnet`, the program: parse, run, exit code.
#![forbid(unsafe_code)]

mod cli;
mod commands;
mod interrupt;
mod ui;

use std::panic;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::Parser;
use clap::error::ErrorKind;
use sealnet::error::Error;

use cli::{Cli, OutputOptions};
use commands::Outcome;
use ui::Ui;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&repeatable(error)),
    };
    // It lives as long as the program: the thread that hears signals speaks through it too.
    let ui: &'static Ui = Box::leak(Box::new(Ui::new(cli.output)));
    interrupt::watch(ui);
    // A panic is a defect of ours; whoever meets one gets a sentence and an exit code all the same.
    panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = LAST_PANIC.lock() {
            *last = info.to_string();
        }
    }));
    let result = panic::catch_unwind(panic::AssertUnwindSafe(|| commands::run(&cli.command, ui)));
    match result {
        Ok(Ok(Outcome::Done)) | Ok(Err(Error::ClosedPipe)) => ExitCode::SUCCESS,
        Ok(Ok(Outcome::Refused)) => ExitCode::from(1),
        Ok(Ok(Outcome::NotReady)) => ExitCode::from(2),
        Ok(Err(error)) => {
            ui.error(&error);
            ExitCode::from(error.exit_code())
        }
        Err(_) => {
            let what = LAST_PANIC
                .lock()
                .map(|text| text.replace('\n', " "))
                .unwrap_or_default();
            ui.error(&Error::input(
                format!("a defect in sealnet stopped it: {what}"),
                "please report it with the command you ran; nothing half-written was kept",
            ));
            ExitCode::from(2)
        }
    }
}

/// The error as it would be of arguments that are harmless to print: it repeats them.
fn repeatable(error: clap::Error) -> clap::Error {
    let arguments = std::env::args_os();
    let arguments = arguments.map(|text| ui::visible(&text.to_string_lossy()).into_owned());
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
    let json = std::env::args_os().any(|argument| argument == "--json");
    let text = error.render().to_string();
    let said = text.lines().take_while(|line| !line.is_empty());
    let message = said.map(str::trim).collect::<Vec<_>>().join(" ");
    let _ = Ui::new(OutputOptions { json, quiet: true }).document(&serde_json::json!({
        "error": {
            "kind": "usage",
            "message": message.trim_start_matches("error: "),
            "hint": "sealnet --help",
            "failures": [],
        }
    }));
    ExitCode::from(2)
}

/// What the last panic said, kept for the error message.
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());
