//! Instruction skips: for every address that a device executes from its reset to the decision whether to serve a
//! model, or from the last byte of a request to its answer, at its first and at its last execution, the instruction
//! there is not executed, alone or with the one after it. The model or request is a forgery; no device may serve or
//! answer it, whatever it skipped: see [`Scenario`].
//!
//! What an attacker does with a voltage or clock glitch is modelled best so (Moro et al., "Electromagnetic fault
//! injection: towards a fault model on a 32-bit microcontroller", FDTC 2013). The boot runs on a Cortex-M4 in QEMU
//! under its debugger, which puts a NOP in the instruction's place for one execution.
//!
//! What becomes of the device is one of these:
//!
//! | outcome | the device |
//! |---|---|
//! | refused | says that it serves no model, or the good one that it had, and answers as that does or as nobody believes; or it answers the request with no reply |
//! | faulted | is in the handler of faults, or its core is locked up |
//! | hung | never decides: at the same instruction its registers, RAM and flash are twice as they were before; or it sleeps, or answers nothing |
//! | busy | has executed 100,000,000 instructions, a boot's twelvefold, and is in none of these states; or kept a processor at work for a quarter of a second, when a boot takes a hundredth, since QEMU is slow with what it does, such as to run through all memory; at a trial boot, which brings up two models, three times as much |
//! | accepted | serves the forgery, or replies to the request, at once or when it is asked again |
//! | garbled | at a trial boot: serves the good model by name, and its answers, which its owner believes, are neither model's |
//! | locked | has a security counter above the one it had, or a journal that cannot be read: it refuses good models from then on |
//! | missed | went another way to its answer, as where it waits for the wire: nothing was skipped |
//!
//! After a trial whose flash is neither as it was nor as it is without a fault, the device boots once more without one,
//! and what it serves then counts. Not each `locked` would be one on a real device: QEMU's boards have plain memory
//! where flash would be, which a core that runs wild writes over.
//!
//! A busy device might decide in the end: a loop whose counter lost its first value goes 2^32 rounds, for hours on a
//! real core, and what it computed is then of no model. A watchdog ends that.

mod plan;
mod scenario;
mod trial;

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Part, Tally};
use crate::client::ClientError;
use crate::journal::Counters;
use crate::layout::SLOT_A;
use crate::provision::{ProvisionError, flash_image};
use crate::qemu::{Board, Code, Image, Mode, QemuError, Stack, build};
use crate::sample::{self, SampleError, Sealing};
use plan::{Point, points};
pub use scenario::Scenario;
use scenario::Setup;
use trial::{Bench, Outcome};

/// Which of all trials to make, and how many at once.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// The number of the first one.
    pub from: usize,
    /// Every so-manieth from there on.
    pub every: usize,
    /// Boards that run at once.
    pub jobs: usize,
}

/// What came of trials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skips {
    /// Trials made.
    pub trials: usize,
    /// Trials that the device ended by saying that it serves no model.
    pub refused: usize,
    /// Trials in which the core faulted.
    pub faulted: usize,
    /// Trials in which the device went in circles, or fell silent.
    pub hung: usize,
    /// Trials in which the device was still at it after many times the instructions of a boot.
    pub busy: usize,
    /// Trials in which the device served the forgery, or answered the forged request.
    pub accepted: usize,
    /// Trials in which the device served the good model by name, and gave signed answers of neither model.
    #[serde(default)]
    pub garbled: usize,
    /// Trials after which it would refuse a good model.
    pub locked: usize,
    /// Trials in which the core went another way to the answer, as where it waits for the wire: nothing was skipped.
    pub missed: usize,
    /// Where that was.
    pub places: Vec<String>,
    /// Addresses at which something was skipped.
    pub covered: BTreeSet<u32>,
}

impl Skips {
    /// How a place ends where a forgery was accepted.
    pub const ACCEPTED: &str = ": accepted";

    /// Adds what other trials came to.
    pub fn add(&mut self, other: Self) {
        self.trials += other.trials;
        self.refused += other.refused;
        self.faulted += other.faulted;
        self.hung += other.hung;
        self.busy += other.busy;
        self.accepted += other.accepted;
        self.garbled += other.garbled;
        self.locked += other.locked;
        self.missed += other.missed;
        self.places.extend(other.places);
        self.covered.extend(other.covered);
    }
}

/// Why a campaign ended early.
#[derive(Debug, thiserror::Error)]
pub enum SkipError {
    /// QEMU, or what it takes to build the image.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// The forgeries could not be made.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The device could not be provisioned.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The requests could not be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Trials were lost.
    #[error("a worker of the campaign has panicked")]
    Lost,
    /// A boot without a fault, or the part of it before the fault, went another way than it must.
    #[error("a boot without a fault, or up to it, went another way than before: {0}")]
    Missed(String),
}

/// A device with something to refuse, and what it executes for it.
#[derive(Debug)]
pub struct Recorded {
    image: Image,
    code: Code,
    setup: Setup,
    /// The flash afterwards.
    settled: Zeroizing<Vec<u8>>,
    points: Vec<Point>,
    instructions: usize,
}

