//! What one would write without this library: plain loops over the weights, an output after the other.
//!
//! The layers lie one after the other. Of each: `[outputs][inputs]` weights, `i8`; `[outputs]` biases, `i32`; `[outputs]`
//! multipliers, `i32`; `[outputs]` shifts, `u8`; each array up to a multiple of four bytes.

use sealnet_core::quant::Requant;
use sealnet_firmware::shape::{CLASSES, HIDDEN1, HIDDEN2, INPUT};

/// Writes the logits of an image.
#[inline(never)]
pub(crate) fn logits(layers: &[u8], features: &[u8; INPUT], logits: &mut [i32; CLASSES]) {
    let (mut sums1, mut sums2) = ([0; HIDDEN1], [0; HIDDEN2]);
    let (mut hidden1, mut hidden2) = ([0; HIDDEN1], [0; HIDDEN2]);
    let (first, rest) = Layer::of(layers, INPUT, HIDDEN1);
    sums(&first, features, &mut sums1);
    for ((activation, sum), factor) in hidden1.iter_mut().zip(sums1).zip(first.factors()) {
        *activation = factor.to_u8(sum);
    }
    let (second, rest) = Layer::of(rest, HIDDEN1, HIDDEN2);
    sums(&second, &hidden1, &mut sums2);
    for ((activation, sum), factor) in hidden2.iter_mut().zip(sums2).zip(second.factors()) {
        *activation = factor.to_u8(sum);
    }
    let (third, _) = Layer::of(rest, HIDDEN2, CLASSES);
    sums(&third, &hidden2, logits);
    for (logit, factor) in logits.iter_mut().zip(third.factors()) {
        *logit = factor.to_i32(*logit);
    }
}

/// A layer's accumulators.
#[inline(never)]
fn sums(layer: &Layer<'_>, input: &[u8], sums: &mut [i32]) {
    let rows = layer.weights.chunks_exact(input.len());
    for ((sum, row), bias) in sums.iter_mut().zip(rows).zip(layer.biases) {
        let mut acc = i32::from_le_bytes(*bias);
        for (weight, x) in row.iter().zip(input) {
            acc += i32::from(*weight as i8) * i32::from(*x);
        }
        *sum = acc;
    }
}

struct Layer<'m> {
    weights: &'m [u8],
    biases: &'m [[u8; 4]],
    multipliers: &'m [[u8; 4]],
    shifts: &'m [u8],
}

impl<'m> Layer<'m> {
    /// The first of some layers, and the others.
    fn of(layers: &'m [u8], inputs: usize, outputs: usize) -> (Self, &'m [u8]) {
        let (weights, rest) = array(layers, inputs * outputs);
        let (biases, rest) = array(rest, 4 * outputs);
        let (multipliers, rest) = array(rest, 4 * outputs);
        let (shifts, rest) = array(rest, outputs);
        let layer = Self {
            weights,
            biases: biases.as_chunks().0,
            multipliers: multipliers.as_chunks().0,
            shifts,
        };
        (layer, rest)
    }

    fn factors(&self) -> impl Iterator<Item = Requant> {
        let factors = self.multipliers.iter().zip(self.shifts);
        factors.filter_map(|(multiplier, shift)| {
            Requant::new(i32::from_le_bytes(*multiplier), *shift).ok()
        })
    }
}

/// The first array of so many bytes, and what is behind it; both empty where there are fewer.
fn array(bytes: &[u8], len: usize) -> (&[u8], &[u8]) {
    match bytes.split_at_checked(len.next_multiple_of(4)) {
        Some((array, rest)) => (array.get(..len).unwrap_or_default(), rest),
        None => (&[], &[]),
    }
}
