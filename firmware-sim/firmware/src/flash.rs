//! Flash on a board that has none: a region of its memory, programmed under NOR rules.

use core::ptr;
use core::slice;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use sealnet_firmware::env::Slot;
use sealnet_firmware::layout::PAGE_LEN;

/// A region of memory.
#[derive(Debug)]
pub(crate) struct Region {
    base: usize,
    len: usize,
}

/// Why the region refused.
#[derive(Debug)]
pub(crate) struct Refused(NorFlashErrorKind);

impl Region {
    /// # Safety
    /// `len` bytes of memory lie at `base` as long as the program runs, and nothing else refers to them.
    pub(crate) unsafe fn new(base: usize, len: usize) -> Self {
        Self { base, len }
    }

    fn range(&self, offset: u32, len: usize, unit: usize) -> Result<usize, Refused> {
        let offset = offset as usize;
        if !offset.is_multiple_of(unit) || !len.is_multiple_of(unit) {
            return Err(Refused(NorFlashErrorKind::NotAligned));
        }
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(self.base + offset),
            _ => Err(Refused(NorFlashErrorKind::OutOfBounds)),
        }
    }
}

impl<'m> Slot<'m> for Region {
    fn bytes(&self) -> &[u8] {
        // SAFETY: `new`'s caller promised that they are there. Whoever writes borrows the region alone.
        unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(self.base), self.len) }
    }

    fn lend(self) -> &'m [u8] {
        // SAFETY: as above; with the region itself gone, nothing writes any more.
        unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(self.base), self.len) }
    }
}

impl NorFlashError for Refused {
    fn kind(&self) -> NorFlashErrorKind {
        self.0
    }
}

impl ErrorType for Region {
    type Error = Refused;
}

impl ReadNorFlash for Region {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Refused> {
        let from = self.range(offset, bytes.len(), 1)?;
        for (index, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: inside the region.
            *byte = unsafe { ptr::read_volatile(ptr::with_exposed_provenance(from + index)) };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.len
    }
}

impl NorFlash for Region {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE_LEN;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Refused> {
        let len = to
            .checked_sub(from)
            .ok_or(Refused(NorFlashErrorKind::OutOfBounds))? as usize;
        let from = self.range(from, len, PAGE_LEN)?;
        for word in (from..from + len).step_by(4) {
            // SAFETY: inside the region.
            unsafe { ptr::write_volatile(ptr::with_exposed_provenance_mut(word), u32::MAX) }
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Refused> {
        let to = self.range(offset, bytes.len(), Self::WRITE_SIZE)?;
        for (index, word) in bytes.as_chunks().0.iter().enumerate() {
            let cell = ptr::with_exposed_provenance_mut::<u32>(to + 4 * index);
            // SAFETY: inside the region. Programming clears bits and sets none.
            unsafe {
                ptr::write_volatile(cell, ptr::read_volatile(cell) & u32::from_ne_bytes(*word))
            }
        }
        Ok(())
    }
}
