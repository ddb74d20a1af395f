//! QEMU's debugger stub: the GDB remote serial protocol ("Debugging with GDB", appendix E), as much of it as
//! stopping, patching and stepping a core takes.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::QemuError;

/// The connection to the debugger. While it lasts the core runs only when told to.
#[derive(Debug)]
pub(crate) struct Gdb {
    stream: UnixStream,
    received: Vec<u8>,
    breakpoints: BTreeSet<u32>,
}

/// Why the core stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// At a breakpoint, or after a step: the program counter.
    At(u32),
    /// It was stopped because it took too long: the program counter.
    Timeout(u32),
}

impl Gdb {
    /// Takes over the core, which stops.
    pub(super) fn new(stream: UnixStream) -> Result<Self, QemuError> {
        let mut gdb = Self {
            stream,
            received: Vec::new(),
            breakpoints: BTreeSet::new(),
        };
        gdb.ask("?")?;
        Ok(gdb)
    }

    /// Sets a breakpoint, if it is not there.
    pub(crate) fn set(&mut self, address: u32) -> Result<(), QemuError> {
        match self.breakpoints.insert(address) {
            true => self.ok(&format!("Z0,{address:x},2")),
            false => Ok(()),
        }
    }

    /// Takes a breakpoint away, if it is there.
    pub(crate) fn clear(&mut self, address: u32) -> Result<(), QemuError> {
        match self.breakpoints.remove(&address) {
            true => self.ok(&format!("z0,{address:x},2")),
            false => Ok(()),
        }
    }

