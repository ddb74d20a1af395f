//! Power cuts at every flash operation of an update, and again at every one of the recovery.
//!
//! One update is done and its flash operations recorded: a boot, the upload, the trial boot, the first request
//! after it. A device that loses power leaves nothing but its flash, so a cut is what the flash held at that
//! moment: before an operation, halfway through it (a torn word, a page partly erased, as the seed draws), after
//! it, which is before the next one. From each of these states the device boots and answers a request; the
//! operations of that recovery are recorded in turn, and power is cut at each of them as well. On flash whose
//! code refuses to read torn words, and on flash without.
//!
//! A trial fails unless the device serves exactly the old or exactly the new model: its digest, its logits for a
//! probe, an accepted request, and the stored security counter that belongs to it.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use sealnet_core::artefact::{ArtefactError, BodyEncoding, Sealed};
use sealnet_core::sign::Digest512;

use super::{Part, Tally};
use crate::client::{Client, ClientError};
use crate::device::Model;
use crate::identity::Identity;
use crate::journal::Journal;
use crate::layout::{IDENTITY, JOURNAL, MODEL_RAM_LEN};
use crate::provision::ProvisionError;
use crate::shape::{CLASSES, INPUT};
use crate::sim::Machine;
use crate::sim::flash::{FaultKind, Operation, SimFlash};

/// Why a campaign could not begin.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A model cannot be served by this device.
    #[error("the model cannot be served: {0}")]
    Model(#[from] ArtefactError),
    /// The device cannot be provisioned.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The update fails even if power stays.
    #[error("without any fault, {0}")]
    Update(#[from] ClientError),
}

/// A recorded update.
#[derive(Debug)]
pub struct PowerCuts {
    start: SimFlash,
    operations: Vec<Operation>,
    parties: Parties,
}

/// Whom it is about.
#[derive(Debug, Clone)]
struct Parties {
    identity: Identity,
    old: Expected,
    new: Expected,
    new_file: Vec<u8>,
}

/// What a device says that serves a model.
#[derive(Debug, Clone)]
struct Expected {
    digest: Digest512,
    counter: u32,
    logits: [i32; CLASSES],
}

/// Which model is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Old,
    New,
}

impl PowerCuts {
    /// Provisions a device with the model `old`, updates it to `new` and records that.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn record(identity: &Identity, old: &[u8], new: &[u8]) -> Result<Self, SetupError> {
        let parties = Parties {
            identity: identity.clone(),
            old: Expected::of(identity, old)?,
            new: Expected::of(identity, new)?,
            new_file: new.to_vec(),
        };
        let mut machine = Machine::provision(identity, old, 0)?;
        let mut client = Client::new(identity);
        client.infer(&mut machine.boot(|_| {}), &PROBE)?;
        let start = machine.flash().clone();
        machine.flash_mut().record();
        machine.update(&mut client, new, |_| {}, |_| {})?;
        let operations = machine.flash_mut().take_record();
        Ok(Self {
            start,
            operations,
            parties,
        })
    }

    /// What the update did to the flash.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The same campaign for a device that would have done this instead: to see the campaign find it.
    #[must_use]
    pub fn with_operations(self, operations: Vec<Operation>) -> Self {
        Self { operations, ..self }
    }

    /// Cuts power everywhere; the quick form takes one of [`QUICK_STEP`] words that belong to the model and one
    /// seed instead of [`SEEDS`]; of either what belongs to a part. `progress` is told the operations that are done and all of them.
    pub fn run(&self, quick: bool, part: Part, progress: impl Fn(u64, u64) + Sync) -> Tally {
        let is_chunk = |operation: &Operation| matches!(operation, Operation::Program { offset, .. } if *offset < IDENTITY);
        let mut chunks = 0;
        let chosen: Vec<bool> = self
            .operations
            .iter()
            .map(|operation| {
                chunks += usize::from(is_chunk(operation));
                !quick || !is_chunk(operation) || chunks % QUICK_STEP == 1
            })
            .collect();
        let numbers = (0..chosen.len()).filter(|at| chosen.get(*at) == Some(&true));
        let mine: Vec<usize> = part.of(numbers).collect();
        let total = mine.len() as u64;
        let done = AtomicU64::new(0);
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let (parties, operations) = (&self.parties, &self.operations);
        let (chosen, mine, done, progress) = (&chosen, &mine, &done, &progress);
        let mut tally = Tally::default();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|worker| {
                    let mut flash = self.start.clone();
                    scope.spawn(move || {
                        let mut tally = Tally::default();
                        let mut next = mine.iter().skip(worker).step_by(threads).peekable();
                        for (at, operation) in operations.iter().enumerate() {
                            if next.next_if(|next| **next == at).is_some() {
                                let next_too = chosen.get(at + 1) == Some(&true);
                                let cut = Cut {
                                    parties,
                                    flash: &flash,
                                    operation,
                                    at,
                                    repair: !is_chunk(operation),
                                };
                                cut.try_all(quick, !next_too, &mut tally);
                                progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
                            }
                            if let Err(error) = flash.replay(operation, None) {
                                tally.count(Err(format!("operation {at}: {error}")));
                            }
                        }
                        tally
                    })
                })
                .collect();
            for worker in workers {
                match worker.join() {
                    Ok(part) => tally.add(part),
                    Err(_) => tally.count(Err("a part of the campaign panicked".into())),
                }
            }
        });
        tally
    }
}

/// One operation of the update, and the flash before it.
struct Cut<'c> {
    parties: &'c Parties,
    flash: &'c SimFlash,
    operation: &'c Operation,
    at: usize,
    /// Whether to see that the device still takes the update afterwards.
    repair: bool,
}

