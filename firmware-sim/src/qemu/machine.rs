//! A board that runs.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::monitor::Monitor;
use super::{Image, QemuError, defmt_log};
use crate::client::Link;
use crate::layout::FLASH_LEN;

/// A board in QEMU, from power-on until it is dropped.
#[derive(Debug)]
pub struct Machine {
    pub(super) qemu: Child,
    pub(super) monitor: Monitor,
    pub(super) wire: UnixStream,
    log: Option<JoinHandle<()>>,
    timeout: Duration,
    pub(super) memory: File,
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

    /// As [`power_on`](Self::power_on), but the core does not run yet; with more arguments for QEMU.
    pub(super) fn prepare(
        image: &Image,
        flash: &[u8],
        timeout: Duration,
        mut log: impl FnMut(&str) + Send + 'static,
        arguments: &[&str],
    ) -> Result<Self, QemuError> {
        let folder = tempfile::Builder::new()
            .prefix("sealnet-qemu-")
            .tempdir()
            .map_err(QemuError::io("make a temporary folder"))?;
        let table = defmt_log::Decoder::read(&image.path)?;
        let at = |name: &str| folder.path().join(name);
        let memory = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(at(FLASH))
            .and_then(|file| {
                file.set_len(MEMORY_LEN)?;
                file.write_all_at(flash, 0)?;
                Ok(file)
            })
            .map_err(QemuError::io("write the flash image"))?;
        let mut qemu = Command::new(QEMU);
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
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut qemu = qemu.spawn().map_err(|source| QemuError::Program {
            program: QEMU,
            source,
        })?;
        let deadline = Instant::now() + START_TIMEOUT;
        let mut connect = |name: &str| connect(&mut qemu, &at(name), deadline, timeout);
        let sockets = (|| Ok((connect("qmp")?, connect("wire")?, connect("log")?)))();
        let (monitor, wire, log_stream) = match sockets {
            Ok(sockets) => sockets,
            Err(error) => {
                let _ = qemu.kill();
                let _ = qemu.wait();
                return Err(error);
            }
        };
        let log = thread::spawn(move || table.run(log_stream, &mut log));
        Ok(Self {
            monitor: Monitor::new(monitor)?,
            qemu,
            wire,
            log: Some(log),
            timeout,
            memory,
            folder,
        })
    }

    /// The flash as it is now.
    ///
    /// # Errors
    /// [`QemuError`].
    pub fn flash(&self) -> Result<Zeroizing<Vec<u8>>, QemuError> {
        let mut flash = Zeroizing::new(vec![0; FLASH_LEN]);
        self.memory
            .read_exact_at(&mut flash, 0)
            .map_err(QemuError::io("read the flash image"))?;
        Ok(flash)
    }

    /// Whether QEMU has ended.
    pub(crate) fn ended(&mut self) -> bool {
        matches!(self.qemu.try_wait(), Ok(Some(_)))
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
        self.wire.write_all(bytes)?;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        let deadline = Instant::now() + self.timeout;
        // A frame ends with a zero, and the device sends one for each that it gets.
        while answer.last() != Some(&0) {
            match self.wire.read(&mut piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => answer.extend(piece.iter().take(read)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(answer)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        if let Some(log) = self.log.take() {
            let _ = log.join();
        }
    }
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
                    .map_err(QemuError::io("set a timeout"))?;
                return Ok(stream);
            }
            Err(source) if Instant::now() > deadline => {
                return Err(QemuError::Io {
                    action: "connect to QEMU",
                    source,
                });
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
        if let Ok(Some(_)) = qemu.try_wait() {
            let mut said = String::new();
            if let Some(stderr) = &mut qemu.stderr {
                let _ = stderr.take(4096).read_to_string(&mut said);
            }
            return Err(QemuError::Machine(said.trim().to_owned()));
        }
    }
}

const QEMU: &str = "qemu-system-arm";
const FLASH: &str = "flash.bin";
/// What the boards have at [`Board::storage`](super::Board::storage).
const MEMORY_LEN: u64 = 16 << 20;
/// Until QEMU has opened its sockets.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(20);
