//! `campaign`: faults at every place, and what came of them.

mod kept;
mod pieces;
mod report;
mod result;

use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

use clap::{Args, ValueEnum};
use sealnet_firmware::budget;
use sealnet_firmware::campaign::skip::{Extent, Recorded, Scenario};
use sealnet_firmware::qemu::{Board, Mode, build};

use crate::cli::Output;
use crate::failure::Failure;
use crate::progress::Bar;
use pieces::PIECES;
use report::Report;

/// What to try, and how much of it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  firmware-sim campaign --quick
  firmware-sim campaign --report campaign.json
  firmware-sim campaign --only skips --share 1/2 --report first.json
  firmware-sim campaign --report both.json --add first.json second.json

A report keeps each part that was done; the same command goes on from it.")]
pub(crate) struct CampaignArgs {
    /// A sample of some minutes instead of everything, which takes long
    #[arg(long)]
    quick: bool,
    /// Only these faults
    #[arg(long, value_name = "FAULT", value_delimiter = ',')]
    only: Vec<FaultKind>,
    /// Keep what was found in this file, and go on from it if it is there: the campaign may be stopped at any time
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Only the K-th of N shares: for several machines, each with its own report; --add adds those up
    #[arg(long, value_name = "K/N", value_parser = share)]
    share: Option<Share>,
    /// Try nothing, but add what is in these reports to --report, and say what they come to
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        requires = "report",
        conflicts_with_all = ["quick", "only", "share", "scenario", "jobs"]
    )]
    add: Vec<PathBuf>,
    /// Of the skipped instructions only those of these scenarios
    #[arg(long, value_name = "SCENARIO", value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// Boards in QEMU at once; as many as there are cores unless said otherwise
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FaultKind {
    /// Each bit of a model changed
    Flips,
    /// Power cut at each flash operation of an update, and again amid the recovery
    Cuts,
    /// Each instruction skipped of cold boots with a forgery, of trial boots, and of answers to forged requests
    Skips,
    /// Frames on the wire made from valid ones
    Frames,
}

#[derive(Debug, Clone, Copy)]
struct Share {
    which: usize,
    of: usize,
}

fn share(text: &str) -> Result<Share, String> {
    let (which, of) = text.split_once('/').ok_or("not of the form K/N")?;
    let number = |text: &str| text.parse::<usize>().map_err(|error| error.to_string());
    match (number(which)?, number(of)?) {
        (which, of) if (1..=of).contains(&which) && of <= PARTS => Ok(Share { which, of }),
        _ => Err(format!("K is 1 to N, and N at most {PARTS}")),
    }
}

/// Tries what is asked for and not in the report yet, or adds reports up.
pub(crate) fn campaign(args: &CampaignArgs) -> Result<(), Failure> {
    if let (Some(path), false) = (&args.report, args.add.is_empty()) {
        return Report::added(path, &args.add)?.conclude(args.output);
    }
    let asked = |kind| args.only.is_empty() || args.only.contains(&kind);
    if !args.scenario.is_empty() && !asked(FaultKind::Skips) {
        return Err(Failure::Scenario);
    }
    let image = build(Board::CortexM4, Mode::Clear)?;
    let digest = image.digest()?;
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut report = Report::open(args.report.as_deref(), args.quick, digest)?;
    kept::watch();
    for piece in PIECES.iter().filter(|piece| asked(piece.kind)) {
        let parts = 0..piece.parts(args.quick).get();
        for part in parts.filter(|part| args.is_mine(*part)) {
            if report.has(piece, part) {
                continue;
            }
            let found = piece.run(args.quick, part)?;
            if found.stack.is_some() && report.stack_budget.is_none() {
                report.stack_budget = Some(budget::stack()?);
            }
            report.insert(piece, part, found);
            report.keep(args.report.as_deref())?;
        }
    }
    if asked(FaultKind::Skips) {
        skips(args, &mut report)?;
    }
    report.conclude(args.output)
}

impl CampaignArgs {
    /// Whether a part is of this machine's share.
    fn is_mine(&self, part: usize) -> bool {
        self.share
            .is_none_or(|share| part % share.of + 1 == share.which)
    }
}

fn skips(args: &CampaignArgs, report: &mut Report) -> Result<(), Failure> {
    let jobs = args.jobs.or(thread::available_parallelism().ok());
    let jobs = jobs.map_or(1, NonZero::get);
    let parts = skip_parts(args.quick);
    let every = if args.quick { QUICK_SKIPS } else { parts };
    for scenario in Scenario::ALL {
        if !args.scenario.is_empty() && !args.scenario.contains(&scenario) {
            continue;
        }
        let known = report.skips.get(scenario.name());
        let left: Vec<usize> = (0..parts)
            .filter(|part| args.is_mine(*part))
            .filter(|part| known.is_none_or(|known| !known.parts.contains_key(part)))
            .collect();
        if left.is_empty() {
            continue;
        }
        let recorded = Recorded::new(scenario)?;
        for part in left {
            let bar = Bar::new(format!(
                "skips, {}, part {} of {parts}",
                scenario.name(),
                part + 1
            ));
            let extent = Extent {
                from: part,
                every,
                jobs,
            };
            let found = recorded.skip(extent, |done, of| bar.at(done as u64, of as u64))?;
            let known = report.skips.entry(scenario.name().into()).or_default();
            known.instructions = recorded.instructions();
            known.addresses = recorded.addresses();
            known.all_trials = recorded.trials();
            known.parts.insert(part, found);
            report.keep(args.report.as_deref())?;
        }
    }
    Ok(())
}

/// Parts into which the trials of one scenario are divided, after each of which the report is kept; the sample is one
/// part of many more.
const fn skip_parts(quick: bool) -> usize {
    if quick { 1 } else { PARTS }
}

const PARTS: usize = 64;
/// The sample's step: a prime, which moves it over first and last, alone and together.
const QUICK_SKIPS: usize = 37;
