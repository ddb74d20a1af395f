//! `budget`: what the device costs.

use std::io::{self, Write as _};

use sealnet_firmware::budget::{Budget, Line};

use crate::failure::Failure;

pub(crate) fn budget(json: bool) -> Result<(), Failure> {
    let budget = Budget::measure()?;
    let text = if json {
        serde_json::to_string(&budget).map_err(|error| Failure::Frames("print", error.into()))?
            + "\n"
    } else {
        budget.lines().iter().map(row).collect()
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Frames("print", error))
        }
        _ => Ok(()),
    }
}

/// A line of the table.
fn row(line: &Line) -> String {
    let Line { what, figure, goal } = line;
    match goal {
        Some(goal) if figure > goal => format!("{what:38} {figure:>10}   over {goal}\n"),
        Some(goal) => format!("{what:38} {figure:>10}   of at most {goal}\n"),
        None => format!("{what:38} {figure:>10}\n"),
    }
}
