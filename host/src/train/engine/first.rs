//! The first layer: sums over what is not zero, and its step.

use super::parts::Part;
use super::prepared::Prepared;
use super::step::{Numbers, apply};
use crate::train::kernels::{Lanes, Line, Work};

/// The records of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) which: &'a [u32],
}

/// Sets `sums`, `[B][lines]`, of part number `index`.
pub(super) struct SumFirst<'a> {
    pub(super) part: &'a Part,
    pub(super) index: usize,
    pub(super) lines: usize,
    pub(super) batch: Batch<'a>,
    pub(super) table: &'a [f32; 256],
    pub(super) sums: &'a mut [Line],
}

impl Work for SumFirst<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let rows = self.part.used();
        let records = self.sums.chunks_exact_mut(self.lines);
        for (&record, sums) in self.batch.which.iter().zip(records) {
            let terms = self.batch.prepared.terms(record, self.index);
            let from = self.part.from as u32;
            let mut at = 0;
            while at < self.lines {
                let sum = Sum {
                    terms,
                    from,
                    rows,
                    lines: self.lines,
                    at,
                    start: &self.part.start,
                    table: self.table,
                };
                at += if L::WIDE && self.lines - at >= 4 || self.lines - at == 4 {
                    sum.run::<L, 4>(lanes, sums)
                } else if self.lines - at >= 2 {
                    sum.run::<L, 2>(lanes, sums)
                } else {
                    sum.run::<L, 1>(lanes, sums)
                };
            }
        }
    }
}

/// One record's sums from line `at`.
struct Sum<'a> {
    terms: &'a [u32],
    from: u32,
    rows: &'a [Line],
    lines: usize,
    at: usize,
    start: &'a [Line],
    table: &'a [f32; 256],
}

impl Sum<'_> {
    #[inline(always)]
    fn run<L: Lanes, const WIDTH: usize>(self, lanes: L, sums: &mut [Line]) -> usize {
        let mut registers = [lanes.splat(0.0); WIDTH];
        for (register, line) in registers.iter_mut().zip(&self.start[self.at..]) {
            *register = lanes.load(line);
        }
        for &term in self.terms {
            let row = ((term >> 8) - self.from) as usize * self.lines + self.at;
            let Some(row) = self.rows[row..].first_chunk::<WIDTH>() else {
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

/// A batch's terms by row: what is added to each row's gradient.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// How many terms each row has.
    counts: Vec<u32>,
    /// `record · 256 + u`, `[rows][capacity]`.
    slots: Vec<u32>,
    capacity: usize,
}

impl Columns {
    /// Room for parts of `rows` rows and batches of `capacity` records.
    pub(super) fn new(rows: usize, capacity: usize) -> Columns {
        Columns {
            counts: vec![0; rows],
            slots: vec![0; rows * capacity],
            capacity,
        }
    }

    #[inline(always)]
    fn fill(&mut self, part: &Part, index: usize, batch: Batch<'_>) {
        self.counts[..part.rows].fill(0);
        for (&record, place) in batch.which.iter().zip(0u32..) {
            for &term in batch.prepared.terms(record, index) {
                let row = (term >> 8) as usize - part.from;
                let count = &mut self.counts[row];
                self.slots[row * self.capacity + *count as usize] = place << 8 | (term & 0xff);
                *count += 1;
            }
        }
    }
}

/// A step of part number `index`; with `KEEP`, only sets its mean to the gradient.
pub(super) struct StepFirst<'a, const KEEP: bool> {
    pub(super) part: &'a mut Part,
    pub(super) index: usize,
    pub(super) lines: usize,
    pub(super) batch: Batch<'a>,
    pub(super) table: &'a [f32; 256],
    pub(super) columns: &'a mut Columns,
    /// `[B][lines]`.
    pub(super) delta: &'a [Line],
    /// Its sum over the records, `[lines]`.
    pub(super) bias_gradient: &'a [Line],
    pub(super) numbers: Numbers,
}

impl<const KEEP: bool> Work for StepFirst<'_, KEEP> {
    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) {
        self.columns.fill(self.part, self.index, self.batch);
        let mut at = 0;
        while at < self.lines {
            at += if L::WIDE && self.lines - at >= 4 {
                self.columns_from::<L, 4>(lanes, at)
            } else if self.lines - at >= 2 {
                self.columns_from::<L, 2>(lanes, at)
            } else {
                self.columns_from::<L, 1>(lanes, at)
            };
        }
    }
}

impl<const KEEP: bool> StepFirst<'_, KEEP> {
    /// All rows, `WIDTH` lines from line `at`; the start of the next sums from the new weights on the way.
    #[inline(always)]
    fn columns_from<L: Lanes, const WIDTH: usize>(&mut self, lanes: L, at: usize) -> usize {
        let width = self.lines;
        let part = &mut *self.part;
        let zero = lanes.splat(0.0);
        let mut of_bias = [zero; WIDTH];
        for (register, line) in of_bias.iter_mut().zip(&self.bias_gradient[at..]) {
            *register = lanes.load(line);
        }
        let mut start = [zero; WIDTH];
        let weights = part.weights.chunks_exact_mut(width);
        let averages = part
            .mean
            .chunks_exact_mut(width)
            .zip(part.square.chunks_exact_mut(width));
        let slots = self.columns.slots.chunks_exact(self.columns.capacity);
        let slots = slots.zip(&self.columns.counts).zip(&part.offsets);
        for ((weights, (mean, square)), ((slots, &count), &offset)) in
            weights.zip(averages).zip(slots)
        {
            let offset = lanes.splat(-offset);
            let mut gradient = [zero; WIDTH];
            for (register, &bias) in gradient.iter_mut().zip(&of_bias) {
                *register = lanes.mul(offset, bias);
            }
            for &slot in &slots[..count as usize] {
                let delta = (slot >> 8) as usize * width + at;
                let Some(delta) = self.delta[delta..].first_chunk::<WIDTH>() else {
                    break;
                };
                let value = lanes.splat(self.table[(slot & 0xff) as usize]);
                for (register, line) in gradient.iter_mut().zip(delta) {
                    *register = lanes.fma(value, lanes.load(line), *register);
                }
            }
            let lines = weights[at..]
                .iter_mut()
                .zip(mean[at..].iter_mut().zip(&mut square[at..]));
            for ((gradient, start), (weight, (mean, square))) in
                gradient.iter().zip(&mut start).zip(lines)
            {
                let moved = apply::<L, KEEP>(lanes, &self.numbers, *gradient, weight, mean, square);
                *start = lanes.fma(moved, offset, *start);
            }
        }
        for (&register, line) in start.iter().zip(&mut part.start[at..]) {
            lanes.store(register, line);
        }
        WIDTH
    }
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
