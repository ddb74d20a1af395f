//! One layer's integers.

use sealnet_core::mlp::{DenseRef, Granularity, LayerBytes, pack, packed_len, unpack};
use sealnet_core::quant::{Requant, SHIFT_MAX, SHIFT_MIN, accumulator_bound};

use crate::error::{Error, Result};
use crate::train::Layer;

/// An integer layer's parameters, as the bytes that the artefact stores: integers little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantisedLayer {
    /// Inputs.
    pub inputs: usize,
    /// Outputs.
    pub outputs: usize,
    /// `[outputs][inputs]` i8 in [-127, 127], packed as [`pack`] does it.
    pub weights: Vec<u8>,
    /// `[outputs]` i32.
    pub biases: Vec<u8>,
    /// `[n]` i32, `n` being 1 or `outputs` by granularity.
    pub multipliers: Vec<u8>,
    /// `[n]` u8.
    pub shifts: Vec<u8>,
}

impl QuantisedLayer {
    /// The layer as the integer core takes it.
    ///
    /// # Errors
    /// [`Error::Input`] if the core refuses it.
    pub fn view(&self, granularity: Granularity) -> Result<DenseRef<'_>> {
        let bytes = LayerBytes {
            biases: &self.biases,
            multipliers: &self.multipliers,
            shifts: &self.shifts,
            weights: &self.weights,
        };
        DenseRef::new(self.inputs, self.outputs, granularity, bytes)
            .map_err(|e| Error::input(format!("a layer cannot be quantised: {e}"), CANNOT))
    }

    /// `[outputs][inputs]` i8, row by row.
    pub fn unpacked(&self) -> Vec<u8> {
        let mut weights = vec![0; self.inputs * self.outputs];
        // Both have the lengths that their shape asks for.
        let _ = unpack(self.inputs, self.outputs, &self.weights, &mut weights);
        weights
    }
}

/// The fixed-point factor nearest to `factor`: the largest shift that leaves the multiplier below 2^31,
/// as [`sealnet_core::quant`] writes it down. `None` when `factor` is not in `[0, 2^30 - 0.25)`.
pub fn requant_from_real(factor: f64) -> Option<Requant> {
    if !(0.0..f64::from(1 << 30)).contains(&factor) {
        return None;
    }
    (SHIFT_MIN..=SHIFT_MAX).rev().find_map(|shift| {
        // Scaling by a power of two is exact; the cast is, below 2^31.
        let multiplier = (factor * (1u64 << shift) as f64).round();
        (multiplier <= f64::from(i32::MAX))
            .then(|| Requant::new(multiplier as i32, shift).ok())
            .flatten()
    })
}

/// What a layer's accumulators become.
#[derive(Debug, Clone, Copy)]
pub(super) enum Output {
    /// Activations that stand for this many real units each.
    Hidden(f64),
    /// Logits on one scale of the layer's own choice.
    Logits,
}

/// A layer in real numbers over integer inputs.
#[derive(Debug)]
pub(super) struct RealLayer {
    inputs: usize,
    /// `[outputs][inputs]`.
    weights: Vec<f64>,
    /// `[outputs]`.
    pub(super) bias: Vec<f64>,
    /// `[inputs]`: what the integer inputs are on average.
    means: Vec<f64>,
}

impl RealLayer {
    /// `layer` with its weights times `scale`, in order of output.
    pub(super) fn scaled(layer: &Layer, scale: f64, means: Vec<f64>) -> RealLayer {
        let (inputs, outputs) = (layer.inputs, layer.outputs);
        let weights = (0..outputs)
            .flat_map(|o| {
                (0..inputs).map(move |i| f64::from(layer.weights[i * outputs + o]) * scale)
            })
            .collect();
        RealLayer {
            inputs,
            weights,
            bias: layer.bias.iter().map(|&bias| f64::from(bias)).collect(),
            means,
        }
    }

