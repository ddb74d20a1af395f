//! `budget`: what the device costs.

use sealnet_firmware::budget::{Budget, Line};

use crate::cli::Output;
use crate::failure::Failure;
use crate::text::{document, print};

pub(crate) fn budget(output: Output) -> Result<(), Failure> {
    let budget = Budget::measure()?;
    if output.json {
        return document(&budget);
    }
    print(&budget.lines().iter().map(row).collect::<String>())
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
