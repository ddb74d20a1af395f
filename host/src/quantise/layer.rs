//! One layer's integers.

use sealnet_core::mlp::{DenseRef, Granularity, LayerBytes, Quantisation, WeightType};
use sealnet_core::quant::{Requant, SHIFT_MAX, SHIFT_MIN, accumulator_bound};

use super::calibrate::Moments;
use crate::error::{Error, Result};
use crate::train::Layer;

/// An integer layer's parameters, as the bytes that the artefact stores: integers little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantisedLayer {
    /// Inputs.
    pub inputs: usize,
    /// Outputs.
    pub outputs: usize,
    /// How fine the weights are.
    pub weight_type: WeightType,
    /// `[outputs][inputs]` weights, packed as [`WeightType::pack`] does it.
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
    pub fn view(&self, quantisation: Quantisation) -> Result<DenseRef<'_>> {
        let bytes = LayerBytes {
            biases: &self.biases,
            multipliers: &self.multipliers,
            shifts: &self.shifts,
            weights: &self.weights,
        };
        DenseRef::new(self.inputs, self.outputs, quantisation, bytes)
            .map_err(|e| Error::input(format!("a layer cannot be quantised: {e}"), CANNOT))
    }

    /// `[outputs][inputs]` i8, row by row.
    pub fn unpacked(&self) -> Vec<u8> {
        let mut weights = vec![0; self.inputs * self.outputs];
        // Both have the lengths that their shape asks for.
        let weight_type = self.weight_type;
        let _ = weight_type.unpack(self.inputs, self.outputs, &self.weights, &mut weights);
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
    /// Of the integer inputs.
    moments: Moments,
}

impl RealLayer {
    /// `layer` with its weights times `scale`, in order of output.
    pub(super) fn scaled(layer: &Layer, scale: f64, moments: Moments) -> RealLayer {
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
            moments,
        }
    }

    /// Rounds to integers. Returns the layer, and for logits the scale they are on (else 1).
    pub(super) fn quantise(
        &self,
        Quantisation {
            weights: weight_type,
            granularity,
        }: Quantisation,
        output: Output,
    ) -> Result<(QuantisedLayer, f32)> {
        let rows = || self.weights.chunks_exact(self.inputs).zip(&self.bias);
        let mut scales: Vec<f64> = rows()
            .map(|(row, &bias)| self.scale(row, bias, weight_type))
            .collect();
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
            weight_type,
            weights: vec![0; weight_type.packed_len(self.inputs, self.bias.len())],
            biases: Vec::new(),
            multipliers: Vec::new(),
            shifts: Vec::new(),
        };
        let mut all_weights = Vec::with_capacity(self.weights.len());
        for ((row, &bias), &scale) in rows().zip(&scales) {
            let (weights, bias) = self.round(row, bias, scale, weight_type);
            all_weights.extend(weights);
            layer.biases.extend(bias.to_le_bytes());
        }
        let packed = weight_type.pack(
            layer.inputs,
            layer.outputs,
            &all_weights,
            &mut layer.weights,
        );
        packed.ok_or_else(|| Error::input("a layer's rows are not all as long", CANNOT))?;
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

    /// The scale of a row: the finest on which it fits, or, where weights have four bits, the one that costs least. No
    /// accumulator exceeds `i32::MAX` on it.
    fn scale(&self, row: &[f64], bias: f64, weight_type: WeightType) -> f64 {
        let largest = row
            .iter()
            .fold(0.0, |largest: f64, weight| largest.max(weight.abs()));
        let finest = (largest / f64::from(weight_type.max())).max(SCALE_MIN);
        let best = on_grid(row, finest, weight_type).unwrap_or_else(|| match weight_type {
            WeightType::Int4 => self.cheapest(row, finest, weight_type),
            _ => finest,
        });
        let mut scale = best.max(bias.abs() / f64::from(BIAS_MAX));
        loop {
            let (weights, rounded) = self.round(row, bias, scale, weight_type);
            if accumulator_bound(weights.len(), rounded) <= i64::from(i32::MAX) {
                return scale;
            }
            scale *= 2.0;
        }
    }

    /// Of scales from `most` down to a part of it, on which the largest weights are clipped, the one on which rounding adds
    /// least to the output's variance, taking inputs for independent.
    fn cheapest(&self, row: &[f64], most: f64, weight_type: WeightType) -> f64 {
        let max = f64::from(weight_type.max());
        let cost = |scale: f64| -> f64 {
            let weights = row.iter().zip(self.moments.variances());
            weights
                .map(|(&weight, variance)| {
                    let error = rounded(weight, scale, max) * scale - weight;
                    error * error * variance
                })
                .sum()
        };
        let scales = (CLIPPED..=STEPS).map(|step| most * step as f64 / STEPS as f64);
        let costs = scales.map(|scale| (cost(scale), scale));
        // Of equals the last, which clips least.
        costs
            .min_by(|(a, one), (b, other)| a.total_cmp(b).then(other.total_cmp(one)))
            .map_or(most, |(_, scale)| scale)
    }

    /// A row on a scale: weights to the nearest integer, and the bias less what that rounding adds to
    /// the output on average.
    fn round(&self, row: &[f64], bias: f64, scale: f64, weight_type: WeightType) -> (Vec<u8>, i32) {
        let max = f64::from(weight_type.max());
        let mut shift = 0.0;
        let weights = row
            .iter()
            .zip(&self.moments.means)
            .map(|(&weight, &mean)| {
                let rounded = rounded(weight, scale, max);
                shift += (rounded - weight / scale) * mean;
                rounded as i8 as u8
            })
            .collect();
        // Saturates, and the bound then refuses it.
        (weights, (bias / scale - shift).round() as i32)
    }
}

/// A weight on a scale, to the nearest integer of no more than this magnitude.
fn rounded(weight: f64, scale: f64, max: f64) -> f64 {
    (weight / scale).round().clamp(-max, max)
}

/// The finest scale of a grid that a row lies on, as quantisation-aware training leaves it; of int8's grids, those on which
/// the largest weight is one of the upper half of the integers.
fn on_grid(row: &[f64], finest: f64, weight_type: WeightType) -> Option<f64> {
    let largest = finest * f64::from(weight_type.max());
    let least = if weight_type == WeightType::Int4 {
        1
    } else {
        weight_type.max() / 2
    };
    let integers = (least..=weight_type.max()).rev();
    integers
        .map(|integer| largest / f64::from(integer))
        .find(|scale| {
            row.iter().all(|weight| {
                let integer = weight / scale;
                (integer - integer.round()).abs() < GRID
            })
        })
}

/// How far off an integer a weight on a grid may be: f32 rounds the weights.
const GRID: f64 = 1e-3;
/// Scales that are tried where weights are clipped: from `CLIPPED / STEPS` of the one that clips none.
const STEPS: u32 = 50;
const CLIPPED: u32 = 20;
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
