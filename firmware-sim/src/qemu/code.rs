//! The image's code: where instructions begin and end, and what they belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use rustc_demangle::demangle;
use sealnet_core::sign::sha512;

use super::{Image, QemuError};

/// The sections of an image that lie in flash: vector table, code, constants, and the initial values of variables.
pub(crate) const IN_FLASH: [&str; 4] = [".vector_table", ".text", ".rodata", ".data"];

impl Image {
    /// SHA-512 of what the image puts into flash. What it says to a debugger, such as where its sources lie, makes
    /// no difference.
    ///
    /// # Errors
    /// [`QemuError`] if the file cannot be read or is none.
    pub fn digest(&self) -> Result<[u8; 64], QemuError> {
        let file = fs::read(&self.path).map_err(QemuError::io("read the firmware's image"))?;
        let bad =
            |error: object::Error| QemuError::Machine(format!("{}: {error}", self.path.display()));
        let elf = object::File::parse(file.as_slice()).map_err(bad)?;
        let sections: Vec<&[u8]> = IN_FLASH
            .iter()
            .filter_map(|name| elf.section_by_name(name))
            .map(|section| section.data().map_err(bad))
            .collect::<Result<_, _>>()?;
        Ok(sha512(&sections))
    }
}

/// The machine code of an image.
#[derive(Debug)]
pub(crate) struct Code {
    base: u32,
    bytes: Vec<u8>,
    /// Names by address: functions that compile to the same code are one.
    functions: BTreeMap<u32, Vec<String>>,
    /// The handlers of faults.
    faults: BTreeSet<u32>,
}

impl Code {
    pub(crate) fn read(image: &Image) -> Result<Self, QemuError> {
        let file = fs::read(&image.path).map_err(QemuError::io("read the firmware's image"))?;
        let bad = |what: String| QemuError::Machine(format!("{}: {what}", image.path.display()));
        let elf = object::File::parse(file.as_slice()).map_err(|error| bad(error.to_string()))?;
        let text = elf
            .section_by_name(".text")
            .ok_or_else(|| bad("no code".into()))?;
        let mut functions = BTreeMap::<u32, Vec<String>>::new();
        for symbol in elf.symbols() {
            let named = (u32::try_from(symbol.address()).ok()).zip(symbol.name().ok());
            if let (SymbolKind::Text, Some((address, name))) = (symbol.kind(), named) {
                // The lowest bit says that it is Thumb code.
                let names = functions.entry(address & !1).or_default();
                names.push(format!("{:#}", demangle(name)));
            }
        }
        let vectors = elf
            .section_by_name(".vector_table")
            .ok_or_else(|| bad("no vector table".into()))?;
        let vectors = vectors.data().map_err(|error| bad(error.to_string()))?;
        // Stack and reset come before the exceptions; of an exception that the core does not have there is a zero.
        let faults: BTreeSet<u32> = vectors
            .as_chunks()
            .0
            .iter()
            .take(EXCEPTIONS)
            .skip(2)
            .map(|word| u32::from_le_bytes(*word) & !1)
            .filter(|address| *address != 0)
            .collect();
        if faults.is_empty() {
            return Err(bad("no handler of faults".into()));
        }
        Ok(Self {
            base: u32::try_from(text.address()).map_err(|error| bad(error.to_string()))?,
            bytes: text
                .data()
                .map_err(|error| bad(error.to_string()))?
                .to_vec(),
            functions,
            faults,
        })
    }

    /// Whether code lies at `address`.
    pub(crate) fn holds(&self, address: u32) -> bool {
        self.halfword(address).is_some()
    }

    /// Bytes of the instruction at `address`: 4 where the first five bits say so (ARMv7-M ARM, A5.1), else 2.
    pub(crate) fn len(&self, address: u32) -> u32 {
        match self.halfword(address) {
            Some(first) if first >> 11 >= 0b11101 => 4,
            _ => 2,
        }
    }

    /// The bytes of the instruction at `address`.
    pub(crate) fn instruction(&self, address: u32) -> &[u8] {
        let start = address.wrapping_sub(self.base) as usize;
        self.bytes
            .get(start..start + self.len(address) as usize)
            .unwrap_or_default()
    }

    /// Where the functions `name` of the module or type `of` begin, whichever way of mangling the compiler has.
    pub(crate) fn entries(&self, of: &str, name: &str) -> Vec<u32> {
        let is = |path: &String| {
            // The newer way names the types and numbers that a function is made for as well.
            let path = path.split_once("::<").map_or(&**path, |(path, _)| path);
            path.rsplit_once("::")
                .is_some_and(|(within, last)| last == name && within.contains(of))
        };
        let named = self.functions.iter();
        named
            .filter(|(_, names)| names.iter().any(is))
            .map(|(address, _)| *address)
            .collect()
    }

