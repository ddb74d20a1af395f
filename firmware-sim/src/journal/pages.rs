//! The journal's two pages: where records lie, and what a page holds.

use embedded_storage::nor_flash::NorFlash;

use super::record::{Cell, Counters, RECORD_LEN, Record};
use super::{JournalError, READS};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    First,
    Second,
}

impl Page {
    pub(super) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    pub(super) fn offset(self, page_len: u32) -> u32 {
        match self {
            Self::First => 0,
            Self::Second => page_len,
        }
    }
}

/// What a page holds.
#[derive(Clone, Copy)]
pub(super) struct Scan {
    pub(super) page: Page,
    /// Sequence number of its newest valid record.
    pub(super) newest: Option<u32>,
    /// Maximum of each counter over its valid records.
    pub(super) counters: Counters,
    /// Its newest record with its highest security counter.
    pub(super) highest: Option<Record>,
    pub(super) next_place: u32,
    /// Whether a place could not be read.
    pub(super) unreadable: bool,
}

pub(super) fn scan<F: NorFlash>(flash: &mut F, page: Page, places: u32) -> Scan {
    let mut found = Scan {
        page,
        newest: None,
        counters: Counters::default(),
        highest: None,
        next_place: 0,
        unreadable: false,
    };
    let offset = page.offset(places * RECORD_LEN as u32);
    for place in 0..places {
        let mut bytes = [0; RECORD_LEN];
        let at = offset + place * RECORD_LEN as u32;
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
                // Of two with one number the later one: the other was torn when it was written.
                if found
                    .highest
                    .is_none_or(|highest| highest.rank() <= record.rank())
                {
                    found.highest = Some(record);
                }
            }
        }
        found.next_place = place + 1;
    }
    found
}

pub(super) fn erase<F: NorFlash>(
    flash: &mut F,
    page: Page,
    page_len: u32,
) -> Result<(), JournalError> {
    let from = page.offset(page_len);
    flash
        .erase(from, from + page_len)
        .map_err(|_| JournalError::Flash)
}

/// Bytes a page: half the region. Also holds the flash to what the records need: whole records in a
/// page, no more than 2³¹ bytes, so that the arithmetic on offsets cannot overflow.
pub(super) fn page_len<F: NorFlash>(flash: &F) -> Result<u32, JournalError> {
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

/// Records that a page holds.
pub(super) fn places(page_len: u32) -> u32 {
    page_len / RECORD_LEN as u32
}
