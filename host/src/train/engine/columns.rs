//! A batch's features by row.

/// Which records of a batch have a feature in each row, and what it is: what is added to a row's gradient.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// One bit a record: `[words][rows]`.
    present: Vec<u32>,
    /// The features that are there.
    features: Vec<[u8; RECORDS]>,
    rows: usize,
}

/// Records of a word.
pub(super) const RECORDS: usize = u32::BITS as usize;

impl Columns {
    /// Room for `rows` rows and batches of `capacity` records.
    pub(super) fn new(rows: usize, capacity: usize) -> Columns {
        let cells = rows * capacity.div_ceil(RECORDS);
        Columns {
            present: vec![0; cells],
            features: vec![[0; RECORDS]; cells],
            rows,
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
        let cells = word * self.rows..(word + 1) * self.rows;
        let present = self.present.get_mut(cells.clone());
        let (Some(present), Some(features)) = (present, self.features.get_mut(cells)) else {
            return;
        };
        for &term in terms {
            let row = (term >> 8) as usize;
            // Both are always there; a check that goes on is cheaper than one that panics.
            if let (Some(present), Some(features)) = (present.get_mut(row), features.get_mut(row)) {
                *present |= 1 << bit;
                features[bit] = term as u8;
            }
        }
    }

    /// What row `row` has, [`RECORDS`] records at a time: the first one's number, which of them have such a feature,
    /// and it.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = (usize, u32, &[u8; RECORDS])> {
        let step = self.rows.max(1);
        let present = self.present.iter().skip(row).step_by(step);
        let words = present.zip(self.features.iter().skip(row).step_by(step));
        let words = (0..).step_by(RECORDS).zip(words);
        words.map(|(from, (&present, features))| (from, present, features))
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
        let mut columns = Columns::new(rows, records);
        // What was there before is forgotten.
        columns.add(1, &[5 << 8 | 9]);
        columns.clear();
        for record in 0..records {
            let terms = (0..rows).map(|row| (row << 8) as u32 | u32::from(feature(record, row)));
            let terms: Vec<u32> = terms.filter(|term| term & 0xff != 0).collect();
            columns.add(record, &terms);
        }
        for row in 0..rows {
            let mut seen = vec![0; records];
            for (from, present, features) in columns.row(row) {
                for bit in (0..RECORDS).filter(|bit| present >> bit & 1 == 1) {
                    seen[from + bit] = features[bit];
                }
            }
            let expected: Vec<u8> = (0..records).map(|record| feature(record, row)).collect();
            assert_eq!(seen, expected, "row {row}");
        }
    }
}
