//! `sealnet`, the program: parse, run, exit code.
#![forbid(unsafe_code)]

mod cli;
mod commands;
mod interrupt;
mod ui;

use std::panic;
use std::process::ExitCode;
use std::sync::Mutex;

use sealnet::error::Error;
use sealnet_firmware::usage;

use cli::{Cli, OutputOptions};
use commands::Outcome;
use ui::Ui;

fn main() -> ExitCode {
    let cli = match usage::parse::<Cli>() {
        Ok(cli) => cli,
        Err(error) => {
            let options = OutputOptions {
                json: true,
                quiet: true,
            };
            let code = usage::tell(&error, "sealnet --help", |told| {
                drop(Ui::new(options).document(told));
            });
            return ExitCode::from(code);
        }
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

/// What the last panic said, kept for the error message.
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());
