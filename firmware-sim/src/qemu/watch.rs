//! Whether a core that may have gone astray comes to an end, said by what it executes. Time alone says so only where
//! QEMU is slow, and then it is the time that QEMU was at work, many times what an honest core takes: a machine with
//! much else to do makes no difference.

use std::io::{self, Read as _, Write as _};
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use super::debug::Debugged;
use super::gdb::{Stop, is_nothing_yet};
use super::work::Work;
use super::{Board, Code, QemuError};
use crate::client::Link;

/// What a core came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It stands at a breakpoint: the program counter.
    At(u32),
    /// It goes in circles: registers, RAM and flash are, at the same instruction, what they were before.
    Circles,
    /// It sleeps, and nothing will wake it.
    Asleep,
    /// It has executed so many instructions, or kept QEMU at work for so long, and is still at it.
    Busy,
}

/// How long to wait for a core.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Instructions that it may execute.
    pub(crate) instructions: u64,
    /// And how long QEMU may be at work for it: it is slow with code that runs once, as where a core runs through
    /// data, and with devices.
    pub(crate) work: Duration,
}

impl Debugged {
    /// Lets the core run until it hits a breakpoint, or shows that it never will, or patience is at its end.
    /// The board counts; see [`Debugged::counting`].
    ///
    /// At the handlers of faults, which are loops, there need be none: beside a breakpoint QEMU executes one
    /// instruction at a time.
    pub(crate) fn watch(&mut self, code: &Code, patience: Patience) -> Result<End, QemuError> {
        let mut watch = Watch::begin(self, patience)?;
        let mut circles = 0;
        loop {
            if let Some(pc) = self.gdb.resume()? {
                return Ok(End::At(pc));
            }
            if let Some(pc) = self.gdb.stopped(LOOK)? {
                return Ok(End::At(pc));
            }
            let ready = self.machine.is_ready();
            match self.gdb.stop()? {
                Stop::At(pc) => return Ok(End::At(pc)),
                Stop::Timeout(pc) if code.is_fault(pc) => return Ok(End::At(pc)),
                Stop::Timeout(_) => {}
            }
            if let Some(end) = watch.over(self, ready)? {
                return Ok(end);
            }
            if !watch.is_worth_a_search() {
                continue;
            }
            // Twice: it might have waited for room on the wire.
            circles = match self.circles()? {
                Some(End::Circles) if circles > 0 => return Ok(End::Circles),
                Some(End::Circles) => circles + 1,
                Some(end) => return Ok(end),
                None => 0,
            };
        }
    }

    /// Whether a core that stands comes back to where it is with nothing changed, within a few rounds, or hits
    /// a breakpoint.
    fn circles(&mut self) -> Result<Option<End>, QemuError> {
        let pc = self.gdb.pc()?;
        let (mut registers, mut memory) = (self.gdb.registers()?, None);
        self.gdb.set(pc)?;
        let mut found = None;
        for _ in 0..ROUNDS {
            match self.gdb.run(ROUND)? {
                Stop::At(at) if at == pc => {}
                Stop::At(other) => {
                    found = Some(End::At(other));
                    break;
                }
                Stop::Timeout(_) => break,
            }
            let now = self.gdb.registers()?;
            if now != registers {
                (registers, memory) = (now, None);
                continue;
            }
            let now = Some(self.contents()?);
            if now == memory {
                found = Some(End::Circles);
                break;
            }
            memory = now;
        }
        self.gdb.clear(pc)?;
        Ok(found)
    }

    /// RAM and flash.
    fn contents(&mut self) -> Result<[Zeroizing<Vec<u8>>; 2], QemuError> {
        let ram = self.machine.memory(Board::CortexM4.ram())?;
        Ok([ram, self.machine.flash()?])
    }
}

/// What a core has executed since it was first looked at. Each time it stands: QEMU counts when it stops.
#[derive(Debug)]
struct Watch {
    start: u64,
    last: u64,
    began: Work,
    looks: u32,
    patience: Patience,
    /// How often nothing was executed from one look to the next.
    still: u32,
}

impl Watch {
    fn begin(board: &mut Debugged, patience: Patience) -> Result<Self, QemuError> {
        let start = board.machine.monitor.instructions()?;
        Ok(Self {
            start,
            last: start,
            began: board.machine.work(),
            looks: 0,
            patience,
            still: 0,
        })
    }

