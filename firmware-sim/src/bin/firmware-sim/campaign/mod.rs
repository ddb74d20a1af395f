//! `campaign`: faults at every place, and what came of them.

mod report;

use std::num::NonZero;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sealnet_firmware::budget;
use sealnet_firmware::campaign::power::PowerCuts;
use sealnet_firmware::campaign::skip::{self, Extent, Forgery, Recorded};
use sealnet_firmware::campaign::{Tally, flips, frames};
use sealnet_firmware::journal::Counters;
use sealnet_firmware::provision::flash_image;
use sealnet_firmware::qemu::{Board, Machine, Mode, Stack, build};
use sealnet_firmware::sample::{self, Sealing};
use serde_json::{Value, json};

use crate::cli::Output;
use crate::failure::Failure;
use crate::progress::Bar;
use report::Report;

/// What to try, and how much of it.
#[derive(Debug, Args)]
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
    /// Of the skipped instructions only the K-th of N shares: for several machines, each with its own report
    #[arg(long, value_name = "K/N", value_parser = share)]
    share: Option<Share>,
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
    /// Each instruction of a boot skipped, with forgeries in the slot
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

pub(crate) fn campaign(args: &CampaignArgs) -> Result<(), Failure> {
    let image = build(Board::CortexM4, Mode::Clear)?;
    let digest = image.digest()?;
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut report = Report::open(args.report.as_deref(), args.quick, digest)?;
    let asked = |kind| args.only.is_empty() || args.only.contains(&kind);
    if asked(FaultKind::Flips) && report.bit_flips.is_none() {
        report.bit_flips = Some(bit_flips(args.quick)?);
        report.keep(args.report.as_deref())?;
    }
    if asked(FaultKind::Cuts) && report.power_cuts.is_none() {
        report.power_cuts = Some(power_cuts(args.quick)?);
        report.keep(args.report.as_deref())?;
    }
    if asked(FaultKind::Frames) && report.frames.is_none() {
        report.frames = Some(wire_frames(args.quick)?);
        report.keep(args.report.as_deref())?;
    }
    if asked(FaultKind::Skips) {
        skips(args, &mut report)?;
    }
    report.conclude(args.output)
}

fn bit_flips(quick: bool) -> Result<Value, Failure> {
    let identity = sample::identity()?;
    let mut tally = Tally::default();
    for encrypted in [false, true] {
        let sealing = Sealing {
            encrypted,
            ..Sealing::default()
        };
        let model = sample::model(1, &sealing)?;
        let step = if quick { QUICK_FLIPS } else { EVERY };
        let form = if encrypted { "encrypted" } else { "clear" };
        let bar = Bar::new(format!("bit flips, {form}"));
        tally.add(flips::run(&identity, &model, step, |done, of| {
            bar.at(done, of);
        })?);
    }
    let step = if quick { QUICK_QEMU_FLIPS } else { QEMU_FLIPS };
    let bar = Bar::new("bit flips, on a Cortex-M4 in QEMU".into());
    let (qemu, stack) = skip::flips(step, |done, of| bar.at(done, of))?;
    Ok(json!({
        "trials": tally.trials + qemu.trials,
        "accepted": tally.failures + qemu.failures,
        "trials_in_qemu": qemu.trials,
        "stack_bytes": stack,
        "deeper_stacks": deeper(stack)?,
        "examples": ([tally.examples, qemu.examples].concat()),
    }))
}

fn power_cuts(quick: bool) -> Result<Value, Failure> {
    let identity = sample::identity()?;
    let mut tally = Tally::default();
    for encrypted in [false, true] {
        let model = |seed, counter| {
            sample::model(
                seed,
                &Sealing {
                    encrypted,
                    counter,
                    ..Sealing::default()
                },
            )
        };
        let form = if encrypted { "encrypted" } else { "clear" };
        let bar = Bar::new(format!("power cuts, {form}"));
        let cuts = PowerCuts::record(&identity, &model(1, 1)?, &model(2, 2)?)?;
        tally.add(cuts.run(quick, |done, of| bar.at(done, of)));
    }
    Ok(json!({"trials": tally.trials, "bad_boots": tally.failures, "examples": tally.examples}))
}

