//! The image's code: where instructions begin and end, and what they belong to.

use std::collections::BTreeMap;
use std::fs;

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
    functions: BTreeMap<u32, String>,
}

impl Code {
    pub(crate) fn read(image: &Image) -> Result<Self, QemuError> {
        let file = fs::read(&image.path).map_err(QemuError::io("read the firmware's image"))?;
        let bad = |what: String| QemuError::Machine(format!("{}: {what}", image.path.display()));
        let elf = object::File::parse(file.as_slice()).map_err(|error| bad(error.to_string()))?;
        let text = elf
            .section_by_name(".text")
            .ok_or_else(|| bad("no code".into()))?;
        let functions = elf
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text)
            .filter_map(|symbol| {
                // The lowest bit says that it is Thumb code.
                let address = u32::try_from(symbol.address()).ok()? & !1;
                Some((address, format!("{:#}", demangle(symbol.name().ok()?))))
            })
            .collect();
        Ok(Self {
            base: u32::try_from(text.address()).map_err(|error| bad(error.to_string()))?,
            bytes: text
                .data()
                .map_err(|error| bad(error.to_string()))?
                .to_vec(),
            functions,
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
        let named = self.functions.iter().filter(|(_, path)| {
            // The newer way names the types and numbers that a function is made for as well.
            let path = path
                .split_once("::<")
                .map_or(path.as_str(), |(path, _)| path);
            path.rsplit_once("::")
                .is_some_and(|(within, last)| last == name && within.contains(of))
        });
        named.map(|(address, _)| *address).collect()
    }

    /// The function that `address` is in, and how far.
    pub(crate) fn place(&self, address: u32) -> String {
        match self.functions.range(..=address).next_back() {
            Some((start, name)) => format!("{name}+{:#x}", address - start),
            None => format!("{address:#x}"),
        }
    }

    /// Where the core stands when nothing more will happen by itself: the instruction that waits for an
    /// interrupt, and the handler of faults.
    pub(crate) fn ends(&self) -> Vec<u32> {
        let waits = (self.base..)
            .step_by(2)
            .zip(self.bytes.as_chunks().0)
            .filter(|(_, halfword)| u16::from_le_bytes(**halfword) == WFI)
            .map(|(address, _)| address);
        let faults = self
            .functions
            .iter()
            .filter(|(_, name)| FAULTS.iter().any(|fault| name.contains(fault)))
            .map(|(address, _)| *address);
        waits.chain(faults).collect()
    }

    /// Whether `address` is that of a fault's handler.
    pub(crate) fn is_fault(&self, address: u32) -> bool {
        let name = self.functions.get(&address);
        name.is_some_and(|name| FAULTS.iter().any(|fault| name.contains(fault)))
    }

    fn halfword(&self, address: u32) -> Option<u16> {
        let start = address.checked_sub(self.base)? as usize;
        let bytes = self.bytes.get(start..)?.first_chunk()?;
        Some(u16::from_le_bytes(*bytes))
    }
}

const WFI: u16 = 0xBF30;
const FAULTS: [&str; 3] = ["HardFault", "DefaultHandler", "DefaultPreInit_"];
