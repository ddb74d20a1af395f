//! Whether a core that may have gone astray comes to an end, said by what it executes. Time alone says so only where
//! QEMU is slow, and then many times what an honest core takes.

use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use zeroize::Zeroizing;

use super::debug::Debugged;
use super::gdb::Stop;
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
    /// It has executed so many instructions, or was looked at so often, and is still at it.
    Busy,
}

impl Debugged {
    /// Lets the core run until it hits a breakpoint, or shows that it never will, or has executed `most` instructions.
    /// The board counts; see [`Debugged::counting`].
    ///
    /// At the handlers of faults, which are loops, there need be none: beside a breakpoint QEMU executes one
    /// instruction at a time.
    pub(crate) fn watch(&mut self, code: &Code, most: u64) -> Result<End, QemuError> {
        let mut watch = Watch::begin(self, most, BOOT_LOOKS)?;
        let mut circles = 0;
        loop {
            if let Some(pc) = self.gdb.resume()? {
                return Ok(End::At(pc));
            }
            if let Some(pc) = self.gdb.stopped(LOOK)? {
                return Ok(End::At(pc));
            }
            match self.gdb.stop()? {
                Stop::At(pc) => return Ok(End::At(pc)),
                Stop::Timeout(pc) if code.is_fault(pc) => return Ok(End::At(pc)),
                Stop::Timeout(_) => {}
            }
            if let Some(end) = watch.over(self)? {
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
    most: u64,
    looks: u32,
    most_looks: u32,
    /// How often nothing was executed from one look to the next.
    still: u32,
}

impl Watch {
    fn begin(board: &mut Debugged, most: u64, most_looks: u32) -> Result<Self, QemuError> {
        let start = board.machine.monitor.instructions()?;
        Ok(Self {
            start,
            last: start,
            most,
            looks: 0,
            most_looks,
            still: 0,
        })
    }

    /// Looks once more.
    fn over(&mut self, board: &mut Debugged) -> Result<Option<End>, QemuError> {
        let now = board.machine.monitor.instructions()?;
        self.still = if now == self.last { self.still + 1 } else { 0 };
        self.last = now;
        self.looks += 1;
        Ok(if self.still >= STILL {
            Some(End::Asleep)
        } else if now - self.start > self.most || self.looks >= self.most_looks {
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

/// The wire of a board that stands, and runs until it has answered, without breakpoints: at most so many instructions.
#[derive(Debug)]
pub(crate) struct Watched<'b> {
    pub(crate) board: &'b mut Debugged,
    pub(crate) most: u64,
}

impl Link for Watched<'_> {
    fn exchange(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let Self { board, most } = self;
        board.machine.wire.set_read_timeout(Some(LOOK))?;
        board.machine.wire.write_all(bytes)?;
        let mut watch = Watch::begin(board, *most, ANSWER_LOOKS).map_err(io::Error::other)?;
        board.gdb.start().map_err(io::Error::other)?;
        let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
        let said = loop {
            match board.machine.wire.read(&mut piece) {
                Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => answer.extend(piece.iter().take(read)),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::TimedOut
                            | io::ErrorKind::Interrupted
                    ) =>
                {
                    board.gdb.stop().map_err(io::Error::other)?;
                    if watch.over(board).map_err(io::Error::other)?.is_some() {
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
/// So many looks are enough, whatever the count: QEMU is slow with code that runs once, as where a core runs through
/// data, and with devices. A boot takes one or two.
const BOOT_LOOKS: u32 = 20;
/// The same for an answer.
const ANSWER_LOOKS: u32 = 10;
/// How often the core may come back before it must be the same, and how long each time may take.
const ROUNDS: u32 = 16;
const ROUND: Duration = Duration::from_millis(10);
/// Bytes of an answer, however long its frame would be.
const MOST_SAID: usize = 1 << 16;