fn wire_frames(quick: bool) -> Result<Value, Failure> {
    let count = if quick { QUICK_FRAMES } else { FRAMES };
    let bar = Bar::new("frames".into());
    let found = frames::in_process(count, SEED, |done| bar.at(done, count))?;

    let count = if quick {
        QUICK_QEMU_FRAMES
    } else {
        QEMU_FRAMES
    };
    let bar = Bar::new("frames, to a Cortex-M4 in QEMU".into());
    let identity = sample::identity()?;
    let model = sample::model(1, &Sealing::default())?;
    let image = build(Board::CortexM4, Mode::Clear)?;
    let flash = flash_image(&identity, &model, Counters::default())?;
    let mut machine = Machine::power_on(&image, flash.bytes(), FRAME_TIMEOUT, |_| {})?;
    let qemu = frames::fuzz(&mut machine, &identity, count, SEED, |done| {
        bar.at(done, count);
    })?;
    let stack = Stack::of(&image)?.used(&mut machine)?;
    Ok(json!({
        "trials": found.forgeries.trials + qemu.forgeries.trials,
        "accepted_forgeries": found.forgeries.failures + qemu.forgeries.failures,
        "panics": found.panics + qemu.panics,
        "trials_in_qemu": qemu.forgeries.trials,
        "stack_bytes": stack,
        "deeper_stacks": deeper(stack)?,
        "honest_requests_between": found.honest + qemu.honest,
        "examples": ([found.forgeries.examples, qemu.forgeries.examples].concat()),
    }))
}

/// 1 if faults take more bytes of stack than the budget's session, which is to take every path.
fn deeper(stack: u64) -> Result<u64, Failure> {
    Ok(u64::from(stack > budget::stack()?))
}

fn skips(args: &CampaignArgs, report: &mut Report) -> Result<(), Failure> {
    let jobs = args.jobs.or(thread::available_parallelism().ok());
    let jobs = jobs.map_or(1, NonZero::get);
    // The sample is one part of many more; the prime moves it over first and last, alone and together.
    let (parts, every) = if args.quick {
        (1, QUICK_SKIPS)
    } else {
        (PARTS, PARTS)
    };
    for forgery in Forgery::ALL {
        let mine = |part: &usize| {
            args.share
                .is_none_or(|share| part % share.of + 1 == share.which)
        };
        let known = report.skips.get(forgery.name());
        let left: Vec<usize> = (0..parts)
            .filter(mine)
            .filter(|part| known.is_none_or(|known| !known.parts.contains_key(part)))
            .collect();
        if left.is_empty() {
            continue;
        }
        let recorded = Recorded::boot(forgery)?;
        for part in left {
            let bar = Bar::new(format!(
                "skips, {}, part {} of {parts}",
                forgery.name(),
                part + 1
            ));
            let extent = Extent {
                from: part,
                every,
                jobs,
            };
            let found = recorded.skip(extent, |done, of| bar.at(done as u64, of as u64))?;
            let known = report.skips.entry(forgery.name().into()).or_default();
            known.instructions = recorded.instructions();
            known.addresses = recorded.addresses();
            known.all_trials = recorded.trials();
            known.parts.insert(part, found);
            report.keep(args.report.as_deref())?;
        }
    }
    Ok(())
}

/// Parts into which the trials with one forgery are divided: after each the report is kept.
const PARTS: usize = 64;
const EVERY: NonZero<usize> = NonZero::<usize>::MIN;
const FRAMES: u64 = 1_000_000;
const QEMU_FRAMES: u64 = 10_000;
const SEED: u64 = 1;
/// How long the device may take for an answer.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);

// The sample. Prime steps fall on every bit of a byte and on every kind of trial.
const QUICK_FLIPS: NonZero<usize> = prime(61);
const QUICK_QEMU_FLIPS: NonZero<usize> = prime(887);
const QEMU_FLIPS: NonZero<usize> = prime(97);
const QUICK_FRAMES: u64 = 100_000;
const QUICK_QEMU_FRAMES: u64 = 1_000;
const QUICK_SKIPS: usize = 37;

const fn prime(number: usize) -> NonZero<usize> {
    match NonZero::new(number) {
        Some(number) => number,
        None => NonZero::<usize>::MIN,
    }
}
