//! A network laid out for training: each layer's rows in parts that threads own.

use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::worker::share;
use crate::train::input::InputMap;
use crate::train::kernels::{LANES, Line, Lines, lines_of};
use crate::train::model::{Layer, Network, Shape};

/// Parts of a layer, and so the most threads that share a step.
pub(crate) const PARTS: usize = 8;

/// Rows of each part of the first layer but the last.
pub(crate) fn first_rows(inputs: usize) -> usize {
    inputs.div_ceil(PARTS).max(1)
}

/// Some rows of a layer's weights with what belongs to them. Each matrix is `[rows][lines]`.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Its first row.
    pub(super) from: usize,
    /// How many.
    pub(super) rows: usize,
    /// What the optimiser moves.
    pub(super) weights: Lines,
    /// What forwards and backwards use in its place, if anything.
    pub(super) view: Lines,
    /// The optimiser's averages.
    pub(super) mean: Lines,
    pub(super) square: Lines,
    /// `[outputs][lines of rows]`, of the second and last layer.
    pub(super) transposed: Lines,
    /// The offset of each input, in the first layer.
    pub(super) offsets: Vec<f32>,
    /// `-Σ offset · weight`, `[lines]`: what the sums of the first layer start from.
    pub(super) start: Lines,
    /// The first layer's sums over these rows, `[B][lines]`.
    pub(super) sums: Lines,
}

impl Part {
    /// The weights that forwards and backwards use.
    #[inline(always)]
    pub(super) fn used(&self) -> &[Line] {
        if self.view.is_empty() {
            &self.weights
        } else {
            &self.view
        }
    }
}

/// A layer's biases, `[lines]` each.
#[derive(Debug)]
pub(super) struct Bias {
    pub(super) values: Lines,
    pub(super) mean: Lines,
    pub(super) square: Lines,
}

/// One layer.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Lines of a row.
    pub(super) lines: usize,
    parts: [RwLock<Part>; PARTS],
    /// Parts that have rows: the first ones.
    filled: usize,
    bias: RwLock<Bias>,
}

impl Parts {
    fn new(layer: &Layer, rows: usize, offsets: Option<&[f32]>) -> Parts {
        let (inputs, outputs) = (layer.inputs, layer.outputs);
        let lines = lines_of(outputs);
        let part = |index: usize| {
            let from = (index * rows).min(inputs);
            let rows = rows.min(inputs - from);
            let mut part = Part {
                from,
                rows,
                weights: Lines::in_phase(rows * lines, 0),
                ..Part::default()
            };
            let weights = &layer.weights[from * outputs..][..rows * outputs];
            pad(weights, outputs, &mut part.weights);
            match offsets {
                Some(offsets) => {
                    part.offsets = offsets[from..from + rows].to_vec();
                    part.start = Lines::zeros(lines);
                }
                None => part.transposed = Lines::zeros(outputs * lines_of(rows)),
            }
            RwLock::new(part)
        };
        let mut values = Lines::zeros(lines);
        pad(&layer.bias, outputs, &mut values);
        Parts {
            inputs,
            outputs,
            lines,
            parts: std::array::from_fn(part),
            filled: inputs.div_ceil(rows.max(1)).min(PARTS),
            bias: RwLock::new(Bias {
                values,
                mean: Lines::zeros(lines),
                square: Lines::zeros(lines),
            }),
        }
    }

    /// The parts that thread `thread` of `threads` owns.
    pub(super) fn of_thread(&self, thread: usize, threads: usize) -> Range<usize> {
        share(self.filled, thread, threads)
    }

    pub(super) fn read(&self, part: usize) -> RwLockReadGuard<'_, Part> {
        read(&self.parts[part])
    }

    pub(super) fn write(&self, part: usize) -> RwLockWriteGuard<'_, Part> {
        write(&self.parts[part])
    }

    /// All parts at once.
    pub(super) fn read_all(&self) -> [RwLockReadGuard<'_, Part>; PARTS] {
        self.parts.each_ref().map(read)
    }

    pub(super) fn bias(&self) -> RwLockReadGuard<'_, Bias> {
        read(&self.bias)
    }

    pub(super) fn bias_mut(&self) -> RwLockWriteGuard<'_, Bias> {
        write(&self.bias)
    }

    /// Writes what `which` picks of every part, and of the biases, into `layer`.
    fn copy_to(
        &self,
        layer: &mut Layer,
        which: impl Fn(&Part) -> &Lines,
        of_bias: impl Fn(&Bias) -> &Lines,
    ) {
        for part in self.read_all() {
            let room = &mut layer.weights[part.from * self.outputs..][..part.rows * self.outputs];
            unpad(which(&part), self.outputs, room);
        }
        unpad(of_bias(&self.bias()), self.outputs, &mut layer.bias);
    }
}