    /// Rounds to integers. Returns the layer, and for logits the scale they are on (else 1).
    pub(super) fn quantise(
        &self,
        granularity: Granularity,
        output: Output,
    ) -> Result<(QuantisedLayer, f32)> {
        let rows = || self.weights.chunks_exact(self.inputs).zip(&self.bias);
        let mut scales: Vec<f64> = rows().map(|(row, &bias)| self.scale(row, bias)).collect();
        let largest = scales.iter().copied().fold(0.0, f64::max);
        if granularity == Granularity::PerTensor {
            scales.fill(largest);
        }
        // On eight times the coarsest row's scale no factor exceeds 1/8, so that no logit can saturate and every shift is above
        // 32: a kernel may leave out the lower word of a product.
        let logit_scale = 8.0 * largest as f32;
        let unit = match output {
            Output::Hidden(scale) => scale,
            Output::Logits => f64::from(logit_scale),
        };
        let mut layer = QuantisedLayer {
            inputs: self.inputs,
            outputs: self.bias.len(),
            weights: vec![0; packed_len(self.inputs, self.bias.len())],
            biases: Vec::new(),
            multipliers: Vec::new(),
            shifts: Vec::new(),
        };
        let mut all_weights = Vec::with_capacity(self.weights.len());
        for ((row, &bias), &scale) in rows().zip(&scales) {
            let (weights, bias) = self.round(row, bias, scale);
            all_weights.extend(weights);
            layer.biases.extend(bias.to_le_bytes());
        }
        pack(
            layer.inputs,
            layer.outputs,
            &all_weights,
            &mut layer.weights,
        )
        .ok_or_else(|| Error::input("a layer's rows are not all as long", CANNOT))?;
        for scale in &scales[..granularity.factors(scales.len())] {
            let requant = requant_from_real(scale / unit).ok_or_else(|| {
                Error::input(
                    format!("a layer's scale {scale:e} is too far from its output's, {unit:e}"),
                    CANNOT,
                )
            })?;
            layer.multipliers.extend(requant.multiplier().to_le_bytes());
            layer.shifts.push(requant.shift());
        }
        let scale = match output {
            Output::Hidden(_) => 1.0,
            Output::Logits => logit_scale,
        };
        Ok((layer, scale))
    }

    /// The finest scale on which a row fits: weights in [-127, 127] and no accumulator over `i32::MAX`.
    fn scale(&self, row: &[f64], bias: f64) -> f64 {
        let largest = row
            .iter()
            .fold(0.0, |largest: f64, weight| largest.max(weight.abs()));
        let mut scale = (largest / 127.0)
            .max(bias.abs() / f64::from(BIAS_MAX))
            .max(SCALE_MIN);
        loop {
            let (weights, rounded) = self.round(row, bias, scale);
            if accumulator_bound(weights.len(), rounded) <= i64::from(i32::MAX) {
                return scale;
            }
            scale *= 2.0;
        }
    }

    /// A row on a scale: weights to the nearest integer, and the bias less what that rounding adds to
    /// the output on average.
    fn round(&self, row: &[f64], bias: f64, scale: f64) -> (Vec<u8>, i32) {
        let mut shift = 0.0;
        let weights = row
            .iter()
            .zip(&self.means)
            .map(|(&weight, &mean)| {
                let rounded = (weight / scale).round().clamp(-127.0, 127.0);
                shift += (rounded - weight / scale) * mean;
                rounded as i8 as u8
            })
            .collect();
        // Saturates, and the bound then refuses it.
        (weights, (bias / scale - shift).round() as i32)
    }
}

/// Largest bias before mean correction: a fourth of `i32`, room for the products.
const BIAS_MAX: i32 = 1 << 29;
/// Below this a row is all zeros, as far as anyone can tell.
const SCALE_MIN: f64 = 1e-12;
pub(super) const CANNOT: &str = "its weights are too far apart for integers; train it again";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_the_nearest_with_31_bits() {
        for factor in [
            0.5,
            1.0,
            0.99999,
            3.7e-4,
            1.0 / 3.0,
            12345.678,
            1e9,
            2.4e-10,
        ] {
            let requant = requant_from_real(factor).unwrap();
            let got = f64::from(requant.multiplier()) / (1u64 << requant.shift()) as f64;
            assert!(
                (got / factor - 1.0).abs() <= 2f64.powi(-31),
                "{factor} {requant:?}"
            );
            assert!(requant.shift() == SHIFT_MAX || requant.multiplier() >= 1 << 30);
        }
        let zero = requant_from_real(0.0).unwrap();
        assert_eq!((zero.multiplier(), zero.shift()), (0, SHIFT_MAX));
        // From here on even a shift of one bit rounds to 2^31.
        let end = f64::from(1 << 30) - 0.25;
        let last = requant_from_real(end.next_down()).unwrap();
        assert_eq!((last.multiplier(), last.shift()), (i32::MAX, 1));
        for factor in [-1e-9, f64::NAN, f64::INFINITY, 1.1e9, end] {
            assert_eq!(requant_from_real(factor), None);
        }
    }
}
