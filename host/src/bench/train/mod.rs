//! Training on this machine, beside other systems in the same run.
//!
//! A time is that of a whole training: what it gives is judged, and records are read and become reals for those that want
//! reals, outside of it. Rounds alternate between all that is measured, so that what else the machine does falls on all
//! alike; each trains from other weights in another order. A figure is the median of the rounds.

mod system;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Spread;
use crate::cores::cores;
use crate::error::Result;
use crate::progress::{Progress, Silent};
use crate::reproduce::distance;
use crate::train::{self, Backend, Network, Plan, Recipe, Records, Shape};

pub use system::{About, System};
use system::{Folder, Peer, Training, interpreter};

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// All records.
    pub records: Records<'a>,
    /// Those to learn from.
    pub training: &'a [u32],
    /// Those to judge by.
    pub test: &'a [u32],
    /// The widths.
    pub shape: Shape,
    /// How.
    pub recipe: &'a Recipe,
    /// Times that each trains, at least 1.
    pub rounds: u32,
    /// What Sealnet computes with.
    pub backend: Backend,
    /// Beside which.
    pub peers: &'a [System],
    /// An interpreter that has them; without one they are in the cache, and installed there if need be.
    pub python: Option<&'a Path>,
}

/// One thing by one thread and by two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ByThreads<T> {
    /// By one.
    pub one_thread: T,
    /// By two; none on a machine with one core.
    pub two_threads: Option<T>,
}

impl<T: Copy> ByThreads<T> {
    /// What is of so many threads.
    #[must_use]
    pub fn of(&self, threads: usize) -> Option<T> {
        match threads {
            1 => Some(self.one_thread),
            2 => self.two_threads,
            _ => None,
        }
    }
}

/// What it was measured on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// As it names itself, where that can be read.
    pub processor: Option<String>,
    /// That this process may use.
    pub cores: usize,
    /// The architecture and the system.
    pub platform: String,
    /// What Sealnet computes with.
    pub backend: &'static str,
}

/// What was found. Maps are by system, `sealnet` among them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The widths.
    pub network: String,
    /// The recipe.
    pub recipe: String,
    /// Records to learn from.
    pub records: usize,
    /// Times that each trained.
    pub rounds: u32,
    /// Sealnet's seconds to JAX's by one thread, and Sealnet's by two to the less of JAX's; none without JAX.
    pub ratio_to_jax: Option<ByThreads<f64>>,
    /// Of a training.
    pub seconds: BTreeMap<&'static str, ByThreads<Spread>>,
    /// Until the first step is done, once; none where nothing is compiled.
    pub compile_seconds: BTreeMap<&'static str, ByThreads<Option<f64>>>,
    /// On the test records, 0 to 1.
    pub accuracy: BTreeMap<&'static str, ByThreads<Spread>>,
    /// Of Sealnet's weights, how many differ between one thread and two, over all rounds.
    pub weights_differing: usize,
    /// How each peer trains.
    pub forms: BTreeMap<&'static str, String>,
    /// Of each system and what it needs, by package.
    pub versions: BTreeMap<&'static str, BTreeMap<String, Option<String>>>,
    /// What all that was measured on.
    pub machine: Machine,
}

/// What trains, by so many threads.
struct Contender {
    name: &'static str,
    peer: Option<Peer>,
    trainings: Vec<Training>,
}

