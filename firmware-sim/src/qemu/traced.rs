//! A board that says which instructions it executes for a frame.
//!
//! It boots without saying anything, which takes a hundredth of the time.

use std::fs::{self, File};
use std::io::BufReader;
use std::time::Duration;

use serde_json::json;

use super::trace::{LOGGED, Trace};
use super::{Image, Machine, QemuError};
use crate::client::Link;

/// A board in QEMU that logs while it answers.
#[derive(Debug)]
pub(crate) struct Traced {
    machine: Machine,
    trace: Trace,
}

impl Traced {
    /// Switches a board on; see [`Machine::power_on`].
    pub(crate) fn power_on(
        image: &Image,
        flash: &[u8],
        timeout: Duration,
    ) -> Result<Self, QemuError> {
        Ok(Self {
            machine: Machine::power_on(image, flash, timeout, |_| {})?,
            trace: Trace::default(),
        })
    }

    /// The board, for frames whose instructions do not matter.
    pub(crate) fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Exchanges a frame, and gives with the answer the address of every instruction executed meanwhile.
    pub(crate) fn exchange(&mut self, frame: &[u8]) -> Result<(Vec<u8>, Vec<u32>), QemuError> {
        self.human(&format!("logfile {LOG}"))?;
        self.human(&format!("log {LOGGED}"))?;
        let answer = self.machine.exchange(frame);
        self.human("log none")?;
        let answer = answer.map_err(QemuError::io("exchange a frame with the device"))?;
        let path = self.machine.folder.path().join(LOG);
        let log = File::open(&path).map_err(QemuError::io("open QEMU's log"))?;
        self.trace
            .read(BufReader::with_capacity(1 << 16, log))
            .map_err(QemuError::io("read QEMU's log"))?;
        fs::remove_file(&path).map_err(QemuError::io("remove QEMU's log"))?;
        Ok((answer, self.trace.take()?))
    }

    /// The instruction at an address, as QEMU disassembles it, if it was executed for a frame.
    pub(crate) fn instruction(&self, address: u32) -> Option<&str> {
        self.trace.instruction(address)
    }

    /// Runs a command that QEMU's monitor has for people alone.
    fn human(&mut self, command: &str) -> Result<(), QemuError> {
        let arguments = json!({"command-line": command});
        let said = self
            .machine
            .monitor
            .run("human-monitor-command", arguments)?;
        match said.as_str() {
            Some("") => Ok(()),
            _ => Err(QemuError::Machine(format!("{command}: {said}"))),
        }
    }
}

/// QEMU's log, in the machine's folder.
const LOG: &str = "trace.log";
