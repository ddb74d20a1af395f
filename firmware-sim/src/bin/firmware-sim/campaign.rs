//! `campaign`: faults at every place, and what came of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use sealnet_firmware::campaign::power::PowerCuts;
use sealnet_firmware::campaign::skip::{self, Extent, Forgery, Recorded, Skips};
use sealnet_firmware::campaign::{Tally, flips, frames};
use sealnet_firmware::journal::Counters;
use sealnet_firmware::provision::flash_image;
use sealnet_firmware::qemu::{Board, Machine, Mode, build};
use sealnet_firmware::sample::{self, Sealing};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::text::say;

/// What to try, and how much of it.
#[derive(Debug, Args)]
pub(crate) struct CampaignArgs {
    /// A sample of some minutes instead of everything, which takes hours
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
    /// Print one JSON document on standard output
    #[arg(long)]
    json: bool,
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

/// What has been found so far; kept between runs with `--report`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    /// Whether it is of the sample.
    quick: bool,
    /// SHA-512 of the firmware's image: what was found of one says nothing of another.
    image: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bit_flips: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    power_cuts: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frames: Option<Value>,
    /// By forgery.
    #[serde(default)]
    skips: BTreeMap<String, SkipsOfOne>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SkipsOfOne {
    /// Instructions that the boot executes, and at how many addresses; how many trials there are.
    instructions: usize,
    addresses: usize,
    all_trials: usize,
    /// Parts that are done.
    parts: BTreeMap<usize, Skips>,
}

impl SkipsOfOne {
    fn sum(&self) -> Skips {
        let mut sum = Skips::default();
        self.parts.values().cloned().for_each(|part| sum.add(part));
        sum
    }
}

pub(crate) fn campaign(args: &CampaignArgs) -> Result<(), Failure> {
    let image = build(Board::CortexM4, Mode::Clear)?;
    let elf = fs::read(&image.path).map_err(Failure::io("read", &image.path))?;
    let digest = sealnet_core::sign::sha512(&[&elf]);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut report = Report {
        quick: args.quick,
        image: digest,
        ..Report::default()
    };
    if let Some(path) = &args.report
        && path.exists()
    {
        let text = fs::read(path).map_err(Failure::io("read", path))?;
        let old: Report =
            serde_json::from_slice(&text).map_err(|error| unusable(path, &error.to_string()))?;
        if (old.quick, &old.image) != (report.quick, &report.image) {
            let what = "it is of another firmware, or of the sample and not of everything";
            return Err(unusable(path, what));
        }
        report = old;
    }
    let asked = |kind| args.only.is_empty() || args.only.contains(&kind);
    if asked(FaultKind::Flips) && report.bit_flips.is_none() {
        report.bit_flips = Some(bit_flips(args.quick)?);
        keep(args, &report)?;
    }
    if asked(FaultKind::Cuts) && report.power_cuts.is_none() {
        report.power_cuts = Some(power_cuts(args.quick)?);
        keep(args, &report)?;
    }
    if asked(FaultKind::Frames) && report.frames.is_none() {
        report.frames = Some(wire_frames(args.quick)?);
        keep(args, &report)?;
    }
    if asked(FaultKind::Skips) {
        skips(args, &mut report)?;
    }
    conclude(args, &report)
}

fn unusable(path: &Path, what: &str) -> Failure {
    Failure::Report {
        path: path.into(),
        what: what.into(),
    }
}

/// Prints what was found; a failure if anything was.
fn conclude(args: &CampaignArgs, report: &Report) -> Result<(), Failure> {
    let mut document = json!({"quick": report.quick, "image": report.image});
    let mut bad = 0;
    let parts = [
        ("bit_flips", &report.bit_flips),
        ("power_cuts", &report.power_cuts),
        ("frames", &report.frames),
    ];
    for (name, part) in parts {
        if let Some(part) = part {
            bad += FAILURES
                .iter()
                .filter_map(|key| part.get(key).and_then(Value::as_u64))
                .sum::<u64>();
            document[name] = part.clone();
        }
    }
    if !report.skips.is_empty() {
        let mut all = Skips::default();
        let mut forgeries = serde_json::Map::new();
        let (mut executed, mut covered) = (0, 0);
        for (forgery, found) in &report.skips {
            let sum = found.sum();
            executed += found.addresses;
            covered += sum.covered.len();
            forgeries.insert(
                forgery.clone(),
                json!({
                    "instructions": found.instructions,
                    "addresses_executed": found.addresses,
                    "addresses_covered": sum.covered.len(),
                    "all_trials": found.all_trials,
                    "trials": sum.trials,
                    "refused": sum.refused,
                    "faulted": sum.faulted,
                    "hung": sum.hung,
                    "accepted": sum.accepted,
                    "places": sum.places,
                }),
            );
            all.add(sum);
        }
        bad += all.accepted as u64;
        document["instruction_skips"] = json!({
            "trials": all.trials,
            "accepted": all.accepted,
            "addresses_executed": executed,
            "addresses_covered": covered,
            "forgeries": forgeries,
        });
    }
    let text = match args.json {
        true => document.to_string() + "\n",
        false => table(&document),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::Frames("print", error))?;
    match bad {
        0 => Ok(()),
        bad => Err(Failure::Faults(bad)),
    }
}

/// The same for people.
fn table(document: &Value) -> String {
    let mut text = String::new();
    let names = [
        ("bit_flips", "bit flips"),
        ("power_cuts", "power cuts"),
        ("frames", "frames"),
        ("instruction_skips", "skipped instructions"),
    ];
    for (key, name) in names {
        let Some(Value::Object(part)) = document.get(key) else {
            continue;
        };
        let figures: Vec<String> = part
            .iter()
            .filter(|(_, value)| value.is_u64())
            .map(|(key, value)| format!("{} {value}", key.replace('_', " ")))
            .collect();
        text += &format!("{name:<21} {}\n", figures.join(", "));
        if let Some(Value::Object(forgeries)) = part.get("forgeries") {
            for (forgery, figures) in forgeries {
                let count = |key: &str| figures.get(key).cloned().unwrap_or_default();
                text += &format!(
                    "  {forgery:<19} {} of {} addresses, {} of {} trials: {} refused, {} faulted, {} hung, {} accepted\n",
                    count("addresses_covered"),
                    count("addresses_executed"),
                    count("trials"),
                    count("all_trials"),
                    count("refused"),
                    count("faulted"),
                    count("hung"),
                    count("accepted"),
                );
            }
        }
        for place in examples(part) {
            text += &format!("  {place}\n");
        }
    }
    text
}

fn examples(part: &serde_json::Map<String, Value>) -> Vec<String> {
    let own = part.get("examples");
    let places = part
        .get("forgeries")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|forgeries| forgeries.values().map(|found| found.get("places")));
    places
        .chain([own])
        .flatten()
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|place| place.as_str().map(str::to_owned))
        .collect()
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
    let qemu = skip::flips(step, |done, of| bar.at(done, of))?;
    Ok(json!({
        "trials": tally.trials + qemu.trials,
        "accepted": tally.failures + qemu.failures,
        "trials_in_qemu": qemu.trials,
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
    Ok(json!({
        "trials": found.forgeries.trials + qemu.forgeries.trials,
        "accepted_forgeries": found.forgeries.failures + qemu.forgeries.failures,
        "panics": found.panics + qemu.panics,
        "trials_in_qemu": qemu.forgeries.trials,
        "honest_requests_between": found.honest + qemu.honest,
        "examples": ([found.forgeries.examples, qemu.forgeries.examples].concat()),
    }))
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
            keep(args, report)?;
        }
    }
    Ok(())
}

