//! Flash in this process, under the rules of NOR flash, with faults at any operation.
//!
//! - Erasing sets a whole page of [`PAGE_LEN`] bytes to ones. Programming clears bits, in words of
//!   [`WORD_LEN`] bytes, each word once between two erasures, as flash with an error-correcting code
//!   demands: so no zero is ever programmed back to a one, nor a word changed in place. Breaking the
//!   rule is [`FlashError::Rule`] and changes nothing.
//! - Each word programmed and each page erased is one operation. A [`Fault`] strikes at the
//!   operation it names: power is cut before it, halfway through it or after it, or the
//!   operation fails, with or without saying so. After a cut every access fails until [`SimFlash::power_on`].
//! - Halfway through, a word has some of its bits cleared and a page some of its bits set, in a manner
//!   drawn from the fault's seed.
//! - With [`SimFlash::set_ecc`] a torn word cannot be read until its page is erased, as on chips whose
//!   error-correcting code finds more wrong bits than it can correct.
//! - [`SimFlash::attach`] writes each operation through to a file, so that killing the process is a
//!   power cut too.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read,
    check_write,
};

use zeroize::Zeroizing;

pub use crate::layout::PAGE_LEN;

/// Bytes that are programmed at once.
pub const WORD_LEN: usize = 8;

/// A whole flash chip: contents, rules, faults.
#[derive(Debug)]
pub struct SimFlash {
    /// Wiped when dropped: a device's flash holds its keys.
    bytes: Zeroizing<Vec<u8>>,
    words: Vec<Word>,
    ecc: bool,
    supply: Supply,
}

/// What became of a word since its page was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Erased,
    Programmed,
    /// Programmed or erased halfway.
    Torn,
}

/// What the operations need beside the cells: power, faults, the file behind them.
#[derive(Debug, Default)]
struct Supply {
    operations: u64,
    violations: u64,
    fault: Option<Fault>,
    power: Power,
    file: Option<File>,
    file_error: Option<io::Error>,
}

/// Whether a fault has cut the power; its clones tell and see the same.
#[derive(Debug, Clone, Default)]
pub struct Power(Arc<AtomicBool>);

impl Power {
    /// Whether power is off.
    pub fn lost(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn set_lost(&self, lost: bool) {
        self.0.store(lost, Ordering::SeqCst);
    }
}

/// What goes wrong at one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The operation that it strikes, counted as [`SimFlash::operations`] counts.
    pub operation: u64,
    /// What happens there.
    pub kind: FaultKind,
}

/// The kinds of [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Power is cut before the operation changes anything.
    CutBefore,
    /// Power is cut halfway: a torn word or a page partly erased, drawn from the seed.
    CutMidway(u64),
    /// Power is cut when the operation is complete, before the device learns of it.
    CutAfter,
    /// The operation fails and changes nothing; power stays.
    Fails,
    /// The operation gets halfway, as the seed says, and reports success.
    Lies(u64),
    /// This operation and every later one fails; reading still works.
    Dies,
}

/// Why an access failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlashError {
    /// Out of bounds or not aligned.
    #[error("flash access out of bounds or not aligned")]
    Access(NorFlashErrorKind),
    /// A word was programmed twice without an erasure between.
    #[error("the flash word at {offset:#x} was programmed twice without being erased")]
    Rule {
        /// Where.
        offset: u32,
    },
    /// A word was torn, and its error-correcting code cannot tell what it held.
    #[error("the flash at {offset:#x} has errors that its code cannot correct")]
    Uncorrectable {
        /// Where the read began.
        offset: u32,
    },
    /// The operation failed, as a [`FaultKind::Fails`] told it to.
    #[error("the flash operation failed")]
    Failed,
    /// Power is off.
    #[error("power was cut")]
    PowerLost,
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Access(kind) => *kind,
            Self::Rule { .. } | Self::Uncorrectable { .. } | Self::Failed | Self::PowerLost => {
                NorFlashErrorKind::Other
            }
        }
    }
}

