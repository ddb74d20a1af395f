//! Sparse rows: only what is not zero, in order.

use super::Term;

/// A list of terms for each of several sums, back to back, without allocating once it has grown.
///
/// Terms with value zero are left out. In exact arithmetic that changes nothing, and under fused
/// multiply-add neither, as long as the row is finite: `fma(0, w, s) = s`.
#[derive(Debug, Default)]
pub(crate) struct TermLists {
    terms: Vec<Term>,
    /// Where each list ends.
    ends: Vec<usize>,
    /// Where the next term of each list goes, while transposing.
    cursors: Vec<usize>,
}

impl TermLists {
    /// Forgets every list.
    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        self.terms.clear();
        self.ends.clear();
    }

    /// The terms of list `index`.
    #[inline(always)]
    pub(crate) fn list(&self, index: usize) -> &[Term] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.terms[start..self.ends[index]]
    }

    /// Adds a list: the non-zero elements of `row`. Returns it.
    #[inline(always)]
    pub(crate) fn push_row(&mut self, row: &[f32]) -> &[Term] {
        let start = self.terms.len();
        let filled = row.iter().zip(0..).filter(|&(&value, _)| value != 0.0);
        self.terms
            .extend(filled.map(|(&value, row)| Term { row, value }));
        self.ends.push(self.terms.len());
        &self.terms[start..]
    }

    /// Adds a list: `u / 255` for the non-zero features `u`. Returns it.
    #[inline(always)]
    pub(crate) fn push_features(&mut self, features: &[u8]) -> &[Term] {
        let start = self.terms.len();
        let mut row = 0;
        let (words, rest) = features.as_chunks::<8>();
        for word in words {
            // Most of a digit's image is background: eight features in one look.
            if u64::from_le_bytes(*word) != 0 {
                self.push_each(row, word);
            }
            row += 8;
        }
        self.push_each(row, rest);
        self.ends.push(self.terms.len());
        &self.terms[start..]
    }

    #[inline(always)]
    fn push_each(&mut self, first: u32, features: &[u8]) {
        let filled = features.iter().zip(first..).filter(|&(&u, _)| u != 0);
        self.terms.extend(filled.map(|(&u, row)| Term {
            row,
            value: SCALED[usize::from(u)],
        }));
    }

    /// Makes these the lists of the columns, where `rows` are the lists of the rows: list `c` holds, in
    /// order of row, the elements of column `c`.
    #[inline(always)]
    pub(crate) fn transpose(&mut self, rows: &TermLists, columns: usize) {
        self.ends.clear();
        self.ends.resize(columns, 0);
        for term in &rows.terms {
            self.ends[term.row as usize] += 1;
        }
        self.cursors.clear();
        let mut total = 0;
        for end in &mut self.ends {
            self.cursors.push(total);
            total += *end;
            *end = total;
        }
        self.terms.clear();
        self.terms.resize(total, Term { row: 0, value: 0.0 });
        let mut start = 0;
        for (&end, row) in rows.ends.iter().zip(0..) {
            for term in &rows.terms[start..end] {
                let cursor = &mut self.cursors[term.row as usize];
                self.terms[*cursor] = Term {
                    row,
                    value: term.value,
                };
                *cursor += 1;
            }
            start = end;
        }
    }
}

/// `u / 255`, rounded to f32, for every feature `u`.
const SCALED: [f32; 256] = {
    let mut scaled = [0.0; 256];
    let mut u = 0;
    while u < 256 {
        scaled[u] = u as f32 / 255.0;
        u += 1;
    }
    scaled
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_leave_zeros_out_and_transpose() {
        let mut rows = TermLists::default();
        let mut features = [0u8; 19];
        features[3] = 255;
        features[18] = 51;
        assert_eq!(
            rows.push_features(&features),
            [
                Term { row: 3, value: 1.0 },
                Term {
                    row: 18,
                    value: 0.2
                }
            ]
        );
        rows.push_row(&[0.0, -1.5, 0.0, 2.0]);
        let mut columns = TermLists::default();
        columns.transpose(&rows, 19);
        assert_eq!(columns.list(0), []);
        assert_eq!(
            columns.list(1),
            [Term {
                row: 1,
                value: -1.5
            }]
        );
        assert_eq!(
            columns.list(3),
            [Term { row: 0, value: 1.0 }, Term { row: 1, value: 2.0 }]
        );
        assert_eq!(columns.list(18), [Term { row: 0, value: 0.2 }]);
    }
}
