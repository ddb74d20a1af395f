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
//! - [`SimFlash::record`] writes down what was done and [`SimFlash::replay`] does it again, whole or halfway.
//! - [`SimFlash::attach`] writes each operation through to a file, so that killing the process is a
//!   power cut too.

pub(crate) mod region;

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use embedded_storage::nor_flash::{NorFlash as _, NorFlashError, NorFlashErrorKind};
use zeroize::Zeroizing;

use crate::env::Slot as _;
pub use crate::layout::PAGE_LEN;
pub use region::NorRegion;

/// Bytes that are programmed at once.
pub const WORD_LEN: usize = 8;

/// A whole flash chip: contents, rules, faults.
#[derive(Debug)]
pub struct SimFlash {
    /// Wiped when dropped: a device's flash holds its keys.
    bytes: Zeroizing<Vec<u8>>,
    words: Vec<Word>,
    ecc: bool,
    /// Its regions share it.
    supply: RefCell<Supply>,
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
    /// What was done, if someone records it.
    record: Option<Vec<Operation>>,
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

/// What the flash was told to do: one operation, which [`SimFlash::replay`] does again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The page that begins there was erased.
    Erase {
        /// From the start of the chip.
        offset: usize,
    },
    /// A word was programmed.
    Program {
        /// From the start of the chip.
        offset: usize,
        /// With this.
        word: [u8; WORD_LEN],
    },
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
            supply: RefCell::default(),
        }
    }

    /// The contents.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Flips a bit of the byte at `offset`, as radiation or an attacker with a laser would, rules or not.
    pub fn flip(&mut self, offset: usize, bit: usize) {
        if let Some(byte) = self.bytes.get_mut(offset) {
            *byte ^= 1 << (bit % 8);
        }
    }

    /// Words programmed and pages erased so far.
    pub fn operations(&self) -> u64 {
        self.supply.borrow().operations
    }

    /// How often a word was to be programmed twice.
    pub fn violations(&self) -> u64 {
        self.supply.borrow().violations
    }

    /// Whether torn words give an error when they are read.
    pub fn set_ecc(&mut self, ecc: bool) {
        self.ecc = ecc;
    }

    /// Arms a fault, or none. It strikes once; [`FaultKind::Dies`] stays.
    pub fn inject(&mut self, fault: Option<Fault>) {
        self.supply.get_mut().fault = fault;
    }

    /// Whether a fault has cut the power.
    pub fn power(&self) -> Power {
        self.supply.borrow().power.clone()
    }

    /// Power comes back.
    pub fn power_on(&mut self) {
        self.supply.get_mut().power.set_lost(false);
    }

    /// Writes every operation from now on through to `file`, which must already hold [`Self::bytes`].
    pub fn attach(&mut self, file: File) {
        self.supply.get_mut().file = Some(file);
    }

    /// The error that the file gave, if it gave one. To the device it was a power cut.
    pub fn take_file_error(&mut self) -> Option<io::Error> {
        self.supply.get_mut().file_error.take()
    }

    /// Records every operation from now on, for [`SimFlash::replay`].
    pub fn record(&mut self) {
        self.supply.get_mut().record = Some(Vec::new());
    }

    /// What was done since [`SimFlash::record`], and stops recording.
    pub fn take_record(&mut self) -> Vec<Operation> {
        self.supply.get_mut().record.take().unwrap_or_default()
    }

    /// Does an operation once more, on this flash, whole or as a fault lets it. Power is on afterwards.
    ///
    /// # Errors
    /// [`FlashError`], if the fault did not ask for it.
    pub fn replay(
        &mut self,
        operation: &Operation,
        fault: Option<FaultKind>,
    ) -> Result<(), FlashError> {
        let supply = self.supply.get_mut();
        let operation_number = supply.operations;
        supply.fault = fault.map(|kind| Fault {
            operation: operation_number,
            kind,
        });
        let (_, mut chip) = self.split(0);
        let done = match *operation {
            Operation::Erase { offset } => chip.erase(offset as u32, (offset + PAGE_LEN) as u32),
            Operation::Program { offset, word } => chip.write(offset as u32, &word),
        };
        self.inject(None);
        self.power_on();
        match (done, fault) {
            (Err(FlashError::PowerLost | FlashError::Failed), Some(_)) => Ok(()),
            (done, _) => done,
        }
    }

    /// Splits the chip at `offset`, a multiple of [`PAGE_LEN`]: what lies before is mapped into memory
    /// for reading, what lies from there on is a region to program and erase.
    pub fn split(&mut self, offset: usize) -> (&[u8], NorRegion<'_>) {
        let [mapped, region] = self.regions([0, offset]);
        (mapped.lend(), region)
    }

    /// Cuts the chip into regions that begin at `starts`, rising multiples of [`PAGE_LEN`]: each ends where the
    /// next one begins, the last one with the chip. They can be used side by side, and share power and faults.
    pub fn regions<const N: usize>(&mut self, starts: [usize; N]) -> [NorRegion<'_>; N] {
        let Self {
            bytes,
            words,
            ecc,
            supply,
        } = self;
        let (mut bytes, mut words): (&mut [u8], &mut [Word]) = (bytes, words);
        let mut at = 0;
        let mut take = |end: Option<usize>| {
            let len = end.map_or(bytes.len(), |end| end.saturating_sub(at).min(bytes.len()));
            let words_len = (len / WORD_LEN).min(words.len());
            let (region, rest) = mem::take(&mut bytes).split_at_mut(len);
            let (region_words, rest_words) = mem::take(&mut words).split_at_mut(words_len);
            (bytes, words) = (rest, rest_words);
            let offset = at;
            at += len;
            NorRegion::new(region, region_words, *ecc, offset, supply)
        };
        let mut ends = starts.into_iter().skip(1);
        starts.map(|start| {
            // What lies before the first region belongs to none.
            take(Some(start));
            take(ends.next())
        })
    }
}

/// Another chip with the same contents, powered and without faults; what was attached to the first one and
/// recorded of it stays with it.
impl Clone for SimFlash {
    fn clone(&self) -> Self {
        let Supply {
            operations,
            violations,
            ..
        } = *self.supply.borrow();
        Self {
            bytes: self.bytes.clone(),
            words: self.words.clone(),
            ecc: self.ecc,
            supply: RefCell::new(Supply {
                operations,
                violations,
                ..Supply::default()
            }),
        }
    }
}

#[cfg(test)]
mod tests;
