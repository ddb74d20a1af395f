//! What is printed for people.

use std::io::{self, Write as _};

use sealnet_firmware::visible::{visible, visible_json};
use serde::Serialize;

use crate::failure::Failure;

/// Says a line on standard error, if anyone listens.
pub(crate) fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{}", visible(&line.to_string()));
}

/// Prints a result for people on standard output, lines of them.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever closed the pipe does not want to read it.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

/// Prints a result for programs on standard output. Once a run.
pub(crate) fn document(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document);
    let text = text.map_err(|error| Failure::Output(error.into()))?;
    print(&(visible_json(&text) + "\n"))
}
