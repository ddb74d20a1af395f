//! A part of the chip, to be erased and programmed under its rules.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use super::{FaultKind, FlashError, Operation, PAGE_LEN, Supply, WORD_LEN, Word};
use crate::env::Slot;

/// A region of a [`SimFlash`](super::SimFlash).
#[derive(Debug)]
pub struct NorRegion<'f> {
    bytes: &'f mut [u8],
    words: &'f mut [Word],
    ecc: bool,
    /// Where the region lies in the chip.
    offset: usize,
    supply: &'f RefCell<Supply>,
}

impl<'f> NorRegion<'f> {
    pub(super) fn new(
        bytes: &'f mut [u8],
        words: &'f mut [Word],
        ecc: bool,
        offset: usize,
        supply: &'f RefCell<Supply>,
    ) -> Self {
        Self {
            bytes,
            words,
            ecc,
            offset,
            supply,
        }
    }

    /// Counts an operation and says how far it will get.
    fn begin(&mut self, operation: Operation) -> Result<Extent, FlashError> {
        let Supply {
            operations,
            fault,
            power,
            record,
            ..
        } = &mut *self.supply.borrow_mut();
        if power.lost() {
            return Err(FlashError::PowerLost);
        }
        let struck = fault
            .filter(|fault| fault.operation <= *operations)
            .map(|fault| fault.kind);
        *operations += 1;
        if let Some(record) = record {
            record.push(operation);
        }
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
        } = &mut *self.supply.borrow_mut();
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

impl<'f> Slot<'f> for NorRegion<'f> {
    fn bytes(&self) -> &[u8] {
        self.bytes
    }

    fn lend(self) -> &'f [u8] {
        self.bytes
    }
}

impl ErrorType for NorRegion<'_> {
    type Error = FlashError;
}

impl ReadNorFlash for NorRegion<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check_read(self, offset, bytes.len()).map_err(FlashError::Access)?;
        if self.supply.borrow().power.lost() {
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
        self.erase_pages(from, to)?;
        self.sync()
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        check_write(self, offset, bytes.len()).map_err(FlashError::Access)?;
        self.program(offset, bytes)?;
        self.sync()
    }
}

impl NorRegion<'_> {
    /// Has the file reach its disk before the device relies on what it wrote.
    fn sync(&mut self) -> Result<(), FlashError> {
        let Supply {
            power,
            file,
            file_error,
            ..
        } = &mut *self.supply.borrow_mut();
        match file.as_ref().map_or(Ok(()), File::sync_data) {
            Ok(()) => Ok(()),
            Err(error) => {
                *file_error = Some(error);
                power.set_lost(true);
                Err(FlashError::PowerLost)
            }
        }
    }

    fn erase_pages(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        for start in (from as usize..to as usize).step_by(PAGE_LEN) {
            let extent = self.begin(Operation::Erase {
                offset: self.offset + start,
            })?;
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

    fn program(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        for (start, word) in (offset as usize..)
            .step_by(WORD_LEN)
            .zip(bytes.chunks(WORD_LEN))
        {
            if self.words.get(start / WORD_LEN) != Some(&Word::Erased) {
                self.supply.borrow_mut().violations += 1;
                return Err(FlashError::Rule {
                    offset: (self.offset + start) as u32,
                });
            }
            let mut programmed = [0xFF; WORD_LEN];
            for (to, from) in programmed.iter_mut().zip(word) {
                *to = *from;
            }
            let extent = self.begin(Operation::Program {
                offset: self.offset + start,
                word: programmed,
            })?;
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
    file.write_all(bytes)
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
pub(crate) fn split_mix_64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
