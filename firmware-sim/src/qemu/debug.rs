//! A board under the debugger: it runs only when told to.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::mem;
use std::thread;
use std::time::{Duration, Instant};

use super::gdb::{Gdb, Stop};
use super::machine::{Machine, START_TIMEOUT, connect};
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

    /// Resets the board and gives it another flash; it stands at its reset.
    pub(crate) fn restart(&mut self, flash: &[u8]) -> Result<(), QemuError> {
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
        // Each block of instructions as it is translated, and each execution of a block.
        let arguments = ["-d", "in_asm,exec,nochain"];
        let mut board = Self::power_on(image, flash, timeout, &arguments)?;
        let stderr = board.machine.qemu.stderr.take();
        let stderr = stderr.ok_or_else(|| QemuError::Machine("it has no log".into()))?;
        let reader = thread::spawn(move || {
            let mut lines = BufReader::with_capacity(1 << 16, stderr);
            let (mut line, mut trace) = (Vec::new(), Trace::default());
            while lines.read_until(b'\n', &mut line)? != 0 {
                trace.take(&String::from_utf8_lossy(&line));
                line.clear();
            }
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
            Stop::At(_) => trace.whole(),
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

/// What QEMU's log says of a run.
#[derive(Debug, Default)]
struct Trace {
    /// The instructions of each block, by its first one's address.
    blocks: HashMap<u32, Vec<u32>>,
    /// The block that is being said.
    block: Vec<u32>,
    addresses: Vec<u32>,
    /// A block was executed that was not said.
    lost: bool,
}

impl Trace {
    fn take(&mut self, line: &str) {
        if let Some(fields) = line.strip_prefix("Trace ") {
            self.end_block();
            let block = executed(fields).and_then(|first| self.blocks.get(&first));
            match block {
                Some(block) => self.addresses.extend(block),
                None => self.lost = true,
            }
        } else if line.starts_with("IN:") {
            self.end_block();
        } else if let Some(address) = instruction(line) {
            self.block.push(address);
        }
    }

    fn end_block(&mut self) {
        if let Some(first) = self.block.first() {
            self.blocks.insert(*first, mem::take(&mut self.block));
        }
    }

    fn whole(self) -> Result<Vec<u32>, QemuError> {
        match self {
            Self {
                addresses,
                lost: false,
                ..
            } if !addresses.is_empty() => Ok(addresses),
            _ => Err(QemuError::Machine(
                "its log does not say which instructions were executed".into(),
            )),
        }
    }
}

/// The address in a line such as `0x000001a8:  f000 f80f  bl #0x1ca`.
fn instruction(line: &str) -> Option<u32> {
    let (address, _) = line.strip_prefix("0x")?.split_once(':')?;
    u32::from_str_radix(address, 16).ok()
}

/// The address in what follows `Trace `: `0: 0x7f… [00000000/000001a8/00000110/ff000201] symbol`.
fn executed(fields: &str) -> Option<u32> {
    let (_, fields) = fields.split_once('[')?;
    u32::try_from(u64::from_str_radix(fields.split('/').nth(1)?, 16).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_every_instruction_in_order() {
        let log = "----------------\nIN: Reset\n0x00000400:  f002 fc28  bl #0x2c54\n\n\
                   Trace 0: 0x7f8f18000100 [00000000/00000400/0000011b/ff000600] Reset\n\
                   ----------------\nIN: pre\n0x00002c54:  bf00       nop\n0x00002c56:  4770       bx lr\n\n\
                   Trace 0: 0x7f8f18000240 [00000000/00002c54/0000011b/ff000600] pre\n\
                   Trace 0: 0x7f8f18000100 [00000000/00000400/0000011b/ff000600] Reset\n";
        let mut trace = Trace::default();
        log.lines().for_each(|line| trace.take(line));
        assert_eq!(trace.whole().unwrap(), [0x400, 0x2c54, 0x2c56, 0x400]);
        let mut trace = Trace::default();
        log.lines().skip(3).for_each(|line| trace.take(line));
        assert!(trace.whole().is_err());
        assert!(Trace::default().whole().is_err());
    }
}
