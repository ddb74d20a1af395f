//! What our programs make of arguments that they do not take.

use std::{env, io};

use clap::error::ErrorKind;
use clap::{Error, Parser};
use serde_json::{Value, json};

use crate::visible::visible;

/// Reads the program's arguments.
///
/// # Errors
/// As it would be of arguments that are harmless to print: it repeats them.
pub fn parse<C: Parser>() -> Result<C, Error> {
    C::try_parse().map_err(|error| {
        let arguments = env::args_os();
        let arguments = arguments.map(|text| visible(&text.to_string_lossy()).into_owned());
        C::try_parse_from(arguments).err().unwrap_or(error)
    })
}

/// Prints what clap has to say and gives the program's exit code. Help and version are answers; anything else is a usage
/// error, which `document` is told in JSON too if that was asked for. `help` is where to read on.
pub fn tell(error: &Error, help: &str, document: impl FnOnce(&Value)) -> u8 {
    let printed = error.print();
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return match printed {
            // Whoever closed the pipe does not want to read it.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => 2,
            _ => 0,
        };
    }
    if env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let said = text.lines().take_while(|line| !line.is_empty());
        let message = said.map(str::trim).collect::<Vec<_>>().join(" ");
        document(&json!({"error": {
            "kind": "usage",
            "message": message.trim_start_matches("error: "),
            "hint": help,
            "failures": [],
        }}));
    }
    2
}
