//! What QEMU's log says of a run: the address of every instruction executed, in order.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::mem;

use super::QemuError;

/// What QEMU is to log: each block of instructions as it is translated, and each execution of a block.
pub(super) const LOGGED: &str = "in_asm,exec,nochain";

/// A log, as far as it was read. Blocks that were said once are known from then on.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// The instructions of each block, by its first one's address.
    blocks: HashMap<u32, Vec<u32>>,
    /// What each instruction is, as QEMU disassembles it: `umull r2, r3, r0, r1`.
    instructions: HashMap<u32, String>,
    /// The block that is being said.
    block: Vec<u32>,
    addresses: Vec<u32>,
    /// Where the last block begins among them.
    last: usize,
    /// A block was executed that was not said.
    lost: bool,
}

impl Trace {
    /// Reads a log, or more of it, to its end.
    pub(super) fn read(&mut self, mut lines: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? != 0 {
            self.line(&String::from_utf8_lossy(&line));
            line.clear();
        }
        Ok(())
    }

    /// The address of every instruction executed since the last time that this was asked.
    pub(crate) fn take(&mut self) -> Result<Vec<u32>, QemuError> {
        let addresses = mem::take(&mut self.addresses);
        self.last = 0;
        match mem::take(&mut self.lost) {
            false if !addresses.is_empty() => Ok(addresses),
            _ => Err(QemuError::Gap),
        }
    }

    /// The instruction at an address, as QEMU disassembles it, if it was translated while QEMU logged.
    pub(crate) fn instruction(&self, address: u32) -> Option<&str> {
        self.instructions.get(&address).map(String::as_str)
    }

    fn line(&mut self, line: &str) {
        if let Some(fields) = line.strip_prefix("Trace ") {
            self.end_block();
            self.last = self.addresses.len();
            match executed(fields).and_then(|first| self.blocks.get(&first)) {
                Some(block) => self.addresses.extend(block),
                None => self.lost = true,
            }
        } else if line.starts_with("Stopped execution of TB chain before") {
            // Something else wanted QEMU at the block's entry: it is said again when it does run.
            self.addresses.truncate(self.last);
        } else if line.starts_with("IN:") {
            self.end_block();
        } else if let Some((address, text)) = instruction(line) {
            self.block.push(address);
            self.instructions.insert(address, text.into());
        }
    }

    fn end_block(&mut self) {
        if let Some(first) = self.block.first() {
            self.blocks.insert(*first, mem::take(&mut self.block));
        }
    }
}

/// Address and text in a line such as `0x000001a8:  f000 f80f  bl       #0x1ca`.
fn instruction(line: &str) -> Option<(u32, &str)> {
    let (address, rest) = line.strip_prefix("0x")?.split_once(':')?;
    let text = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
    // One or two halfwords, and what they mean.
    let text = text.split_once("  ").map_or("", |(_, text)| text).trim();
    Some((u32::from_str_radix(address, 16).ok()?, text))
}

/// The address in what follows `Trace `: `0: 0x7f… [00000000/000001a8/00000110/ff000201] symbol`.
fn executed(fields: &str) -> Option<u32> {
    let (_, fields) = fields.split_once('[')?;
    u32::try_from(u64::from_str_radix(fields.split('/').nth(1)?, 16).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "----------------\nIN: Reset\n0x00000400:  f002 fc28  bl       #0x2c54\n\n\
                       Trace 0: 0x7f8f18000100 [00000000/00000400/0000011b/ff000600] Reset\n\
                       ----------------\nIN: pre\n0x00002c54:  bf00       nop\n0x00002c56:  4770       bx       lr\n\n\
                       Trace 0: 0x7f8f18000240 [00000000/00002c54/0000011b/ff000600] pre\n\
                       Trace 0: 0x7f8f18000100 [00000000/00000400/0000011b/ff000600] Reset\n";

    #[test]
    fn a_log_is_every_instruction_in_order() {
        let mut trace = Trace::default();
        trace.read(LOG.as_bytes()).unwrap();
        assert_eq!(trace.take().unwrap(), [0x400, 0x2c54, 0x2c56, 0x400]);
        assert_eq!(trace.instruction(0x400), Some("bl       #0x2c54"));
        assert_eq!(trace.instruction(0x2c54), Some("nop"));
        // Said before, executed again.
        let again = LOG.lines().last().unwrap();
        trace.read(again.as_bytes()).unwrap();
        assert_eq!(trace.take().unwrap(), [0x400]);

        let mut trace = Trace::default();
        LOG.lines().skip(3).for_each(|line| trace.line(line));
        assert!(trace.take().is_err());
        assert!(Trace::default().take().is_err());
    }

    #[test]
    fn a_block_that_was_only_about_to_run_did_not() {
        let mut trace = Trace::default();
        trace.read(LOG.as_bytes()).unwrap();
        let stopped = "Stopped execution of TB chain before 0x7f8f18000100 [00000400] Reset\n";
        trace.read(stopped.as_bytes()).unwrap();
        assert_eq!(trace.take().unwrap(), [0x400, 0x2c54, 0x2c56]);
    }
}