impl Cut<'_> {
    fn try_all(&self, quick: bool, after: bool, tally: &mut Tally) {
        let seeds = if quick { 1 } else { SEEDS };
        let mut kinds = vec![FaultKind::CutBefore];
        kinds.extend((0..seeds).map(|seed| FaultKind::CutMidway(seed << 32 | self.at as u64)));
        if after {
            kinds.push(FaultKind::CutAfter);
        }
        for kind in kinds {
            for ecc in [false, true] {
                // Where no word is torn yet, the code makes a difference to the second cut alone.
                if quick && ecc && !matches!(kind, FaultKind::CutMidway(_)) {
                    continue;
                }
                let mut flash = self.flash.clone();
                flash.set_ecc(ecc);
                let name = format!("{kind:?} at operation {}, ecc {ecc}", self.at);
                match flash.replay(self.operation, Some(kind)) {
                    Ok(()) => self.recover(&flash, &name, tally),
                    Err(error) => tally.count(Err(format!("{name}: {error}"))),
                }
            }
        }
    }

    /// Boots after the first cut, whole and with a second cut at every operation.
    fn recover(&self, start: &SimFlash, name: &str, tally: &mut Tally) {
        let parties = self.parties;
        let mut whole = start.clone();
        whole.record();
        let (served, mut recovered) = parties.judge(whole);
        let operations = recovered.take_record();
        tally.count(match served {
            Err(error) => Err(format!("{name}: {error}")),
            Ok(Which::Old) if self.repair => parties
                .update_again(recovered)
                .map_err(|error| format!("{name}: {error}")),
            Ok(_) => Ok(()),
        });
        let mut flash = start.clone();
        for (at, operation) in operations.iter().enumerate() {
            // A cut before the first one is the first cut, and one after the last one is the whole recovery
            // followed by another boot; a cut after any other is one before the next.
            let last = at + 1 == operations.len();
            let kinds = [
                (at > 0).then_some(FaultKind::CutBefore),
                Some(FaultKind::CutMidway((self.at as u64) << 8 | at as u64)),
                last.then_some(FaultKind::CutAfter),
            ];
            for kind in kinds.into_iter().flatten() {
                let mut again = flash.clone();
                let outcome = match again.replay(operation, Some(kind)) {
                    Ok(()) => parties.judge(again).0.map(drop),
                    Err(error) => Err(error.to_string()),
                };
                tally.count(outcome.map_err(|error| {
                    format!("{name}, then {kind:?} at operation {at} of the recovery: {error}")
                }));
            }
            if let Err(error) = flash.replay(operation, None) {
                tally.count(Err(format!("{name}, recovery's operation {at}: {error}")));
            }
        }
    }
}

impl Parties {
    /// Boots, asks, and says which model answers, or what is wrong. Gives the flash back.
    fn judge(&self, flash: SimFlash) -> (Result<Which, String>, SimFlash) {
        let mut machine = Machine::new(flash);
        let served = self.serves(&mut machine);
        (served, machine.into_flash())
    }

    fn serves(&self, machine: &mut Machine) -> Result<Which, String> {
        let mut device = machine.boot(|_| {});
        let header = device
            .model()
            .map_err(|error| format!("no model: {error}"))?;
        let (which, expected) = match header.model_digest {
            digest if digest == self.old.digest => (Which::Old, &self.old),
            digest if digest == self.new.digest => (Which::New, &self.new),
            _ => return Err("a model that was never given to it".into()),
        };
        let mut client = Client::new(&self.identity);
        client.expect_model(expected.digest);
        let answer = client
            .infer(&mut device, &PROBE)
            .map_err(|error| format!("{which:?} model, no answer: {error}"))?;
        if !answer.computed(&expected.logits) {
            return Err(format!("{which:?} model, other logits"));
        }
        drop(device);
        let (_, journal) = machine.flash_mut().split(JOURNAL);
        let journal = Journal::open(journal).map_err(|error| error.to_string())?;
        match journal.counters().security {
            counter if counter == expected.counter => Ok(which),
            counter => Err(format!("{which:?} model, security counter {counter}")),
        }
    }

    /// The update that was cut, once more.
    fn update_again(&self, flash: SimFlash) -> Result<(), String> {
        let mut machine = Machine::new(flash);
        let mut client = Client::new(&self.identity);
        machine
            .update(&mut client, &self.new_file, |_| {}, |_| {})
            .map_err(|error| format!("the old model, and the update does not go again: {error}"))?;
        match self.serves(&mut machine)? {
            Which::New => Ok(()),
            Which::Old => Err("the old model after the update went again".into()),
        }
    }
}

impl Expected {
    /// Computed on the host, not by the device.
    fn of(identity: &Identity, file: &[u8]) -> Result<Self, ArtefactError> {
        let verified = Sealed::parse(file)?.verify(&identity.publisher, 0)?;
        let mut ram = vec![0; MODEL_RAM_LEN];
        let opened = match (verified.header().encoding, &identity.model) {
            (BodyEncoding::Fernet { .. }, Some(key)) => verified.open(key, &mut ram)?,
            _ => verified.open_in_place()?,
        };
        let counter = opened.header().security_counter;
        let model: Model<'_> = opened.load()?;
        Ok(Self {
            digest: *model.model_digest(),
            counter,
            logits: model.logits(&PROBE),
        })
    }
}

/// In the quick form, one of so many words of the model is taken.
pub const QUICK_STEP: usize = 700;
/// Ways in which a word is torn or a page partly erased, in the full form.
pub const SEEDS: u64 = 3;
/// What the device is asked.
const PROBE: [u8; INPUT] = [0x5A; INPUT];
