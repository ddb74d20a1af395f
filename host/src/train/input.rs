//! What becomes of a feature before the network sees it.

use super::model::Network;
use super::records::Records;

/// `x[i] = (u[i] / 255 - offset[i]) / scale`: one offset a feature, one scale for all.
#[derive(Debug, Clone, PartialEq)]
pub struct InputMap {
    /// One a feature; a single one counts for all.
    offsets: Vec<f32>,
    scale: f32,
}

impl InputMap {
    /// The paper's (section 3.1.3), which is also a weight file's convention: `u / 255 - ½`.
    pub fn centred() -> InputMap {
        InputMap {
            offsets: vec![CENTRE],
            scale: 1.0,
        }
    }

    /// With an offset for each feature, in units of `u / 255`, and a `scale` that is finite and above 0.
    pub fn new(offsets: Vec<f32>, scale: f32) -> InputMap {
        InputMap { offsets, scale }
    }

    /// Less each feature's mean over those of `records` that `which` names, over the deviation of all features from
    /// their means: with `S` and `Q` the sums of a feature and of its square over `n` records, offset `S / n / 255`
    /// and scale `√(Σ (Q / n - (S / n)²) / features) / 255`, in order, in f64, then rounded to f32. Where nothing
    /// deviates the scale is 1.
    pub fn standardised(records: &Records<'_>, which: &[u32]) -> InputMap {
        let mut sums = vec![[0u64; 2]; records.width];
        for &index in which {
            for (sums, &u) in sums.iter_mut().zip(records.features_of(index)) {
                sums[0] += u64::from(u);
                sums[1] += u64::from(u) * u64::from(u);
            }
        }
        let count = which.len().max(1) as f64;
        let mut variance = 0.0;
        let mut offsets = Vec::with_capacity(sums.len());
        for [sum, square] in sums {
            let mean = sum as f64 / count;
            variance += square as f64 / count - mean * mean;
            offsets.push((mean / 255.0) as f32);
        }
        let scale = ((variance / offsets.len().max(1) as f64).max(0.0).sqrt() / 255.0) as f32;
        let scale = if scale > 0.0 { scale } else { 1.0 };
        InputMap { offsets, scale }
    }

    /// The offset of each feature; a single one counts for all.
    pub fn offsets(&self) -> &[f32] {
        &self.offsets
    }

    /// What the differences are divided by.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Whether it goes with `inputs` features.
    pub(super) fn fits(&self, inputs: usize) -> bool {
        let count = self.offsets.len();
        let finite = self.offsets.iter().all(|offset| offset.is_finite());
        (count == 1 || count == inputs) && finite && self.scale.is_normal() && self.scale > 0.0
    }

    /// `offset / scale` of each of `inputs` features.
    pub(super) fn scaled_offsets(&self, inputs: usize) -> Vec<f32> {
        (0..inputs).map(|i| self.offset(i) / self.scale).collect()
    }

    /// `u / 255 / scale` for every feature `u`: two roundings.
    pub(super) fn table(&self) -> [f32; 256] {
        std::array::from_fn(|u| u as f32 / 255.0 / self.scale)
    }

    fn offset(&self, feature: usize) -> f32 {
        let single = self.offsets.first().copied().unwrap_or_default();
        self.offsets.get(feature).copied().unwrap_or(single)
    }
}

impl Network {
    /// The network that does with `u / 255 - ½`, a weight file's convention, what this one does with what
    /// `input` makes of a feature. Sums are worked out in f64.
    ///
    /// `w' = w · (1 / scale)` in the first layer, and `bias' = bias + Σ (½ - offset)·w / scale`, rounded to f32 at the end.
    pub fn folded(&self, input: &InputMap) -> Network {
        self.moved(input, &InputMap::centred())
    }

    /// The inverse of [`folded`](Network::folded): a network of a weight file, for training with `input`.
    pub fn unfolded(&self, input: &InputMap) -> Network {
        self.moved(&InputMap::centred(), input)
    }

    fn moved(&self, from: &InputMap, to: &InputMap) -> Network {
        let mut network = self.clone();
        if from == to {
            return network;
        }
        let layer = &mut network.layers[0];
        let factor = f64::from(to.scale) / f64::from(from.scale);
        let mut bias: Vec<f64> = layer.bias.iter().map(|&b| f64::from(b)).collect();
        let rows = layer.weights.chunks_exact_mut(layer.outputs);
        for (i, row) in rows.enumerate() {
            let shift = f64::from(to.offset(i)) - f64::from(from.offset(i));
            for (weight, bias) in row.iter_mut().zip(&mut bias) {
                *bias += shift * f64::from(*weight) / f64::from(from.scale);
                *weight = (f64::from(*weight) * factor) as f32;
            }
        }
        for (value, &bias) in layer.bias.iter_mut().zip(&bias) {
            *value = bias as f32;
        }
        network
    }
}

const CENTRE: f32 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::model::Shape;

    #[test]
    fn standardised_by_hand() {
        let features = [0, 255, 51, 10, 0, 51, 20, 0, 51];
        let records = Records {
            features: &features,
            width: 3,
            labels: &[0; 3],
        };
        // Means 10, 85, 51; squared deviations 200/3, 14450, 0.
        let input = InputMap::standardised(&records, &[2, 0, 1]);
        let expected = [10.0 / 255.0, 85.0 / 255.0, 0.2];
        for (offset, expected) in input.offsets().iter().zip(expected) {
            assert!((f64::from(*offset) - expected).abs() < 1e-7);
        }
        let scale = ((200.0 / 3.0 + 14450.0) / 3.0f64).sqrt() / 255.0;
        assert!((f64::from(input.scale()) - scale).abs() < 1e-6);
        // Of one record nothing deviates.
        assert_eq!(InputMap::standardised(&records, &[1]).scale(), 1.0);
    }

    #[test]
    fn folding_keeps_the_sums_and_goes_back() {
        let shape = Shape {
            inputs: 5,
            hidden: [3, 2],
            classes: 2,
        };
        let network = crate::train::init::glorot_uniform(&shape, 3);
        let input = InputMap::new(vec![0.1, 0.0, 0.7, 0.25, 0.9], 0.3);
        let folded = network.folded(&input);
        let features = [0u8, 255, 17, 128, 3].map(|u| f64::from(u) / 255.0);
        for o in 0..3 {
            let sum = |network: &Network, x: &dyn Fn(usize) -> f64| {
                let layer = &network.layers[0];
                let terms = (0..5).map(|i| x(i) * f64::from(layer.weights[i * 3 + o]));
                f64::from(layer.bias[o]) + terms.sum::<f64>()
            };
            let own = |i: usize| (features[i] - f64::from(input.offset(i))) / f64::from(0.3f32);
            let filed = |i: usize| features[i] - 0.5;
            assert!((sum(&network, &own) - sum(&folded, &filed)).abs() < 1e-6);
        }
        assert_eq!(network.layers[1..], folded.layers[1..]);
        let back = folded.unfolded(&input);
        for (a, b) in back.layers[0]
            .weights
            .iter()
            .zip(&network.layers[0].weights)
        {
            assert!((a - b).abs() < 1e-6);
        }
    }
}
