//! The device's memory across resets: three counters in NOR flash that never go back, and which model slot is
//! the active one.
//!
//! | counter | rises | why it must not go back |
//! |---|---|---|
//! | boot | once a boot, before anything else | reply IVs are PRF(secret, boot ‖ message): a boot number used twice repeats an IV |
//! | security | when a model with a higher counter has booted | an older, validly signed model must not come back |
//! | requests | a block of [`REQUEST_BLOCK`] ahead of the requests accepted | a request accepted before a reset must not be accepted after it |
//!
//! # How it lies in flash
//!
//! Two pages, each half of the region. Records are appended, each with all counters and states. A full page is
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
//! | 24 | u8 | active slot: 0 A, 1 B |
//! | 25 | u8 | trial of the model in the other slot: 0 none, 1 pending, 2 attempted |
//! | 26 | u8 | outcome of the last update: 0 none or not tried yet, 1 confirmed, 2 failed |
//! | 27 | u8 | zero |
//! | 28 | u32 | CRC-32 (ISO 3309, as in zlib) of the 28 bytes before it |
//!
//! # Power cuts
//!
//! - A record torn by a cut fails its CRC-32 and is skipped; its place is never programmed again. Flash with
//!   an error-correcting code may refuse to read such a place at all: after [`READS`] attempts that counts
//!   as torn too. If no record is left then, the flash is at fault, and the device says so.
//! - Nothing is read back by position: a counter is the maximum over every valid record of both pages, so a page
//!   half erased, a record written twice or one that reads well only now and then can raise a counter but never
//!   lower it.
//! - Every record is written twice, in two places. So one that is lost after it was read back, to a cell that
//!   decays say, takes nothing with it. The second copy alone is not waited for: where power is cut before it, or
//!   the flash takes no more, the first one counts.
//! - Slot, trial and outcome are those of the newest record among those with the highest security counter. The
//!   active slot changes in one record only, [`Journal::confirm`]'s, which raises the security counter too: so
//!   every record with the highest one names the same slot, and no torn record that reads well later, however
//!   new its number says it is, can part a counter from the model that it belongs to. At worst it brings back a
//!   trial, which verifies the model in full before anything follows from it, or ends one, and the old model
//!   stays.
//! - Before a slot is erased for an update, [`Journal::begin_update`] moves the state into a freshly erased page
//!   and erases the other one. So no record is left, not even one torn long ago, that calls the slot active.
//! - A write counts only once it has been read back, and a counter is used only after that.
//! - Each boot appends a record, so a record whose cells were programmed only weakly is replaced by a
//!   sound one before anything relies on it.
//! - A region without any valid record is an error, not a fresh device: [`Journal::format`], which
//!   provisioning calls once, writes the first record.
//!
//! The CRC detects torn writes. It is no defence against someone who can write internal flash, who is
//! outside the threat model.

mod pages;
mod record;

use core::fmt;

use embedded_storage::nor_flash::NorFlash;
use sealnet_core::protocol::UpdateOutcome;

use pages::{Page, erase, page_len, places, scan};
use record::Record;
pub use record::{Counters, RECORD_LEN, Slots, Trial};

/// Requests reserved ahead: a reset skips at most this many request counters, and flash is written once
/// for as many requests.
pub const REQUEST_BLOCK: u64 = 256;

