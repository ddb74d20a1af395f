//! The device's memory across resets: three counters in NOR flash that never go back.
//!
//! | counter | rises | why it must not go back |
//! |---|---|---|
//! | boot | once a boot, before anything else | reply IVs are PRF(secret, boot ‖ message): a boot number used twice repeats an IV |
//! | security | when a model with a higher counter has booted | an older, validly signed model must not come back |
//! | requests | a block of [`REQUEST_BLOCK`] ahead of the requests accepted | a request accepted before a reset must not be accepted after it |
//!
//! # How it lies in flash
//!
//! Two pages, each half of the region. Records are appended, each with all three counters. A full page is
//! left: the other one is erased and takes the next record. The page that was left keeps the newest
//! complete record until then, so there is always one. A record is 32 bytes, little-endian:
//!
//! | offset | type | field |
//! |---|---|---|
//! | 0 | u8\[4\] | magic, ASCII `SNJ1` |
//! | 4 | u32 | sequence number, rising with each record |
//! | 8 | u64 | requests: no request counter up to here is accepted after a reset |
//! | 16 | u32 | boot counter |
//! | 20 | u32 | security counter |
//! | 24 | u8\[4\] | zeros |
//! | 28 | u32 | CRC-32 (ISO 3309, as in zlib) of the 28 bytes before it |
//!
//! # Power cuts
//!
//! - A record torn by a cut fails its CRC-32 and is skipped; its slot is never programmed again. Flash with
//!   an error-correcting code may refuse to read such a slot at all: after [`READS`] attempts that counts
//!   as torn too. If no record is left then, the flash is at fault, and the device says so.
//! - Nothing is read back by position: the state is the maximum of each counter over every
//!   valid record of both pages, so a page half erased, a record written twice or one that reads well
//!   only now and then can raise a counter but never lower it.
//! - A write counts only once it has been read back, and a counter is used only after that.
//! - Each boot appends a record, so a record whose cells were programmed only weakly is replaced by a
//!   sound one before anything relies on it.
//! - A region without any valid record is an error, not a fresh device: [`Journal::format`], which
//!   provisioning calls once, writes the first record.
//!
//! The CRC detects torn writes. It is no defence against someone who can write internal flash, who is
//! outside the threat model.

mod record;

use core::fmt;

use embedded_storage::nor_flash::NorFlash;

use record::{Cell, Record};
pub use record::{Counters, RECORD_LEN};

/// Requests reserved ahead: a reset skips at most this many request counters, and flash is written once
/// for as many requests.
pub const REQUEST_BLOCK: u64 = 256;

/// How often a slot is read before it counts as torn, so that a passing fault does not hide a record.
pub const READS: usize = 3;

/// A request's counter may be at most this far above the highest one accepted, so that a forged status,
/// which may lead an honest client to a wrong counter, cannot make it run the counter out.
pub const MAX_REQUEST_STEP: u64 = 1 << 32;

/// The counters, and the flash region that keeps them.
#[derive(Debug)]
pub struct Journal<F> {
    flash: F,
    /// What flash holds.
    durable: Counters,
    /// The highest request counter accepted, or that may have been accepted before the last reset.
    highest_request: u64,
    sequence: u32,
    page: Page,
    /// The first slot of `page` that was never programmed.
    next_slot: u32,
}

/// Why the journal could not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum JournalError {
    /// The flash failed to program or erase, or no record of it can be read.
    Flash,
    /// The region holds no valid record: never provisioned, or damaged.
    NoRecord,
    /// The region is not two erasable pages that hold at least one record each.
    Geometry,
    /// A counter has reached its end.
    Exhausted,
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flash => "the journal's flash failed to read, program or erase",
            Self::NoRecord => {
                "the journal holds no valid record: it was never provisioned, or is damaged"
            }
            Self::Geometry => {
                "the journal's region is not two erasable pages of at least one record"
            }
            Self::Exhausted => "a counter of the journal has reached its end",
        })
    }
}

impl core::error::Error for JournalError {}

/// Why a request's counter was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmitError {
    /// Not above the highest counter accepted, or more than [`MAX_REQUEST_STEP`] above it.
    OutOfWindow,
    /// The counter could not be made durable, so the request must not be answered.
    Journal(JournalError),
}

