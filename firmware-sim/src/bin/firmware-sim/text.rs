//! What is printed for people.

use std::io::{self, Write as _};

/// Says a line on standard error, if anyone listens.
pub(crate) fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{}", plain(&line.to_string()));
}

/// The text without what would command a terminal: a file's name may hold anything.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            // What `Debug` escapes turns or hides text; quotes and backslashes do neither.
            let hostile = !matches!(c, '\'' | '"' | '\\') && c.escape_debug().len() > 1;
            let escaped = hostile.then(|| c.escape_default());
            let kept = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(kept)
        })
        .collect()
}
