//! Sums of rows, several sums at a time.

use super::{LANES, Lanes, Line};

/// One factor of each term: `factor(row, k)` is `numbers[row * row_step + k * term_step]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factors<'a> {
    /// The numbers.
    pub(crate) numbers: &'a [f32],
    /// From one sum's to the next's.
    pub(crate) row_step: usize,
    /// From one term's to the next's.
    pub(crate) term_step: usize,
}

/// Where the sums stand: row `r` is `room[r * step..]`.
#[derive(Debug)]
pub(crate) struct Sums<'a> {
    /// The room.
    pub(crate) room: &'a mut [Line],
    /// Lines from one row to the next.
    pub(crate) step: usize,
    /// Rows.
    pub(crate) count: usize,
}

/// Where sums begin, and what becomes of them.
pub(crate) trait Edges {
    /// What line `line` of row `row` is before the first term.
    fn begin<L: Lanes>(&self, lanes: L, row: usize, line: usize) -> L::Reg;

    /// What is kept of it after the last.
    #[inline(always)]
    fn end<L: Lanes>(&self, lanes: L, row: usize, line: usize, sum: L::Reg) -> L::Reg {
        let _ = (lanes, row, line);
        sum
    }
}

/// All from this number, and kept as they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Starting(pub(crate) f32);

impl Edges for Starting {
    #[inline(always)]
    fn begin<L: Lanes>(&self, lanes: L, _: usize, _: usize) -> L::Reg {
        lanes.splat(self.0)
    }
}

/// `sums[r] = edges.begin(r) + Σₖ factor(r, k) · rows[k]` for every row `r` of `sums`, one fused multiply-add for
/// each `k` in order, and what `edges` makes of it. The rows are those of `blocks`, each `[K][lines]`, one block
/// after the other.
#[inline(always)]
pub(crate) fn product<'a, L: Lanes>(
    lanes: L,
    sums: &mut Sums<'_>,
    factors: Factors<'_>,
    blocks: impl Iterator<Item = &'a [Line]> + Clone,
    lines: usize,
    edges: &impl Edges,
) {
    let mut from = 0;
    while from < lines {
        let job = Job {
            factors,
            blocks: blocks.clone(),
            lines,
            from,
            edges,
        };
        // AVX-512's 32 registers hold 16 sums, AVX2's 16 hold 4 (of two registers each).
        from += if L::WIDE && lines - from >= 4 {
            job.run::<L, 4, 4>(lanes, sums)
        } else if L::WIDE && lines - from >= 2 {
            job.run::<L, 4, 2>(lanes, sums)
        } else if L::WIDE {
            job.run::<L, 8, 1>(lanes, sums)
        } else if lines - from >= 2 {
            job.run::<L, 2, 2>(lanes, sums)
        } else {
            job.run::<L, 4, 1>(lanes, sums)
        };
    }
}

/// Some columns of a product, from line `from`.
struct Job<'a, B, E> {
    factors: Factors<'a>,
    blocks: B,
    lines: usize,
    from: usize,
    edges: &'a E,
}

impl<'b, B: Iterator<Item = &'b [Line]> + Clone, E: Edges> Job<'_, B, E> {
    /// All sums of `WIDTH` lines, `HEIGHT` rows at a time. Returns `WIDTH`.
    #[inline(always)]
    fn run<L: Lanes, const HEIGHT: usize, const WIDTH: usize>(
        self,
        lanes: L,
        sums: &mut Sums<'_>,
    ) -> usize {
        let mut row = 0;
        while row + HEIGHT <= sums.count {
            self.tile::<L, HEIGHT, WIDTH>(lanes, sums, row);
            row += HEIGHT;
        }
        while row + 2 <= sums.count {
            self.tile::<L, 2, WIDTH>(lanes, sums, row);
            row += 2;
        }
        if row < sums.count {
            self.tile::<L, 1, WIDTH>(lanes, sums, row);
        }
        WIDTH
    }

    #[inline(always)]
    fn tile<L: Lanes, const HEIGHT: usize, const WIDTH: usize>(
        &self,
        lanes: L,
        sums: &mut Sums<'_>,
        row: usize,
    ) {
        let mut tile = [[lanes.splat(0.0); WIDTH]; HEIGHT];
        for (r, tile) in tile.iter_mut().enumerate() {
            for (line, register) in tile.iter_mut().enumerate() {
                *register = self.edges.begin(lanes, row + r, self.from + line);
            }
        }
        let Factors {
            numbers,
            row_step,
            term_step,
        } = self.factors;
        let mut at = row * row_step;
        for block in self.blocks.clone() {
            for terms in block.chunks_exact(self.lines) {
                let Some(terms) = terms[self.from..].first_chunk::<WIDTH>() else {
                    return;
                };
                let mut factors = [lanes.splat(0.0); HEIGHT];
                for (r, factor) in factors.iter_mut().enumerate() {
                    // It is always there; a check that gives up is cheaper than one that panics.
                    let Some(&number) = numbers.get(at + r * row_step) else {
                        return;
                    };
                    *factor = lanes.splat(number);
                }
                for (line, terms) in terms.iter().enumerate() {
                    let terms = lanes.load(terms);
                    for (tile, &factor) in tile.iter_mut().zip(&factors) {
                        tile[line] = lanes.fma(factor, terms, tile[line]);
                    }
                }
                at += term_step;
            }
        }
        for (r, tile) in tile.iter().enumerate() {
            let row = row + r;
            let sums = &mut sums.room[row * sums.step + self.from..][..WIDTH];
            for (line, (&sum, to)) in tile.iter().zip(sums).enumerate() {
                let sum = self.edges.end(lanes, row, self.from + line, sum);
                lanes.store(sum, to);
            }
        }
    }
}

/// How many lines hold `width` numbers.
pub(crate) const fn lines_of(width: usize) -> usize {
    width.div_ceil(LANES)
}