/// A network.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) layers: [Parts; 3],
    /// `u / 255 / scale` for every feature `u`.
    pub(super) table: [f32; 256],
}

/// What a part and a bias hold that has the network's form.
#[derive(Debug, Clone, Copy)]
pub(super) enum Held {
    Weights,
    Mean,
    Square,
}

impl Net {
    pub(super) fn new(network: &Network, input: &InputMap) -> Net {
        let [first, second, last] = &network.layers;
        let dense = |layer: &Layer| {
            let rows = LANES * layer.inputs.div_ceil(LANES * PARTS);
            Parts::new(layer, rows, None)
        };
        let offsets = input.scaled_offsets(first.inputs);
        Net {
            layers: [
                Parts::new(first, first_rows(first.inputs), Some(&offsets)),
                dense(second),
                dense(last),
            ],
            table: input.table(),
        }
    }

    pub(super) fn shape(&self) -> Shape {
        let [first, second, last] = &self.layers;
        Shape {
            inputs: first.inputs,
            hidden: [first.outputs, second.outputs],
            classes: last.outputs,
        }
    }

    /// Room for the optimiser's averages, zero, and for the first layer's sums of a batch.
    pub(super) fn make_room(&mut self, batch: usize) {
        for (number, layer) in self.layers.iter_mut().enumerate() {
            let lines = layer.lines;
            for part in &mut layer.parts {
                let part = part.get_mut().unwrap_or_else(PoisonError::into_inner);
                part.mean = Lines::in_phase(part.rows * lines, 1);
                part.square = Lines::in_phase(part.rows * lines, 2);
                if number == 0 {
                    part.sums = Lines::zeros(batch * lines);
                }
            }
        }
    }

    /// Room for a view of the weights, or none.
    pub(super) fn set_view(&mut self, present: bool) {
        for layer in &mut self.layers {
            let lines = layer.lines;
            for part in &mut layer.parts {
                let part = part.get_mut().unwrap_or_else(PoisonError::into_inner);
                if part.view.is_empty() == present {
                    part.view = Lines::zeros(if present { part.rows * lines } else { 0 });
                }
            }
        }
    }

    pub(super) fn get(&self, held: Held) -> Network {
        let mut network = Network::zeros(&self.shape());
        for (parts, layer) in self.layers.iter().zip(&mut network.layers) {
            match held {
                Held::Weights => parts.copy_to(layer, |part| &part.weights, |bias| &bias.values),
                Held::Mean => parts.copy_to(layer, |part| &part.mean, |bias| &bias.mean),
                Held::Square => parts.copy_to(layer, |part| &part.square, |bias| &bias.square),
            }
        }
        network
    }

    /// Takes over `network`, which has the same shape.
    pub(super) fn set(&mut self, held: Held, network: &Network) {
        for (parts, layer) in self.layers.iter().zip(&network.layers) {
            let outputs = layer.outputs;
            for index in 0..PARTS {
                let mut part = parts.write(index);
                let from = part.from * outputs;
                let weights = &layer.weights[from..from + part.rows * outputs];
                let room = match held {
                    Held::Weights => &mut part.weights,
                    Held::Mean => &mut part.mean,
                    Held::Square => &mut part.square,
                };
                pad(weights, outputs, room);
            }
            let mut bias = parts.bias_mut();
            let room = match held {
                Held::Weights => &mut bias.values,
                Held::Mean => &mut bias.mean,
                Held::Square => &mut bias.square,
            };
            pad(&layer.bias, outputs, room);
        }
    }
}

/// A lock's content for reading. A thread that panicked takes the whole run with it, so what it left half
/// done is never used.
pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// A lock's content for writing.
pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Rows of `width` numbers into rows of whole lines.
pub(super) fn pad(rows: &[f32], width: usize, room: &mut Lines) {
    let padded = room.flat_mut().chunks_exact_mut(lines_of(width) * LANES);
    for (row, padded) in rows.chunks_exact(width).zip(padded) {
        padded[..width].copy_from_slice(row);
    }
}

/// Rows of whole lines into rows of `width` numbers.
pub(super) fn unpad(lines: &Lines, width: usize, rows: &mut [f32]) {
    let padded = lines.flat().chunks_exact(lines_of(width) * LANES);
    for (row, padded) in rows.chunks_exact_mut(width).zip(padded) {
        row.copy_from_slice(&padded[..width]);
    }
}
