//! Some records of a batch forwards from the first layer's sums, and back to its delta.

use std::ops::Range;

use super::loss::{self, Wanted};
use super::parts::{Net, PARTS, Parts};
use super::targets::Targets;
use crate::train::kernels::{
    Edges, Factors, LANES, Lanes, Line, Lines, Sums, Work, lines_of, product,
};

/// What the layers gave for some records, `[N][lines]` each, and the loss's derivatives.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// How many records.
    pub(super) count: usize,
    /// The hidden layers after ReLU, and the logits.
    pub(super) outputs: [Lines; 3],
    /// The loss's derivative by each layer's sums.
    pub(super) deltas: [Lines; 3],
    /// One a record.
    pub(super) losses: Vec<f32>,
    pub(super) correct: Vec<bool>,
    /// Exponentials of the logits.
    pub(super) exps: Lines,
}

impl Pass {
    /// Room for `count` records.
    pub(super) fn new(net: &Net, count: usize) -> Pass {
        let room = || {
            net.layers
                .each_ref()
                .map(|layer| Lines::zeros(count * layer.lines))
        };
        Pass {
            count: 0,
            outputs: room(),
            deltas: room(),
            losses: vec![0.0; count],
            correct: vec![false; count],
            exps: Lines::zeros(count * net.layers[2].lines),
        }
    }

    /// Copies what `other` holds to place `at` and after: what an update needs.
    pub(super) fn gather(&mut self, other: &Pass, at: usize) {
        let [hidden_1, hidden_2, _] = &mut self.outputs;
        let [from_1, from_2, _] = &other.outputs;
        let [delta_1, delta_2, delta_3] = &mut self.deltas;
        let [by_1, by_2, by_3] = &other.deltas;
        for (to, from) in [
            (hidden_1, from_1),
            (hidden_2, from_2),
            (delta_1, by_1),
            (delta_2, by_2),
            (delta_3, by_3),
        ] {
            let lines = to.len().checked_div(self.losses.len()).unwrap_or(0);
            to[at * lines..][..other.count * lines].copy_from_slice(&from[..other.count * lines]);
        }
        self.count = at + other.count;
    }
}

/// Does it.
pub(super) struct Run<'a> {
    pub(super) net: &'a Net,
    pub(super) pass: &'a mut Pass,
    /// The first layer's sums: each part's, `[B][lines]`.
    pub(super) sums: [&'a [Line]; PARTS],
    /// Which of the batch.
    pub(super) range: Range<usize>,
    /// The records of `range`.
    pub(super) which: &'a [u32],
    pub(super) targets: Targets<'a>,
    /// The size of the batch, which the loss is the mean over; none goes forwards only.
    pub(super) batch: Option<usize>,
    /// See [`Wanted`].
    pub(super) direction: bool,
}

impl Work for Run<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let [first, second, last] = &self.net.layers;
        let pass = self.pass;
        let count = self.which.len();
        pass.count = count;
        let [hidden_1, hidden_2, logits] = &mut pass.outputs;
        begin(lanes, first, self.sums, self.range, hidden_1);
        dense::<L, true>(lanes, second, hidden_1, hidden_2, count, first.lines);
        dense::<L, false>(lanes, last, hidden_2, logits, count, second.lines);

        let wanted = Wanted {
            which: self.which,
            targets: self.targets,
            classes: last.outputs,
            batch: self.batch.unwrap_or(1),
            direction: self.direction,
        };
        loss::of_pass(lanes, wanted, pass);
        if self.batch.is_some() {
            let [hidden_1, hidden_2, _] = &pass.outputs;
            let [delta_1, delta_2, delta_3] = &mut pass.deltas;
            back(lanes, last, delta_3, hidden_2, delta_2, count, second.lines);
            back(
                lanes,
                second,
                delta_2,
                hidden_1,
                delta_1,
                count,
                first.lines,
            );
        }
    }
}

