//! Records as training reads them: only what is not zero.

use super::parts::{PARTS, first_rows};
use crate::train::Records;

/// The features of records that are not zero, in order: four of five of a digit's are background.
///
/// Making it is cheap next to a step of training, and may be done on another thread while one trains.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    width: usize,
    /// `row · 256 + u` of every feature `u` that is not zero, record by record.
    terms: Vec<u32>,
    /// Where in `terms` each part of each record ends.
    ends: Vec<[usize; PARTS]>,
}

impl Prepared {
    /// All of `records`, in their order.
    pub fn new(records: &Records<'_>) -> Prepared {
        let count = records.labels.len() as u32;
        Prepared::of(records, 0..count)
    }

    /// Those of `records` that `which` names, which must be there.
    pub(crate) fn of(records: &Records<'_>, which: impl Iterator<Item = u32>) -> Prepared {
        let features = which.map(|index| records.features_of(index));
        Prepared::from_rows(records.width, features)
    }

    /// Features, `[N][width]` row-major.
    pub fn from_features(features: &[u8], width: usize) -> Prepared {
        Prepared::from_rows(width, features.chunks_exact(width.max(1)))
    }

    fn from_rows<'a>(width: usize, rows: impl Iterator<Item = &'a [u8]>) -> Prepared {
        let mut prepared = Prepared {
            width,
            ..Prepared::default()
        };
        let count = rows.size_hint().0;
        prepared.ends.reserve(count);
        // A quarter is a digit's share.
        prepared.terms.reserve(count * width / 4);
        for features in rows {
            prepared.push(features);
        }
        prepared
    }

    fn push(&mut self, features: &[u8]) {
        let mut ends = [self.terms.len(); PARTS];
        let mut row = 0;
        let parts = features.chunks(first_rows(self.width));
        for (part, end) in parts.zip(&mut ends) {
            let (words, rest) = part.as_chunks::<8>();
            for word in words {
                let mut left = u64::from_le_bytes(*word);
                while left != 0 {
                    let byte = left.trailing_zeros() / 8;
                    let u = (left >> (8 * byte)) & 0xff;
                    self.terms.push((row + byte) << 8 | u as u32);
                    left &= !(0xff << (8 * byte));
                }
                row += 8;
            }
            for &u in rest {
                if u != 0 {
                    self.terms.push(row << 8 | u32::from(u));
                }
                row += 1;
            }
            *end = self.terms.len();
        }
        let filled = features.len().div_ceil(first_rows(self.width));
        ends[filled..].fill(self.terms.len());
        self.ends.push(ends);
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Features of a record.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Part `part` of record `index`.
    #[inline(always)]
    pub(super) fn terms(&self, index: u32, part: usize) -> &[u32] {
        let index = index as usize;
        let from = match (part.checked_sub(1), index.checked_sub(1)) {
            (Some(before), _) => self.ends[index][before],
            (None, Some(before)) => self.ends[before][PARTS - 1],
            (None, None) => 0,
        };
        &self.terms[from..self.ends[index][part]]
    }
}
