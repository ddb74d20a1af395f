//! A network's outputs differentiated by its inputs, one record at a time.

use crate::train::{InputMap, Network};

/// A network whose outputs are differentiated exactly, one record at a time. Sums run in the order of the index, one
/// rounding for each product and each sum, so that every machine attacks alike.
#[derive(Debug)]
pub struct Differentiable {
    network: Network,
    /// `[outputs][inputs]` of each layer.
    transposed: [Vec<f32>; 3],
}

/// What a record gives.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    /// The first layer's sums.
    sums: Vec<f32>,
    hidden: [Vec<f32>; 2],
    pub(super) logits: Vec<f32>,
}

impl Differentiable {
    /// Of `network`, which takes what `input` makes of a feature.
    pub fn new(network: &Network, input: &InputMap) -> Differentiable {
        let network = network.folded(input);
        let transposed = network.layers.each_ref().map(|layer| {
            let column = |o: usize| layer.weights.iter().skip(o).step_by(layer.outputs).copied();
            (0..layer.outputs).flat_map(column).collect()
        });
        Differentiable {
            network,
            transposed,
        }
    }

    /// Features of a record.
    pub fn inputs(&self) -> usize {
        self.network.layers[0].inputs
    }

    pub(super) fn pass(&self, features: &[u8]) -> Pass {
        let [first, ..] = &self.network.layers;
        let mut sums = first.bias.clone();
        let rows = first.weights.chunks_exact(first.outputs);
        for (&u, row) in features.iter().zip(rows) {
            add(&mut sums, f32::from(u) / 255.0 - 0.5, row);
        }
        let mut pass = Pass {
            sums,
            hidden: [Vec::new(), Vec::new()],
            logits: Vec::new(),
        };
        self.finish(&mut pass);
        pass
    }

    /// Moves a feature.
    pub(super) fn touch(&self, pass: &mut Pass, i: usize, from: u8, to: u8) {
        let outputs = self.network.layers[0].outputs;
        let row = &self.network.layers[0].weights[i * outputs..][..outputs];
        add(
            &mut pass.sums,
            (f32::from(to) - f32::from(from)) / 255.0,
            row,
        );
    }

    /// What follows from the first layer's sums.
    pub(super) fn finish(&self, pass: &mut Pass) {
        let [_, second, last] = &self.network.layers;
        let relu = |sums: &[f32]| sums.iter().map(|z| z.max(0.0)).collect::<Vec<_>>();
        let dense = |layer: &crate::train::Layer, inputs: &[f32]| {
            let mut sums = layer.bias.clone();
            for (x, row) in inputs.iter().zip(layer.weights.chunks_exact(layer.outputs)) {
                add(&mut sums, *x, row);
            }
            sums
        };
        let first = relu(&pass.sums);
        let hidden = relu(&dense(second, &first));
        pass.logits = dense(last, &hidden);
        pass.hidden = [first, hidden];
    }

    /// The derivative of `Σ weights[class] · logit[class]` by each feature, in units of `u / 255`.
    pub(super) fn slopes(&self, pass: &Pass, weights: &[f32]) -> Vec<f32> {
        let mut delta = weights.to_vec();
        for number in (0..3).rev() {
            let inputs = self.network.layers[number].inputs;
            let mut below = vec![0.0; inputs];
            for (delta, row) in delta
                .iter()
                .zip(self.transposed[number].chunks_exact(inputs))
            {
                add(&mut below, *delta, row);
            }
            if let Some(hidden) = number.checked_sub(1) {
                for (delta, hidden) in below.iter_mut().zip(&pass.hidden[hidden]) {
                    *delta = if *hidden > 0.0 { *delta } else { 0.0 };
                }
            }
            delta = below;
        }
        delta
    }
}

/// `sums + factor · row`.
fn add(sums: &mut [f32], factor: f32, row: &[f32]) {
    for (sum, weight) in sums.iter_mut().zip(row) {
        *sum += factor * weight;
    }
}

/// The derivative of class `target`'s probability by each logit, over that probability: which feature moves it most does
/// not depend on it, and where it is next to nothing the derivative would be 0.
pub(super) fn probability_slope(logits: &[f32], target: usize) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f32> = logits.iter().map(|z| libm::expf(z - largest)).collect();
    let sum: f32 = exps.iter().sum();
    let slope = |(class, exp): (usize, &f32)| f32::from(u8::from(class == target)) - exp / sum;
    exps.iter().enumerate().map(slope).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::random::{Random, Stream};
    use crate::train::Shape;
    use crate::train::init::he_uniform;

    pub(in super::super) fn network() -> Differentiable {
        let shape = Shape {
            inputs: 50,
            hidden: [20, 12],
            classes: 5,
        };
        Differentiable::new(&he_uniform(&shape, 3), &InputMap::centred())
    }

    pub(in super::super) fn record(seed: u64) -> Vec<u8> {
        let mut random = Random::new(seed, Stream::Split);
        (0..50).map(|_| random.below(256) as u8).collect()
    }

    #[test]
    fn slopes_are_what_small_changes_make() {
        let network = network();
        let features = record(4);
        let pass = network.pass(&features);
        let share = |pass: &Pass, class: usize| {
            let exps: Vec<f64> = pass.logits.iter().map(|&z| f64::from(z).exp()).collect();
            exps[class] / exps.iter().sum::<f64>()
        };
        let mut seen = 0;
        for class in 0..5 {
            let slopes = network.slopes(&pass, &probability_slope(&pass.logits, class));
            for (i, slope) in slopes.iter().enumerate() {
                // A step of 1/255 is small enough but where a ReLU begins or ends within it.
                let (mut up, mut down) = (pass.clone(), pass.clone());
                network.touch(&mut up, i, 100, 101);
                network.touch(&mut down, i, 100, 99);
                network.finish(&mut up);
                network.finish(&mut down);
                let open = |pass: &Pass| {
                    pass.hidden
                        .iter()
                        .flatten()
                        .map(|h| *h > 0.0)
                        .collect::<Vec<_>>()
                };
                if open(&up) != open(&down) {
                    continue;
                }
                let change = (share(&up, class) - share(&down, class)) / 2.0 * 255.0;
                let slope = f64::from(*slope) * share(&pass, class);
                assert!((change - slope).abs() < 1e-3, "class {class}, feature {i}");
                seen += 1;
            }
        }
        assert!(seen > 150, "{seen}");
    }

    #[test]
    fn what_is_touched_is_as_if_it_had_been_so() {
        let network = network();
        let mut features = record(5);
        let mut pass = network.pass(&features);
        for i in [3, 17, 40] {
            network.touch(&mut pass, i, features[i], 255 - features[i]);
            features[i] = 255 - features[i];
        }
        network.finish(&mut pass);
        let fresh = network.pass(&features);
        for (a, b) in pass.logits.iter().zip(&fresh.logits) {
            assert!((a - b).abs() < 1e-5);
        }
    }
}
