//! How much of its stack a device has used: the runtime paints it at each reset, before `main`.

use std::fs;
use std::ops::Range;

use object::{Object as _, ObjectSymbol as _};

use super::{Image, Machine, QemuError};

/// Where an image's stack lies; it grows down from the end.
#[derive(Debug, Clone)]
pub struct Stack(Range<u32>);

impl Stack {
    /// Of this image, from its symbols.
    ///
    /// # Errors
    /// [`QemuError`] if it has none, or cannot be read.
    pub fn of(image: &Image) -> Result<Self, QemuError> {
        let bytes = fs::read(&image.path).map_err(QemuError::io("read the firmware's image"))?;
        let wrong = |what: &str| QemuError::Machine(format!("{}: {what}", image.path.display()));
        let file =
            object::File::parse(bytes.as_slice()).map_err(|error| wrong(&error.to_string()))?;
        let address = |wanted: &str| {
            let mut symbols = file.symbols();
            let symbol = symbols.find(|symbol| symbol.name() == Ok(wanted));
            symbol
                .and_then(|symbol| u32::try_from(symbol.address()).ok())
                .ok_or_else(|| wrong(&format!("no symbol {wanted}")))
        };
        Ok(Self(address("_stack_end")?..address("_stack_start")?))
    }

    /// Bytes used at most since the last reset: from the first word on that is not as it was painted.
    ///
    /// # Errors
    /// [`QemuError`], also if no word is.
    pub fn used(&self, machine: &mut Machine) -> Result<u64, QemuError> {
        let memory = machine.memory(self.0.clone())?;
        let words = memory.as_chunks().0.iter();
        let untouched = words.take_while(|word| **word == PAINT).count() as u64;
        if untouched == 0 {
            return Err(QemuError::Machine(
                "the stack is full, or was never painted".into(),
            ));
        }
        Ok(memory.len() as u64 - 4 * untouched)
    }
}

/// What cortex-m-rt fills the stack with (feature `paint-stack`).
const PAINT: [u8; 4] = [0xCC; 4];
