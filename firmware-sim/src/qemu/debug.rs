//! A board under the debugger: it runs only when told to.

use std::io::{self, BufReader, Read as _};
use std::thread;
use std::time::{Duration, Instant};

use super::gdb::{Gdb, Stop};
use super::machine::{Machine, START_TIMEOUT, connect};
use super::monitor::COUNTING;
use super::trace::{LOGGED, Trace};
use super::{Image, QemuError};

/// A board in QEMU whose core the debugger holds.
#[derive(Debug)]
pub(crate) struct Debugged {
    pub(crate) machine: Machine,
    pub(crate) gdb: Gdb,
}

impl Debugged {
    /// Switches a board on, which stands at its reset until told to run; see [`Machine::power_on`].
    pub(crate) fn power_on(
        image: &Image,
        flash: &[u8],
        timeout: Duration,
        arguments: &[&str],
    ) -> Result<Self, QemuError> {
        let arguments = [&DEBUGGER, arguments].concat();
        let mut machine = Machine::prepare(image, flash, timeout, |_| {}, &arguments)?;
        let gdb = attach(&mut machine, timeout)?;
        Ok(Self { machine, gdb })
    }

    /// The same for a board that counts what it executes.
    pub(crate) fn counting(
        image: &Image,
        flash: &[u8],
        timeout: Duration,
    ) -> Result<Self, QemuError> {
        Self::power_on(image, flash, timeout, &COUNTING)
    }

    /// Resets the board and gives it another flash; it stands at its reset.
    pub(crate) fn restart(&mut self, flash: &[u8]) -> Result<(), QemuError> {
        self.gdb.clear_all()?;
        let machine = &mut self.machine;
        machine.reset()?;
        machine.monitor.event("RESET")?;
        machine.memory.write(flash)?;
        // What the device was about to say before is not what it says now.
        let drained = machine.wire.set_nonblocking(true).and_then(|()| {
            let mut piece = [0; 4096];
            while !matches!(machine.wire.read(&mut piece), Ok(0) | Err(_)) {}
            machine.wire.set_nonblocking(false)
        });
        drained.map_err(QemuError::io("read from the device"))
    }

    /// Runs from the reset to one of `ends` and gives the address of every instruction executed, in order.
    pub(crate) fn trace(
        image: &Image,
        flash: &[u8],
        ends: &[u32],
        timeout: Duration,
    ) -> Result<Vec<u32>, QemuError> {
        Self::log(image, flash, ends, timeout)?.take()
    }

    /// Runs on from where the core stands or sleeps to one of `ends`, and gives the same; no more is of use after it.
    pub(crate) fn trace_on(
        mut self,
        ends: &[u32],
        timeout: Duration,
    ) -> Result<Vec<u32>, QemuError> {
        let log = self.machine.start_log()?;
        for end in ends {
            self.gdb.set(*end)?;
        }
        let stop = self.gdb.run(timeout)?;
        drop(self);
        let mut trace = Trace::default();
        trace
            .read(BufReader::new(log))
            .map_err(QemuError::io("read QEMU's log"))?;
        match stop {
            Stop::At(_) => trace.take(),
            Stop::Timeout(_) => Err(QemuError::Timeout(timeout)),
        }
    }

    /// The same, with what each instruction is.
    pub(crate) fn log(
        image: &Image,
        flash: &[u8],
        ends: &[u32],
        timeout: Duration,
    ) -> Result<Trace, QemuError> {
        let mut board = Self::power_on(image, flash, timeout, &["-d", LOGGED])?;
        let stderr = board.machine.qemu.stderr.take();
        let stderr = stderr.ok_or_else(|| QemuError::Machine("it has no log".into()))?;
        let reader = thread::spawn(move || {
            let mut trace = Trace::default();
            trace.read(BufReader::with_capacity(1 << 16, stderr))?;
            Ok::<_, io::Error>(trace)
        });
        for end in ends {
            board.gdb.set(*end)?;
        }
        let stop = board.gdb.run(timeout)?;
        drop(board);
        let trace = reader
            .join()
            .map_err(|_| QemuError::Machine("its log cannot be read".into()))?
            .map_err(QemuError::io("read QEMU's log"))?;
        match stop {
            Stop::At(_) => Ok(trace),
            Stop::Timeout(_) => Err(QemuError::Timeout(timeout)),
        }
    }
}

/// Takes over the core of a machine that was prepared with [`DEBUGGER`].
pub(super) fn attach(machine: &mut Machine, timeout: Duration) -> Result<Gdb, QemuError> {
    let path = machine.folder.path().join("gdb");
    let deadline = Instant::now() + START_TIMEOUT;
    Gdb::new(connect(&mut machine.qemu, &path, deadline, timeout)?)
}

/// QEMU's arguments for a debugger.
pub(super) const DEBUGGER: [&str; 4] = [
    "-chardev",
    "socket,id=gdb,path=gdb,server=on,wait=off",
    "-gdb",
    "chardev:gdb",
];
