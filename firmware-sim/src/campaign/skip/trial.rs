//! One trial: a boot in which one instruction is not executed.

use std::time::Duration;
use std::{io, mem};

use zeroize::Zeroizing;

use super::plan::Point;
use super::scenario::{Exchange, Good, Setup, is_locked, is_reply};
use crate::client::{self, ClientError, Link as _};
use crate::qemu::{Code, Debugged, End, Image, Patience, QemuError, Stack, Stop, Watched};

/// What a device that skipped an instruction became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// It says that it serves no model, or the one that it is to serve; or it refuses the frame.
    Refused,
    /// It serves no model, though there is a good one, or gives no answer that its owner believes.
    Idle,
    /// Its core faulted, and stands in the handler or is locked up.
    Faulted,
    /// It is in a loop without an end, or sleeps and does not answer.
    Hung,
    /// It was at it for many times as long as a boot takes, and is not seen to go in circles.
    Busy,
    /// It serves the forged model, or answers the forged request, at once or after a boot without a fault.
    Accepted,
    /// It serves the good model by name, and its answers, which its owner believes, are another's.
    Garbled,
    /// It would refuse a good model from then on.
    Locked,
    /// The boot never got to the instruction: the plan does not fit the boot.
    Missed,
}

/// A board, and what is tried on it.
#[derive(Debug)]
pub(super) struct Bench<'c> {
    image: &'c Image,
    code: &'c Code,
    setup: &'c Setup,
    board: Option<Debugged>,
    /// The flash that the last trial has left.
    left: Zeroizing<Vec<u8>>,
}

impl<'c> Bench<'c> {
    pub(super) fn new(image: &'c Image, code: &'c Code, setup: &'c Setup) -> Self {
        Self {
            image,
            code,
            setup,
            board: None,
            left: Zeroizing::default(),
        }
    }

    /// Boots with this flash, without a fault, and sees what comes of it.
    pub(super) fn boot(&mut self, flash: &[u8]) -> Result<Outcome, QemuError> {
        let exchange = self.setup.exchange.as_ref();
        again_if_missed(exchange, || {
            self.trial(flash, exchange, Core::Honest, |_| Ok(true))
        })
    }

    /// The flash that the last trial has left.
    pub(super) fn left(&self) -> &[u8] {
        &self.left
    }

    /// Bytes of stack that the last boot has used, unless its core faulted.
    pub(super) fn used(&mut self, stack: &Stack) -> Result<Option<u64>, QemuError> {
        let board = self.board.as_mut();
        board
            .map(|board| stack.used(&mut board.machine))
            .transpose()
    }

    /// The address of every instruction executed, without a fault, in which one can be skipped.
    pub(super) fn trace(&self) -> Result<Vec<u32>, QemuError> {
        let (image, ends) = (self.image, self.code.ends());
        let flash = &self.setup.flash;
        let Some(exchange) = &self.setup.exchange else {
            return Debugged::trace(image, flash, &ends, TRACE_TIMEOUT);
        };
        let attempt = || {
            let mut board = Debugged::counting(image, flash, ANSWER_TIMEOUT)?;
            match self.begin(&mut board, exchange)? {
                true => board.trace_on(&ends, TRACE_TIMEOUT),
                false => Err(QemuError::Machine(
                    "the device answers no honest request".into(),
                )),
            }
        };
        // QEMU says what a block of instructions is when it translates it. Now and then it has one from before it was
        // to say so, by when bytes came; then the trace has a gap, and is an error.
        (0..RETRIES)
            .find_map(|_| attempt().ok())
            .map_or_else(attempt, Ok)
    }

    /// Skips the instruction at `point` (and the one after it), and sees what comes of it, also at a boot after
    /// that, if the flash is neither as it was nor as `settled`, which is what it is without a fault.
    pub(super) fn skip(
        &mut self,
        settled: &[u8],
        point: &Point,
        neighbour: bool,
    ) -> Result<Outcome, QemuError> {
        let outcome = again_if_missed(self.setup.exchange.as_ref(), || {
            self.strike(point, neighbour)
        })?;
        let setup = self.setup;
        let flash = setup.flash.as_slice();
        if matches!(outcome, Outcome::Accepted | Outcome::Missed)
            || *self.left == flash
            || *self.left == settled
        {
            return Ok(outcome);
        }
        let left = mem::take(&mut self.left);
        // What was answered before is not once more.
        let again = setup.exchange.as_ref().map(|exchange| Exchange {
            before: Vec::new(),
            frame: exchange.frame.clone(),
        });
        Ok(
            match self.trial(&left, again.as_ref(), Core::Struck, |_| Ok(true))? {
                Outcome::Accepted => Outcome::Accepted,
                Outcome::Refused if !is_locked(&left) && !is_locked(&self.left) => outcome,
                _ => Outcome::Locked,
            },
        )
    }

