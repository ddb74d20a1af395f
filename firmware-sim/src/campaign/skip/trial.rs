//! One trial: a boot in which one instruction is not executed.

use std::time::Duration;

use super::plan::Point;
use crate::client::Client;
use crate::identity::Identity;
use crate::qemu::{Code, Debugged, End, Image, QemuError, Stack, Stop, Watched};

/// What a device that skipped an instruction became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// It says that it serves no model.
    Refused,
    /// Its core faulted, and stands in the handler or is locked up.
    Faulted,
    /// It is in a loop without an end, or sleeps and does not answer.
    Hung,
    /// It was at it for many times as long as a boot takes, and is not seen to go in circles.
    Busy,
    /// It serves the forged model.
    Accepted,
    /// The boot never got to the instruction: the plan does not fit the boot.
    Missed,
}

/// A board, and what is tried on it.
#[derive(Debug)]
pub(super) struct Bench<'c> {
    image: &'c Image,
    code: &'c Code,
    identity: &'c Identity,
    board: Option<Debugged>,
}

impl<'c> Bench<'c> {
    pub(super) fn new(image: &'c Image, code: &'c Code, identity: &'c Identity) -> Self {
        Self {
            image,
            code,
            identity,
            board: None,
        }
    }

    /// Boots with this flash and sees what comes of it.
    pub(super) fn boot(&mut self, flash: &[u8]) -> Result<Outcome, QemuError> {
        self.trial(flash, |_| Ok(true))
    }

    /// Bytes of stack that the last boot has used, unless its core faulted.
    pub(super) fn used(&mut self, stack: &Stack) -> Result<Option<u64>, QemuError> {
        let board = self.board.as_mut();
        board
            .map(|board| stack.used(&mut board.machine))
            .transpose()
    }

    /// Boots, skips the instruction at `point` (and the one after it), and sees what comes of it.
    pub(super) fn skip(
        &mut self,
        flash: &[u8],
        point: &Point,
        neighbour: bool,
    ) -> Result<Outcome, QemuError> {
        let code = self.code;
        self.trial(flash, |board| {
            if !reach(board, point)? {
                return Ok(false);
            }
            let next = point.address + code.len(point.address);
            let both = [Some(point.address), neighbour.then_some(next)];
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
        strike: impl FnOnce(&mut Debugged) -> Result<bool, QemuError>,
    ) -> Result<Outcome, QemuError> {
        let mut board = match self.board.take() {
            Some(board) => board,
            None => Debugged::counting(self.image, flash, ANSWER_TIMEOUT)?,
        };
        board.restart(flash)?;
        let outcome = match strike(&mut board) {
            Ok(false) => Ok(Outcome::Missed),
            Ok(true) => self.outcome(&mut board),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(outcome) => {
                self.board = Some(board);
                Ok(outcome)
            }
            // A core that locks up ends QEMU. The next trial gets another one.
            Err(_) if ended(&mut board) => Ok(Outcome::Faulted),
            Err(error) => Err(error),
        }
    }

    /// Runs the core to its decision and asks the device for it.
    fn outcome(&self, board: &mut Debugged) -> Result<Outcome, QemuError> {
        let ends = self.code.waits();
        for end in &ends {
            board.gdb.set(*end)?;
        }
        let end = board.watch(self.code, ENDLESS)?;
        for end in ends {
            board.gdb.clear(end)?;
        }
        Ok(match end {
            End::Circles | End::Asleep => Outcome::Hung,
            End::Busy => Outcome::Busy,
            End::At(pc) if self.code.is_fault(pc) => Outcome::Faulted,
            End::At(_) => {
                let most = ENDLESS;
                let status = Client::new(self.identity).status(&mut Watched { board, most });
                match status {
                    Ok(status) if status.model.is_some() => Outcome::Accepted,
                    Ok(_) => Outcome::Refused,
                    Err(_) => Outcome::Hung,
                }
            }
        })
    }
}

/// Runs the core to a point.
fn reach(board: &mut Debugged, point: &Point) -> Result<bool, QemuError> {
    for (address, hits) in point
        .marker
        .into_iter()
        .chain([(point.address, point.hits)])
    {
        board.gdb.set(address)?;
        // At the reset the core stands at the first instruction of all. A marker is behind it.
        let there = u32::from(board.gdb.pc()? == address);
        for _ in there..hits {
            match board.gdb.run(PATIENCE)? {
                Stop::At(pc) if pc == address => {}
                Stop::At(_) => return Ok(false),
                // No outcome of a fault, which was not made yet.
                Stop::Timeout(pc) => {
                    let what = format!("without a fault it stands at {pc:#x} for a minute");
                    return Err(QemuError::Machine(what));
                }
            }
        }
        board.gdb.clear(address)?;
    }
    Ok(true)
}

fn ended(board: &mut Debugged) -> bool {
    // It takes a moment to write its core.
    for _ in 0..100 {
        if board.machine.ended() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Without a fault nothing hangs: a machine that is slow, because others use it too, is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Instructions that no boot executes: twelve times as many as one that checks an Ed25519 signature.
const ENDLESS: u64 = 100_000_000;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
