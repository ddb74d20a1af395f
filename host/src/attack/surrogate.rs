//! The integer network as an attacker who wants gradients sees it.

use sealnet_core::mlp;

use crate::error::{Error, Result};
use crate::train::{Network, Shape};

/// The real network that `integer` rounds: the same weights, requantisation factors and biases, without rounding and
/// without the end of an activation's range. `logit_scale` is a logit's worth, as the artefact says it.
///
/// An integer network has no gradient, and would seem robust for that alone (Athalye et al. 2018, obfuscated
/// gradients): attacks are made on this one, and judged on the integers.
///
/// # Errors
/// [`Error::Input`] when the network's bytes are not as long as its shape asks for.
pub fn surrogate(integer: &mlp::Network<'_>, logit_scale: f32) -> Result<Network> {
    let widths = integer.shape().widths().map(usize::from);
    let [inputs, first, second, classes] = widths;
    let mut network = Network::zeros(&Shape::new(inputs, [first, second], classes)?);
    // A hidden activation of 255 is 1 here, so that a record's features and they are alike.
    let ends = [1.0, 1.0, 255.0 * f64::from(logit_scale)];
    for ((layer, real), end) in integer.layers().iter().zip(&mut network.layers).zip(ends) {
        let mut rows = vec![0; layer.inputs() * layer.outputs()];
        let packed = layer.bytes().weights;
        let unpacked =
            (layer.weight_type()).unpack(layer.inputs(), layer.outputs(), packed, &mut rows);
        unpacked.ok_or_else(|| Error::input("the model's weights do not have their length", ""))?;
        let rows = rows.chunks_exact(layer.inputs());
        for (o, (row, of_row)) in rows.zip(layer.rows()).enumerate() {
            let requant = of_row.requant;
            let factor = f64::from(requant.multiplier()) / (1u64 << requant.shift()) as f64 * end;
            for (i, &weight) in row.iter().enumerate() {
                real.weights[i * real.outputs + o] = (f64::from(weight as i8) * factor) as f32;
            }
            real.bias[o] = (f64::from(of_row.bias) / 255.0 * factor) as f32;
        }
    }
    // A weight file's first layer sees u / 255 - ½.
    let layer = &mut network.layers[0];
    for (o, bias) in layer.bias.iter_mut().enumerate() {
        let column = layer.weights.iter().skip(o).step_by(layer.outputs);
        let half: f64 = column.map(|&weight| f64::from(weight) / 2.0).sum();
        *bias = (f64::from(*bias) + half) as f32;
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use sealnet_core::mlp::{Granularity, Quantisation, WeightType};

    use super::*;
    use crate::quantise::{self, integer_logits};
    use crate::random::{Random, Stream};
    use crate::train::init::he_uniform;
    use crate::train::{Backend, InputMap, Judge, Records};

    #[test]
    fn it_says_what_the_integers_say() {
        let shape = Shape {
            inputs: 60,
            hidden: [24, 17],
            classes: 4,
        };
        let mut random = Random::new(6, Stream::Split);
        let features: Vec<u8> = (0..300 * 60).map(|_| random.below(256) as u8).collect();
        let labels: Vec<u16> = (0..300).map(|_| random.below(4) as u16).collect();
        let records = Records {
            features: &features,
            width: 60,
            labels: &labels,
        };
        let all: Vec<u32> = (0..300).collect();
        for weights in [WeightType::Int8, WeightType::Int4] {
            for granularity in [Granularity::PerOutput, Granularity::PerTensor] {
                let options = quantise::Options {
                    records,
                    training: &all,
                    validation: &all[..50],
                    quantisation: Quantisation {
                        weights,
                        granularity,
                    },
                    backend: Backend::detect(),
                };
                let quantised = quantise::quantise(&he_uniform(&shape, 2), &options).unwrap();
                let integers = quantised.network().unwrap();
                let real = surrogate(&integers, quantised.logit_scale).unwrap();
                let judge = Judge::new(&real, &InputMap::centred(), Backend::detect());
                let real = judge.logits(records, &all).unwrap();
                let integers = integer_logits(&integers, records, &all).unwrap();
                let largest = real.iter().fold(0.0f32, |most, z| most.max(z.abs()));
                let far = real.iter().zip(&integers).filter(|&(z, &q)| {
                    (z - q as f32 * quantised.logit_scale).abs() > largest * 0.02
                });
                // But for activations whose range ends at a percentile.
                assert!(far.count() < 12, "{weights}, {granularity:?}");
            }
        }
    }
}
