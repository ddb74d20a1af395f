//! Many trials of every kind: what was sealed is tampered with, and whoever meets it next must refuse it, and say why.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use serde::Serialize;

use super::scene::{Bench, Scene};
use super::{export, model, vault, wire};
use crate::cores::cores;
use crate::dataset::Dataset;
use crate::error::Result;
use crate::progress::Progress;
use crate::random::{Random, Stream};

/// What to try.
#[derive(Debug, Clone, Copy)]
pub struct Campaign<'a> {
    /// Records, of which the first 64 are sealed and trained on. A device takes 784 features.
    pub data: &'a Dataset,
    /// Trials, shared among the kinds.
    pub trials: u64,
    /// How often each untouched thing is met: so many openings of the vault, and a tenth as many of all others.
    pub clean: u64,
    /// Decides what is touched, and where.
    pub seed: u64,
    /// An empty folder for all that is made. Nothing in it is synced: memory is the place for it.
    pub folder: &'a Path,
}

/// How a kind's trials ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindReport {
    /// Who met it: `open`, `export`, `boot`, `device` or `client`.
    pub met_by: &'static str,
    /// What was done.
    pub tampering: &'static str,
    /// The reason that must be given.
    pub reason: &'static str,
    /// Trials.
    pub trials: u64,
    /// Refused for that reason, and where records are named, those touched and no others.
    pub detected: u64,
    /// Refused for another reason.
    pub other_reason: u64,
    /// Accepted.
    pub missed: u64,
    /// The first that was not detected: what was said instead.
    pub example: Option<String>,
}

/// How all ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// All trials.
    pub trials: u64,
    /// Refused with the right reason.
    pub detected: u64,
    /// Untouched things met.
    pub clean: u64,
    /// Of those, refused.
    pub false_alarms: u64,
    /// With a confidence of 95 %, no more than this share of trials would go unnoticed: three over their number (the
    /// "rule of three"). Absent where one did.
    pub bound: Option<f64>,
    /// The same of false alarms.
    pub false_alarm_bound: Option<f64>,
    /// By kind.
    pub kinds: Vec<KindReport>,
    /// Seconds taken.
    pub seconds: f64,
}

/// One way of tampering.
pub(super) struct Kind {
    pub(super) met_by: &'static str,
    pub(super) tampering: &'static str,
    pub(super) reason: &'static str,
    pub(super) run: Run,
}

/// Does it once.
pub(super) type Run = fn(&mut Bench<'_>, &mut Random) -> Result<End>;

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Detected,
    OtherReason(String),
    Missed,
}

impl End {
    /// Of what ought to be refused for a reason that has `expected` in it.
    pub(super) fn of<T>(result: std::result::Result<T, String>, expected: &str) -> End {
        match result {
            Ok(_) => End::Missed,
            Err(said) if said.contains(expected) => End::Detected,
            Err(said) => End::OtherReason(said),
        }
    }
}

