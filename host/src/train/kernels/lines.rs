//! Memory for lines, aligned as vectors like it.

use std::ops::{Deref, DerefMut};

use super::{LANES, Line};

/// Lines that begin on cache lines: a vector that lies across two costs twice.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// One line more than is used, for the alignment. Never grows: its place is fixed.
    room: Vec<f32>,
    from: usize,
    count: usize,
}

impl Lines {
    /// `count` lines of zeros.
    pub(crate) fn zeros(count: usize) -> Lines {
        let room = vec![0.0f32; (count + 1) * LANES];
        let from = room.as_ptr().align_offset(64).min(LANES);
        Lines { room, from, count }
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
