//! The optimiser's step, and the dense layers'.

use super::parts::{Bias, Part};
use crate::train::adam::{Adam, BEGIN};
use crate::train::kernels::{
    Factors, LANES, Lanes, Line, Lines, Starting, Sums, Work, lines_of, product,
};

/// The numbers of one step.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::train) struct Numbers {
    /// `-rate · √(1 - β₂ᵗ) / (1 - β₁ᵗ)`.
    negative_rate: f32,
    gain_1: f32,
    gain_2: f32,
    epsilon: f32,
    /// `-rate · decay`.
    negative_decay: f32,
}

impl Numbers {
    /// Of the step that takes βᵗ to `powers`, at `rate`.
    pub(in crate::train) fn new(adam: &Adam, rate: f64, powers: [f64; 2]) -> Numbers {
        let corrected = rate * (1.0 - powers[1]).sqrt() / (1.0 - powers[0]);
        Numbers {
            negative_rate: -corrected as f32,
            gain_1: (1.0 - adam.beta_1) as f32,
            gain_2: (1.0 - adam.beta_2) as f32,
            epsilon: adam.epsilon as f32,
            negative_decay: -(rate * adam.weight_decay) as f32,
        }
    }

    pub(in crate::train) fn without_decay(self) -> Numbers {
        Numbers {
            negative_decay: 0.0,
            ..self
        }
    }

    /// Whether weights decay.
    pub(in crate::train) fn decays(&self) -> bool {
        self.negative_decay != 0.0
    }
}

/// A step of plain Adam.
pub(in crate::train) const PLAIN: u8 = 0;
/// A step with weight decay.
pub(in crate::train) const DECAY: u8 = 1;
/// No step: the gradient is kept where the mean is.
pub(super) const KEEP: u8 = 2;

/// One line's step; returns the new weights. With [`KEEP`], only sets `mean` to the gradient.
#[inline(always)]
pub(in crate::train) fn apply<L: Lanes, const MODE: u8>(
    lanes: L,
    numbers: &Numbers,
    gradient: L::Reg,
    weight: &mut Line,
    mean: &mut Line,
    square: &mut Line,
) -> L::Reg {
    let mut w = lanes.load(weight);
    if MODE == KEEP {
        lanes.store(gradient, mean);
        return w;
    }
    let (m, v) = (lanes.load(mean), lanes.load(square));
    let m = lanes.fma(lanes.sub(gradient, m), lanes.splat(numbers.gain_1), m);
    let change = lanes.sub(lanes.mul(gradient, gradient), v);
    let v = lanes.fma(change, lanes.splat(numbers.gain_2), v);
    lanes.store(m, mean);
    lanes.store(v, square);
    if MODE == DECAY {
        w = lanes.fma(w, lanes.splat(numbers.negative_decay), w);
    }
    let root = lanes.add(lanes.sqrt(v), lanes.splat(numbers.epsilon));
    let w = lanes.fma(lanes.div(m, root), lanes.splat(numbers.negative_rate), w);
    lanes.store(w, weight);
    w
}

/// A step of some rows of the second or last layer.
pub(super) struct StepDense<'a, const MODE: u8> {
    pub(super) part: &'a mut Part,
    pub(super) outputs: usize,
    /// Lines of a row.
    pub(super) lines: usize,
    /// The layer's inputs, `[B][input_lines]`.
    pub(super) inputs: &'a Lines,
    pub(super) input_lines: usize,
    /// `[B][lines]`, of the batch's records alone.
    pub(super) delta: &'a [Line],
    /// `[16][lines]`.
    pub(super) gradient: &'a mut Lines,
    pub(super) numbers: Numbers,
}

impl<const MODE: u8> Work for StepDense<'_, MODE> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let (part, width) = (self.part, self.lines);
        for from in (0..part.rows).step_by(LANES) {
            let rows = LANES.min(part.rows - from);
            let gradient = &mut self.gradient[..rows * width];
            let mut sums = Sums {
                room: gradient,
                step: width,
                count: rows,
            };
            let factors = Factors {
                numbers: &self.inputs.flat()[part.from + from..],
                row_step: 1,
                term_step: self.input_lines * LANES,
            };
            let delta = std::iter::once(self.delta);
            product(lanes, &mut sums, factors, delta, width, &Starting(BEGIN));
            let at = from * width..(from + rows) * width;
            let lines = part.weights[at.clone()].iter_mut();
            let averages = part.mean[at.clone()].iter_mut();
            let averages = averages.zip(&mut part.square[at]);
            for ((gradient, weight), (mean, square)) in
                self.gradient.iter().zip(lines).zip(averages)
            {
                let gradient = lanes.load(gradient);
                apply::<L, MODE>(lanes, &self.numbers, gradient, weight, mean, square);
            }
        }
        if part.view.is_empty() {
            transpose(part, self.outputs, width);
        }
    }
}

/// Sets a part's transposed weights from those that are used.
#[inline(always)]
pub(super) fn transpose(part: &mut Part, outputs: usize, lines: usize) {
    let weights = if part.view.is_empty() {
        &part.weights
    } else {
        &part.view
    };
    let width = lines * LANES;
    let columns = lines_of(part.rows);
    for (block, rows) in weights.flat().chunks(LANES * width).enumerate() {
        for o in 0..outputs {
            let column = &mut part.transposed[o * columns + block];
            for (value, row) in column.iter_mut().zip(rows.chunks_exact(width)) {
                *value = row[o];
            }
        }
    }
}

/// `transpose` as a piece of work.
pub(super) struct Transpose<'a> {
    pub(super) part: &'a mut Part,
    pub(super) outputs: usize,
    pub(super) lines: usize,
}

impl Work for Transpose<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        transpose(self.part, self.outputs, self.lines);
    }
}

/// The sum of a delta over its records, `[lines]`, in order.
pub(super) struct SumBias<'a> {
    /// `[B][lines]`.
    pub(super) delta: &'a [Line],
    pub(super) sum: &'a mut [Line],
}

impl Work for SumBias<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let width = self.sum.len();
        for (at, line) in self.sum.iter_mut().enumerate() {
            let mut sum = lanes.splat(0.0);
            for row in self.delta.chunks_exact(width) {
                sum = lanes.add(sum, lanes.load(&row[at]));
            }
            lanes.store(sum, line);
        }
    }
}

/// A step of a layer's biases, which do not decay.
pub(super) struct StepBias<'a, const MODE: u8> {
    pub(super) bias: &'a mut Bias,
    pub(super) gradient: &'a [Line],
    pub(super) numbers: Numbers,
}

impl<const MODE: u8> Work for StepBias<'_, MODE> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let averages = self.bias.mean.iter_mut().zip(self.bias.square.iter_mut());
        let lines = self.bias.values.iter_mut().zip(averages);
        for (gradient, (weight, (mean, square))) in self.gradient.iter().zip(lines) {
            let gradient = lanes.add(lanes.splat(BEGIN), lanes.load(gradient));
            // Biases do not decay.
            if MODE == KEEP {
                apply::<L, KEEP>(lanes, &self.numbers, gradient, weight, mean, square);
            } else {
                apply::<L, PLAIN>(lanes, &self.numbers, gradient, weight, mean, square);
            }
        }
    }
}