/// How often a place is read before it counts as torn, so that a passing fault does not hide a record.
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
    /// What flash holds.
    slots: Slots,
    /// The highest request counter accepted, or that may have been accepted before the last reset.
    highest_request: u64,
    sequence: u32,
    page: Page,
    /// The first place of `page` that was never programmed.
    next_place: u32,
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
    /// forgets every counter that was there. Slot A is the active one.
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
            slots: Slots::default(),
            highest_request: counters.requests,
            sequence: 0,
            page: Page::First,
            next_place: 0,
        };
        journal.append(counters, Slots::default())?;
        Ok(journal)
    }

    /// Reads the counters.
    ///
    /// # Errors
    /// [`JournalError::NoRecord`] if no record is valid; [`JournalError::Geometry`] or
    /// [`JournalError::Flash`].
    pub fn open(mut flash: F) -> Result<Self, JournalError> {
        let places = places(page_len(&flash)?);
        let first = scan(&mut flash, Page::First, places);
        let second = scan(&mut flash, Page::Second, places);
        // The newest record's page. Equal numbers can only come from a torn record that reads well
        // after all; then it is the page with room, since the other one may be erased next.
        let newest = match (first.newest, second.newest) {
            (a, b) if a > b => first,
            (a, b) if a < b => second,
            _ if first.next_place <= second.next_place => first,
            _ => second,
        };
        let sequence = newest
            .newest
            .ok_or(match first.unreadable || second.unreadable {
                true => JournalError::Flash,
                false => JournalError::NoRecord,
            })?;
        let durable = first.counters.max(second.counters);
        let other = if newest.page == first.page {
            second
        } else {
            first
        };
        let slots = match (newest.highest, other.highest) {
            (Some(here), Some(there)) if there.rank() > here.rank() => there.slots,
            (Some(record), _) | (None, Some(record)) => record.slots,
            (None, None) => return Err(JournalError::NoRecord),
        };
        Ok(Self {
            flash,
            durable,
            slots,
            highest_request: durable.requests,
            sequence,
            page: newest.page,
            next_place: newest.next_place,
        })
    }

    /// The counters as they are in flash. `requests` is the end of the reserved block.
    pub fn counters(&self) -> Counters {
        self.durable
    }

    /// The counters as they are in flash, read from there again: for who does not trust what was read before.
    ///
    /// # Errors
    /// [`JournalError::Geometry`] or [`JournalError::NoRecord`].
    #[inline(never)]
    pub fn read_again(&mut self) -> Result<Counters, JournalError> {
        let places = places(page_len(&self.flash)?);
        let first = scan(&mut self.flash, Page::First, places);
        let second = scan(&mut self.flash, Page::Second, places);
        match first.newest.max(second.newest) {
            Some(_) => Ok(first.counters.max(second.counters).max(self.durable)),
            None => Err(JournalError::NoRecord),
        }
    }

    /// The highest request counter accepted, or that may have been accepted before the last reset.
    pub fn highest_request(&self) -> u64 {
        self.highest_request
    }

    /// Which slot is active, and where an update stands.
    pub fn slots(&self) -> Slots {
        self.slots
    }

    /// Takes a boot number never given before. If a trial is pending, this boot is the one that attempts it:
    /// [`Journal::slots`] says so from then on. If one was attempted and neither confirmed nor failed, the boot
    /// before this one did not survive it, and it has failed.
    ///
    /// # Errors
    /// [`JournalError::Flash`], or [`JournalError::Exhausted`] after 2³² − 1 boots.
    pub fn begin_boot(&mut self) -> Result<u32, JournalError> {
        let boot = self
            .durable
            .boot
            .checked_add(1)
            .ok_or(JournalError::Exhausted)?;
        let slots = match self.slots.trial {
            Trial::None => self.slots,
            Trial::Pending => Slots {
                trial: Trial::Attempted,
                ..self.slots
            },
            Trial::Attempted => self.slots.failed(),
        };
        let counters = Counters {
            boot,
            ..self.durable
        };
        self.append(counters, slots)?;
        Ok(boot)
    }

    /// Forgets any trial, in such a way that no record is left that could call the spare slot active: for who
    /// is about to erase it.
    ///
    /// # Errors
    /// [`JournalError::Flash`] or [`JournalError::Exhausted`]; the spare slot must stay as it is then.
    pub fn begin_update(&mut self) -> Result<(), JournalError> {
        let page_len = page_len(&self.flash)?;
        let left = self.page;
        // The page takes no more, so the record goes to the other one.
        self.next_place = places(page_len);
        let slots = Slots {
            trial: Trial::None,
            outcome: UpdateOutcome::None,
            ..self.slots
        };
        self.append(self.durable, slots)?;
        erase(&mut self.flash, left, page_len)
    }

    /// Has the next boot try the model in the spare slot.
    ///
    /// # Errors
    /// [`JournalError::Flash`] or [`JournalError::Exhausted`].
    pub fn finish_update(&mut self) -> Result<(), JournalError> {
        let slots = Slots {
            trial: Trial::Pending,
            outcome: UpdateOutcome::None,
            ..self.slots
        };
        self.append(self.durable, slots)
    }

    /// The trial succeeded: in one record the spare slot becomes the active one and the security counter rises
    /// to its model's.
    ///
    /// # Errors
    /// [`JournalError::Exhausted`] if `counter` is not above the stored one; [`JournalError::Flash`].
    pub fn confirm(&mut self, counter: u32) -> Result<(), JournalError> {
        if counter <= self.durable.security {
            return Err(JournalError::Exhausted);
        }
        let counters = Counters {
            security: counter,
            ..self.durable
        };
        let slots = Slots {
            active: self.slots.active.other(),
            trial: Trial::None,
            outcome: UpdateOutcome::Confirmed,
        };
        self.append(counters, slots)
    }

    /// The trial failed: the active slot stays what it is.
    ///
    /// # Errors
    /// [`JournalError::Flash`] or [`JournalError::Exhausted`]; then the next boot finds that it failed.
    pub fn fail_trial(&mut self) -> Result<(), JournalError> {
        self.append(self.durable, self.slots.failed())
    }

    /// Raises the security counter to `counter`; does nothing if it is there already.
    ///
    /// # Errors
    /// [`JournalError::Flash`] or [`JournalError::Exhausted`].
    pub fn raise_security(&mut self, counter: u32) -> Result<(), JournalError> {
        if counter <= self.durable.security {
            return Ok(());
        }
        let counters = Counters {
            security: counter,
            ..self.durable
        };
        self.append(counters, self.slots)
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
            let counters = Counters {
                requests,
                ..self.durable
            };
            self.append(counters, self.slots)
                .map_err(AdmitError::Journal)?;
        }
        self.highest_request = counter;
        Ok(())
    }

    /// Writes a record and, if the flash takes it, a copy.
    #[inline(never)] // from many places
    fn append(&mut self, counters: Counters, slots: Slots) -> Result<(), JournalError> {
        self.append_once(counters, slots)?;
        // The record counts already: who asked for it is not told that it was not written.
        let _ = self.append_once(counters, slots);
        Ok(())
    }

    /// Writes a record where none was, in the other page if this one is full or fails twice.
    fn append_once(&mut self, counters: Counters, slots: Slots) -> Result<(), JournalError> {
        let page_len = page_len(&self.flash)?;
        if let Some(next_place) =
            self.place(self.page, self.next_place, page_len, counters, slots)?
        {
            self.next_place = next_place;
            (self.durable, self.slots) = (counters, slots);
            return Ok(());
        }
        // Nothing more can be written to this page, even if the other one fails now.
        self.next_place = places(page_len);
        let other = self.page.other();
        erase(&mut self.flash, other, page_len)?;
        let next_place = self
            .place(other, 0, page_len, counters, slots)?
            .ok_or(JournalError::Flash)?;
        self.page = other;
        self.next_place = next_place;
        (self.durable, self.slots) = (counters, slots);
        Ok(())
    }

    /// Programs a record into the first place from `from` on that takes it, twice at most, and reads it
    /// back. The place after it, or `None`.
    fn place(
        &mut self,
        page: Page,
        from: u32,
        page_len: u32,
        counters: Counters,
        slots: Slots,
    ) -> Result<Option<u32>, JournalError> {
        for place in (from..places(page_len)).take(2) {
            // A number for each attempt: one that was reported as failed may still be in flash.
            self.sequence = self
                .sequence
                .checked_add(1)
                .ok_or(JournalError::Exhausted)?;
            let record = Record {
                sequence: self.sequence,
                counters,
                slots,
            }
            .encode();
            let offset = page.offset(page_len) + place * RECORD_LEN as u32;
            let mut read_back = [0; RECORD_LEN];
            if self.flash.write(offset, &record).is_ok()
                && self.flash.read(offset, &mut read_back).is_ok()
                && read_back == record
            {
                return Ok(Some(place + 1));
            }
        }
        Ok(None)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;
