//! Layers with numbers of every kind, records at the extremes, and an oracle of one line. Shared by the tests of the host's and
//! the boards' kernels.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part

use sealnet_core::mlp::Quantisation;
use sealnet_core::quant::Requant;

use crate::model_fixture::{Layer, random_bytes, requant_oracle};

/// What an output is before requantisation.
fn accumulator(weights: &[i8], input: &[u8], bias: i32) -> i64 {
    i64::from(bias)
        + weights
            .iter()
            .zip(input)
            .map(|(&w, &x)| i64::from(w) * i64::from(x))
            .sum::<i64>()
}

/// Numbers that differ from one another, without a generator's cost.
pub struct Numbers {
    bytes: Vec<u8>,
    at: usize,
}

impl Numbers {
    pub fn new(seed: u64) -> Self {
        let bytes = random_bytes(1 << 16, seed);
        Self { bytes, at: 0 }
    }

    pub fn byte(&mut self) -> u8 {
        self.at += 1;
        // Passes over the same bytes differ.
        self.bytes[self.at % 65_521] ^ (self.at / 65_521) as u8
    }

    pub fn i32(&mut self) -> i32 {
        i32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }
}

/// A layer whose outputs have weights of each kind in turn, biases up to the largest, factors of any size.
pub fn layer(
    inputs: usize,
    outputs: usize,
    quantisation: Quantisation,
    numbers: &mut Numbers,
) -> Layer {
    let Quantisation {
        weights: weight_type,
        granularity,
    } = quantisation;
    let max = weight_type.max();
    // By how many bits sums of such weights are smaller than those of int8 ones.
    let finer = 8 - weight_type.bits() as u8;
    let mut weights = Vec::with_capacity(inputs * outputs);
    for output in 0..outputs {
        for input in 0..inputs {
            weights.push(match (output + inputs) % 5 {
                0 => max,
                1 => -max,
                2 => 0,
                3 => [-max, max][input % 2],
                _ => (i32::from(numbers.byte()) % (2 * i32::from(max) + 1) - i32::from(max)) as i8,
            });
        }
    }
    let largest = i32::MAX - 255 * 127 * inputs as i32;
    let biases = (0..outputs).map(|output| match output % 7 {
        5 => largest,
        6 => -largest,
        _ => numbers.i32() >> (14 + finer),
    });
    let biases = biases.collect();
    let factors = (0..granularity.factors(outputs)).map(|output| {
        let (multiplier, shift) = match (output + inputs + outputs) % 4 {
            // Any.
            0 => (numbers.i32() & i32::MAX, 1 + numbers.byte() % 62),
            1 => ([0, 1, i32::MAX][inputs % 3], 1 + numbers.byte() % 62),
            // Such as leave something between 0 and 255 of an accumulator.
            _ => (
                (1 << 30) + (numbers.i32() & 0xFFFF),
                38 - finer + numbers.byte() % 10,
            ),
        };
        Requant::new(multiplier, shift).unwrap()
    });
    let requants = factors.collect();
    Layer {
        inputs,
        outputs,
        weight_type,
        granularity,
        weights,
        biases,
        requants,
    }
}

/// Records at the extremes, at random, and with as much background as a picture has. As many as make a whole block and one
/// more of every kernel.
pub fn records(inputs: usize, numbers: &mut Numbers) -> Vec<Vec<u8>> {
    let mut record = |kind: usize| {
        (0..inputs)
            .map(|at| match kind {
                0 => 0,
                1 => 255,
                2 => [0, 255][at % 2],
                3 => {
                    if at + 1 == inputs {
                        255
                    } else {
                        0
                    }
                }
                4..7 => {
                    if numbers.byte() < 200 {
                        0
                    } else {
                        numbers.byte()
                    }
                }
                _ => numbers.byte(),
            })
            .collect()
    };
    (0..13).map(&mut record).collect()
}

/// `[records][outputs]` activations and logits.
pub fn oracle(layer: &Layer, records: &[Vec<u8>]) -> (Vec<u8>, Vec<i32>) {
    let (mut activations, mut logits) = (Vec::new(), Vec::new());
    for record in records {
        let rows = layer.weights.chunks_exact(layer.inputs).zip(&layer.biases);
        for (output, (weights, bias)) in rows.enumerate() {
            let requant = layer.requants[output % layer.requants.len()];
            let exact = requant_oracle(accumulator(weights, record, *bias).into(), requant);
            activations.push(exact.clamp(0, 255) as u8);
            logits.push(exact.clamp(i32::MIN.into(), i32::MAX.into()) as i32);
        }
    }
    (activations, logits)
}
