//! Records as training reads them: only what is not zero.

use std::ops::Range;

use super::parts::{PARTS, first_rows};
use crate::train::Records;

/// The features of records that are not zero, in order: four of five of a digit's are background.
///
/// Making it is cheap next to a step of training, and may be done on another thread while one trains.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    width: usize,
    /// `row · 256 + u` of every feature `u` that is not zero, record by record; rows count from their part's first.
    terms: Vec<u32>,
    places: Vec<Place>,
}

/// Where a record's terms are.
#[derive(Debug, Clone, Copy)]
struct Place {
    from: usize,
    /// Where each part's end, from `from`. A network has 65,535 inputs at most.
    ends: [u16; PARTS],
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
        prepared.places.reserve(count);
        // A quarter is a digit's share.
        prepared.terms.reserve(count * width / 4);
        for features in rows {
            prepared.push(features);
        }
        prepared
    }

    fn push(&mut self, features: &[u8]) {
        let from = self.terms.len();
        let mut ends = [0; PARTS];
        let parts = features.chunks(first_rows(self.width));
        for (part, end) in parts.zip(&mut ends) {
            let mut row = 0;
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
            *end = self.count_from(from);
        }
        let filled = features.len().div_ceil(first_rows(self.width));
        ends[filled..].fill(self.count_from(from));
        self.places.push(Place { from, ends });
    }

    /// How many terms there are from `from` on.
    fn count_from(&self, from: usize) -> u16 {
        u16::try_from(self.terms.len() - from).unwrap_or(u16::MAX)
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Features of a record.
    pub fn width(&self) -> usize {
        self.width
    }
}

/// The terms of a batch's records over some parts, side by side: shuffled records lie far apart, and each miss of
/// the caches would be waited for.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    parts: Range<usize>,
    terms: Vec<u32>,
    /// Where each record's parts end, record by record.
    ends: Vec<usize>,
    spans: Vec<Span>,
}

/// Where a record's terms come from, and where they end here.
#[derive(Debug)]
struct Span {
    from: usize,
    to: usize,
}

impl Gathered {
    /// Room for `batch` records of `width` features, so that gathering never allocates.
    pub(super) fn new(width: usize, batch: usize) -> Gathered {
        Gathered {
            parts: 0..0,
            terms: Vec::with_capacity(width * batch),
            ends: Vec::with_capacity(PARTS * batch),
            spans: Vec::with_capacity(batch),
        }
    }

    /// Takes the terms of `parts` of those records that `which` names.
    pub(super) fn gather(&mut self, prepared: &Prepared, which: &[u32], parts: Range<usize>) {
        self.terms.clear();
        self.ends.clear();
        self.spans.clear();
        // Two loops, so that neither waits for the other's misses.
        for &index in which {
            let place = &prepared.places[index as usize];
            let before = parts.start.checked_sub(1);
            let before = before.map_or(0, |part| usize::from(place.ends[part]));
            let ends = place.ends[parts.clone()].iter();
            let at = self.spans.last().map_or(0, |last: &Span| last.to);
            self.ends
                .extend(ends.map(|&end| usize::from(end) - before + at));
            self.spans.push(Span {
                from: place.from + before,
                to: self.ends.last().copied().unwrap_or(at),
            });
        }
        for span in &self.spans {
            let count = span.to - self.terms.len();
            let terms = &prepared.terms[span.from..][..count];
            self.terms.extend_from_slice(terms);
        }
        self.parts = parts;
    }

    /// How many records.
    pub(super) fn len(&self) -> usize {
        self.ends.len().checked_div(self.parts.len()).unwrap_or(0)
    }

    /// Part `part` of each record in turn.
    #[inline(always)]
    pub(super) fn part(&self, part: usize) -> impl Iterator<Item = &[u32]> {
        let (count, part) = (self.parts.len(), part - self.parts.start);
        (0..self.len()).map(move |record| {
            let at = record * count + part;
            let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
            &self.terms[from..self.ends[at]]
        })
    }
}