/// `relu(bias + Σ sums)` over the parts in order.
#[inline(always)]
fn begin<L: Lanes>(
    lanes: L,
    first: &Parts,
    sums: [&[Line]; PARTS],
    range: Range<usize>,
    hidden: &mut [Line],
) {
    let width = first.lines;
    let bias = first.bias();
    let sums = sums.map(|sums| &sums[range.start * width..range.end * width]);
    let rows = hidden.chunks_exact_mut(width).take(range.len());
    for (row, hidden) in rows.enumerate() {
        let sums = sums.map(|sums| &sums[row * width..][..width]);
        for (line, (hidden, bias)) in hidden.iter_mut().zip(bias.values.iter()).enumerate() {
            let mut sum = lanes.load(bias);
            for part in sums {
                sum = lanes.add(sum, lanes.load(&part[line]));
            }
            lanes.store(lanes.gate(sum, sum), hidden);
        }
    }
}

/// `bias + Σ inputs[i] · weights[i]` for every record, and `max(0, z)` of it, 0 for -0, where `RELU` is. `from` is a
/// record's lines in `inputs`.
#[inline(always)]
fn dense<L: Lanes, const RELU: bool>(
    lanes: L,
    layer: &Parts,
    inputs: &Lines,
    outputs: &mut Lines,
    count: usize,
    from: usize,
) {
    let mut sums = Sums {
        room: outputs,
        step: layer.lines,
        count,
    };
    let factors = Factors {
        numbers: inputs.flat(),
        row_step: from * LANES,
        term_step: 1,
    };
    let (bias, parts) = (layer.bias(), layer.read_all());
    let edges = Biased::<RELU>(&bias.values);
    let blocks = parts.iter().map(|part| part.used());
    product(lanes, &mut sums, factors, blocks, layer.lines, &edges);
}

/// From the biases.
struct Biased<'a, const RELU: bool>(&'a [Line]);

impl<const RELU: bool> Edges for Biased<'_, RELU> {
    #[inline(always)]
    fn begin<L: Lanes>(&self, lanes: L, _: usize, line: usize) -> L::Reg {
        lanes.load(&self.0[line])
    }

    #[inline(always)]
    fn end<L: Lanes>(&self, lanes: L, _: usize, _: usize, sum: L::Reg) -> L::Reg {
        if RELU { lanes.gate(sum, sum) } else { sum }
    }
}

/// The delta of the layer below, whose ReLU gave `hidden`. `below` is a record's lines there.
#[inline(always)]
fn back<L: Lanes>(
    lanes: L,
    layer: &Parts,
    delta: &Lines,
    hidden: &Lines,
    delta_below: &mut Lines,
    count: usize,
    below: usize,
) {
    let factors = Factors {
        numbers: delta.flat(),
        row_step: layer.lines * LANES,
        term_step: 1,
    };
    for part in layer.read_all() {
        if part.rows > 0 {
            let from = part.from / LANES;
            let mut sums = Sums {
                room: &mut delta_below[from..],
                step: below,
                count,
            };
            let gate = Gated {
                hidden: &hidden[from..],
                step: below,
            };
            let width = lines_of(part.rows);
            let columns = std::iter::once(&part.transposed[..]);
            product(lanes, &mut sums, factors, columns, width, &gate);
        }
    }
}

/// 0 where `hidden` is.
struct Gated<'a> {
    hidden: &'a [Line],
    step: usize,
}

impl Edges for Gated<'_> {
    #[inline(always)]
    fn begin<L: Lanes>(&self, lanes: L, _: usize, _: usize) -> L::Reg {
        lanes.splat(0.0)
    }

    #[inline(always)]
    fn end<L: Lanes>(&self, lanes: L, row: usize, line: usize, sum: L::Reg) -> L::Reg {
        lanes.gate(lanes.load(&self.hidden[row * self.step + line]), sum)
    }
}

impl Pass {
    /// Adds what the records gave, in order.
    pub(super) fn add_to(&self, metrics: &mut crate::train::Metrics) {
        for (&loss, &correct) in self.losses.iter().zip(&self.correct).take(self.count) {
            metrics.add(loss, correct);
        }
    }
}
