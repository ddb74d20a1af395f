//! A board whose instructions are counted.
//!
//! QEMU executes one instruction a tick (`-icount`), which makes its own count of executed instructions readable
//! (`query-replay`). The image is the one that ships: nothing in it takes part. While the core sleeps nothing is
//! counted.

use std::io::{self, Write as _};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::debug::{DEBUGGER, attach};
use super::gdb::{Gdb, Stop};
use super::monitor::COUNTING;
use super::{Image, Machine, QemuError};
use crate::client::Link;

/// A board in QEMU that counts instructions.
#[derive(Debug)]
pub struct Counted {
    machine: Machine,
    log: Receiver<String>,
    timeout: Duration,
}

impl Counted {
    /// Switches a board on, and waits until it sleeps after it has logged a line with `said` in it: the
    /// instructions since reset.
    ///
    /// # Errors
    /// [`QemuError`].
    pub fn boot(
        image: &Image,
        flash: &[u8],
        said: &str,
        timeout: Duration,
    ) -> Result<u64, QemuError> {
        let mut board = Self::prepare(image, flash, timeout, &[])?;
        board.machine.monitor.run("cont", json!({}))?;
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = board.log.recv_timeout(left);
            if line
                .map_err(|_| QemuError::Timeout(timeout))?
                .contains(said)
            {
                break;
            }
        }
        board.asleep()
    }

    /// Instructions from where one of the functions at `entries` is first entered until it returns.
    ///
    /// # Errors
    /// [`QemuError`].
    pub fn call(
        image: &Image,
        flash: &[u8],
        entries: &[u32],
        timeout: Duration,
    ) -> Result<u64, QemuError> {
        let mut board = Self::prepare(image, flash, timeout, &DEBUGGER)?;
        let mut gdb = attach(&mut board.machine, timeout)?;
        for entry in entries {
            gdb.set(*entry)?;
        }
        gdb.run(timeout).and_then(at_breakpoint(timeout))?;
        let entered = board.instructions()?;
        let back = gdb.link()?;
        for entry in entries {
            gdb.clear(*entry)?;
        }
        gdb.set(back)?;
        gdb.run(timeout).and_then(at_breakpoint(timeout))?;
        Ok(board.instructions()? - entered)
    }

    fn prepare(
        image: &Image,
        flash: &[u8],
        timeout: Duration,
        arguments: &[&str],
    ) -> Result<Self, QemuError> {
        let arguments = [&COUNTING, arguments].concat();
        let (lines, log) = mpsc::channel();
        let say = move |line: &str| drop(lines.send(line.to_owned()));
        let machine = Machine::prepare(image, flash, timeout, say, &arguments)?;
        Ok(Self {
            machine,
            log,
            timeout,
        })
    }

    /// Instructions executed since power-on.
    fn instructions(&mut self) -> Result<u64, QemuError> {
        self.machine.monitor.instructions()
    }

    /// The same, once the core sleeps.
    fn asleep(&mut self) -> Result<u64, QemuError> {
        let deadline = Instant::now() + self.timeout;
        let mut last = self.instructions()?;
        let mut same = 0;
        while same < STILL {
            thread::sleep(PAUSE);
            let now = self.instructions()?;
            same = if now == last { same + 1 } else { 0 };
            last = now;
            if Instant::now() > deadline {
                return Err(QemuError::Timeout(self.timeout));
            }
        }
        Ok(last)
    }
}

/// A board that counts instructions and gets each byte once it sleeps.
///
/// So it is with a UART in real life, whose bytes come many instructions apart; and the count does not depend on
/// how fast this machine passes them on.
#[derive(Debug)]
pub struct Woken {
    board: Counted,
    gdb: Gdb,
}

impl Woken {
    /// Switches a board on, and lets it run until it first sleeps: at one of the `waits`, which are the addresses
    /// of the instruction for that.
    ///
    /// # Errors
    /// [`QemuError`].
    pub fn power_on(
        image: &Image,
        flash: &[u8],
        waits: &[u32],
        timeout: Duration,
    ) -> Result<Self, QemuError> {
        let mut board = Counted::prepare(image, flash, timeout, &DEBUGGER)?;
        let mut gdb = attach(&mut board.machine, timeout)?;
        for wait in waits {
            gdb.set(*wait)?;
        }
        gdb.run(timeout).and_then(at_breakpoint(timeout))?;
        Ok(Self { board, gdb })
    }

    /// Instructions executed since power-on, up to the sleep that the board is in.
    ///
    /// # Errors
    /// [`QemuError`].
    pub fn instructions(&mut self) -> Result<u64, QemuError> {
        self.board.instructions()
    }

    /// Lets a byte wake the core, and waits until it sleeps again.
    fn wake(&mut self, byte: u8) -> Result<(), QemuError> {
        let timeout = self.board.timeout;
        let wire = &mut self.board.machine.wire;
        wire.write_all(&[byte])
            .map_err(QemuError::io("write to the device"))?;
        // A step would wait for no byte: so there is a breakpoint where the core wakes up.
        let wait = self.gdb.pc()?;
        let awake = wait + WAIT_LEN;
        self.gdb.clear(wait)?;
        self.gdb.set(awake)?;
        self.gdb.run(timeout).and_then(at_breakpoint(timeout))?;
        self.gdb.clear(awake)?;
        self.gdb.set(wait)?;
        self.gdb.run(timeout).and_then(at_breakpoint(timeout))
    }
}

impl Link for Woken {
    fn exchange(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let wire = self.board.machine.wire.try_clone()?;
        wire.set_read_timeout(Some(self.board.timeout))?;
        thread::scope(|scope| {
            // The answer is taken as it comes: a wire that is full would keep the core waiting.
            let answer = scope.spawn(|| read_frame(wire));
            let woken = bytes.iter().try_for_each(|byte| self.wake(*byte));
            woken.map_err(io::Error::other)?;
            answer
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the wire cannot be read")))
        })
    }
}

/// All bytes up to a zero, which ends a frame.
fn read_frame(mut wire: impl io::Read) -> io::Result<Vec<u8>> {
    let (mut frame, mut piece) = (Vec::new(), [0; 4096]);
    while frame.last() != Some(&0) {
        match wire.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => frame.extend(piece.iter().take(read)),
        }
    }
    Ok(frame)
}

fn at_breakpoint(timeout: Duration) -> impl Fn(Stop) -> Result<(), QemuError> {
    move |stop| match stop {
        Stop::At(_) => Ok(()),
        Stop::Timeout(_) => Err(QemuError::Timeout(timeout)),
    }
}

/// A core whose count does not move over so many pauses sleeps.
const STILL: u32 = 10;
const PAUSE: Duration = Duration::from_millis(30);
/// Bytes of the instruction that waits for an interrupt.
const WAIT_LEN: u32 = 2;
