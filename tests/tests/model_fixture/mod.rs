//! Networks to test with, from a seed. Shared by the tests of the network, the artefact and the protocol.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sealnet_core::mlp::{
    DenseRef, Granularity, LayerBytes, LayerError, Network, Quantisation, WeightType,
};
use sealnet_core::quant::Requant;

pub const WEIGHT_TYPES: [WeightType; 2] = [WeightType::Int8, WeightType::Int4];
pub const GRANULARITIES: [Granularity; 2] = [Granularity::PerTensor, Granularity::PerOutput];

/// Every weight type with every granularity.
pub fn quantisations() -> impl Iterator<Item = Quantisation> {
    WEIGHT_TYPES.into_iter().flat_map(|weights| {
        GRANULARITIES.map(|granularity| Quantisation {
            weights,
            granularity,
        })
    })
}

/// A layer that owns its numbers, as an exporter does.
#[derive(Debug, Clone)]
pub struct Layer {
    pub inputs: usize,
    pub outputs: usize,
    pub weight_type: WeightType,
    pub granularity: Granularity,
    pub weights: Vec<i8>,
    pub biases: Vec<i32>,
    pub requants: Vec<Requant>,
}

/// The same as bytes.
#[derive(Debug, Clone)]
pub struct OwnedBytes {
    pub weights: Vec<u8>,
    pub biases: Vec<u8>,
    pub multipliers: Vec<u8>,
    pub shifts: Vec<u8>,
}

impl Layer {
    pub fn to_bytes(&self) -> OwnedBytes {
        let le = |n: &i32| n.to_le_bytes();
        OwnedBytes {
            weights: self.packed(),
            biases: self.biases.iter().flat_map(le).collect(),
            multipliers: self
                .requants
                .iter()
                .flat_map(|r| r.multiplier().to_le_bytes())
                .collect(),
            shifts: self.requants.iter().map(|r| r.shift()).collect(),
        }
    }

    pub fn quantisation(&self) -> Quantisation {
        Quantisation {
            weights: self.weight_type,
            granularity: self.granularity,
        }
    }

    /// The weights as they are stored; as they are if they do not have the layer's length.
    pub fn packed(&self) -> Vec<u8> {
        let bytes: Vec<u8> = self.weights.iter().map(|&w| w as u8).collect();
        let weight_type = self.weight_type;
        let mut packed = vec![0; weight_type.packed_len(self.inputs, self.outputs)];
        match weight_type.pack(self.inputs, self.outputs, &bytes, &mut packed) {
            Some(()) => packed,
            None => bytes,
        }
    }

    /// What the layer computes, in integers that cannot overflow: one line an output.
    pub fn oracle(&self, input: &[u8], low: i128, high: i128) -> Vec<i128> {
        let of = |o: usize| {
            let row = &self.weights[o * self.inputs..][..self.inputs];
            let products = row
                .iter()
                .zip(input)
                .map(|(&w, &x)| i128::from(w) * i128::from(x));
            let acc = products.sum::<i128>() + i128::from(self.biases[o]);
            let requant = self.requants[o % self.requants.len()];
            requant_oracle(acc, requant).clamp(low, high)
        };
        (0..self.outputs).map(of).collect()
    }
}

/// `floor(acc * m / 2^s + 1/2)`, exactly.
pub fn requant_oracle(acc: i128, r: Requant) -> i128 {
    let unit = 1_i128 << r.shift();
    (2 * acc * i128::from(r.multiplier()) + unit).div_euclid(2 * unit)
}

impl OwnedBytes {
    pub fn borrow(&self) -> LayerBytes<'_> {
        LayerBytes {
            weights: &self.weights,
            biases: &self.biases,
            multipliers: &self.multipliers,
            shifts: &self.shifts,
        }
    }
}

/// Three layers and their bytes.
#[derive(Debug, Clone)]
pub struct Model {
    pub layers: [Layer; 3],
    bytes: [OwnedBytes; 3],
}

impl Model {
    pub fn new(layers: [Layer; 3]) -> Self {
        let bytes = layers.each_ref().map(Layer::to_bytes);
        Self { layers, bytes }
    }

    /// Int8 weights over the whole range, factors that keep activations in it.
    pub fn random(widths: [usize; 4], granularity: Granularity, seed: u64) -> Self {
        let weights = WeightType::Int8;
        let quantisation = Quantisation {
            weights,
            granularity,
        };
        Self::random_of(widths, quantisation, seed)
    }

    /// Weights over the whole range of their type, factors that keep activations in it.
    pub fn random_of(widths: [usize; 4], quantisation: Quantisation, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let [a, b, c, d] = widths;
        let Quantisation {
            weights: weight_type,
            granularity,
        } = quantisation;
        let max = u32::from(weight_type.max().unsigned_abs());
        // Sums of smaller weights are smaller: so must biases be, and factors larger.
        let smaller = 127 / max;
        Self::new([(a, b), (b, c), (c, d)].map(|(inputs, outputs)| {
            let factor = (1_u64 << 40) as f64 / (inputs as f64).sqrt() / 100.0 * f64::from(smaller);
            Layer {
                inputs,
                outputs,
                weight_type,
                granularity,
                weights: (0..inputs * outputs)
                    .map(|_| (rng.next_u32() % (2 * max + 1)) as i32 - max as i32)
                    .map(|w| w as i8)
                    .collect(),
                biases: (0..outputs)
                    .map(|_| (rng.next_u32() as i32 >> 14) / smaller as i32)
                    .collect(),
                requants: (0..granularity.factors(outputs))
                    .map(|_| {
                        let spread = 0.5 + f64::from(rng.next_u32()) / f64::from(u32::MAX);
                        let multiplier = factor * spread / f64::from(1 << 8);
                        Requant::new(multiplier as i32, 32).unwrap()
                    })
                    .collect(),
            }
        }))
    }

    pub fn network(&self) -> Network<'_> {
        Network::new([self.layer(0), self.layer(1), self.layer(2)].map(Result::unwrap)).unwrap()
    }

    pub fn layer(&self, n: usize) -> Result<DenseRef<'_>, LayerError> {
        let layer = &self.layers[n];
        DenseRef::new(
            layer.inputs,
            layer.outputs,
            layer.quantisation(),
            self.bytes[n].borrow(),
        )
    }

    /// The logits by the oracle.
    pub fn oracle(&self, features: &[u8]) -> Vec<i32> {
        let [first, second, third] = &self.layers;
        let bytes = |v: Vec<i128>| v.into_iter().map(|a| u8::try_from(a).unwrap());
        let hidden1: Vec<u8> = bytes(first.oracle(features, 0, 255)).collect();
        let hidden2: Vec<u8> = bytes(second.oracle(&hidden1, 0, 255)).collect();
        let (low, high) = (i128::from(i32::MIN), i128::from(i32::MAX));
        let logits = third.oracle(&hidden2, low, high).into_iter();
        logits.map(|l| i32::try_from(l).unwrap()).collect()
    }

    /// The logits by the run-time network.
    pub fn logits(&self, features: &[u8]) -> Vec<i32> {
        let network = self.network();
        let shape = network.shape();
        let mut scratch = vec![0xA5; shape.scratch_len()];
        let mut logits = vec![0x5A5A; usize::from(shape.output())];
        network.infer(features, &mut scratch, &mut logits).unwrap();
        logits
    }
}

pub fn random_bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; count];
    ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}
