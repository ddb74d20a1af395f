//! A board whose time goes with its instructions, and whose memory its owner lays out.

use std::time::Duration;

use serde_json::json;

use super::{Image, Machine, QemuError};

impl Machine {
    /// As [`power_on`](Machine::power_on), with `memory` where the flash map would be; each instruction takes
    /// 25.6 ticks of a timer.
    pub(crate) fn power_on_timed(
        image: &Image,
        memory: &[u8],
        timeout: Duration,
    ) -> Result<Self, QemuError> {
        Self::power_on_laid(image, memory, timeout, &TIMING)
    }

    /// The same, in the time that it takes; QEMU gets these arguments beside its own.
    pub(crate) fn power_on_laid(
        image: &Image,
        memory: &[u8],
        timeout: Duration,
        arguments: &[&str],
    ) -> Result<Self, QemuError> {
        let mut machine = Self::prepare(image, memory, timeout, |_| {}, arguments)?;
        machine.monitor.run("cont", json!({}))?;
        Ok(machine)
    }

    /// Writes to its memory, where the core does not look meanwhile.
    pub(crate) fn write(&self, at: u32, bytes: &[u8]) -> Result<(), QemuError> {
        self.memory.write_at(at, bytes)
    }

    /// Reads from its memory.
    pub(crate) fn read(&self, at: u32, bytes: &mut [u8]) -> Result<(), QemuError> {
        self.memory.read_at(at, bytes)
    }
}

/// Instructions that took so many ticks of a timer of 25 MHz: each takes 1,024 ns, which are 25.6 ticks.
pub(crate) fn instructions(ticks: u32) -> u64 {
    (10 * u64::from(ticks) + 128) / 256
}

/// QEMU's arguments for that.
const TIMING: [&str; 2] = ["-icount", "shift=10"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_rounded_to_instructions() {
        assert_eq!(
            [0, 25, 26, 51, 256, 2560].map(instructions),
            [0, 1, 1, 2, 10, 100]
        );
        assert_eq!(instructions(u32::MAX), 167_772_160);
    }
}
