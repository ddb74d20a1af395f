//! The first layer: sums over what is not zero, and its step.

use super::columns::{Columns, RECORDS};
use super::parts::Part;
use super::prepared::{Gathered, Prepared};
use super::step::{Numbers, apply};
use crate::train::adam::BEGIN;
use crate::train::kernels::{LANES, Lanes, Line, Lines, Work};

/// Sets `sums`, `[B][lines]`, of part number `index`.
pub(super) struct SumFirst<'a> {
    pub(super) part: &'a Part,
    pub(super) index: usize,
    pub(super) lines: usize,
    pub(super) prepared: &'a Prepared,
    /// Of `prepared`.
    pub(super) batch: &'a Gathered,
    pub(super) table: &'a [f32; 256],
    pub(super) sums: &'a mut [Line],
}

impl Work for SumFirst<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let rows = self.part.used();
        let records = self.sums.chunks_exact_mut(self.lines);
        for (terms, sums) in self.batch.part(self.prepared, self.index).zip(records) {
            let mut at = 0;
            while at < self.lines {
                let sum = Sum {
                    terms,
                    first: self.part.from,
                    rows,
                    lines: self.lines,
                    at,
                    start: &self.part.start,
                    table: self.table,
                };
                at += if self.lines == 4 {
                    sum.run::<L, 4, true>(lanes, sums)
                } else if L::WIDE && self.lines - at >= 4 || self.lines - at == 4 {
                    sum.run::<L, 4, false>(lanes, sums)
                } else if self.lines - at >= 2 {
                    sum.run::<L, 2, false>(lanes, sums)
                } else {
                    sum.run::<L, 1, false>(lanes, sums)
                };
            }
        }
    }
}

/// One record's sums from line `at`.
struct Sum<'a> {
    terms: &'a [u32],
    /// The part's first row.
    first: usize,
    rows: &'a [Line],
    lines: usize,
    at: usize,
    start: &'a [Line],
    table: &'a [f32; 256],
}

impl Sum<'_> {
    /// `WIDTH` lines; `ALL` says that a row has no more.
    #[inline(always)]
    fn run<L: Lanes, const WIDTH: usize, const ALL: bool>(
        self,
        lanes: L,
        sums: &mut [Line],
    ) -> usize {
        let mut registers = [lanes.splat(0.0); WIDTH];
        for (register, line) in registers.iter_mut().zip(&self.start[self.at..]) {
            *register = lanes.load(line);
        }
        let whole = self.rows.as_chunks::<WIDTH>().0;
        for &term in self.terms {
            let row = ((term >> 8) as usize).wrapping_sub(self.first);
            let row = if ALL {
                whole.get(row)
            } else {
                let from = row.wrapping_mul(self.lines).wrapping_add(self.at);
                self.rows.get(from..).and_then(<[Line]>::first_chunk)
            };
            let Some(row) = row else {
                break;
            };
            let value = lanes.splat(self.table[(term & 0xff) as usize]);
            for (register, line) in registers.iter_mut().zip(row) {
                *register = lanes.fma(value, lanes.load(line), *register);
            }
        }
        for (&register, line) in registers.iter().zip(&mut sums[self.at..]) {
            lanes.store(register, line);
        }
        WIDTH
    }
}

/// A step of a part; `MODE` is [`PLAIN`](super::PLAIN) or one beside it.
pub(super) struct StepFirst<'a, const MODE: u8> {
    pub(super) part: &'a mut Part,
    pub(super) lines: usize,
    pub(super) table: &'a [f32; 256],
    pub(super) columns: &'a Columns,
    /// `[B][lines]`.
    pub(super) delta: &'a [Line],
    /// Room for four lines of each record's.
    pub(super) tile: &'a mut Lines,
    /// Its sum over the records, `[lines]`.
    pub(super) bias_gradient: &'a [Line],
    pub(super) numbers: Numbers,
}

impl<const MODE: u8> Work for StepFirst<'_, MODE> {
    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) {
        let mut at = 0;
        while at < self.lines {
            at += if self.lines - at >= 4 {
                self.columns_from::<L, 4>(lanes, at)
            } else if self.lines - at >= 2 {
                self.columns_from::<L, 2>(lanes, at)
            } else {
                self.columns_from::<L, 1>(lanes, at)
            };
        }
    }
}