    /// Skips the instruction at `point`, and sees what comes of it at once.
    fn strike(&mut self, point: &Point, neighbour: bool) -> Result<Outcome, QemuError> {
        let (code, setup) = (self.code, self.setup);
        let patience = match setup.exchange {
            Some(_) => ANSWER_PATIENCE,
            None => PATIENCE,
        };
        let exchange = setup.exchange.as_ref();
        self.trial(&setup.flash, exchange, Core::Struck, |board| {
            if !reach(board, point, patience)? {
                return Ok(false);
            }
            let next = point.address + code.len(point.address);
            // Behind the last instruction of all there is none.
            let next = Some(next).filter(|next| neighbour && code.holds(*next));
            let both = [Some(point.address), next];
            for address in both.into_iter().flatten() {
                // An instruction that does nothing takes the place in an IT block, which a jump would not.
                let nop: &[u8] = match code.len(address) {
                    4 => &[0xAF, 0xF3, 0x00, 0x80],
                    _ => &[0x00, 0xBF],
                };
                board.gdb.write(address, nop)?;
                board.gdb.step()?;
                board.gdb.write(address, code.instruction(address))?;
            }
            Ok(true)
        })
    }

    fn trial(
        &mut self,
        flash: &[u8],
        exchange: Option<&Exchange>,
        core: Core,
        strike: impl FnOnce(&mut Debugged) -> Result<bool, QemuError>,
    ) -> Result<Outcome, QemuError> {
        let mut board = match self.board.take() {
            Some(board) => board,
            None => Debugged::counting(self.image, flash, ANSWER_TIMEOUT)?,
        };
        board.restart(flash)?;
        let outcome = self.run(&mut board, exchange, core, strike);
        self.left = board.machine.flash()?;
        match outcome {
            Ok(outcome) => {
                // What a device has left unread would come to the next one.
                let asked = exchange.is_some() || self.setup.good.is_some();
                let silent = outcome == Outcome::Hung || asked;
                let answered = matches!(
                    outcome,
                    Outcome::Refused | Outcome::Accepted | Outcome::Garbled
                );
                self.board = (answered || !silent).then_some(board);
                Ok(outcome)
            }
            // A core that locks up ends QEMU. The next trial gets another one.
            Err(_) if ended(&mut board) => Ok(Outcome::Faulted),
            Err(error) => Err(error),
        }
    }

    fn run(
        &self,
        board: &mut Debugged,
        exchange: Option<&Exchange>,
        core: Core,
        strike: impl FnOnce(&mut Debugged) -> Result<bool, QemuError>,
    ) -> Result<Outcome, QemuError> {
        if let Some(exchange) = exchange {
            return match self.begin(board, exchange)? && strike(board)? {
                true => self.answer(board, exchange, core),
                false => Ok(Outcome::Missed),
            };
        }
        match strike(board)? {
            true => self.outcome(board, core),
            false => Ok(Outcome::Missed),
        }
    }

    /// Boots, has the honest request answered, if there is one, and sends the other up to its last byte, which is on
    /// its way when the core next runs. So whatever the pieces in which QEMU passes on the others, from there on the
    /// core goes one way.
    fn begin(&self, board: &mut Debugged, exchange: &Exchange) -> Result<bool, QemuError> {
        if self.settle(board, Core::Honest)? != Ok(()) {
            return Ok(false);
        }
        if !exchange.before.is_empty()
            && !self
                .ask(board, &exchange.before, Core::Honest)
                .is_ok_and(|a| is_reply(&a))
        {
            return Ok(false);
        }
        let (last, all_but) = exchange.frame.split_last().unwrap_or((&0, &[]));
        board.feed(all_but)?;
        board.send(&[*last])?;
        Ok(true)
    }

    /// What the device answers to the frame that it has, and to the same once more.
    fn answer(
        &self,
        board: &mut Debugged,
        exchange: &Exchange,
        core: Core,
    ) -> Result<Outcome, QemuError> {
        for frame in [&[], exchange.frame.as_slice()] {
            match self.ask(board, frame, core) {
                Ok(answer) if is_reply(&answer) => return Ok(Outcome::Accepted),
                Ok(_) => {}
                Err(error) => return silence(error),
            }
        }
        Ok(Outcome::Refused)
    }

    fn ask(&self, board: &mut Debugged, frame: &[u8], core: Core) -> io::Result<Vec<u8>> {
        self.link(board, core).exchange(frame)
    }

    fn link<'b>(&'b self, board: &'b mut Debugged, core: Core) -> Watched<'b> {
        Watched {
            board,
            code: self.code,
            patience: self.patience(core.work(ANSWER_WORK)),
        }
    }

    /// A trial boot brings up two models.
    fn patience(&self, work: Duration) -> Patience {
        let times = if self.setup.good.is_some() { 3 } else { 1 };
        Patience {
            instructions: ENDLESS * times,
            work: work * times as u32,
        }
    }

    /// Runs the core to where it first waits for a request, or says what came in between.
    fn settle(&self, board: &mut Debugged, core: Core) -> Result<Result<(), Outcome>, QemuError> {
        let waits = self.code.waits();
        for wait in &waits {
            board.gdb.set(*wait)?;
        }
        let end = board.watch(self.code, self.patience(core.work(BOOT_WORK)))?;
        for wait in waits {
            board.gdb.clear(wait)?;
        }
        Ok(match end {
            End::Circles | End::Asleep => Err(Outcome::Hung),
            End::Busy => Err(Outcome::Busy),
            End::At(pc) if self.code.is_fault(pc) => Err(Outcome::Faulted),
            End::At(_) => Ok(()),
        })
    }

