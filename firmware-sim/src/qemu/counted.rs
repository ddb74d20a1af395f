//! A board whose instructions are counted.
//!
//! QEMU executes one instruction a tick (`-icount`) and records the run, which makes its own count of executed
//! instructions readable (`query-replay`). The image is the one that ships: nothing in it takes part. While the
//! core sleeps nothing is counted. (A core that sleeps gets nothing from outside in a recording: requests cannot be
//! counted like this.)

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::debug::{DEBUGGER, attach};
use super::gdb::Stop;
use super::{Image, Machine, QemuError};

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
        let count = ["-icount", "shift=0,rr=record,rrfile=record"];
        let arguments: Vec<&str> = count.iter().chain(arguments).copied().collect();
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
        let replay = self.machine.monitor.run("query-replay", json!({}))?;
        let count = replay.get("icount").and_then(Value::as_u64);
        count.ok_or_else(|| QemuError::Machine(format!("query-replay: {replay}")))
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

fn at_breakpoint(timeout: Duration) -> impl Fn(Stop) -> Result<(), QemuError> {
    move |stop| match stop {
        Stop::At(_) => Ok(()),
        Stop::Timeout(_) => Err(QemuError::Timeout(timeout)),
    }
}

/// A core whose count does not move over so many pauses sleeps.
const STILL: u32 = 10;
const PAUSE: Duration = Duration::from_millis(30);
