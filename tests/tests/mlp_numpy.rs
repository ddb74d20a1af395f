//! The network against a NumPy oracle: integers bit for bit, reals within rounding.

mod model_fixture;

use model_fixture::{WEIGHT_TYPES, quantisations};
use sealnet::quantise::{self, Options, Quantised};
use sealnet::train::init::glorot_uniform;
use sealnet::train::{self, Backend, Network, Shape};
use sealnet_core::mlp::{Mlp, Quantisation};
use sealnet_tests::Peer;
use sealnet_tests::network::{Batch, Folder};
use serde_json::json;

#[test]
fn integers_are_numpys_bit_for_bit() {
    let mut peer = Peer::start("mlp_oracle.py");
    for (seed, [inputs, first, second, classes]) in SHAPES.into_iter().enumerate() {
        let shape = Shape::new(inputs, [first, second], classes).unwrap();
        let batch = Batch::random(&shape, 300, seed as u64);
        for quantisation in quantisations() {
            let quantised = quantised(&glorot_uniform(&shape, seed as u64), &batch, quantisation);
            let folder = Folder::default();
            peer.ask(&json!({
                "layers": folder.layers(&quantised),
                "features": folder.batch(&batch),
                "answer": folder.path("answer"),
            }));
            let expected = folder.read("answer").i32("logits");
            let network = quantised.network().unwrap();
            let ours = quantise::integer_logits(&network, batch.records(), &batch.all()).unwrap();
            assert_eq!(ours, expected, "{shape} {quantisation:?}");
            assert!(ours.iter().any(|&logit| logit < 0) && ours.iter().any(|&logit| logit > 0));
        }
    }
}

/// The device's network, its shape known at compile time, on the paper's shape.
#[test]
fn the_devices_integers_are_numpys_too() {
    let shape = Shape::new(784, [64, 64], 10).unwrap();
    let batch = Batch::random(&shape, 300, 8);
    let mut peer = Peer::start("mlp_oracle.py");
    for weights in WEIGHT_TYPES {
        let quantisation = Quantisation {
            weights,
            ..Quantisation::default()
        };
        let quantised = quantised(&glorot_uniform(&shape, 8), &batch, quantisation);
        let folder = Folder::default();
        peer.ask(&json!({
            "layers": folder.layers(&quantised),
            "features": folder.batch(&batch),
            "answer": folder.path("answer"),
        }));
        let expected = folder.read("answer").i32("logits");
        let mlp: Mlp<'_, 784, 64, 64, 10> = quantised.network().unwrap().try_into().unwrap();
        let (records, _) = batch.features.as_chunks::<784>();
        for (features, expected) in records.iter().zip(expected.chunks(10)) {
            assert_eq!(mlp.logits(features), expected, "{weights}");
        }
    }
}

#[test]
fn reals_are_numpys_within_rounding() {
    let mut peer = Peer::start("mlp_oracle.py");
    for (seed, [inputs, first, second, classes]) in SHAPES.into_iter().enumerate() {
        let shape = Shape::new(inputs, [first, second], classes).unwrap();
        let network = glorot_uniform(&shape, seed as u64);
        let batch = Batch::random(&shape, 300, seed as u64);
        let folder = Folder::default();
        peer.ask(&json!({
            "weights": folder.weights(&network),
            "features": folder.batch(&batch),
            "answer": folder.path("answer"),
        }));
        let expected = folder.read("answer").f64("logits");
        let ours =
            train::logits(&network, batch.records(), &batch.all(), Backend::detect()).unwrap();
        for (ours, expected) in ours.iter().zip(&expected) {
            assert!(
                (f64::from(*ours) - expected).abs() < 1e-5,
                "{shape} {ours} {expected}"
            );
        }
    }
}

fn quantised(network: &Network, batch: &Batch, quantisation: Quantisation) -> Quantised {
    let all = batch.all();
    let options = Options {
        records: batch.records(),
        training: &all,
        validation: &all,
        quantisation,
        backend: Backend::detect(),
    };
    quantise::quantise(network, &options).unwrap()
}

const SHAPES: [[usize; 4]; 4] = [
    [784, 64, 64, 10],
    [4, 16, 16, 3],
    [30, 7, 101, 2],
    [200, 128, 32, 47],
];