    /// The part of a path of executed instructions from the first entry at one of `entries` until it returns.
    pub(crate) fn call<'p>(&self, path: &'p [u32], entries: &[u32]) -> Option<&'p [u32]> {
        let entry = path.iter().position(|address| entries.contains(address))?;
        let (mut before, called) = path.split_at_checked(entry)?;
        let mut caller = before.last()?;
        // Whoever only branches to it, as the last thing that it does, has it return to its own caller.
        while !self.is_call(*caller) {
            let (place, _) = self.function(*caller)?;
            let entry = before.iter().rposition(|address| *address == place.start)?;
            before = before.get(..entry)?;
            caller = before.last()?;
        }
        let back = caller + self.len(*caller);
        let end = called.iter().position(|address| *address == back)?;
        called.get(..end)
    }

    /// Whether the instruction at `address` is BL or BLX (ARMv7-M ARM, A7.7.18 and A7.7.19).
    fn is_call(&self, address: u32) -> bool {
        match *self.instruction(address) {
            [low, high] => u16::from_le_bytes([low, high]) & 0xFF87 == 0x4780,
            [_, first, _, second] => first & 0xF8 == 0xF0 && second & 0xD0 == 0xD0,
            _ => false,
        }
    }

    /// Where the function that `address` is in begins and ends, its constants included, and what it is called.
    pub(crate) fn function(&self, address: u32) -> Option<(Range<u32>, &[String])> {
        let (start, names) = self.functions.range(..=address).next_back()?;
        let next = self.functions.range(start + 1..).next();
        let end = next.map_or(self.base + self.bytes.len() as u32, |(next, _)| *next);
        Some((*start..end, names))
    }

    /// Bytes of the functions that begin there.
    pub(crate) fn bytes(&self, functions: &BTreeSet<u32>) -> u64 {
        let places = functions.iter().filter_map(|start| self.function(*start));
        places.map(|(place, _)| place.len() as u64).sum()
    }

    /// Where functions begin one of whose names has `part` in it.
    pub(crate) fn named(&self, part: &str) -> impl Iterator<Item = u32> {
        let is = move |(address, names): (&u32, &Vec<String>)| {
            names
                .iter()
                .any(|name| name.contains(part))
                .then_some(*address)
        };
        self.functions.iter().filter_map(is)
    }

    /// The function that `address` is in, and how far.
    pub(crate) fn place(&self, address: u32) -> String {
        match self.functions.range(..=address).next_back() {
            Some((start, names)) => {
                format!("{}+{:#x}", names.join(" = "), address - start)
            }
            None => format!("{address:#x}"),
        }
    }

    /// Where the core stands when nothing more will happen by itself: the instruction that waits for an
    /// interrupt, and the handler of faults.
    pub(crate) fn ends(&self) -> Vec<u32> {
        let waits = self.waits().into_iter();
        waits.chain(self.faults.iter().copied()).collect()
    }

    /// The instructions that wait for an interrupt.
    pub(crate) fn waits(&self) -> Vec<u32> {
        (self.base..)
            .step_by(2)
            .zip(self.bytes.as_chunks().0)
            .filter(|(_, halfword)| u16::from_le_bytes(**halfword) == WFI)
            .map(|(address, _)| address)
            .collect()
    }

    /// Whether `address` is in a fault's handler.
    pub(crate) fn is_fault(&self, address: u32) -> bool {
        let function = self.functions.range(..=address).next_back();
        function.is_some_and(|(start, _)| self.holds(address) && self.faults.contains(start))
    }

    fn halfword(&self, address: u32) -> Option<u16> {
        let start = address.checked_sub(self.base)? as usize;
        let bytes = self.bytes.get(start..)?.first_chunk()?;
        Some(u16::from_le_bytes(*bytes))
    }
}

const WFI: u16 = 0xBF30;
/// Words of a vector table up to the last exception, before the interrupts (ARMv7-M ARM, B1.5.2).
const EXCEPTIONS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::{Board, Mode, build};

    #[test]
    fn an_image_holds_the_kernels_that_its_core_has_instructions_for() {
        for (board, dsp) in [
            (Board::CortexM4, true),
            (Board::CortexM33, true),
            (Board::CortexM3, false),
        ] {
            let image = build(board, Mode::Clear).unwrap();
            let code = Code::read(&image).unwrap();
            let found = code.named("mlp::kernel::dsp::").next().is_some();
            assert_eq!(found, dsp, "{board}");
        }
    }
}