/// Measures.
///
/// # Errors
/// [`Error::Input`](crate::error::Error::Input) when the records do not fit the network, or a peer cannot be had.
pub fn run(options: &Options<'_>, progress: &dyn Progress) -> Result<Report> {
    // By number of threads less one.
    let threads = 1..=cores().min(2);
    let mut all: Vec<Vec<Contender>> = threads
        .map(|_| vec![Contender::new("sealnet", None)])
        .collect();
    // Outlives the peers, which lie in it.
    let folder = match options.peers {
        [] => None,
        _ => Some(Folder::write(options)?),
    };
    if let Some(folder) = &folder {
        start(options, folder, &mut all, progress)?;
    }
    // Not counted: the first touch of the records.
    sealnet(options, 0, 1)?;

    let total: usize = all.iter().map(Vec::len).sum();
    progress.start("trainings", u64::from(options.rounds) * total as u64);
    let mut weights_differing = 0;
    for round in 1..=options.rounds {
        let mut first: Option<Network> = None;
        for (contenders, threads) in all.iter_mut().zip(1..) {
            for contender in contenders {
                let training = match &mut contender.peer {
                    Some(peer) => peer.train(round.into())?,
                    None => {
                        let (network, training) = sealnet(options, round.into(), threads)?;
                        let apart = first.as_ref().and_then(|first| distance(first, &network));
                        weights_differing += apart.map_or(0, |apart| apart.differing);
                        first.get_or_insert(network);
                        training
                    }
                };
                contender.trainings.push(training);
                progress.inc(1);
                // Its threads keep a core busy for a while after they are done.
                thread::sleep(PAUSE);
            }
        }
    }
    progress.finish();
    drop(folder);
    Ok(report(options, &all, weights_differing))
}

/// The peers, each compiled and warm, one after the other.
fn start(
    options: &Options<'_>,
    folder: &Folder,
    all: &mut [Vec<Contender>],
    progress: &dyn Progress,
) -> Result<()> {
    for &system in options.peers {
        let installed;
        let python = match options.python {
            Some(python) => python,
            None => {
                installed = interpreter(system, progress)?;
                &installed
            }
        };
        progress.note(&format!("{} compiles and warms up", system.title()));
        for (contenders, threads) in all.iter_mut().zip(1..) {
            let peer = Peer::start(system, python, folder, threads)?;
            contenders.push(Contender::new(system.key(), Some(peer)));
        }
    }
    Ok(())
}

/// One training by Sealnet.
fn sealnet(options: &Options<'_>, seed: u64, threads: usize) -> Result<(Network, Training)> {
    let plan = Plan {
        records: options.records,
        training: options.training,
        validation: &[],
        shape: options.shape,
        image: None,
        recipe: options.recipe,
        seed,
        backend: options.backend,
        threads,
    };
    let started = Instant::now();
    let network = train::train(&plan, &Silent)?.network;
    let seconds = started.elapsed().as_secs_f64();
    let metrics = train::evaluate(&network, options.records, options.test, options.backend)?;
    let accuracy = metrics.accuracy();
    Ok((network, Training { seconds, accuracy }))
}

fn report(options: &Options<'_>, all: &[Vec<Contender>], weights_differing: usize) -> Report {
    let mut report = Report {
        network: options.shape.to_string(),
        recipe: options.recipe.name.clone(),
        records: options.training.len(),
        rounds: options.rounds,
        ratio_to_jax: None,
        seconds: BTreeMap::new(),
        compile_seconds: BTreeMap::new(),
        accuracy: BTreeMap::new(),
        weights_differing,
        forms: BTreeMap::new(),
        versions: BTreeMap::new(),
        machine: machine(options.backend),
    };
    let (one, two) = match all {
        [one, two, ..] => (one, Some(two)),
        [one] => (one, None),
        [] => return report,
    };
    for (at, contender) in one.iter().enumerate() {
        let name = contender.name;
        let by_two = two.and_then(|two| two.get(at));
        report
            .seconds
            .insert(name, by_threads(contender, by_two, Contender::seconds));
        report
            .accuracy
            .insert(name, by_threads(contender, by_two, Contender::accuracy));
        report.compile_seconds.insert(
            name,
            by_threads(contender, by_two, Contender::compile_seconds),
        );
        if let Some(peer) = &contender.peer {
            report.forms.insert(name, peer.about.form.clone());
            report.versions.insert(name, peer.about.versions.clone());
        }
    }
    let version = Some(env!("CARGO_PKG_VERSION").to_owned());
    report
        .versions
        .insert("sealnet", [("sealnet".to_owned(), version)].into());
    let ours = report.seconds.get("sealnet");
    let jax = report.seconds.get(System::Jax.key());
    report.ratio_to_jax = ours.zip(jax).map(|(ours, jax)| ratio(ours, jax));
    report
}

fn by_threads<T>(
    one: &Contender,
    two: Option<&Contender>,
    of: impl Fn(&Contender) -> T,
) -> ByThreads<T> {
    ByThreads {
        one_thread: of(one),
        two_threads: two.map(of),
    }
}