    /// Runs the core to its decision and asks the device for it.
    fn outcome(&self, board: &mut Debugged, core: Core) -> Result<Outcome, QemuError> {
        if let Err(outcome) = self.settle(board, core)? {
            return Ok(outcome);
        }
        let served = match client::status(&mut self.link(board, core)) {
            Ok(status) => status.model.map(|model| model.digest),
            Err(ClientError::Link(error)) => return silence(error),
            Err(_) => return Ok(Outcome::Hung),
        };
        match (served, &self.setup.good) {
            (None, None) => Ok(Outcome::Refused),
            (None, Some(_)) => Ok(Outcome::Idle),
            (Some(served), Some(good)) if served == good.digest => self.judge(board, good, core),
            _ => Ok(Outcome::Accepted),
        }
    }

    /// Whether a device that names the good model answers as that does.
    fn judge(&self, board: &mut Debugged, good: &Good, core: Core) -> Result<Outcome, QemuError> {
        let answer = good
            .client
            .clone()
            .infer(&mut self.link(board, core), &good.features);
        Ok(match answer {
            Ok(answer) if answer.logits == good.logits => Outcome::Refused,
            Ok(answer) if answer.logits == good.others => Outcome::Accepted,
            Ok(_) => Outcome::Garbled,
            Err(ClientError::Link(error)) => return silence(error),
            // Nothing that its owner believes.
            Err(_) => Outcome::Idle,
        })
    }
}

/// Whether a core may have gone astray: one that may is not waited for long.
#[derive(Debug, Clone, Copy)]
enum Core {
    /// No fault was made in it: it comes to its end, however slow the machine is that runs it.
    Honest,
    Struck,
}

impl Core {
    /// How long QEMU may be at work for it, where an honest one takes a fraction of `work` on a machine of its own.
    fn work(self, work: Duration) -> Duration {
        match self {
            Self::Honest => PATIENCE,
            Self::Struck => work,
        }
    }
}

/// QEMU passes bytes on when it has time: a core that slept too soon is met elsewhere, most likely not once more.
fn again_if_missed(
    exchange: Option<&Exchange>,
    mut trial: impl FnMut() -> Result<Outcome, QemuError>,
) -> Result<Outcome, QemuError> {
    let mut outcome = trial()?;
    for _ in 0..RETRIES {
        if outcome != Outcome::Missed || exchange.is_none() {
            break;
        }
        outcome = trial()?;
    }
    Ok(outcome)
}

/// What it means that there is no answer, as [`Watched`] says why.
fn silence(error: io::Error) -> Result<Outcome, QemuError> {
    match error.kind() {
        io::ErrorKind::TimedOut => Ok(Outcome::Hung),
        io::ErrorKind::ConnectionAborted => Ok(Outcome::Faulted),
        _ => Err(QemuError::io("hear the device")(error)),
    }
}

/// Runs the core to a point.
fn reach(board: &mut Debugged, point: &Point, patience: Duration) -> Result<bool, QemuError> {
    // At the reset the core stands at the first instruction of all.
    let there = point.stops.first() == Some(&board.gdb.pc()?);
    let mut stops = point.stops.iter().skip(usize::from(there)).peekable();
    while let Some(&address) = stops.next() {
        board.gdb.set(address)?;
        match board.gdb.run(patience)? {
            Stop::At(pc) if pc == address => {}
            Stop::At(_) => return Ok(false),
            Stop::Timeout(_) if patience == ANSWER_PATIENCE => return Ok(false),
            // No outcome of a fault, which was not made yet.
            Stop::Timeout(pc) => {
                let what = format!("without a fault it stands at {pc:#x} for a minute");
                return Err(QemuError::Machine(what));
            }
        }
        if stops.peek() != Some(&&address) {
            board.gdb.clear(address)?;
        }
    }
    Ok(true)
}

fn ended(board: &mut Debugged) -> bool {
    // It takes a moment to write its core, and longer on a machine with much else to do.
    for _ in 0..2000 {
        if board.machine.ended() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Without a fault nothing hangs: a machine that is slow, because others use it too, is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// For an answer. A core that is still asleep then is not on its way to the point.
const ANSWER_PATIENCE: Duration = Duration::from_millis(300);
const RETRIES: u32 = 2;
/// Instructions that no boot executes: twelve times as many as one that checks an Ed25519 signature.
const ENDLESS: u64 = 100_000_000;
/// An honest boot, and an honest answer, take less than a tenth of a second on a machine from 2021: a core that is at it
/// so many times as long was not on its way to an answer.
const BOOT_WORK: Duration = Duration::from_millis(400);
const ANSWER_WORK: Duration = Duration::from_millis(400);
/// A boot that says each instruction it executes takes some seconds.
const TRACE_TIMEOUT: Duration = Duration::from_secs(900);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
