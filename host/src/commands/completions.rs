//! `sealnet completions`: a completion script for a shell.

use clap::CommandFactory;
use sealnet::error::Result;
use serde_json::json;

use super::Outcome;
use crate::cli::{Cli, CompletionsArgs};
use crate::ui::Ui;

pub(crate) fn run(args: &CompletionsArgs, ui: &Ui) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sealnet", &mut script);
    match ui.json() {
        true => ui.document(&json!({
            "shell": args.shell.to_string(),
            "script": String::from_utf8_lossy(&script),
        }))?,
        false => ui.bytes(&script)?,
    }
    Ok(Outcome::Done)
}
