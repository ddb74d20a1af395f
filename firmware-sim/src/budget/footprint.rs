//! What an image takes by itself: sections and symbols of its ELF file.

use std::fs;
use std::ops::Range;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use rustc_demangle::demangle;

use super::BudgetError;
use crate::qemu::Image;

/// An image's sections and symbols.
#[derive(Debug)]
pub(super) struct Footprint {
    /// Bytes of flash: vector table, code, constants, and the initial values of variables.
    pub(super) flash: u64,
    /// Bytes of RAM without the stack.
    pub(super) variables: u64,
    /// Addresses of the stack, which grows down from the end.
    pub(super) stack: Range<u32>,
    /// Where the functions that run the network begin.
    pub(super) inferences: Vec<u32>,
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
        let symbols = || {
            file.symbols().filter_map(|symbol| {
                Some((symbol.name().ok()?, u32::try_from(symbol.address()).ok()?))
            })
        };
        let address = |wanted: &str| {
            let found = symbols().find(|(name, _)| *name == wanted);
            found
                .map(|(_, address)| address)
                .ok_or_else(|| wrong(&format!("no symbol {wanted}")))
        };
        let inferences: Vec<u32> = symbols()
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
        Ok(Self {
            flash: bytes_of(&[".vector_table", ".text", ".rodata", ".data"]),
            variables: bytes_of(&[".data", ".bss", ".uninit"]),
            stack: address("_stack_end")?..address("_stack_start")?,
            inferences,
        })
    }
}

/// Parts of the names of the functions `logits` of the core crate.
const CORE: &str = "sealnet_core";
const LOGITS: &str = "::logits";