impl<F: NorFlash> Journal<F> {
    /// Erases the region and writes the first record, with these counters. For provisioning only, since it
    /// forgets every counter that was there.
    ///
    /// # Errors
    /// [`JournalError::Geometry`] or [`JournalError::Flash`].
    pub fn format(mut flash: F, counters: Counters) -> Result<Self, JournalError> {
        let page_len = page_len(&flash)?;
        for page in [Page::First, Page::Second] {
            erase(&mut flash, page, page_len)?;
        }
        let mut journal = Self {
            flash,
            durable: counters,
            highest_request: counters.requests,
            sequence: 0,
            page: Page::First,
            next_slot: 0,
        };
        journal.append(counters)?;
        Ok(journal)
    }

    /// Reads the counters.
    ///
    /// # Errors
    /// [`JournalError::NoRecord`] if no record is valid; [`JournalError::Geometry`] or
    /// [`JournalError::Flash`].
    pub fn open(mut flash: F) -> Result<Self, JournalError> {
        let slots = slots(page_len(&flash)?);
        let first = scan(&mut flash, Page::First, slots);
        let second = scan(&mut flash, Page::Second, slots);
        // The newest record's page. Equal numbers can only come from a torn record that reads well
        // after all; then it is the page with room, since the other one may be erased next.
        let newest = match (first.newest, second.newest) {
            (a, b) if a > b => first,
            (a, b) if a < b => second,
            _ if first.next_slot <= second.next_slot => first,
            _ => second,
        };
        let sequence = newest
            .newest
            .ok_or(match first.unreadable || second.unreadable {
                true => JournalError::Flash,
                false => JournalError::NoRecord,
            })?;
        let durable = first.counters.max(second.counters);
        Ok(Self {
            flash,
            durable,
            highest_request: durable.requests,
            sequence,
            page: newest.page,
            next_slot: newest.next_slot,
        })
    }

    /// The counters as they are in flash. `requests` is the end of the reserved block.
    pub fn counters(&self) -> Counters {
        self.durable
    }

    /// The highest request counter accepted, or that may have been accepted before the last reset.
    pub fn highest_request(&self) -> u64 {
        self.highest_request
    }

    /// Takes a boot number never given before.
    ///
    /// # Errors
    /// [`JournalError::Flash`], or [`JournalError::Exhausted`] after 2³² − 1 boots.
    pub fn begin_boot(&mut self) -> Result<u32, JournalError> {
        let boot = self
            .durable
            .boot
            .checked_add(1)
            .ok_or(JournalError::Exhausted)?;
        self.append(Counters {
            boot,
            ..self.durable
        })?;
        Ok(boot)
    }

    /// Raises the security counter to `counter`; does nothing if it is there already.
    ///
    /// # Errors
    /// [`JournalError::Flash`] or [`JournalError::Exhausted`].
    pub fn raise_security(&mut self, counter: u32) -> Result<(), JournalError> {
        if counter <= self.durable.security {
            return Ok(());
        }
        self.append(Counters {
            security: counter,
            ..self.durable
        })
    }

    /// Admits a request's counter if it is above every counter accepted before, and makes that survive a
    /// reset before it returns.
    ///
    /// # Errors
    /// [`AdmitError::OutOfWindow`] if the counter is not acceptable; [`AdmitError::Journal`] if it
    /// could not be made durable. Neither admits anything.
    pub fn admit(&mut self, counter: u64) -> Result<(), AdmitError> {
        match counter.checked_sub(self.highest_request) {
            Some(1..=MAX_REQUEST_STEP) => {}
            _ => return Err(AdmitError::OutOfWindow),
        }
        if counter > self.durable.requests {
            let requests = counter.saturating_add(REQUEST_BLOCK - 1);
            self.append(Counters {
                requests,
                ..self.durable
            })
            .map_err(AdmitError::Journal)?;
        }
        self.highest_request = counter;
        Ok(())
    }