    /// Looks once more. `ready` is whether QEMU had something to do before the core was stopped: one that was only
    /// not given the time is not still.
    fn over(&mut self, board: &mut Debugged, ready: bool) -> Result<Option<End>, QemuError> {
        let now = board.machine.monitor.instructions()?;
        self.still = if now == self.last && !ready {
            self.still + 1
        } else {
            0
        };
        self.last = now;
        self.looks += 1;
        let work = board.machine.work().since(self.began);
        Ok(if self.still >= STILL {
            Some(End::Asleep)
        } else if now - self.start > self.patience.instructions || work > self.patience.work {
            Some(End::Busy)
        } else {
            None
        })
    }

    /// Whether to look for circles: seldom, and not in what most likely ends by itself.
    fn is_worth_a_search(&self) -> bool {
        self.still == 0 && self.looks > 2 && self.looks.is_power_of_two()
    }
}

impl Debugged {
    /// Gives a core that stands bytes to read, and lets it sleep again: no breakpoint is set.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), QemuError> {
        let wire = &mut self.machine.wire;
        wire.write_all(bytes)
            .map_err(QemuError::io("write to the device"))?;
        let (mut last, mut still) = (0, 0);
        for _ in 0..MOST_NAPS {
            self.gdb.start()?;
            thread::sleep(NAP);
            // One that was only not given the time is not still.
            let ready = self.machine.is_ready();
            self.gdb.stop()?;
            let now = self.machine.monitor.instructions()?;
            still = if now == last && !ready { still + 1 } else { 0 };
            if still == NAPS {
                return Ok(());
            }
            last = now;
        }
        Err(QemuError::Machine("it does not sleep".into()))
    }

    /// Sends bytes that are the last that a core which sleeps waits for; it stands.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), QemuError> {
        let wire = &mut self.machine.wire;
        wire.write_all(bytes)
            .map_err(QemuError::io("write to the device"))
    }
}

/// The wire of a board that stands, and runs until it has answered or is in the handler of faults, without
/// breakpoints: at most so many instructions.
#[derive(Debug)]
pub(crate) struct Watched<'b> {
    pub(crate) board: &'b mut Debugged,
    pub(crate) code: &'b Code,
    pub(crate) patience: Patience,
}

impl Link for Watched<'_> {
    fn exchange(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let Self {
            board,
            code,
            patience,
        } = self;
        board.machine.wire.set_read_timeout(Some(LOOK))?;
        board.machine.wire.write_all(bytes)?;
        let mut watch = Watch::begin(board, *patience).map_err(io::Error::other)?;
        board.gdb.start().map_err(io::Error::other)?;
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        let said = loop {
            match board.machine.wire.read(&mut piece) {
                Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => answer.extend(piece.iter().take(read)),
                Err(error) if is_nothing_yet(&error) => {
                    let ready = board.machine.is_ready();
                    let (Stop::At(pc) | Stop::Timeout(pc)) =
                        board.gdb.stop().map_err(io::Error::other)?;
                    if code.is_fault(pc) {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                    if watch
                        .over(board, ready)
                        .map_err(io::Error::other)?
                        .is_some()
                    {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    board.gdb.start().map_err(io::Error::other)?;
                }
                Err(error) => break Err(error),
            }
            if answer.last() == Some(&0) || answer.len() > MOST_SAID {
                break Ok(());
            }
        };
        board.gdb.stop().map_err(io::Error::other)?;
        said.map(|()| answer)
    }
}

/// How long a core runs between two looks at it.
const LOOK: Duration = Duration::from_millis(10);
/// So many looks in which nothing is executed: it sleeps.
const STILL: u32 = 5;
/// A core that executes nothing over so many of these has read all that there is.
const NAPS: u32 = 3;
const NAP: Duration = Duration::from_millis(2);
const MOST_NAPS: u32 = 2000;
/// How often the core may come back before it must be the same, and how long each time may take.
const ROUNDS: u32 = 16;
const ROUND: Duration = Duration::from_millis(10);
/// Bytes of an answer, however long its frame would be.
const MOST_SAID: usize = 1 << 16;
