//! A batch's features by row.

use std::ops::Range;

/// Which records of a batch have a feature in each row, and what it is: what is added to a row's gradient.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// One bit a record: `[rows][words]`.
    present: Vec<u32>,
    /// The features that are there, `[rows][words][RECORDS]`.
    features: Vec<u8>,
    words: usize,
    /// The first row.
    first: usize,
}

/// Records of a word.
pub(super) const RECORDS: usize = u32::BITS as usize;

impl Columns {
    /// Room for `rows` and batches of `capacity` records.
    pub(super) fn new(rows: Range<usize>, capacity: usize) -> Columns {
        let words = capacity.div_ceil(RECORDS);
        Columns {
            present: vec![0; rows.len() * words],
            features: vec![0; rows.len() * words * RECORDS],
            words,
            first: rows.start,
        }
    }

    /// Whether there is room for none.
    pub(super) fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.present.fill(0);
    }

    /// Adds the terms of record `record`: `row · 256 + u` each.
    pub(super) fn add(&mut self, record: usize, terms: &[u32]) {
        let (word, bit) = (record / RECORDS, record % RECORDS);
        let (features, _) = self.features.as_chunks_mut::<RECORDS>();
        for &term in terms {
            let row = ((term >> 8) as usize).wrapping_sub(self.first);
            let cell = row.wrapping_mul(self.words).wrapping_add(word);
            // Both are always there; a check that goes on is cheaper than one that panics.
            if let (Some(present), Some(features)) =
                (self.present.get_mut(cell), features.get_mut(cell))
            {
                *present |= 1 << bit;
                features[bit] = term as u8;
            }
        }
    }

    /// What each row has from row `first`, [`RECORDS`] records at a time: which of them have such a feature, and it.
    #[inline(always)]
    pub(super) fn rows(&self, first: usize) -> impl Iterator<Item = (&[u32], &[[u8; RECORDS]])> {
        let (words, skip) = (self.words.max(1), first.saturating_sub(self.first));
        let (features, _) = self.features.as_chunks();
        let present = self.present.chunks_exact(words).skip(skip);
        present.zip(features.chunks_exact(words).skip(skip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_row_as_by_record() {
        let (rows, records) = (300, 70);
        // About a third is there.
        let feature = |record: usize, row: usize| match record * 7 + row * 13 {
            mixed if mixed % 3 == 0 => (mixed % 255 + 1) as u8,
            _ => 0,
        };
        let first = 20;
        let mut columns = Columns::new(first..first + rows, records);
        // What was there before is forgotten, where nothing comes in its place too.
        columns.add(1, &[26 << 8 | 9]);
        columns.clear();
        for record in 0..records {
            let terms =
                (0..rows).map(|row| ((first + row) << 8) as u32 | u32::from(feature(record, row)));
            let terms: Vec<u32> = terms.filter(|term| term & 0xff != 0).collect();
            columns.add(record, &terms);
        }
        assert_eq!(columns.rows(30).next(), columns.rows(first).nth(10));
        for (row, (present, features)) in columns.rows(first).enumerate() {
            let mut seen = vec![0; records];
            for (record, seen) in seen.iter_mut().enumerate() {
                let (word, bit) = (record / RECORDS, record % RECORDS);
                if present[word] >> bit & 1 == 1 {
                    *seen = features[word][bit];
                }
            }
            let expected: Vec<u8> = (0..records).map(|record| feature(record, row)).collect();
            assert_eq!(seen, expected, "row {row}");
        }
    }
}
