//! Instruction skips: for every address that a boot executes from reset to the decision whether to serve the
//! model in its slot, at its first and at its last execution, the instruction there is not executed, alone or with
//! the one after it. In the slot lies a forgery; no device may serve it, whatever it skipped.
//!
//! What an attacker does with a voltage or clock glitch is modelled best so (Moro et al., "Electromagnetic fault
//! injection: towards a fault model on a 32-bit microcontroller", FDTC 2013). The boot runs on a Cortex-M4 in QEMU
//! under its debugger, which puts a NOP in the instruction's place for one execution.
//!
//! What becomes of the device is one of these:
//!
//! | outcome | the device |
//! |---|---|
//! | refused | says that it serves no model |
//! | faulted | is in the handler of faults, or its core is locked up |
//! | hung | never decides: at the same instruction its registers, RAM and flash are twice as they were before; or it sleeps, or answers nothing |
//! | busy | has executed 100,000,000 instructions, a boot's twelvefold and more, and is in none of these states; or was at it for a fifth of a second, when a boot takes a hundredth, and QEMU is slow with what it does, such as to run through all memory |
//! | accepted | serves the forgery |
//!
//! A busy device might decide in the end: a loop whose counter lost its first value goes 2^32 rounds, for hours on a
//! real core, and what it computed is then of no model. A watchdog ends that.

mod plan;
mod trial;

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sealnet_core::sign::{Domain, SIGNATURE_LEN};

use serde::{Deserialize, Serialize};

use super::{Part, Tally};
use crate::identity::Identity;
use crate::journal::Counters;
use crate::layout::SLOT_A;
use crate::provision::{ProvisionError, flash_image};
use crate::qemu::{Board, Code, Debugged, Image, Mode, QemuError, Stack, build};
use crate::sample::{self, SampleError, Sealing};
use crate::sim::flash::SimFlash;
use plan::{Point, points};
use trial::{Bench, Outcome};

/// What lies in the slot. Each would boot but for the one check that it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "std", derive(clap::ValueEnum))]
pub enum Forgery {
    /// A signature of zeros.
    NoSignature,
    /// Signed with another key, and named as the trusted one's.
    OtherKey,
    /// Another model under a signature that the publisher made for its own.
    ChangedBody,
    /// The publisher's own, with a security counter below the stored one.
    OlderCounter,
}

impl Forgery {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::NoSignature,
        Self::OtherKey,
        Self::ChangedBody,
        Self::OlderCounter,
    ];

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSignature => "no-signature",
            Self::OtherKey => "other-key",
            Self::ChangedBody => "changed-body",
            Self::OlderCounter => "older-counter",
        }
    }

    /// The forged file.
    fn file(self) -> Result<Vec<u8>, SampleError> {
        let sealing = Sealing {
            counter: match self {
                Self::OlderCounter => STORED_COUNTER - 1,
                _ => STORED_COUNTER,
            },
            ..Sealing::default()
        };
        let mut file = sample::model(1, &sealing)?;
        let signature = match self {
            Self::NoSignature => [0; SIGNATURE_LEN],
            Self::OtherKey => {
                let signed = file.split_last_chunk::<SIGNATURE_LEN>();
                let (signed, _) = signed.ok_or(SampleError::Name)?;
                sample::publisher(9)
                    .sign(Domain::Model, &[signed])
                    .to_bytes()
            }
            Self::ChangedBody => {
                let other = sample::model(2, &sealing)?;
                *other.last_chunk().ok_or(SampleError::Name)?
            }
            Self::OlderCounter => return Ok(file),
        };
        if let Some(end) = file.last_chunk_mut() {
            *end = signature;
        }
        Ok(file)
    }
}

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
    /// Trials in which the device served the forgery.
    pub accepted: usize,
    /// Where that was.
    pub places: Vec<String>,
    /// Addresses at which something was skipped.
    pub covered: BTreeSet<u32>,
}

impl Skips {
    /// Adds what other trials came to.
    pub fn add(&mut self, other: Self) {
        self.trials += other.trials;
        self.refused += other.refused;
        self.faulted += other.faulted;
        self.hung += other.hung;
        self.busy += other.busy;
        self.accepted += other.accepted;
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
    /// Trials were lost.
    #[error("a worker of the campaign has panicked")]
    Lost,
    /// A boot without a fault, or the part of it before the fault, went another way than it must.
    #[error("a boot without a fault, or up to it, went another way than before: {0}")]
    Missed(String),
}

/// A boot with a forgery in the slot, recorded.
#[derive(Debug)]
pub struct Recorded {
    image: Image,
    code: Code,
    identity: Identity,
    flash: SimFlash,
    points: Vec<Point>,
    instructions: usize,
}

impl Recorded {
    /// Boots once without a fault.
    ///
    /// # Errors
    /// [`SkipError`].
    pub fn boot(forgery: Forgery) -> Result<Self, SkipError> {
        let image = build(Board::CortexM4, Mode::Clear)?;
        let code = Code::read(&image)?;
        let identity = sample::identity()?;
        let counters = Counters {
            security: STORED_COUNTER,
            ..Counters::default()
        };
        let flash = flash_image(&identity, &forgery.file()?, counters)?;
        let trace = Debugged::trace(&image, flash.bytes(), &code.ends(), TRACE_TIMEOUT)?;
        let mut points = points(&trace);
        points.retain(|point| code.holds(point.address));
        Ok(Self {
            image,
            code,
            identity,
            flash,
            points,
            instructions: trace.len(),
        })
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
        let all: Vec<(Point, bool)> = self
            .points
            .iter()
            .flat_map(|point| [(*point, false), (*point, true)])
            .skip(extent.from)
            .step_by(extent.every.max(1))
            .collect();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let failed = AtomicBool::new(false);
        let (image, code, identity) = (&self.image, &self.code, &self.identity);
        let flash = self.flash.bytes();
        let work = || -> Result<Skips, SkipError> {
            let mut bench = Bench::new(image, code, identity);
            let mut found = Skips::default();
            while !failed.load(Ordering::Relaxed) {
                let Some((point, neighbour)) = all.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    break;
                };
                let outcome = bench.skip(flash, point, *neighbour)?;
                let place = || {
                    let with = if *neighbour { " and the next one" } else { "" };
                    let at = code.place(point.address);
                    format!("{at}{with}, {}", point.pass())
                };
                found.trials += 1;
                found.covered.insert(point.address);
                match outcome {
                    Outcome::Refused => found.refused += 1,
                    Outcome::Faulted => found.faulted += 1,
                    Outcome::Hung => found.hung += 1,
                    Outcome::Busy => found.busy += 1,
                    Outcome::Missed => return Err(SkipError::Missed(place())),
                    Outcome::Accepted => {
                        found.accepted += 1;
                        found.places.push(place());
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
    let mut bench = Bench::new(&image, &code, &identity);
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

/// The device's security counter before the boot.
const STORED_COUNTER: u32 = 2;
/// A boot that says each instruction it executes takes a minute or so.
const TRACE_TIMEOUT: Duration = Duration::from_secs(900);
