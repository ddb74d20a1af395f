//! A board that says which instructions it executes for a frame.
//!
//! It boots without saying anything, which takes a hundredth of the time.

use std::fs::File;
use std::io::Read as _;
use std::mem;
use std::time::Duration;

use super::trace::Trace;
use super::{Image, Machine, QemuError};
use crate::client::Link;

/// A board in QEMU that logs while it answers.
#[derive(Debug)]
pub(crate) struct Traced {
    machine: Machine,
    trace: Trace,
    /// QEMU's log, once it is asked for.
    log: Option<File>,
    /// The beginning of a line whose end was not in it.
    unread: Vec<u8>,
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
            log: None,
            unread: Vec::new(),
        })
    }

    /// The board, for frames whose instructions do not matter.
    pub(crate) fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Exchanges a frame, and gives with the answer the address of every instruction executed for it, perhaps after
    /// some that the frame before it left to do.
    pub(crate) fn exchange(&mut self, frame: &[u8]) -> Result<(Vec<u8>, Vec<u32>), QemuError> {
        if self.log.is_none() {
            self.log = Some(self.machine.start_log()?);
        }
        let answer = self.machine.exchange(frame);
        let answer = answer.map_err(QemuError::io("exchange a frame with the device"))?;
        // What came before the answer is in the log; the line that it ends in need not be whole.
        if let Some(log) = &mut self.log {
            log.read_to_end(&mut self.unread)
                .map_err(QemuError::io("read QEMU's log"))?;
        }
        let end = self.unread.iter().rposition(|byte| *byte == b'\n');
        let rest = self.unread.split_off(end.map_or(0, |end| end + 1));
        let lines = mem::replace(&mut self.unread, rest);
        self.trace
            .read(lines.as_slice())
            .map_err(QemuError::io("read QEMU's log"))?;
        Ok((answer, self.trace.take()?))
    }

    /// The instruction at an address, as QEMU disassembles it, if it was executed for a frame.
    pub(crate) fn instruction(&self, address: u32) -> Option<&str> {
        self.trace.instruction(address)
    }
}
