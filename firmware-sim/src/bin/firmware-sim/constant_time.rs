//! `constant-time`: whether what is executed depends on secrets.

use clap::Args;
use sealnet_firmware::constant_time::{Emulated, Extent, Host, Operands, Part, Timed};
use sealnet_firmware::qemu::Board;
use serde::Serialize;

use crate::cli::Output;
use crate::failure::{Failure, with_error};
use crate::progress::Bar;
use crate::text::{document, print};

/// What to execute, and where.
#[derive(Debug, Args)]
pub(crate) struct ConstantTimeArgs {
    /// A sample of less than a minute instead of some minutes
    #[arg(long, conflicts_with = "host")]
    quick: bool,
    /// The core whose instructions are counted
    #[arg(long, value_enum, default_value_t = Board::CortexM4, conflicts_with = "host")]
    board: Board,
    /// Time the same parts on this machine instead, and test the times as `dudect` does: for a quiet machine
    #[arg(long)]
    host: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

pub(crate) fn constant_time(args: &ConstantTimeArgs) -> Result<(), Failure> {
    if args.host {
        let bar = Bar::new("times".into());
        let host = Host::run(counter(&bar, Host::PARTS))?;
        drop(bar);
        return conclude(
            args.output,
            &host,
            || host_table(&host),
            host.holds(),
            "on this machine times depend on secrets, or the control's do not",
        );
    }
    let extent = if args.quick {
        Extent::QUICK
    } else {
        Extent::FULL
    };
    let bar = Bar::new("devices".into());
    let found = Emulated::run(args.board, extent, counter(&bar, extent.all()))?;
    drop(bar);
    conclude(
        args.output,
        &found,
        || table(&found),
        found.holds(),
        "what is executed depends on secrets or divides, or the control's does not",
    )
}

/// Prints what was found; a failure if it does not hold.
fn conclude(
    output: Output,
    found: &impl Serialize,
    table: impl FnOnce() -> String,
    holds: bool,
    otherwise: &'static str,
) -> Result<(), Failure> {
    let failure = (!holds).then_some(Failure::Varies(otherwise));
    if output.json {
        let found = serde_json::to_value(found).map_err(|error| Failure::Output(error.into()))?;
        document(&with_error(found, failure.as_ref()))?;
    } else {
        print(&table())?;
    }
    failure.map_or(Ok(()), Err)
}

fn counter(bar: &Bar, of: u64) -> impl FnMut() {
    let mut done = 0;
    move || {
        done += 1;
        bar.at(done, of);
    }
}

fn table(found: &Emulated) -> String {
    let title = format!(
        "{:50} {:>10} {:>16} {:>9} {:>9} {:>8} {:>11}\n",
        "", "executions", "instructions", "same path", "divisions", "long mul", "conditional"
    );
    let parts = found.parts.iter().chain([&found.control]);
    title + &parts.map(row).collect::<String>()
}

fn row(part: &Part) -> String {
    let Part {
        what,
        executions,
        min,
        max,
        ..
    } = part;
    let instructions = match min == max {
        true => min.to_string(),
        false => format!("{min} to {max}"),
    };
    let path = match part.same_path {
        None => "",
        Some(true) => "yes",
        Some(false) => "no",
    };
    let operands = part.operands.map_or_else(String::new, |operands| {
        let Operands {
            divisions,
            long_multiplications,
            conditional,
        } = operands;
        format!(" {divisions:>9} {long_multiplications:>8} {conditional:>11}")
    });
    let parted = part.parted.as_ref();
    let parted = parted.map_or_else(String::new, |place| format!("  paths part after {place}\n"));
    let row = format!("{what:50} {executions:>10} {instructions:>16} {path:>9}{operands}");
    format!("{}\n{parted}", row.trim_end())
}

fn host_table(host: &Host) -> String {
    let title = format!("{:50} {:>10} {:>10}\n", "", "times", "|t|");
    let parts = host.parts.iter().chain([&host.control]);
    title + &parts.map(host_row).collect::<String>()
}

fn host_row(timed: &Timed) -> String {
    let Timed { what, times, t } = timed;
    let verdict = if timed.leaks() {
        "depends on the secret"
    } else if *t > Timed::PROBABLY {
        "may depend on the secret"
    } else {
        "no dependence seen"
    };
    format!("{what:50} {times:>10} {t:>10.1}  {verdict}\n")
}
