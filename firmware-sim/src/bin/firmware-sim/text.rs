//! What is printed for people.

use std::io::{self, Write as _};

use serde::Serialize;

use crate::failure::Failure;

/// Says a line on standard error, if anyone listens.
pub(crate) fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{}", plain(&line.to_string()));
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
    // Control characters are escaped by JSON; what else would command a terminal stands in strings alone.
    let lines: Vec<String> = text.lines().map(escaped).collect();
    print(&(lines.join("\n") + "\n"))
}

/// A line of JSON without what would command a terminal, as JSON escapes it.
fn escaped(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for c in line.chars() {
        if is_hostile(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                text += &format!("\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// What `Debug` escapes turns or hides text; quotes and backslashes do neither.
fn is_hostile(c: char) -> bool {
    !matches!(c, '\'' | '"' | '\\') && c.escape_debug().len() > 1
}

/// The text without what would command a terminal: a file's name may hold anything.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let hostile = is_hostile(c);
            let escaped = hostile.then(|| c.escape_default());
            let kept = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(kept)
        })
        .collect()
}
