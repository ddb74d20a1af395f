//! From real numbers to the integer network that devices run ([`sealnet_core::mlp`]).
//!
//! After training, without retraining: weights to int8 or int4, symmetric, one scale for each output (or one for
//! each layer); hidden activations to u8, one scale a layer; biases to i32. The method, step by step:
//!
//! 1. `calibrate`: the real network runs over training records; the mean and variance of every layer's inputs and
//!    the range of its activations are noted, the range as the largest value and as percentiles.
//! 2. `fold`: each layer is written as one over the integers it will see: the input's `/255 - ½` goes
//!    into the first layer's weights and bias, an activation's scale into the next layer's weights. Its
//!    weights are rounded; what that shifts the mean output by is taken out of the bias again. An int4 row's scale is the
//!    one on which rounding adds least to the output's variance over training records, though it clips the largest weights.
//! 3. One integer network is made for each way to set the range, and the one that changes the fewest
//!    predictions on the *validation* records is kept; of equals, the one with the widest range. Test
//!    records decide nothing.
//! 4. `neighbours`: hidden units that are zero for the same training records are put side by side. No logit changes;
//!    a kernel that leaves out zeros is faster for it.
//! 5. `verify`: the integer core itself runs over records and is compared with the real network.
//!
//! All of it is f64 arithmetic in a fixed order: the same network and records give the same integers.

mod calibrate;
mod fold;
mod layer;
mod neighbours;
mod verify;

pub use layer::{QuantisedLayer, requant_from_real};
pub use verify::{Comparison, compare, integer_logits};

use sealnet_core::mlp::{self, Quantisation};

use crate::error::{Error, Result};
use crate::train::{Backend, Network, Records};
use calibrate::Calibration;

/// What a network is quantised on and how finely.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// All records.
    pub records: Records<'a>,
    /// Training records; the first [`CALIBRATION_RECORDS`] are used.
    pub training: &'a [u32],
    /// The records that the choice between candidates is made on.
    pub validation: &'a [u32],
    /// How fine weights are, and one scale for each output or one for each layer.
    pub quantisation: Quantisation,
    /// What computes the real network; has no influence on the result.
    pub backend: Backend,
}

/// An integer network with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantised {
    /// First hidden, second hidden, output.
    pub layers: [QuantisedLayer; 3],
    /// For each unit of both hidden layers, which one of the real network it is.
    pub order: [Vec<usize>; 2],
    /// How fine weights are, and one scale for each output or one for each layer.
    pub quantisation: Quantisation,
    /// A logit's worth in the real network: `real = logit_scale · logit`.
    pub logit_scale: f32,
    /// The share of calibration activations within the range, in percent: 100 when the range is the
    /// largest value seen.
    pub percentile: f64,
}

impl Quantised {
    /// The network as the integer core takes it, its invariants proved (weights in range, no accumulator that can
    /// overflow).
    ///
    /// # Errors
    /// [`Error::Input`] if the core refuses it.
    pub fn network(&self) -> Result<mlp::Network<'_>> {
        let [first, second, last] = &self.layers;
        let layers = [
            first.view(self.quantisation)?,
            second.view(self.quantisation)?,
            last.view(self.quantisation)?,
        ];
        mlp::Network::new(layers).map_err(|e| {
            Error::input(
                format!("the integer network does not fit together: {e}"),
                "",
            )
        })
    }
}

/// Quantises `network`.
///
/// # Errors
/// [`Error::Input`] when there is nothing to calibrate on, a record does not fit the network, or the
/// weights are so far apart that integers cannot hold them.
pub fn quantise(network: &Network, options: &Options<'_>) -> Result<Quantised> {
    let calibration = Calibration::observe(network, options)?;
    let mut best: Option<(u64, Quantised)> = None;
    for percentile in PERCENTILES {
        let candidate = fold::fold(network, &calibration, percentile, options.quantisation)?;
        let comparison = compare(
            network,
            &candidate.network()?,
            options.records,
            options.validation,
            options.backend,
        )?;
        if best
            .as_ref()
            .is_none_or(|(changed, _)| comparison.changed < *changed)
        {
            best = Some((comparison.changed, candidate));
        }
    }
    let (_, mut quantised) = best.ok_or_else(|| Error::input("no way to quantise is known", ""))?;
    neighbours::arrange(&mut quantised, options.records, options.training)?;
    Ok(quantised)
}

