//! What an image takes by itself: sections and symbols of its ELF file.

use std::fs;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use rustc_demangle::demangle;

use super::BudgetError;
use crate::qemu::{IN_FLASH, Image};

/// An image's sections and symbols.
#[derive(Debug)]
pub(super) struct Footprint {
    /// Bytes of flash: vector table, code, constants, and the initial values of variables.
    pub(super) flash: u64,
    /// Bytes of RAM without the stack.
    pub(super) variables: u64,
    /// Where the functions that run the network begin.
    pub(super) inferences: Vec<u32>,
    /// Where the core may wait for an interrupt.
    pub(super) waits: Vec<u32>,
}

impl Footprint {
    pub(super) fn read(image: &Image) -> Result<Self, BudgetError> {
        let wrong = |why: &str| BudgetError::Image(format!("{}: {why}", image.path.display()));
        let bytes = fs::read(&image.path).map_err(|error| wrong(&error.to_string()))?;
        let file =
            object::File::parse(bytes.as_slice()).map_err(|error| wrong(&error.to_string()))?;
        let bytes_of = |names: &[&str]| {
            names
                .iter()
                .filter_map(|name| file.section_by_name(name))
                .map(|section| section.size())
                .sum()
        };
        let inferences: Vec<u32> = file
            .symbols()
            .filter_map(|symbol| Some((symbol.name().ok()?, u32::try_from(symbol.address()).ok()?)))
            .filter(|(name, _)| {
                // In the two ways of mangling that compilers have; without the hash of the older one.
                let name = format!("{:#}", demangle(name));
                // The newer one names the numbers that it is made for as well.
                let (path, _) = name.split_once("::<").unwrap_or((&name, ""));
                path.contains(CORE) && path.ends_with(LOGITS)
            })
            // The lowest bit says that it is Thumb code.
            .map(|(_, address)| address & !1)
            .collect();
        if inferences.is_empty() {
            return Err(wrong("no function runs the network"));
        }
        let text = file
            .section_by_name(".text")
            .ok_or_else(|| wrong("no code"))?;
        let code = text.data().map_err(|error| wrong(&error.to_string()))?;
        let first = u32::try_from(text.address()).map_err(|error| wrong(&error.to_string()))?;
        let waits = (first..)
            .step_by(2)
            .zip(code.as_chunks().0)
            .filter(|(_, halfword)| **halfword == WAIT)
            .map(|(address, _)| address)
            .collect();
        Ok(Self {
            flash: bytes_of(&IN_FLASH),
            variables: bytes_of(&[".data", ".bss", ".uninit"]),
            inferences,
            waits,
        })
    }
}

/// Parts of the names of the functions `logits` of the core crate.
const CORE: &str = "sealnet_core";
const LOGITS: &str = "::logits";
/// `wfi` (ARMv7-M ARM, A7.7.261, encoding T1).
const WAIT: [u8; 2] = [0x30, 0xBF];
