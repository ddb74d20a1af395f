//! Quantisation-aware training: forwards and backwards through weights as integers will have them.
//!
//! Each output's weights are seen as `q · s`, `q = round(w / s)` (ties to even) within the type's range, while the
//! optimiser moves `w` itself by the gradient at what is seen (Bengio et al. 2013's straight-through estimator). An
//! output's scale `s` is, of `widest · (k / 64)` for `k` from 64 down to 32, the first on which `Σ (q·s - w)²` is least,
//! the errors and their sum in f64; `widest` is its largest weight over the type's largest integer, at least the
//! smallest normal f32. It is found anew at the start of each epoch; what training ends with is what the last epoch's
//! scales show.

use sealnet_core::mlp::WeightType;

use super::engine::View;
use super::model::{Layer, Network};

/// What a network's weights are seen as.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rounding {
    /// The largest integer; the smallest is its negative.
    most: f32,
    /// `[outputs]` of each layer.
    scales: [Vec<f32>; 3],
}

impl Rounding {
    /// Scales for `network`.
    pub(crate) fn of(network: &Network, weights: WeightType) -> Rounding {
        let most = f32::from(weights.max());
        Rounding {
            most,
            scales: network.layers.each_ref().map(|layer| scales(layer, most)),
        }
    }

    /// The network as it is seen.
    pub(crate) fn seen(&self, network: &Network) -> Network {
        let mut seen = network.clone();
        for (index, layer) in seen.layers.iter_mut().enumerate() {
            let outputs = layer.outputs;
            let from = network.layers[index].weights.chunks_exact(outputs);
            for (row, from) in layer.weights.chunks_exact_mut(outputs).zip(from) {
                self.rewrite(index, from, row);
            }
        }
        seen
    }
}

impl View for Rounding {
    #[inline(always)]
    fn rewrite(&self, layer: usize, weights: &[f32], seen: &mut [f32]) {
        let scales = &self.scales[layer];
        for ((seen, &weight), &scale) in seen.iter_mut().zip(weights).zip(scales) {
            *seen = rounded(weight, scale, self.most);
        }
    }
}

/// The multiple of `scale` nearest to `weight`, of at most `most` of them either way.
#[inline(always)]
fn rounded(weight: f32, scale: f32, most: f32) -> f32 {
    let q = (weight / scale).clamp(-most, most);
    // Adding 1.5 · 2^23 leaves no bits below one: the sum rounds to the nearest integer, ties to even.
    (q + SHIFTER - SHIFTER) * scale
}

fn scales(layer: &Layer, most: f32) -> Vec<f32> {
    let column = |output: usize| layer.weights.iter().skip(output).step_by(layer.outputs);
    let scale = |output: usize| {
        let largest = column(output).fold(0.0, |most: f32, weight| most.max(weight.abs()));
        // A row of zeros has any scale.
        let widest = (largest / most).max(f32::MIN_POSITIVE);
        let mut best = (f64::INFINITY, widest);
        for step in (STEPS / 2..=STEPS).rev() {
            let scale = widest * (step as f32 / STEPS as f32);
            let cost = column(output).map(|&weight| {
                let error = f64::from(rounded(weight, scale, most)) - f64::from(weight);
                error * error
            });
            let cost: f64 = cost.sum();
            if cost < best.0 {
                best = (cost, scale);
            }
        }
        best.1
    };
    (0..layer.outputs).map(scale).collect()
}

/// 1.5 · 2^23.
const SHIFTER: f32 = 12_582_912.0;
/// Parts that scales are tried in.
const STEPS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::init::he_uniform;
    use crate::train::model::Shape;

    #[test]
    fn what_is_seen_lies_on_a_grid_and_is_seen_as_itself() {
        let shape = Shape {
            inputs: 40,
            hidden: [9, 7],
            classes: 3,
        };
        let mut network = he_uniform(&shape, 4);
        network.layers[1].weights[0] = 7.5;
        for row in network.layers[1].weights.chunks_exact_mut(7) {
            row[3] = 0.0;
        }
        for weights in [WeightType::Int4, WeightType::Int8] {
            let rounding = Rounding::of(&network, weights);
            let seen = rounding.seen(&network);
            assert_ne!(seen, network);
            assert_eq!(rounding.seen(&seen), seen);
            for (layer, scales) in seen.layers.iter().zip(&rounding.scales) {
                for row in layer.weights.chunks_exact(layer.outputs) {
                    for (weight, scale) in row.iter().zip(scales) {
                        let q = weight / scale;
                        assert!(
                            (q - q.round()).abs() < 1e-3 && q.abs() <= f32::from(weights.max())
                        );
                    }
                }
            }
        }
        assert_eq!(rounded(2.5, 1.0, 7.0), 2.0);
        assert_eq!(rounded(-3.5, 1.0, 7.0), -4.0);
        assert_eq!(rounded(9.0, 1.0, 7.0), 7.0);
    }

    #[test]
    fn no_other_scale_of_those_tried_is_nearer() {
        let shape = Shape {
            inputs: 40,
            hidden: [9, 7],
            classes: 3,
        };
        let network = he_uniform(&shape, 5);
        for most in [7i16, 127] {
            let layer = &network.layers[0];
            let mut narrower = 0;
            for (output, &scale) in scales(layer, most.into()).iter().enumerate() {
                let column: Vec<f32> = (0..40).map(|i| layer.weights[i * 9 + output]).collect();
                let largest = column
                    .iter()
                    .fold(0.0, |most: f32, weight| most.max(weight.abs()));
                let widest = largest / f32::from(most);
                let cost = |scale: f32| -> f64 {
                    let error = |&weight: &f32| {
                        let q = (weight / scale).round_ties_even() as i16;
                        let seen = f32::from(q.clamp(-most, most)) * scale;
                        (f64::from(seen) - f64::from(weight)).powi(2)
                    };
                    column.iter().map(error).sum()
                };
                let tried = (32..=64u16).rev();
                let tried = tried.map(|k| widest * (f32::from(k) / 64.0));
                let best = tried.reduce(|best, other| match cost(other) < cost(best) {
                    true => other,
                    false => best,
                });
                assert_eq!(Some(scale), best, "output {output}");
                narrower += usize::from(scale < widest);
            }
            // Of so few weights none is worth cutting off where steps are small.
            let expected = if most == 7 { 5..=9 } else { 0..=0 };
            assert!(expected.contains(&narrower), "{narrower} of 9 at {most}");
        }
    }
}