impl<const MODE: u8> StepFirst<'_, MODE> {
    /// All rows, `WIDTH` lines from line `at`; the start of the next sums from the new weights on the way.
    #[inline(always)]
    fn columns_from<L: Lanes, const WIDTH: usize>(&mut self, lanes: L, at: usize) -> usize {
        let width = self.lines;
        let part = &mut *self.part;
        let zero = lanes.splat(0.0);
        let of_bias = &self.bias_gradient[at..][..WIDTH];
        let start = &mut part.start[at..][..WIDTH];
        start.fill([0.0; LANES]);
        // In registers where there are enough of them.
        let mut held = [zero; WIDTH];
        let weights = part.weights.chunks_exact_mut(width);
        let averages = part
            .mean
            .chunks_exact_mut(width)
            .zip(part.square.chunks_exact_mut(width));
        let delta = tile::<WIDTH>(self.delta, width, at, self.tile);
        let columns = self.columns.rows(part.from).zip(&part.offsets);
        for ((weights, (mean, square)), ((present, features), &offset)) in
            weights.zip(averages).zip(columns)
        {
            let offset = lanes.splat(-offset);
            let mut gradient = [zero; WIDTH];
            for (register, bias) in gradient.iter_mut().zip(of_bias) {
                *register = lanes.fma(offset, lanes.load(bias), lanes.splat(BEGIN));
            }
            let words = present.iter().zip(features);
            for ((&present, features), delta) in words.zip(delta.chunks(RECORDS)) {
                let mut left = present;
                while left != 0 {
                    let bit = left.trailing_zeros() as usize % RECORDS;
                    left &= left - 1;
                    let Some(delta) = delta.get(bit) else {
                        break;
                    };
                    let value = lanes.splat(self.table[usize::from(features[bit])]);
                    for (register, line) in gradient.iter_mut().zip(delta) {
                        *register = lanes.fma(value, lanes.load(line), *register);
                    }
                }
            }
            let lines = weights[at..]
                .iter_mut()
                .zip(mean[at..].iter_mut().zip(&mut square[at..]));
            let starts = start.iter_mut().zip(&mut held);
            for ((gradient, (start, held)), (weight, (mean, square))) in
                gradient.iter().zip(starts).zip(lines)
            {
                let moved = apply::<L, MODE>(lanes, &self.numbers, *gradient, weight, mean, square);
                if L::WIDE {
                    *held = lanes.fma(moved, offset, *held);
                } else {
                    let sum = lanes.fma(moved, offset, lanes.load(start));
                    lanes.store(sum, start);
                }
            }
        }
        if L::WIDE {
            for (&held, start) in held.iter().zip(start) {
                lanes.store(held, start);
            }
        }
        WIDTH
    }
}

/// `WIDTH` lines of each row from line `at`, side by side: `rows` itself where that is all, else in `room`.
#[inline(always)]
fn tile<'a, const WIDTH: usize>(
    rows: &'a [Line],
    lines: usize,
    at: usize,
    room: &'a mut Lines,
) -> &'a [[Line; WIDTH]] {
    if lines == WIDTH {
        return rows.as_chunks().0;
    }
    let count = rows.len() / lines;
    let (tiles, _) = room.as_chunks_mut::<WIDTH>();
    for (tile, row) in tiles.iter_mut().zip(rows.chunks_exact(lines)) {
        tile.copy_from_slice(&row[at..at + WIDTH]);
    }
    &tiles[..count]
}

/// Sets the start of the sums from the weights that they use.
pub(super) struct StartFirst<'a> {
    pub(super) part: &'a mut Part,
    pub(super) lines: usize,
}

impl Work for StartFirst<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let part = self.part;
        let weights = if part.view.is_empty() {
            &part.weights
        } else {
            &part.view
        };
        for (at, start) in part.start.iter_mut().enumerate() {
            let mut sum = lanes.splat(0.0);
            for (row, &offset) in weights.chunks_exact(self.lines).zip(&part.offsets) {
                sum = lanes.fma(lanes.load(&row[at]), lanes.splat(-offset), sum);
            }
            lanes.store(sum, start);
        }
    }
}
