//! Records as training reads them: only what is not zero.

use std::ops::Range;

use prefetch_index::prefetch_index;
use rayon::ThreadPool;
use rayon::prelude::*;

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
        let row = |index| records.features_of(index as u32);
        Prepared::from_rows(records.width, records.labels.len(), &row, None)
    }

    /// Those of `records` that `which` names, which must be there.
    pub(crate) fn of(
        records: &Records<'_>,
        which: &[u32],
        threads: Option<&ThreadPool>,
    ) -> Prepared {
        let row = |index: usize| records.features_of(which[index]);
        Prepared::from_rows(records.width, which.len(), &row, threads)
    }

    /// Features, `[N][width]` row-major.
    pub fn from_features(features: &[u8], width: usize) -> Prepared {
        Prepared::of_features(features, width, None)
    }

    /// The same, by `threads` where there are any.
    pub(crate) fn of_features(
        features: &[u8],
        width: usize,
        threads: Option<&ThreadPool>,
    ) -> Prepared {
        let row = |index| &features[index * width..][..width];
        let count = features.len().checked_div(width).unwrap_or(0);
        Prepared::from_rows(width, count, &row, threads)
    }

    /// `count` records, of which `row` gives one; done by `threads` where there are any.
    fn from_rows<'a>(
        width: usize,
        count: usize,
        row: &(dyn Fn(usize) -> &'a [u8] + Sync),
        threads: Option<&ThreadPool>,
    ) -> Prepared {
        let place = |index| Place::counted(row(index));
        let mut places: Vec<Place> = match threads {
            Some(threads) => threads.install(|| {
                let all = (0..count).into_par_iter().with_min_len(TOGETHER);
                all.map(place).collect()
            }),
            None => (0..count).map(place).collect(),
        };
        let mut total = 0;
        for place in &mut places {
            place.from = total;
            total += place.len();
        }
        let mut terms = vec![0; total];
        let mut rest = &mut terms[..];
        let mut pieces = Vec::with_capacity(count.div_ceil(TOGETHER));
        for (places, from) in places.chunks(TOGETHER).zip((0..).step_by(TOGETHER)) {
            let len = places.iter().map(Place::len).sum();
            let (piece, after) = rest.split_at_mut(len);
            pieces.push((piece, from..from + places.len()));
            rest = after;
        }
        let fill = |(piece, which): (&mut [u32], Range<usize>)| write(piece, which.map(row));
        match threads {
            Some(threads) => threads.install(|| pieces.into_par_iter().for_each(fill)),
            None => pieces.into_iter().for_each(fill),
        }
        Prepared {
            width,
            terms,
            places,
        }
    }

    /// Asks for the memory of `parts` of those records that `which` names, which is wanted soon: shuffled records lie
    /// far apart, and what comes from far would be waited for.
    pub(super) fn ask_for(&self, which: &[u32], parts: &Range<usize>) {
        for &index in which {
            let terms = self.places[index as usize].range(parts);
            let last = terms.end.saturating_sub(1);
            for at in terms.step_by(LINE / size_of::<u32>()) {
                prefetch_index(&self.terms, at);
            }
            prefetch_index(&self.terms, last);
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

/// Bytes that memory gives at once.
const LINE: usize = 64;

/// Records that one thread prepares at a time.
const TOGETHER: usize = 256;

impl Place {
    /// Of a record that has these features; where it is, is yet to be set.
    fn counted(features: &[u8]) -> Place {
        let mut ends = [0; PARTS];
        let mut count = 0;
        let mut parts = features.chunks(first_rows(features.len()));
        for end in &mut ends {
            // As many at a time as a byte counts, so that the compiler does several side by side.
            for some in parts.next().unwrap_or(&[]).chunks(usize::from(u8::MAX)) {
                let of_some = some.iter().fold(0, |count, &u| count + u8::from(u != 0));
                count += usize::from(of_some);
            }
            // A network has 65,535 inputs at most.
            *end = u16::try_from(count).unwrap_or(u16::MAX);
        }
        Place { from: 0, ends }
    }

    /// How many terms.
    fn len(&self) -> usize {
        usize::from(self.ends[PARTS - 1])
    }

    /// Where those of `parts` are.
    fn range(&self, parts: &Range<usize>) -> Range<usize> {
        let end = |parts: usize| match parts.checked_sub(1) {
            Some(last) => self.from + usize::from(self.ends[last]),
            None => self.from,
        };
        end(parts.start)..end(parts.end)
    }
}

/// Writes the terms of `records`, one after the other. Every feature is written, and the next one over it where it was
/// zero: no branch to guess. Where several are zero one after the other, all are passed over at once.
fn write<'a>(terms: &mut [u32], records: impl Iterator<Item = &'a [u8]>) {
    let mut at = 0;
    for features in records {
        let (several, rest) = features.as_chunks::<TOGETHER_ZERO>();
        let mut row = 0;
        for some in several {
            if *some != [0; TOGETHER_ZERO] {
                match terms.get_mut(at..).and_then(<[u32]>::first_chunk_mut) {
                    Some(room) => at += write_some(room, row, some),
                    None => write_last(terms, &mut at, row, some),
                }
            }
            row += TOGETHER_ZERO as u32;
        }
        write_last(terms, &mut at, row, rest);
    }
}

/// Writes some features, of which the first is of row `row`. Returns how many are not zero.
#[inline(always)]
fn write_some(room: &mut [u32; TOGETHER_ZERO], row: u32, features: &[u8; TOGETHER_ZERO]) -> usize {
    let mut count = 0;
    for (&u, row) in features.iter().zip(row..) {
        room[count % TOGETHER_ZERO] = row << 8 | u32::from(u);
        count += usize::from(u != 0);
    }
    count
}

/// The same where there may be no room for zeros.
fn write_last(terms: &mut [u32], at: &mut usize, row: u32, features: &[u8]) {
    for (&u, row) in features.iter().zip(row..).filter(|&(&u, _)| u != 0) {
        if let Some(term) = terms.get_mut(*at) {
            *term = row << 8 | u32::from(u);
        }
        *at += 1;
    }
}

/// Features that are looked at together for being zero.
const TOGETHER_ZERO: usize = 8;

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
    /// Room for `batch` records, by row those of `rows`, so that gathering never allocates.
    pub(super) fn new(rows: Range<usize>, batch: usize) -> Gathered {
        Gathered {
            parts: 0..0,
            bounds: Vec::with_capacity((PARTS + 1) * batch),
            columns: Columns::new(rows, batch),
        }
    }

    /// Takes the terms of `parts` of those records that `which` names.
    pub(super) fn gather(&mut self, prepared: &Prepared, which: &[u32], parts: Range<usize>) {
        self.bounds.clear();
        for &index in which {
            let place = &prepared.places[index as usize];
            let ends = place.ends[parts.clone()].iter();
            let ends = ends.map(|&end| place.from + usize::from(end));
            self.bounds.push(place.range(&parts).start);
            self.bounds.extend(ends);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Random, Stream};

    #[test]
    fn what_is_not_zero_in_order_by_any_threads() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        let pool = pool.unwrap();
        let mut random = Random::new(3, Stream::Split);
        for width in [1, 7, 8, 37, 784, 2100] {
            // More than one thread prepares at a time, whole and not.
            let count = 2 * TOGETHER + 77;
            let feature = |random: &mut Random| match random.below(5) {
                0 => random.below(256) as u8,
                _ => 0,
            };
            let mut features: Vec<u8> = (0..count * width).map(|_| feature(&mut random)).collect();
            // Records of nothing, and of nothing that is zero, the last one among them.
            features[..width].fill(0);
            features[(count - 1) * width..].fill(9);
            let part = first_rows(width);
            for threads in [None, Some(&pool)] {
                let prepared = Prepared::of_features(&features, width, threads);
                assert_eq!((prepared.len(), prepared.width()), (count, width));
                for (record, row) in features.chunks(width).enumerate() {
                    for index in 0..PARTS {
                        let range = prepared.places[record].range(&(index..index + 1));
                        let rows = (index * part).min(width)..((index + 1) * part).min(width);
                        let expected = rows.filter(|&i| row[i] != 0);
                        let expected = expected.map(|i| (i << 8) as u32 | u32::from(row[i]));
                        let expected: Vec<u32> = expected.collect();
                        assert_eq!(prepared.terms[range], expected, "{width}, record {record}");
                    }
                }
            }
        }
    }
}
