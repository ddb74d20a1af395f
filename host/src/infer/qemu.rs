//! A sealed model on Cortex-M boards in QEMU.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sealnet_core::artefact::{BodyEncoding, DeployedAny};
use sealnet_core::sign::Digest512;
use sealnet_firmware::client::{Answer, Client};
use sealnet_firmware::identity::Identity;
use sealnet_firmware::journal::Counters;
use sealnet_firmware::provision::flash_image;
use sealnet_firmware::qemu::{self, Board, Image, Machine, Mode, QemuError};
use sealnet_firmware::sim::flash::SimFlash;

use super::{Inferred, logits, serves_no_model, takes_shape, unanswered};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::train::Records;

/// How boards are run.
#[derive(Debug, Clone)]
pub struct Emulation {
    /// The image that they run.
    pub image: Image,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Whether all that the devices log is told; without it, their last lines when something fails.
    pub log: bool,
}

impl Emulation {
    /// Boards for this model; where `streamed`, without RAM for an encrypted one. Says so if their image has to be built first.
    ///
    /// # Errors
    /// [`QemuError`]: what is missing on this machine.
    pub fn ready(
        model: &DeployedAny<'_>,
        board: Board,
        streamed: bool,
        timeout: Duration,
        progress: &dyn Progress,
    ) -> Result<Self, QemuError> {
        let mode = match (model.header().encoding, streamed) {
            (BodyEncoding::Clear, _) => Mode::Clear,
            (BodyEncoding::Fernet { .. }, false) => Mode::Confidential,
            (BodyEncoding::Fernet { .. }, true) => Mode::Streamed,
        };
        let weights = model.header().quantisation.weights;
        qemu::installed()?;
        Ok(Self {
            image: qemu::build_telling(board, mode, weights, &|line| progress.note(line))?,
            timeout,
            log: false,
        })
    }
}

/// Runs a model on boards in QEMU as [`on_simulator`](super::on_simulator) does on a device in this process. Each
/// board is provisioned for itself and gets its share of the records.
///
/// # Errors
/// As [`on_simulator`](super::on_simulator), and [`Error::Input`] when QEMU fails or a device does not answer.
pub fn on_qemu(
    model: &DeployedAny<'_>,
    (artefact, min_counter): (&[u8], u32),
    identity: &Identity,
    (records, which): (Records<'_>, &[u32]),
    emulation: &Emulation,
    progress: &dyn Progress,
) -> Result<Inferred> {
    let expected = logits(model, records, which)?;
    let shape = model.network().shape();
    takes_shape(shape)?;
    let provisioned = || {
        let counters = Counters {
            security: min_counter,
            ..Counters::default()
        };
        flash_image(identity, artefact, counters).map_err(|e| Error::input(e.to_string(), e.hint()))
    };
    let task = Task {
        identity,
        digest: *model.model_digest(),
        records,
        emulation,
        progress,
        failed: AtomicBool::new(false),
    };
    let share = which.len().div_ceil(BOARDS).max(1);
    let shares = which
        .chunks(share)
        .zip(expected.chunks(share * usize::from(shape.output())))
        .map(|(which, expected)| Ok((which, expected, provisioned()?)))
        .collect::<Result<Vec<_>>>()?;
    progress.start(
        &format!("{} in QEMU", emulation.image.board),
        which.len() as u64,
    );
    let answered: Vec<Result<Share>> = thread::scope(|scope| {
        let task = &task;
        let boards: Vec<_> = shares
            .into_iter()
            .zip(1..)
            .map(|((which, expected, flash), number)| {
                scope.spawn(move || task.run(number, which, expected, &flash))
            })
            .collect();
        boards
            .into_iter()
            .map(|board| board.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    progress.finish();
    let mut whole = Share::default();
    for share in answered {
        let share = share?;
        whole.predictions.extend(share.predictions);
        whole.receipts.extend(share.receipts);
        whole.agree += share.agree;
    }
    Ok(Inferred {
        agree: Some(whole.agree),
        receipts: whole.receipts,
        ..Inferred::new(whole.predictions, records, which)
    })
}

/// What all boards have to do.
struct Task<'a> {
    identity: &'a Identity,
    digest: Digest512,
    records: Records<'a>,
    emulation: &'a Emulation,
    progress: &'a dyn Progress,
    /// One of them has failed: the others stop too.
    failed: AtomicBool,
}

/// What one board did, in the order of its records.
#[derive(Default)]
struct Share {
    predictions: Vec<u16>,
    receipts: Vec<[u8; sealnet_core::protocol::RECEIPT_LEN]>,
    agree: u64,
}

impl Share {
    fn push(&mut self, answer: &Answer, expected: &[i32]) {
        self.predictions.push(answer.label);
        self.receipts.push(answer.receipt_bytes);
        self.agree += u64::from(answer.computed(expected));
    }
}

impl Task<'_> {
    /// Runs one board.
    fn run(&self, number: u32, which: &[u32], expected: &[i32], flash: &SimFlash) -> Result<Share> {
        let log = Log::default();
        let lines = log.clone();
        let keep = match self.emulation.log {
            true => usize::MAX,
            false => LOG_TAIL,
        };
        let Emulation { image, timeout, .. } = self.emulation;
        let hear = move |line: &str| lines.push(line, keep);
        let machine = Machine::power_on(image, flash.bytes(), *timeout, hear);
        let asked = machine.map_err(Error::from).and_then(|mut machine| {
            let asked = self.ask(&mut machine, which, expected, || {
                self.tell(number, &log, self.emulation.log);
            });
            machine.power_off();
            asked
        });
        // Of several failures, the first is the one that says something.
        let first = asked.is_err() && !self.failed.swap(true, Ordering::Relaxed);
        self.tell(number, &log, first || self.emulation.log);
        asked
    }

    fn ask(
        &self,
        machine: &mut Machine,
        which: &[u32],
        expected: &[i32],
        tell: impl Fn(),
    ) -> Result<Share> {
        let mut client = Client::new(self.identity);
        client.expect_model(self.digest);
        let status = client
            .status(machine)
            .map_err(|e| Error::input(format!("the board in QEMU does not boot: {e}"), HINT))?;
        if status.model.is_none() {
            return Err(match machine.boot_error()? {
                Some(e) => serves_no_model("the device in QEMU", &e),
                None => Error::input("the device in QEMU serves no model", HINT),
            });
        }
        let classes = expected.len() / which.len().max(1);
        let mut share = Share::default();
        for (&index, expected) in which.iter().zip(expected.chunks_exact(classes.max(1))) {
            if self.failed.load(Ordering::Relaxed) {
                break;
            }
            let answer = client
                .infer(machine, self.records.features_of(index))
                .map_err(|e| unanswered(index, &e, HINT))?;
            share.push(&answer, expected);
            self.progress.inc(1);
            tell();
        }
        Ok(share)
    }

    /// Tells what a device has logged since the last time.
    fn tell(&self, number: u32, log: &Log, really: bool) {
        for line in really.then(|| log.take()).into_iter().flatten() {
            self.progress.note(&format!("device {number}: {line}"));
        }
    }
}

/// What a device has logged and nobody was told.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn push(&self, line: &str, keep: usize) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= keep {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    fn take(&self) -> VecDeque<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From<QemuError> for Error {
    fn from(error: QemuError) -> Error {
        Error::input(error.to_string(), error.hint())
    }
}

/// How many boards share the work.
const BOARDS: usize = 2;

/// Lines of a device's log that are told when it fails.
const LOG_TAIL: usize = 8;

const HINT: &str = "the device's last words are above; --timeout gives it longer";