/// Ways to set the range of activations, widest first: 100 is the largest value seen.
const PERCENTILES: [f64; 3] = [100.0, 99.99, 99.9];

/// Training records that are looked at to set ranges.
pub const CALIBRATION_RECORDS: usize = 10_000;

#[cfg(test)]
mod tests {
    use sealnet_core::mlp::{Granularity, WeightType};

    use super::*;
    use crate::random::{Random, Stream};
    use crate::train::{Shape, init::glorot_uniform};

    fn records() -> (Vec<u8>, Vec<u16>) {
        let mut random = Random::new(5, Stream::Split);
        let features = (0..500 * 30).map(|_| random.below(256) as u8).collect();
        (features, (0..500).map(|_| random.below(4) as u16).collect())
    }

    #[test]
    fn the_integers_follow_the_reals_closely() {
        let (features, labels) = records();
        let records = Records {
            features: &features,
            width: 30,
            labels: &labels,
        };
        let network = glorot_uniform(
            &Shape {
                inputs: 30,
                hidden: [24, 17],
                classes: 4,
            },
            1,
        );
        let which: Vec<u32> = (0..500).collect();
        let real = crate::train::logits(&network, records, &which, Backend::Portable).unwrap();
        for granularity in [Granularity::PerOutput, Granularity::PerTensor] {
            let options = Options {
                records,
                training: &which[..400],
                validation: &which[400..],
                quantisation: Quantisation {
                    weights: WeightType::Int8,
                    granularity,
                },
                backend: Backend::detect(),
            };
            let quantised = quantise(&network, &options).unwrap();
            let integer = quantised.network().unwrap();
            let logits = integer_logits(&integer, records, &which).unwrap();
            let spread = real.iter().fold(0.0f32, |a, b| a.max(b.abs()));
            for (logit, real) in logits.iter().zip(&real) {
                let error = (*logit as f32 * quantised.logit_scale - real).abs();
                assert!(error < 0.03 * spread, "{granularity:?} {error} of {spread}");
            }
            assert_eq!(quantised, quantise(&network, &options).unwrap());
            // Hidden units in the order that other records ask for.
            let mut other = quantised.clone();
            neighbours::arrange(&mut other, records, &which[490..]).unwrap();
            assert_ne!(other, quantised);
            let network = other.network().unwrap();
            assert_eq!(integer_logits(&network, records, &which).unwrap(), logits);
        }
    }

    #[test]
    fn a_dead_network_and_huge_biases_still_fit() {
        let (features, labels) = records();
        let records = Records {
            features: &features,
            width: 30,
            labels: &labels,
        };
        let which: Vec<u32> = (0..500).collect();
        let options = Options {
            records,
            training: &which,
            validation: &which,
            quantisation: Quantisation::default(),
            backend: Backend::detect(),
        };
        let shape = Shape {
            inputs: 30,
            hidden: [6, 5],
            classes: 4,
        };
        let mut network = Network::zeros(&shape);
        quantise(&network, &options).unwrap().network().unwrap();
        network.layers[0].bias[2] = 3.0e7;
        network.layers[0].weights[2] = 1.0e-9;
        network.layers[2].bias[1] = -4.0e9;
        let quantised = quantise(&network, &options).unwrap();
        let logits = integer_logits(&quantised.network().unwrap(), records, &which[..1]).unwrap();
        let real = f64::from(logits[1]) * f64::from(quantised.logit_scale);
        assert!((real / -4.0e9 - 1.0).abs() < 1e-3, "{real}");
    }
}