/// Writes the report whole or not at all.
fn keep(args: &CampaignArgs, report: &Report) -> Result<(), Failure> {
    let Some(path) = &args.report else {
        return Ok(());
    };
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let text =
        serde_json::to_vec_pretty(report).map_err(|error| unusable(path, &error.to_string()))?;
    let mut file =
        tempfile::NamedTempFile::new_in(folder).map_err(Failure::io("write in", folder))?;
    file.write_all(&text)
        .and_then(|()| file.as_file().sync_all())
        .map_err(Failure::io("write", path))?;
    file.persist(path)
        .map_err(|error| Failure::io("write", path)(error.error))?;
    Ok(())
}

/// Says how far it is: on a terminal each second, elsewhere each minute.
struct Bar {
    what: String,
    started: Instant,
    last: std::sync::Mutex<Instant>,
}

impl Bar {
    fn new(what: String) -> Self {
        let now = Instant::now();
        Self {
            what,
            started: now,
            last: std::sync::Mutex::new(now),
        }
    }

    fn at(&self, done: u64, of: u64) {
        let pause = match std::io::stderr().is_terminal() {
            true => Duration::from_secs(1),
            false => Duration::from_secs(60),
        };
        let Ok(mut last) = self.last.try_lock() else {
            return;
        };
        if done < of && last.elapsed() < pause {
            return;
        }
        *last = Instant::now();
        let elapsed = self.started.elapsed().as_secs_f64();
        let left = elapsed * (of - done.min(of)) as f64 / done.max(1) as f64;
        say(format_args!(
            "{}: {done} of {of}, {elapsed:.0} s, {left:.0} s left",
            self.what
        ));
    }
}

/// Keys under which a part says what went wrong.
const FAILURES: [&str; 4] = ["accepted", "bad_boots", "accepted_forgeries", "panics"];
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
const QUICK_SKIPS: usize = 101;

const fn prime(number: usize) -> NonZero<usize> {
    match NonZero::new(number) {
        Some(number) => number,
        None => NonZero::<usize>::MIN,
    }
}
