//! Records as training reads them: only what is not zero.

use std::ops::Range;

use prefetch_index::prefetch_index;

use super::columns::Columns;
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
        let mut room = vec![0; width + 1];
        for features in rows {
            prepared.push(features, &mut room);
        }
        prepared
    }

    /// Every feature is written to `room`, and the next one over it where it was zero: no branch to guess.
    fn push(&mut self, features: &[u8], room: &mut [u32]) {
        let (mut row, mut count) = (0, 0);
        let mut ends = [0; PARTS];
        for (part, end) in features.chunks(first_rows(self.width)).zip(&mut ends) {
            for &u in part {
                if let Some(term) = room.get_mut(count) {
                    *term = row | u32::from(u);
                }
                row += 1 << 8;
                count += usize::from(u != 0);
            }
            // A network has 65,535 inputs at most.
            *end = u16::try_from(count).unwrap_or(u16::MAX);
        }
        let filled = features.len().div_ceil(first_rows(self.width));
        ends[filled..].fill(u16::try_from(count).unwrap_or(u16::MAX));
        let from = self.terms.len();
        self.terms.extend_from_slice(&room[..count]);
        self.places.push(Place { from, ends });
    }

    /// Asks for the memory of those records that `which` names, which is wanted soon: shuffled records lie far apart,
    /// and what comes from far would be waited for.
    pub(super) fn ask_for(&self, which: &[u32]) {
        for &index in which {
            let Place { from, ends } = self.places[index as usize];
            for at in (from..from + usize::from(ends[PARTS - 1])).step_by(64 / size_of::<u32>()) {
                prefetch_index(&self.terms, at);
            }
        }
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
    /// The same by row, where there is room for it.
    columns: Columns,
}

/// Where a record's terms come from, and where they end here.
#[derive(Debug)]
struct Span {
    from: usize,
    to: usize,
}

impl Gathered {
    /// Room for `batch` records of `width` features, also by row, so that gathering never allocates.
    pub(super) fn new(width: usize, batch: usize) -> Gathered {
        Gathered {
            parts: 0..0,
            terms: Vec::with_capacity(width * batch),
            ends: Vec::with_capacity(PARTS * batch),
            spans: Vec::with_capacity(batch),
            columns: Columns::new(width, batch),
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
        if !self.columns.is_empty() {
            self.columns.clear();
            let mut from = 0;
            for (record, span) in self.spans.iter().enumerate() {
                self.columns.add(record, &self.terms[from..span.to]);
                from = span.to;
            }
        }
        self.parts = parts;
    }

    /// The same by row.
    pub(super) fn columns(&self) -> &Columns {
        &self.columns
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