/// Runs a campaign.
///
/// # Errors
/// [`Error::Input`](crate::error::Error::Input) when the data does not fit a device,
/// [`Error::Io`](crate::error::Error::Io) when the folder cannot be written, and whatever else
/// keeps a trial from being made. What is not detected is no error: it is counted.
pub fn run(campaign: &Campaign<'_>, progress: &dyn Progress) -> Result<Report> {
    let started = Instant::now();
    let scene = Scene::set(campaign.data, campaign.folder, campaign.seed)?;
    let kinds: Vec<&Kind> = [vault::KINDS, export::KINDS, model::KINDS, wire::KINDS]
        .into_iter()
        .flatten()
        .collect();
    let count = kinds.len() as u64;
    progress.start("tampering", campaign.trials);
    // Trials by kind in pieces, so that threads share them evenly.
    let pieces: Vec<(usize, u64, u64)> = (0..count)
        .flat_map(|kind| {
            let trials = campaign.trials / count + u64::from(kind < campaign.trials % count);
            let starts = (0..trials).step_by(PIECE as usize);
            starts.map(move |from| (kind as usize, from, (from + PIECE).min(trials)))
        })
        .collect();
    let ends = each(&scene, pieces.len(), |bench, piece| {
        let (kind, from, to) = pieces[piece];
        let mut report = kinds[kind].report();
        for trial in from..to {
            let mut random =
                Random::of_record(campaign.seed, Stream::Tamper, kind as u32, trial as u32);
            report.record((kinds[kind].run)(bench, &mut random)?);
            progress.inc(1);
        }
        Ok((kind, report))
    })?;
    let mut reports: Vec<KindReport> = kinds.iter().map(|kind| kind.report()).collect();
    for (kind, report) in ends {
        reports[kind].merge(report);
    }
    progress.finish();
    let (clean, false_alarms) = untouched(&scene, campaign.clean, progress)?;
    let sum = |of: fn(&KindReport) -> u64| reports.iter().map(of).sum::<u64>();
    let (trials, detected) = (sum(|kind| kind.trials), sum(|kind| kind.detected));
    let bound = |wrong: u64, of: u64| (wrong == 0 && of > 0).then(|| 3.0 / of as f64);
    Ok(Report {
        trials,
        detected,
        clean,
        false_alarms,
        bound: bound(trials - detected, trials),
        false_alarm_bound: bound(false_alarms, clean),
        kinds: reports,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Meets what nobody has touched: how often, and how often it was refused.
fn untouched(scene: &Scene, count: u64, progress: &dyn Progress) -> Result<(u64, u64)> {
    let few = count.div_ceil(10);
    type Meet = fn(&mut Bench<'_>) -> Result<bool>;
    let all: [(u64, Meet); 4] = [
        (count, vault::untouched),
        (few, export::untouched),
        (few, model::untouched),
        (few, wire::untouched),
    ];
    progress.start("untouched", all.iter().map(|(count, _)| count).sum());
    let mut met = (0, 0);
    for (count, meet) in all {
        let refused = each(scene, count as usize, |bench, _| {
            let accepted = meet(bench)?;
            progress.inc(1);
            Ok(u64::from(!accepted))
        })?;
        met.1 += refused.iter().sum::<u64>();
        met.0 += count;
    }
    progress.finish();
    Ok(met)
}

/// Does `count` pieces of work on as many threads as there are cores, each with a bench of its own; what each gave, in order.
///
/// Not on the pool's threads: a vault that is opened waits for those.
fn each<T: Send>(
    scene: &Scene,
    count: usize,
    work: impl Fn(&mut Bench<'_>, usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(count));
    thread::scope(|scope| {
        let share = || -> Result<()> {
            let mut bench = scene.bench()?;
            loop {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= count {
                    return Ok(());
                }
                // Whoever fails ends it for all.
                let result = work(&mut bench, piece)
                    .inspect_err(|_| next.store(count, Ordering::Relaxed))?;
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                done.push((piece, result));
            }
        };
        let threads = (1..cores()).map(|_| thread::Builder::new().spawn_scoped(scope, share));
        let threads: Vec<_> = threads.flatten().collect();
        let own = share();
        for thread in threads {
            match thread.join() {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        own
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(piece, _)| *piece);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

impl Kind {
    fn report(&self) -> KindReport {
        KindReport {
            met_by: self.met_by,
            tampering: self.tampering,
            reason: self.reason,
            trials: 0,
            detected: 0,
            other_reason: 0,
            missed: 0,
            example: None,
        }
    }
}

impl KindReport {
    fn record(&mut self, end: End) {
        self.trials += 1;
        let example = match end {
            End::Detected => {
                self.detected += 1;
                return;
            }
            End::OtherReason(said) => {
                self.other_reason += 1;
                said
            }
            End::Missed => {
                self.missed += 1;
                "it was accepted".to_owned()
            }
        };
        self.example.get_or_insert(example);
    }

    fn merge(&mut self, other: KindReport) {
        self.trials += other.trials;
        self.detected += other.detected;
        self.other_reason += other.other_reason;
        self.missed += other.missed;
        if self.example.is_none() {
            self.example = other.example;
        }
    }
}

/// Records of a vault that trials are made with.
pub(super) const RECORDS: usize = 64;

/// Trials that a thread makes at a time.
const PIECE: u64 = 50;
