//! Quantisation: the integers stay close to the reals, fit the accumulators, and are the same each time.

use proptest::prelude::*;
use sealnet::quantise::{self, Options, Quantised};
use sealnet::train::init::glorot_uniform;
use sealnet::train::{self, Backend, Network, Shape};
use sealnet_core::mlp::Granularity;
use sealnet_core::quant::accumulator_bound;
use sealnet_tests::network::Batch;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    /// Whatever the shape and the size of the weights, down to a network that is all but zero: every
    /// invariant of the integer core holds, and the logits are near the real ones.
    #[test]
    fn any_network_fits(
        inputs in 1usize..60,
        first in 1usize..40,
        second in 1usize..40,
        classes in 2usize..12,
        seed: u64,
        magnitudes in prop::array::uniform3(-12.0f32..8.0),
        offset in -3.0f32..3.0,
        per_tensor: bool,
    ) {
        let shape = Shape::new(inputs, [first, second], classes).unwrap();
        let mut network = glorot_uniform(&shape, seed);
        for (layer, magnitude) in network.layers.iter_mut().zip(magnitudes) {
            let scale = 10f32.powf(magnitude / 2.0);
            layer.weights.iter_mut().for_each(|weight| *weight *= scale);
            layer.bias.iter_mut().for_each(|bias| *bias = offset * scale);
        }
        let batch = Batch::random(&shape, 60, seed);
        let granularity = if per_tensor { Granularity::PerTensor } else { Granularity::PerOutput };
        let quantised = quantised(&network, &batch, granularity);
        for layer in &quantised.layers {
            let (biases, _) = layer.biases.as_chunks::<4>();
            for (row, bias) in layer.unpacked().chunks(layer.inputs).zip(biases) {
                prop_assert!(row.iter().all(|&weight| weight as i8 != i8::MIN));
                let bound = accumulator_bound(row.len(), i32::from_le_bytes(*bias));
                prop_assert!(bound <= i64::from(i32::MAX));
            }
        }
        let integer = quantised.network().unwrap();
        let ours = quantise::integer_logits(&integer, batch.records(), &batch.all()).unwrap();
        let reals = train::logits(&network, batch.records(), &batch.all(), Backend::detect()).unwrap();
        let spread = reals.iter().fold(0.0f32, |spread, logit| spread.max(logit.abs()));
        for (integer, real) in ours.iter().zip(&reals) {
            let error = (*integer as f32 * quantised.logit_scale - real).abs();
            prop_assert!(error <= 0.1 * spread, "{shape}: {error} of {spread}");
        }
    }
}

#[test]
fn the_same_network_and_records_give_the_same_integers() {
    let shape = Shape::new(30, [12, 9], 4).unwrap();
    let (network, batch) = (glorot_uniform(&shape, 1), Batch::random(&shape, 200, 1));
    let one = quantised(&network, &batch, Granularity::PerOutput);
    assert_eq!(one, quantised(&network, &batch, Granularity::PerOutput));
    for backend in Backend::available() {
        let all = batch.all();
        let options = Options {
            backend,
            ..options(&batch, &all, Granularity::PerOutput)
        };
        assert_eq!(
            one,
            quantise::quantise(&network, &options).unwrap(),
            "{}",
            backend.name()
        );
    }
}

/// Background must carry no rounding error: an all-zero record gives the real network's first layer
/// exactly up to the rounding of one bias and one activation.
#[test]
fn background_is_nearly_exact() {
    let shape = Shape::new(784, [64, 64], 10).unwrap();
    let network = glorot_uniform(&shape, 3);
    let mut batch = Batch::random(&shape, 100, 3);
    batch.features[..784].fill(0);
    let quantised = quantised(&network, &batch, Granularity::PerOutput);
    let mut hidden = Vec::new();
    train::for_each_batch(
        &network,
        batch.records(),
        &[0],
        Backend::detect(),
        |outputs| {
            hidden.clone_from(&outputs[0]);
        },
    )
    .unwrap();
    let first = quantised.layers[0].view(Granularity::PerOutput).unwrap();
    // Of an all-zero record the accumulator is the bias.
    let activations: Vec<u8> = first
        .rows()
        .map(|row| row.requant.to_u8(row.bias))
        .collect();
    let largest = hidden.iter().copied().fold(0.0, f32::max);
    let unit = largest / f32::from(*activations.iter().max().unwrap());
    for (activation, unit_of_real) in activations.iter().zip(&quantised.order[0]) {
        let real = hidden[*unit_of_real];
        assert!(
            (f32::from(*activation) * unit - real).abs() < 1.5 * unit,
            "{activation} {real}"
        );
    }
}

#[test]
fn there_must_be_records_to_calibrate_on() {
    let shape = Shape::new(3, [2, 2], 2).unwrap();
    let (network, batch) = (glorot_uniform(&shape, 1), Batch::random(&shape, 5, 1));
    let nothing = Options {
        training: &[],
        ..options(&batch, &[0], Granularity::PerOutput)
    };
    let error = quantise::quantise(&network, &nothing).unwrap_err();
    assert!(error.to_string().contains("no training records"), "{error}");
    let other = Shape::new(4, [2, 2], 2).unwrap();
    let error = quantise::quantise(
        &glorot_uniform(&other, 1),
        &options(&batch, &[0], Granularity::PerOutput),
    )
    .unwrap_err();
    assert!(error.to_string().contains("3 features"), "{error}");
}

fn quantised(network: &Network, batch: &Batch, granularity: Granularity) -> Quantised {
    let all = batch.all();
    quantise::quantise(network, &options(batch, &all, granularity)).unwrap()
}

fn options<'a>(batch: &'a Batch, all: &'a [u32], granularity: Granularity) -> Options<'a> {
    Options {
        records: batch.records(),
        training: all,
        validation: all,
        granularity,
        backend: Backend::detect(),
    }
}