/// The medians of one to those of another: by one thread like with like, by two against the other's best.
fn ratio(ours: &ByThreads<Spread>, theirs: &ByThreads<Spread>) -> ByThreads<f64> {
    let one = theirs.one_thread.median;
    let best = theirs.two_threads.map_or(one, |two| one.min(two.median));
    ByThreads {
        one_thread: ours.one_thread.median / one,
        two_threads: ours.two_threads.map(|ours| ours.median / best),
    }
}

impl Contender {
    fn new(name: &'static str, peer: Option<Peer>) -> Contender {
        Contender {
            name,
            peer,
            trainings: Vec::new(),
        }
    }

    fn seconds(&self) -> Spread {
        self.spread(|training| training.seconds)
    }

    fn accuracy(&self) -> Spread {
        self.spread(|training| training.accuracy)
    }

    fn spread(&self, of: impl Fn(&Training) -> f64) -> Spread {
        Spread::of(&self.trainings.iter().map(of).collect::<Vec<_>>())
    }

    fn compile_seconds(&self) -> Option<f64> {
        self.peer.as_ref()?.about.compile_seconds
    }
}

impl Report {
    /// The trainers whose accuracy, the rounds' median, is below `least`, with that: whoever does not learn is not fast.
    #[must_use]
    pub fn broken(&self, least: f64) -> Vec<(&'static str, f64)> {
        let worst = |accuracy: &ByThreads<Spread>| {
            let one = accuracy.one_thread.median;
            accuracy.two_threads.map_or(one, |two| one.min(two.median))
        };
        let all = self.accuracy.iter();
        all.map(|(name, accuracy)| (*name, worst(accuracy)))
            // What is no number is not enough.
            .filter(|(_, worst)| worst.partial_cmp(&least).is_none_or(Ordering::is_lt))
            .collect()
    }
}

fn machine(backend: Backend) -> Machine {
    // Linux has it here.
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let processor = named.and_then(|rest| rest.split_once(':'));
    Machine {
        processor: processor.map(|(_, name)| name.trim().to_owned()),
        cores: cores(),
        platform: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
        backend: backend.name(),
    }
}

/// How long another's threads may wait for work before they sleep: OpenMP's do 200 ms.
const PAUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(one: f64, two: Option<f64>) -> ByThreads<Spread> {
        let same = |value| Spread::of(&[value]);
        ByThreads {
            one_thread: same(one),
            two_threads: two.map(same),
        }
    }

    #[test]
    fn one_thread_meets_one_and_two_meet_the_best_of_either() {
        let slower_by_two = ratio(&spread(0.5, Some(0.4)), &spread(1.0, Some(1.6)));
        assert_eq!(slower_by_two.one_thread, 0.5);
        assert_eq!(slower_by_two.two_threads, Some(0.4));
        let faster_by_two = ratio(&spread(0.5, Some(0.4)), &spread(1.0, Some(0.8)));
        assert_eq!(faster_by_two.two_threads, Some(0.5));
        let one_core = ratio(&spread(0.5, None), &spread(1.0, None));
        assert_eq!((one_core.one_thread, one_core.two_threads), (0.5, None));
    }

    #[test]
    fn a_trainer_that_does_not_learn_is_named() {
        let options = Options {
            records: Records {
                features: &[],
                width: 4,
                labels: &[],
            },
            training: &[],
            test: &[],
            shape: Shape::new(4, [3, 3], 2).unwrap(),
            recipe: &Recipe::paper(),
            rounds: 1,
            backend: Backend::Portable,
            peers: &[],
            python: None,
        };
        let mut report = report(&options, &[], 0);
        report.accuracy.insert("sealnet", spread(0.96, Some(0.96)));
        report.accuracy.insert("jax", spread(0.96, Some(0.11)));
        report.accuracy.insert("keras", spread(f64::NAN, None));
        let names = |least| -> Vec<&str> {
            let broken = report.broken(least);
            broken.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(0.94), ["jax", "keras"]);
        assert_eq!(names(0.97), ["jax", "keras", "sealnet"]);
    }
}
