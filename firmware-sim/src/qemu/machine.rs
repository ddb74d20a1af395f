//! A board that runs.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::mem;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::memory::MEMORY_LEN;
use super::monitor::Monitor;
use super::trace::LOGGED;
use super::{Image, Memory, Mode, QemuError, defmt_log, supervisor};
use crate::client::Link;
use crate::device::BootError;
use crate::env::Event;
use crate::sim::{self, flash::SimFlash};

/// A board in QEMU, from power-on until it is dropped.
#[derive(Debug)]
pub struct Machine {
    pub(super) qemu: Child,
    /// QEMU's own number: that of the child is the shell's between the two.
    pub(super) pid: Option<u32>,
    pub(super) monitor: Monitor,
    pub(super) wire: UnixStream,
    log: Option<JoinHandle<()>>,
    timeout: Duration,
    mode: Mode,
    pub(super) memory: Memory,
    /// Flash images and sockets: for this user alone, and gone with the machine.
    pub(super) folder: TempDir,
}

impl Machine {
    /// Switches a board on whose flash map holds `flash`; `log` takes what the device logs, a line each.
    ///
    /// No answer of the device may take longer than `timeout`.
    ///
    /// # Errors
    /// [`QemuError`].
    pub fn power_on(
        image: &Image,
        flash: &[u8],
        timeout: Duration,
        log: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, QemuError> {
        let mut machine = Self::prepare(image, flash, timeout, log, &[])?;
        machine.monitor.run("cont", json!({}))?;
        Ok(machine)
    }

    /// The same for flash that lies in a file of its own, which stays.
    ///
    /// # Errors
    /// [`QemuError`].
    pub fn power_on_with(
        image: &Image,
        memory: Memory,
        timeout: Duration,
        log: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, QemuError> {
        let folder = folder()?;
        // A name without commas, which QEMU takes for the end of one.
        symlink(memory.path(), folder.path().join(FLASH))
            .map_err(QemuError::io("link the flash image"))?;
        let mut machine = Self::prepare_in(folder, image, memory, timeout, log, &[])?;
        machine.monitor.run("cont", json!({}))?;
        Ok(machine)
    }

    /// As [`power_on`](Self::power_on), but the core does not run yet; with more arguments for QEMU.
    pub(super) fn prepare(
        image: &Image,
        flash: &[u8],
        timeout: Duration,
        log: impl FnMut(&str) + Send + 'static,
        arguments: &[&str],
    ) -> Result<Self, QemuError> {
        let folder = folder()?;
        let memory = Memory::create(&folder.path().join(FLASH), flash)?;
        Self::prepare_in(folder, image, memory, timeout, log, arguments)
    }

    fn prepare_in(
        folder: TempDir,
        image: &Image,
        memory: Memory,
        timeout: Duration,
        mut log: impl FnMut(&str) + Send + 'static,
        arguments: &[&str],
    ) -> Result<Self, QemuError> {
        let table = defmt_log::Decoder::read(&image.path)?;
        let at = |name: &str| folder.path().join(name);
        let program = |source| QemuError::Program {
            program: QEMU,
            source,
        };
        let held = memory
            .held()
            .map_err(QemuError::io("lock the flash image"))?;
        let mut qemu = supervisor::command(QEMU, folder.path(), held).map_err(program)?;
        qemu.args(["-display", "none", "-monitor", "none", "-S", "-machine"])
            .arg(format!("{},memory-backend=flash", image.board.machine()))
            .arg("-object")
            .arg(format!(
                "memory-backend-file,id=flash,mem-path={FLASH},size={MEMORY_LEN},share=on"
            ))
            .arg("-kernel")
            .arg(&image.path)
            // Relative names: a socket's path must not be longer than about 100 bytes.
            .args(["-chardev", "socket,id=wire,path=wire,server=on,wait=off"])
            .args(["-serial", "chardev:wire"])
            .args(["-chardev", "socket,id=log,path=log,server=on,wait=off"])
            .args(["-serial", "chardev:log"])
            .args(["-qmp", "unix:qmp,server=on,wait=off"])
            .args(["-pidfile", PID])
            .args(arguments);
        let mut qemu = qemu.spawn().map_err(program)?;
        let deadline = Instant::now() + START_TIMEOUT;
        let mut connect = |name: &str| connect(&mut qemu, &at(name), deadline, timeout);
        let sockets = (|| Ok((connect("qmp")?, connect("wire")?, connect("log")?)))();
        let (monitor, wire, log_stream) = match sockets {
            Ok(sockets) => sockets,
            Err(error) => {
                // Its standard input ends, and so does it.
                let _ = qemu.wait();
                return Err(error);
            }
        };
        let log = thread::spawn(move || table.run(log_stream, &mut log));
        // Written before the sockets were there.
        let pid = fs::read_to_string(folder.path().join(PID));
        let pid = pid.ok().and_then(|pid| pid.trim().parse().ok());
        Ok(Self {
            monitor: Monitor::new(monitor)?,
            qemu,
            pid,
            wire,
            log: Some(log),
            timeout,
            mode: image.mode,
            memory,
            folder,
        })
    }

    /// The flash as it is now.
    ///
    /// # Errors
    /// [`QemuError`].
    pub fn flash(&self) -> Result<Zeroizing<Vec<u8>>, QemuError> {
        self.memory.flash()
    }

    /// The wire, for bytes of any kind.
    ///
    /// # Errors
    /// [`QemuError`].
    pub fn wire(&self) -> Result<UnixStream, QemuError> {
        self.wire
            .try_clone()
            .map_err(QemuError::io("share the wire"))
    }

    /// Switches the board off. Nothing writes to its flash any more.
    pub fn power_off(&mut self) {
        // Its standard input ends, and so does QEMU.
        let _ = self.qemu.wait();
        if let Some(log) = self.log.take() {
            let _ = log.join();
        }
    }

    /// Whether QEMU has ended.
    pub(crate) fn ended(&mut self) -> bool {
        matches!(self.qemu.try_wait(), Ok(Some(_)))
    }

    /// Why a device in this process serves no model from the same flash, if it serves none: the reason in words,
    /// which the device's own log gives in short.
    ///
    /// # Errors
    /// [`QemuError`].
    pub fn boot_error(&self) -> Result<Option<BootError>, QemuError> {
        let flash = SimFlash::new(mem::take(&mut *self.flash()?));
        let copy = sim::Machine::new(flash);
        Ok(match self.mode {
            Mode::Confidential => {
                let mut copy = copy;
                copy.boot(|_: Event| {}).model().err()
            }
            Mode::Clear | Mode::Streamed => copy.streamed().boot(|_: Event| {}).model().err(),
        })
    }

    /// What the board's memory holds at these addresses.
    ///
    /// # Errors
    /// [`QemuError`].
    pub fn memory(&mut self, addresses: Range<u32>) -> Result<Zeroizing<Vec<u8>>, QemuError> {
        let arguments = json!({"val": addresses.start, "size": addresses.len(), "filename": DUMP});
        self.monitor.run("pmemsave", arguments)?;
        fs::read(self.folder.path().join(DUMP))
            .map(Zeroizing::new)
            .map_err(QemuError::io("read the board's memory"))
    }

    /// Has QEMU log what it executes from now on.
    pub(super) fn start_log(&mut self) -> Result<File, QemuError> {
        self.human(&format!("logfile {LOG}"))?;
        // Opens the file before the core is told: QEMU would translate blocks in between without saying them.
        self.human("log guest_errors")?;
        // Never switched off: a block that is translated meanwhile would not be said, now or later.
        self.human(&format!("log {LOGGED}"))?;
        let path = self.folder.path().join(LOG);
        File::open(path).map_err(QemuError::io("open QEMU's log"))
    }

    /// Runs a command that QEMU's monitor has for people alone.
    fn human(&mut self, command: &str) -> Result<(), QemuError> {
        let arguments = json!({"command-line": command});
        let said = self.monitor.run("human-monitor-command", arguments)?;
        match said.as_str() {
            Some("") => Ok(()),
            _ => Err(QemuError::Machine(format!("{command}: {said}"))),
        }
    }

    /// Resets the board; flash stays as it is.
    ///
    /// # Errors
    /// [`QemuError`].
    pub fn reset(&mut self) -> Result<(), QemuError> {
        self.monitor.run("system_reset", json!({}))?;
        Ok(())
    }
}

impl Link for Machine {
    fn exchange(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        // Whoever shares the wire may have set another.
        self.wire.set_read_timeout(Some(self.timeout))?;
        self.wire
            .write_all(bytes)
            .map_err(|error| self.said(error))?;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        let deadline = Instant::now() + self.timeout;
        // A frame ends with a zero, and the device sends one for each that it gets.
        while answer.last() != Some(&0) {
            match self.wire.read(&mut piece) {
                Ok(0) => return Err(self.said(io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => answer.extend(piece.iter().take(read)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.said(error)),
            }
            if Instant::now() > deadline {
                return Err(self.said(io::ErrorKind::TimedOut.into()));
            }
        }
        Ok(answer)
    }
}

impl Machine {
    /// What a failure of the wire means.
    fn said(&self, error: io::Error) -> io::Error {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
        match error.kind() {
            TimedOut | WouldBlock => {
                io::Error::new(TimedOut, QemuError::Timeout(self.timeout).to_string())
            }
            BrokenPipe | ConnectionReset | UnexpectedEof => {
                io::Error::new(UnexpectedEof, "QEMU ended")
            }
            _ => error,
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_off();
    }
}

fn folder() -> Result<TempDir, QemuError> {
    tempfile::Builder::new()
        .prefix("sealnet-qemu-")
        .tempdir()
        .map_err(QemuError::io("make a temporary folder"))
}

/// Connects to a socket that QEMU is about to open.
pub(super) fn connect(
    qemu: &mut Child,
    path: &Path,
    deadline: Instant,
    timeout: Duration,
) -> Result<UnixStream, QemuError> {
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => {
                stream
                    .set_read_timeout(Some(timeout))
                    .and_then(|()| stream.set_write_timeout(Some(timeout)))
                    .map_err(QemuError::io("set a timeout"))?;
                return Ok(stream);
            }
            Err(_) if Instant::now() > deadline => {
                let waited = START_TIMEOUT.as_secs();
                return Err(QemuError::Machine(format!(
                    "it opened no socket within {waited} s"
                )));
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
        if let Ok(Some(status)) = qemu.try_wait() {
            let mut said = String::new();
            if let Some(stderr) = &mut qemu.stderr {
                let _ = stderr.take(4096).read_to_string(&mut said);
            }
            return Err(QemuError::Machine(match said.trim() {
                "" => format!("it ended at once: {status}"),
                said => said.to_owned(),
            }));
        }
    }
}

/// The program.
pub(super) const QEMU: &str = "qemu-system-arm";
const FLASH: &str = "flash.bin";
const PID: &str = "pid";
const DUMP: &str = "memory.bin";
/// QEMU's log.
const LOG: &str = "trace.log";
/// Until QEMU has opened its sockets.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(20);
