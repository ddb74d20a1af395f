//! Memory for lines, aligned as vectors like it.

use std::ops::{Deref, DerefMut};

use super::{LANES, Line};

/// Lines that begin on cache lines: a vector that lies across two costs twice.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// More than is used, for the alignment. Never grows: its place is fixed.
    room: Vec<f32>,
    from: usize,
    count: usize,
}

impl Lines {
    /// `count` lines of zeros.
    pub(crate) fn zeros(count: usize) -> Lines {
        Lines::placed(count, 0, 64)
    }

    /// `count` lines of zeros, `phase` thirds of a page from a page's beginning. Matrices that are walked over side
    /// by side get different ones: a processor takes a load for one that waits for an earlier store when their
    /// addresses differ by whole pages.
    pub(crate) fn in_phase(count: usize, phase: usize) -> Lines {
        Lines::placed(count, phase * THIRD, PAGE)
    }

    /// Its address is `offset` bytes after a multiple of `alignment`.
    fn placed(count: usize, offset: usize, alignment: usize) -> Lines {
        let room = vec![0.0f32; (count + 1) * LANES + (offset + alignment) / 4];
        let ahead = room.as_ptr().align_offset(alignment).min(alignment / 4);
        Lines {
            room,
            from: ahead + offset / 4,
            count,
        }
    }

    /// As one slice of numbers.
    pub(crate) fn flat(&self) -> &[f32] {
        self.as_flattened()
    }

    /// As one slice of numbers.
    pub(crate) fn flat_mut(&mut self) -> &mut [f32] {
        self.as_flattened_mut()
    }
}

impl Deref for Lines {
    type Target = [Line];

    #[inline(always)]
    fn deref(&self) -> &[Line] {
        self.room[self.from..][..self.count * LANES].as_chunks().0
    }
}

impl DerefMut for Lines {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [Line] {
        self.room[self.from..][..self.count * LANES]
            .as_chunks_mut()
            .0
    }
}

const PAGE: usize = 4096;
/// About a third of a page, whole lines.
const THIRD: usize = 21 * 64;