    /// Writes memory, code too.
    pub(crate) fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), QemuError> {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.ok(&format!("M{address:x},{:x}:{hex}", bytes.len()))
    }

    /// The program counter.
    pub(crate) fn pc(&mut self) -> Result<u32, QemuError> {
        self.register(PC)
    }

    /// Where the function that was just entered returns to.
    pub(crate) fn link(&mut self) -> Result<u32, QemuError> {
        // The lowest bit says that it is Thumb code.
        Ok(self.register(LR)? & !1)
    }

    /// All core registers, as QEMU sends them.
    pub(super) fn registers(&mut self) -> Result<String, QemuError> {
        self.ask("g")
    }

    fn register(&mut self, number: usize) -> Result<u32, QemuError> {
        // All registers, since QEMU gives single ones only to who has read its description of them.
        let bytes = unhex(&self.registers()?)?;
        bytes
            .as_chunks()
            .0
            .get(number)
            .map(|bytes| u32::from_le_bytes(*bytes))
            .ok_or_else(|| unexpected("no such register"))
    }

    /// Executes one instruction, breakpoint or not.
    pub(crate) fn step(&mut self) -> Result<u32, QemuError> {
        self.ask("s")?;
        self.pc()
    }

    /// Lets the core run until it hits a breakpoint other than the one that it stands at.
    pub(crate) fn run(&mut self, timeout: Duration) -> Result<Stop, QemuError> {
        match self.resume()? {
            Some(pc) => Ok(Stop::At(pc)),
            None => self.wait(timeout),
        }
    }

    /// The same without waiting: where the core stands, if it hit a breakpoint at once.
    pub(super) fn resume(&mut self) -> Result<Option<u32>, QemuError> {
        // A breakpoint where the core stands would stop it at once.
        let pc = self.pc()?;
        if self.breakpoints.contains(&pc) {
            self.send("s")?;
            match self.stopped(STEP_TIMEOUT)? {
                Some(pc) if self.breakpoints.contains(&pc) => return Ok(Some(pc)),
                Some(_) => {}
                // It sleeps, and will be at the breakpoint when it wakes up.
                None => drop(self.stop()?),
            }
        }
        self.send("c")?;
        Ok(None)
    }

    /// Where a core that was resumed stands, if it hits a breakpoint within `timeout`.
    pub(super) fn stopped(&mut self, timeout: Duration) -> Result<Option<u32>, QemuError> {
        match self.reply(timeout)? {
            Some(_) => self.pc().map(Some),
            None => Ok(None),
        }
    }

    /// Lets the core run, with no breakpoint set, and does not wait.
    pub(crate) fn start(&mut self) -> Result<(), QemuError> {
        self.clear_all()?;
        self.send("c")
    }

    /// Takes all breakpoints away.
    pub(super) fn clear_all(&mut self) -> Result<(), QemuError> {
        for address in self.breakpoints.clone() {
            self.clear(address)?;
        }
        Ok(())
    }

    /// Stops a core that runs, perhaps at a breakpoint that it has just hit.
    pub(crate) fn stop(&mut self) -> Result<Stop, QemuError> {
        self.wait(Duration::ZERO)
    }

    /// Waits for the core to stop; stops it after `timeout`.
    fn wait(&mut self, timeout: Duration) -> Result<Stop, QemuError> {
        if !timeout.is_zero() && self.reply(timeout)?.is_some() {
            return Ok(Stop::At(self.pc()?));
        }
        self.stream.write_all(&[INTERRUPT]).map_err(failed)?;
        self.reply(ANSWER_TIMEOUT)?
            .ok_or(QemuError::Timeout(ANSWER_TIMEOUT))?;
        let pc = self.pc()?;
        Ok(match self.breakpoints.contains(&pc) {
            true => Stop::At(pc),
            false => Stop::Timeout(pc),
        })
    }

    fn ok(&mut self, command: &str) -> Result<(), QemuError> {
        match self.ask(command)?.as_str() {
            "OK" => Ok(()),
            answer => Err(unexpected(&format!("{command}: {answer}"))),
        }
    }

    fn ask(&mut self, command: &str) -> Result<String, QemuError> {
        self.send(command)?;
        self.reply(ANSWER_TIMEOUT)?
            .ok_or(QemuError::Timeout(ANSWER_TIMEOUT))
    }

    fn send(&mut self, command: &str) -> Result<(), QemuError> {
        let sum = command.bytes().fold(0_u8, u8::wrapping_add);
        // The `+` acknowledges what came before.
        let packet = format!("${command}#{sum:02x}");
        self.stream.write_all(packet.as_bytes()).map_err(failed)
    }

    /// The next packet, acknowledged; `None` if none comes in time.
    fn reply(&mut self, timeout: Duration) -> Result<Option<String>, QemuError> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(packet) = self.packet() {
                self.stream.write_all(b"+").map_err(failed)?;
                return Ok(Some(packet));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left)).map_err(failed)?;
            let mut piece = [0; 1024];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => self.received.extend(piece.iter().take(read)),
                Err(error) if is_nothing_yet(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Takes a whole packet off what was received: what is between `$` and `#`, without its checksum, which a
    /// socket has no need of.
    fn packet(&mut self) -> Option<String> {
        let start = self.received.iter().position(|byte| *byte == b'$')?;
        let len = self
            .received
            .iter()
            .skip(start)
            .position(|byte| *byte == b'#')?;
        let end = start + len;
        if self.received.len() < end + 3 {
            return None;
        }
        let packet = self.received.get(start + 1..end)?;
        let packet = String::from_utf8_lossy(packet).into_owned();
        self.received.drain(..end + 3);
        Some(packet)
    }
}

/// Whether reading has brought nothing in its time, and may be tried again.
pub(super) fn is_nothing_yet(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

fn unhex(text: &str) -> Result<Vec<u8>, QemuError> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    match bytes.collect() {
        Some(bytes) if rest.is_empty() => Ok(bytes),
        _ => Err(unexpected(text)),
    }
}

fn unexpected(answer: &str) -> QemuError {
    QemuError::Machine(format!("its debugger answered: {answer}"))
}

fn failed(source: io::Error) -> QemuError {
    QemuError::Io {
        action: "talk to QEMU's debugger",
        source,
    }
}

/// Numbers of registers.
const PC: usize = 15;
const LR: usize = 14;
/// What stops a core that runs.
const INTERRUPT: u8 = 3;
/// A core that has not made a step by then sleeps.
const STEP_TIMEOUT: Duration = Duration::from_millis(100);
/// For an answer that takes no work.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