impl SimFlash {
    /// A flash that holds `bytes`. Words that are not all ones count as programmed.
    pub fn new(bytes: Vec<u8>) -> Self {
        let words = bytes
            .chunks(WORD_LEN)
            .map(|word| match word.iter().all(|byte| *byte == 0xFF) {
                true => Word::Erased,
                false => Word::Programmed,
            })
            .collect();
        Self {
            bytes: Zeroizing::new(bytes),
            words,
            ecc: false,
            supply: Supply::default(),
        }
    }

    /// The contents.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Words programmed and pages erased so far.
    pub fn operations(&self) -> u64 {
        self.supply.operations
    }

    /// How often a word was to be programmed twice.
    pub fn violations(&self) -> u64 {
        self.supply.violations
    }

    /// Whether torn words give an error when they are read.
    pub fn set_ecc(&mut self, ecc: bool) {
        self.ecc = ecc;
    }

    /// Arms a fault, or none. It strikes once; [`FaultKind::Dies`] stays.
    pub fn inject(&mut self, fault: Option<Fault>) {
        self.supply.fault = fault;
    }

    /// Whether a fault has cut the power.
    pub fn power(&self) -> Power {
        self.supply.power.clone()
    }

    /// Power comes back.
    pub fn power_on(&mut self) {
        self.supply.power.set_lost(false);
    }

    /// Writes every operation from now on through to `file`, which must already hold [`Self::bytes`].
    pub fn attach(&mut self, file: File) {
        self.supply.file = Some(file);
    }

    /// The error that the file gave, if it gave one. To the device it was a power cut.
    pub fn take_file_error(&mut self) -> Option<io::Error> {
        self.supply.file_error.take()
    }

    /// Splits the chip at `offset`, a multiple of [`PAGE_LEN`]: what lies before is mapped into memory
    /// for reading, what lies from there on is a region to program and erase.
    pub fn split(&mut self, offset: usize) -> (&[u8], NorRegion<'_>) {
        let offset = offset.min(self.bytes.len());
        let (mapped, bytes) = self.bytes.split_at_mut(offset);
        let words = self.words.get_mut(offset / WORD_LEN..).unwrap_or_default();
        let region = NorRegion {
            bytes,
            words,
            ecc: self.ecc,
            offset,
            supply: &mut self.supply,
        };
        (mapped, region)
    }
}

/// A region of a [`SimFlash`].
#[derive(Debug)]
pub struct NorRegion<'f> {
    bytes: &'f mut [u8],
    words: &'f mut [Word],
    ecc: bool,
    /// Where the region lies in the chip.
    offset: usize,
    supply: &'f mut Supply,
}

impl NorRegion<'_> {
    /// Counts an operation and says how far it will get.
    fn begin(&mut self) -> Result<Extent, FlashError> {
        let Supply {
            operations,
            fault,
            power,
            ..
        } = &mut *self.supply;
        if power.lost() {
            return Err(FlashError::PowerLost);
        }
        let struck = fault
            .filter(|fault| fault.operation <= *operations)
            .map(|fault| fault.kind);
        *operations += 1;
        if struck != Some(FaultKind::Dies) {
            fault.take_if(|_| struck.is_some());
        }
        match struck {
            None => Ok(Extent::Whole),
            Some(FaultKind::CutAfter) => Ok(Extent::WholeThenCut),
            Some(FaultKind::CutMidway(seed)) => Ok(Extent::HalfThenCut(seed)),
            Some(FaultKind::Lies(seed)) => Ok(Extent::Half(seed)),
            Some(FaultKind::Fails | FaultKind::Dies) => Err(FlashError::Failed),
            Some(FaultKind::CutBefore) => {
                power.set_lost(true);
                Err(FlashError::PowerLost)
            }
        }
    }

    /// Brings `target.len()` bytes from `start` on towards `target`, as far as `extent` lets it.
    fn finish(
        &mut self,
        start: usize,
        target: &[u8],
        mut extent: Extent,
    ) -> Result<(), FlashError> {
        let Supply {
            power,
            file,
            file_error,
            ..
        } = &mut *self.supply;
        let cells = self.bytes.get_mut(start..start + target.len());
        let cells = cells.ok_or(FlashError::Access(NorFlashErrorKind::OutOfBounds))?;
        for (cell, target) in cells.iter_mut().zip(target) {
            *cell ^= (*cell ^ target) & extent.mask();
        }
        if let Some(file) = file
            && let Err(error) = write_through(file, self.offset + start, cells)
        {
            *file_error = Some(error);
            power.set_lost(true);
        }
        if matches!(extent, Extent::WholeThenCut | Extent::HalfThenCut(_)) {
            power.set_lost(true);
        }
        if power.lost() {
            Err(FlashError::PowerLost)
        } else {
            Ok(())
        }
    }
}