    /// Writes a record where none was, in the other page if this one is full or fails twice.
    fn append(&mut self, counters: Counters) -> Result<(), JournalError> {
        let page_len = page_len(&self.flash)?;
        if let Some(next_slot) = self.place(self.page, self.next_slot, page_len, counters)? {
            self.next_slot = next_slot;
            self.durable = counters;
            return Ok(());
        }
        // Nothing more can be written to this page, even if the other one fails now.
        self.next_slot = slots(page_len);
        let other = self.page.other();
        erase(&mut self.flash, other, page_len)?;
        let next_slot = self
            .place(other, 0, page_len, counters)?
            .ok_or(JournalError::Flash)?;
        self.page = other;
        self.next_slot = next_slot;
        self.durable = counters;
        Ok(())
    }

    /// Programs a record into the first slot from `from` on that takes it, twice at most, and reads it
    /// back. The slot after it, or `None`.
    fn place(
        &mut self,
        page: Page,
        from: u32,
        page_len: u32,
        counters: Counters,
    ) -> Result<Option<u32>, JournalError> {
        for slot in (from..slots(page_len)).take(2) {
            // A number for each attempt: one that was reported as failed may still be in flash.
            self.sequence = self
                .sequence
                .checked_add(1)
                .ok_or(JournalError::Exhausted)?;
            let record = Record {
                sequence: self.sequence,
                counters,
            }
            .encode();
            let offset = page.offset(page_len) + slot * RECORD_LEN as u32;
            let mut read_back = [0; RECORD_LEN];
            if self.flash.write(offset, &record).is_ok()
                && self.flash.read(offset, &mut read_back).is_ok()
                && read_back == record
            {
                return Ok(Some(slot + 1));
            }
        }
        Ok(None)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    First,
    Second,
}

impl Page {
    fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    fn offset(self, page_len: u32) -> u32 {
        match self {
            Self::First => 0,
            Self::Second => page_len,
        }
    }
}

/// What a page holds.
#[derive(Clone, Copy)]
struct Scan {
    page: Page,
    /// Sequence number of its newest valid record.
    newest: Option<u32>,
    /// Maximum of each counter over its valid records.
    counters: Counters,
    next_slot: u32,
    /// Whether a slot could not be read.
    unreadable: bool,
}

fn scan<F: NorFlash>(flash: &mut F, page: Page, slots: u32) -> Scan {
    let mut found = Scan {
        page,
        newest: None,
        counters: Counters::default(),
        next_slot: 0,
        unreadable: false,
    };
    let offset = page.offset(slots * RECORD_LEN as u32);
    for slot in 0..slots {
        let mut bytes = [0; RECORD_LEN];
        let at = offset + slot * RECORD_LEN as u32;
        let read = (0..READS).any(|_| flash.read(at, &mut bytes).is_ok());
        found.unreadable |= !read;
        let cell = if read {
            Cell::decode(&bytes)
        } else {
            Cell::Torn
        };
        match cell {
            Cell::Blank => continue,
            Cell::Torn => {}
            Cell::Valid(record) => {
                found.newest = found.newest.max(Some(record.sequence));
                found.counters = found.counters.max(record.counters);
            }
        }
        found.next_slot = slot + 1;
    }
    found
}

fn erase<F: NorFlash>(flash: &mut F, page: Page, page_len: u32) -> Result<(), JournalError> {
    let from = page.offset(page_len);
    flash
        .erase(from, from + page_len)
        .map_err(|_| JournalError::Flash)
}

/// Bytes a page: half the region. Also holds the flash to what the records need: whole records in a
/// page, no more than 2³¹ bytes, so that the arithmetic on offsets cannot overflow.
fn page_len<F: NorFlash>(flash: &F) -> Result<u32, JournalError> {
    let page_len = flash.capacity() / 2;
    let fits = RECORD_LEN.is_multiple_of(F::WRITE_SIZE)
        && RECORD_LEN.is_multiple_of(F::READ_SIZE)
        && page_len.is_multiple_of(F::ERASE_SIZE)
        && page_len.is_multiple_of(RECORD_LEN)
        && page_len >= RECORD_LEN;
    match u32::try_from(page_len) {
        Ok(page_len @ ..=0x4000_0000) if fits => Ok(page_len),
        _ => Err(JournalError::Geometry),
    }
}

fn slots(page_len: u32) -> u32 {
    page_len / RECORD_LEN as u32
}

#[cfg(all(test, feature = "std"))]
mod tests;
