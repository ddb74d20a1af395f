//! The weights a network starts from.

use super::model::{Layer, Network, Shape};
use crate::random::{Random, Stream};

/// Glorot's uniform initialisation (Glorot and Bengio 2010, equation 16; Keras's default for `Dense`):
/// each weight uniform in `[-l, l)` with `l = √(6 / (inputs + outputs))` of its layer; biases zero.
///
/// The weights are drawn from [`Stream::Init`], layer by layer, each in its storage order
/// `[inputs][outputs]`: `(2u - 1) · l` with `u` in `[0, 1)` and `l` rounded to f32.
pub fn glorot_uniform(shape: &Shape, seed: u64) -> Network {
    uniform(shape, seed, |layer| layer.inputs + layer.outputs)
}

/// He's uniform initialisation (He et al. 2015; Keras's `HeUniform`): as [`glorot_uniform`], with
/// `l = √(6 / inputs)`.
pub fn he_uniform(shape: &Shape, seed: u64) -> Network {
    uniform(shape, seed, |layer| layer.inputs)
}

fn uniform(shape: &Shape, seed: u64, fan: impl Fn(&Layer) -> usize) -> Network {
    let mut random = Random::new(seed, Stream::Init);
    let mut network = Network::zeros(shape);
    for layer in &mut network.layers {
        let limit = (6.0 / fan(layer) as f64).sqrt() as f32;
        for weight in &mut layer.weights {
            // 2u - 1 is exact: a multiple of 2^-23 in [-1, 1).
            *weight = (2.0 * random.unit() - 1.0) * limit;
        }
    }
    network
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_within_the_limit_and_by_seed() {
        let shape = Shape {
            inputs: 50,
            hidden: [20, 10],
            classes: 3,
        };
        let network = glorot_uniform(&shape, 1);
        for layer in &network.layers {
            let limit = (6.0 / (layer.inputs + layer.outputs) as f64).sqrt() as f32;
            let mean: f32 = layer.weights.iter().sum::<f32>() / layer.weights.len() as f32;
            let square: f32 =
                layer.weights.iter().map(|w| w * w).sum::<f32>() / layer.weights.len() as f32;
            assert!(layer.weights.iter().all(|w| w.abs() <= limit));
            assert!(mean.abs() < limit / 4.0);
            // The variance of a uniform distribution is l²/3.
            assert!((square / (limit * limit / 3.0) - 1.0).abs() < 0.3);
            assert!(layer.bias.iter().all(|&b| b == 0.0));
        }
        assert_eq!(network, glorot_uniform(&shape, 1));
        assert_ne!(network, glorot_uniform(&shape, 2));
    }
}