/// How far an operation gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    WholeThenCut,
    /// Each bit changes or not, as the random state says.
    Half(u64),
    HalfThenCut(u64),
}

impl Extent {
    /// The bits of the next byte that change.
    fn mask(&mut self) -> u8 {
        match self {
            Self::Whole | Self::WholeThenCut => 0xFF,
            Self::Half(state) | Self::HalfThenCut(state) => split_mix_64(state) as u8,
        }
    }
}

impl ErrorType for NorRegion<'_> {
    type Error = FlashError;
}

impl ReadNorFlash for NorRegion<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check_read(self, offset, bytes.len()).map_err(FlashError::Access)?;
        if self.supply.power.lost() {
            return Err(FlashError::PowerLost);
        }
        let (first, end) = (offset as usize, offset as usize + bytes.len());
        let words = self
            .words
            .get(first / WORD_LEN..end.div_ceil(WORD_LEN))
            .unwrap_or_default();
        if self.ecc && words.contains(&Word::Torn) {
            return Err(FlashError::Uncorrectable {
                offset: (self.offset + first) as u32,
            });
        }
        for (to, from) in bytes
            .iter_mut()
            .zip(self.bytes.iter().skip(offset as usize))
        {
            *to = *from;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for NorRegion<'_> {
    const WRITE_SIZE: usize = WORD_LEN;
    const ERASE_SIZE: usize = PAGE_LEN;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        check_erase(self, from, to).map_err(FlashError::Access)?;
        for start in (from as usize..to as usize).step_by(PAGE_LEN) {
            let extent = self.begin()?;
            let words = self
                .words
                .iter_mut()
                .skip(start / WORD_LEN)
                .take(PAGE_LEN / WORD_LEN);
            for word in words {
                // The cells of a page erased halfway are in no defined state: it takes no word.
                *word = match extent {
                    Extent::Half(_) | Extent::HalfThenCut(_) => Word::Torn,
                    Extent::Whole | Extent::WholeThenCut => Word::Erased,
                };
            }
            self.finish(start, &[0xFF; PAGE_LEN], extent)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        check_write(self, offset, bytes.len()).map_err(FlashError::Access)?;
        for (start, word) in (offset as usize..)
            .step_by(WORD_LEN)
            .zip(bytes.chunks(WORD_LEN))
        {
            if self.words.get(start / WORD_LEN) != Some(&Word::Erased) {
                self.supply.violations += 1;
                return Err(FlashError::Rule {
                    offset: (self.offset + start) as u32,
                });
            }
            let extent = self.begin()?;
            if let Some(word) = self.words.get_mut(start / WORD_LEN) {
                *word = match extent {
                    Extent::Half(_) | Extent::HalfThenCut(_) => Word::Torn,
                    Extent::Whole | Extent::WholeThenCut => Word::Programmed,
                };
            }
            self.finish(start, word, extent)?;
        }
        Ok(())
    }
}

fn write_through(file: &mut File, offset: usize, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset as u64))?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
fn split_mix_64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
