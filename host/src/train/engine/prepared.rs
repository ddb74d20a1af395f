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

    /// Every feature is written to `room`, and the next one over it where it was zero: no branch to guess. Where many
    /// are zero one after the other, all are passed over at once.
    fn push(&mut self, features: &[u8], room: &mut [u32]) {
        let (mut row, mut count) = (0, 0);
        let mut ends = [0; PARTS];
        for (part, end) in features.chunks(first_rows(self.width)).zip(&mut ends) {
            for few in part.chunks(16) {
                if few.iter().fold(0, |any, u| any | u) != 0 {
                    for (&u, row) in few.iter().zip(row..) {
                        if let Some(term) = room.get_mut(count) {
                            *term = row << 8 | u32::from(u);
                        }
                        count += usize::from(u != 0);
                    }
                }
                row += few.len() as u32;
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

/// Where the terms of a batch's records over some parts are, and the same by row.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    parts: Range<usize>,
    /// Where each record's parts begin, and where the last one ends: `[records][parts + 1]`.
    bounds: Vec<usize>,
    /// Empty where there is no room for it.
    columns: Columns,
}

impl Gathered {
    /// Room for `batch` records of `width` features, also by row, so that gathering never allocates.
    pub(super) fn new(width: usize, batch: usize) -> Gathered {
        Gathered {
            parts: 0..0,
            bounds: Vec::with_capacity((PARTS + 1) * batch),
            columns: Columns::new(width, batch),
        }
    }

    /// Takes the terms of `parts` of those records that `which` names.
    pub(super) fn gather(&mut self, prepared: &Prepared, which: &[u32], parts: Range<usize>) {
        self.bounds.clear();
        for &index in which {
            let Place { from, ends } = &prepared.places[index as usize];
            let before = parts.start.checked_sub(1);
            let first = before.map_or(*from, |part| from + usize::from(ends[part]));
            let ends = ends[parts.clone()].iter();
            self.bounds.push(first);
            self.bounds.extend(ends.map(|&end| from + usize::from(end)));
        }
        self.parts = parts;
        if !self.columns.is_empty() {
            self.columns.clear();
            for (record, bounds) in self.bounds.chunks_exact(self.parts.len() + 1).enumerate() {
                if let [first, .., last] = *bounds {
                    self.columns.add(record, &prepared.terms[first..last]);
                }
            }
        }
    }

    /// The same by row.
    pub(super) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Part `part` of each record in turn, of what was gathered from.
    #[inline(always)]
    pub(super) fn part<'a>(
        &self,
        prepared: &'a Prepared,
        part: usize,
    ) -> impl Iterator<Item = &'a [u32]> {
        let part = part - self.parts.start;
        let bounds = self.bounds.chunks_exact(self.parts.len() + 1);
        bounds.map(move |bounds| &prepared.terms[bounds[part]..bounds[part + 1]])
    }
}
