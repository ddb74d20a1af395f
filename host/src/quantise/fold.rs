//! The real network over integers, and its rounding.

use sealnet_core::mlp::Quantisation;

use super::Quantised;
use super::calibrate::{Calibration, Moments};
use super::layer::{Output, RealLayer};
use crate::error::Result;
use crate::train::{Layer, Network};

/// Quantises with the hidden layers' ranges at `percentile`.
pub(super) fn fold(
    network: &Network,
    calibration: &Calibration,
    percentile: f64,
    quantisation: Quantisation,
) -> Result<Quantised> {
    let [first, second, last] = &network.layers;
    let scale_1 = calibration.range(0, percentile) / LARGEST;
    let scale_2 = calibration.range(1, percentile) / LARGEST;
    let [features, hidden_1, hidden_2] = &calibration.inputs;
    let (first, _) =
        over_features(first, features).quantise(quantisation, Output::Hidden(scale_1))?;
    let (second, _) = over_activations(second, scale_1, hidden_1)
        .quantise(quantisation, Output::Hidden(scale_2))?;
    let (last, logit_scale) =
        over_activations(last, scale_2, hidden_2).quantise(quantisation, Output::Logits)?;
    let order = [&first, &second].map(|layer| (0..layer.outputs).collect());
    Ok(Quantised {
        layers: [first, second, last],
        order,
        quantisation,
        logit_scale,
        percentile,
    })
}

/// The first layer over features `u`: from `Σ w·(u/255 - ½) + b` to `Σ (w/255)·u + (b - ½ Σ w)`.
///
/// The offset is folded with the weights as they were before rounding, so that background, `u` = 0,
/// carries no rounding error at all.
fn over_features(layer: &Layer, inputs: &Moments) -> RealLayer {
    let mut real = RealLayer::scaled(layer, 1.0 / LARGEST, inputs.clone());
    for row in layer.weights.chunks_exact(layer.outputs) {
        for (bias, &weight) in real.bias.iter_mut().zip(row) {
            *bias -= 0.5 * f64::from(weight);
        }
    }
    real
}

/// A later layer over activations `q` that stand for `scale·q`.
fn over_activations(layer: &Layer, scale: f64, inputs: &Moments) -> RealLayer {
    RealLayer::scaled(layer, scale, inputs.over(scale))
}

/// The largest feature and activation.
const LARGEST: f64 = 255.0;
