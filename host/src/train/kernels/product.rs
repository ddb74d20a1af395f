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

/// `sums[r] = sums[r] + Σₖ factor(r, k) · rows[k]` for every row `r` of `sums`, one fused multiply-add for
/// each `k` in order. `rows` is `[K][lines]`.
#[inline(always)]
pub(crate) fn product<L: Lanes>(
    lanes: L,
    sums: &mut Sums<'_>,
    factors: Factors<'_>,
    rows: &[Line],
    lines: usize,
) {
    let mut from = 0;
    while from < lines {
        // AVX-512's 32 registers hold 16 sums, AVX2's 16 hold 4 (of two registers each).
        from += if L::WIDE && lines - from >= 4 {
            column::<L, 4, 4>(lanes, sums, factors, rows, lines, from)
        } else if L::WIDE && lines - from >= 2 {
            column::<L, 4, 2>(lanes, sums, factors, rows, lines, from)
        } else if L::WIDE {
            column::<L, 8, 1>(lanes, sums, factors, rows, lines, from)
        } else if lines - from >= 2 {
            column::<L, 2, 2>(lanes, sums, factors, rows, lines, from)
        } else {
            column::<L, 4, 1>(lanes, sums, factors, rows, lines, from)
        };
    }
}

/// All sums of `WIDTH` lines from line `from`, `HEIGHT` rows at a time. Returns `WIDTH`.
#[inline(always)]
fn column<L: Lanes, const HEIGHT: usize, const WIDTH: usize>(
    lanes: L,
    sums: &mut Sums<'_>,
    factors: Factors<'_>,
    rows: &[Line],
    lines: usize,
    from: usize,
) -> usize {
    let mut row = 0;
    while row + HEIGHT <= sums.count {
        tile::<L, HEIGHT, WIDTH>(lanes, sums, factors, rows, lines, from, row);
        row += HEIGHT;
    }
    while row < sums.count {
        tile::<L, 1, WIDTH>(lanes, sums, factors, rows, lines, from, row);
        row += 1;
    }
    WIDTH
}

#[inline(always)]
fn tile<L: Lanes, const HEIGHT: usize, const WIDTH: usize>(
    lanes: L,
    sums: &mut Sums<'_>,
    factors: Factors<'_>,
    rows: &[Line],
    lines: usize,
    from: usize,
    row: usize,
) {
    let mut tile = [[lanes.splat(0.0); WIDTH]; HEIGHT];
    for (r, tile) in tile.iter_mut().enumerate() {
        let sums = &sums.room[(row + r) * sums.step + from..][..WIDTH];
        for (register, line) in tile.iter_mut().zip(sums) {
            *register = lanes.load(line);
        }
    }
    let mut at = [0; HEIGHT];
    for (r, at) in at.iter_mut().enumerate() {
        *at = (row + r) * factors.row_step;
    }
    for terms in rows.chunks_exact(lines) {
        let Some(terms) = terms[from..].first_chunk::<WIDTH>() else {
            return;
        };
        let terms = terms.each_ref();
        let mut loaded = [lanes.splat(0.0); WIDTH];
        for (register, line) in loaded.iter_mut().zip(terms) {
            *register = lanes.load(line);
        }
        for (tile, at) in tile.iter_mut().zip(&mut at) {
            let factor = lanes.splat(factors.numbers[*at]);
            for (sum, &term) in tile.iter_mut().zip(&loaded) {
                *sum = lanes.fma(factor, term, *sum);
            }
            *at += factors.term_step;
        }
    }
    for (r, tile) in tile.iter().enumerate() {
        let sums = &mut sums.room[(row + r) * sums.step + from..][..WIDTH];
        for (&register, line) in tile.iter().zip(sums) {
            lanes.store(register, line);
        }
    }
}

/// How many lines hold `width` numbers.
pub(crate) const fn lines_of(width: usize) -> usize {
    width.div_ceil(LANES)
}