impl Recorded {
    /// Runs once without a fault. And once without anything to refuse, which must be accepted: else the campaign would
    /// show nothing.
    ///
    /// # Errors
    /// [`SkipError`].
    pub fn new(scenario: Scenario) -> Result<Self, SkipError> {
        let image = build(Board::CortexM4, scenario.mode())?;
        let code = Code::read(&image)?;
        for (honest, expected) in [(true, Outcome::Accepted), (false, Outcome::Refused)] {
            let setup = scenario.setup(honest)?;
            let mut bench = Bench::new(&image, &code, &setup);
            let found = bench.boot(&setup.flash)?;
            if found != expected {
                let what = format!("{}, honest: {honest}: {found:?}", scenario.name());
                return Err(SkipError::Missed(what));
            }
            if honest {
                continue;
            }
            let settled = Zeroizing::new(bench.left().to_vec());
            let trace = bench.trace()?;
            let mut points = points(&trace);
            points.retain(|point| code.holds(point.address));
            return Ok(Self {
                settled,
                points,
                instructions: trace.len(),
                image,
                code,
                setup,
            });
        }
        Err(SkipError::Lost)
    }

    /// Instructions that the boot executes up to its decision.
    pub fn instructions(&self) -> usize {
        self.instructions
    }

    /// How many addresses it executes.
    pub fn addresses(&self) -> usize {
        let addresses: BTreeSet<u32> = self.points.iter().map(|point| point.address).collect();
        addresses.len()
    }

    /// How many trials there are: at each address its first and its last execution, alone and with the next one.
    pub fn trials(&self) -> usize {
        2 * self.points.len()
    }

    /// Makes trials. `progress` is told how many are done, and of how many.
    ///
    /// # Errors
    /// [`SkipError`].
    pub fn skip(
        &self,
        extent: Extent,
        progress: impl Fn(usize, usize) + Sync,
    ) -> Result<Skips, SkipError> {
        let all: Vec<(&Point, bool)> = self
            .points
            .iter()
            .flat_map(|point| [(point, false), (point, true)])
            .skip(extent.from)
            .step_by(extent.every.max(1))
            .collect();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let failed = AtomicBool::new(false);
        let (image, code, setup) = (&self.image, &self.code, &self.setup);
        let work = || -> Result<Skips, SkipError> {
            let mut bench = Bench::new(image, code, setup);
            let mut found = Skips::default();
            while !failed.load(Ordering::Relaxed) {
                let Some((point, neighbour)) = all.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    break;
                };
                let outcome = bench.skip(&self.settled, point, *neighbour)?;
                let place = || {
                    let with = if *neighbour { " and the next one" } else { "" };
                    let at = code.place(point.address);
                    format!("{at}{with}, {}", point.pass())
                };
                found.trials += 1;
                if outcome != Outcome::Missed {
                    found.covered.insert(point.address);
                }
                match outcome {
                    Outcome::Refused | Outcome::Idle => found.refused += 1,
                    Outcome::Garbled => {
                        found.garbled += 1;
                        found.places.push(format!("{}: wrong answers", place()));
                    }
                    Outcome::Locked => {
                        found.locked += 1;
                        found
                            .places
                            .push(format!("{}: no good model any more", place()));
                    }
                    Outcome::Faulted => found.faulted += 1,
                    Outcome::Hung => found.hung += 1,
                    Outcome::Busy => found.busy += 1,
                    Outcome::Missed if setup.exchange.is_some() => found.missed += 1,
                    Outcome::Missed => return Err(SkipError::Missed(place())),
                    Outcome::Accepted => {
                        found.accepted += 1;
                        found.places.push(format!("{}{}", place(), Skips::ACCEPTED));
                    }
                }
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, all.len());
            }
            Ok(found)
        };
        let mut all_found = Skips::default();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..extent.jobs.max(1))
                .map(|_| {
                    scope.spawn(|| work().inspect_err(|_| failed.store(true, Ordering::Relaxed)))
                })
                .collect();
            for worker in workers {
                // A worker that panicked has lost its trials.
                let found = worker.join().map_err(|_| SkipError::Lost)?;
                all_found.add(found?);
            }
            Ok::<_, SkipError>(())
        })?;
        all_found.places.sort_unstable();
        Ok(all_found)
    }
}

/// Boots a Cortex-M4 in QEMU once for every `step`-th bit of a clear model, that bit changed, of those for a part. `progress` is told
/// the trials done and all of them. Gives, beside what it found, the bytes of stack of the boot that took most.
///
/// # Errors
/// [`SkipError`].
pub fn flips(
    step: NonZero<usize>,
    part: Part,
    mut progress: impl FnMut(u64, u64),
) -> Result<(Tally, u64), SkipError> {
    let image = build(Board::CortexM4, Mode::Clear)?;
    let code = Code::read(&image)?;
    let identity = sample::identity()?;
    let model = sample::model(1, &Sealing::default())?;
    let mut flash = flash_image(&identity, &model, Counters::default())?;
    let setup = Setup::boot(&flash);
    let mut bench = Bench::new(&image, &code, &setup);
    let bits = model.len() * 8;
    let bits: Vec<usize> = part.of((0..bits).step_by(step.get())).collect();
    let total = bits.len() as u64;
    let stack = Stack::of(&image)?;
    let (mut tally, mut used) = (Tally::default(), None);
    for bit in bits {
        flash.flip(SLOT_A + bit / 8, bit % 8);
        let outcome = bench.boot(flash.bytes())?;
        used = used.max(bench.used(&stack)?);
        flash.flip(SLOT_A + bit / 8, bit % 8);
        tally.count(match outcome {
            Outcome::Refused => Ok(()),
            outcome => Err(format!("bit {bit} changed: {outcome:?}")),
        });
        progress(tally.trials, total);
    }
    // Unchanged it boots: else the campaign would have shown nothing.
    match bench.boot(flash.bytes())? {
        Outcome::Accepted => {
            used = used.max(bench.used(&stack)?);
            Ok((tally, used.unwrap_or_default()))
        }
        outcome => Err(SkipError::Missed(format!(
            "the model unchanged: {outcome:?}"
        ))),
    }
}
