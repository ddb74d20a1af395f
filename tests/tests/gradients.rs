//! Gradients against finite differences of an independent network in f64, and, with the forward pass and
//! Adam, against JAX on the same weights.

use sealnet::train::adam::{Adam, AdamOptions};
use sealnet::train::init::glorot_uniform;
use sealnet::train::{self, Backend, Network, Shape};
use sealnet_tests::Peer;
use sealnet_tests::network::{Batch, Folder};
use serde_json::json;

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    for (seed, [inputs, first, second, classes]) in SHAPES.into_iter().enumerate() {
        let shape = Shape::new(inputs, [first, second], classes).unwrap();
        let mut network = glorot_uniform(&shape, seed as u64);
        // Biases away from zero, so that their part in the formulas shows.
        for layer in &mut network.layers {
            for (i, bias) in layer.bias.iter_mut().enumerate() {
                *bias = (i as f32 * 0.7).sin() * 0.2;
            }
        }
        let batch = Batch::random(&shape, 9, seed as u64);
        for backend in Backend::available() {
            let (gradient, metrics) =
                train::gradient(&network, batch.records(), &batch.all(), backend).unwrap();
            let loss = real_loss(&network, &batch);
            assert!(
                (metrics.loss() - loss).abs() < 1e-5 * loss.max(1.0),
                "{shape}"
            );
            for (layer, slopes) in gradient.layers.iter().enumerate() {
                let weights = (0..slopes.weights.len()).step_by(1 + slopes.weights.len() / 60);
                for index in weights {
                    check(
                        &network,
                        &batch,
                        |n| &mut n.layers[layer].weights[index],
                        slopes.weights[index],
                    );
                }
                for index in 0..slopes.bias.len() {
                    check(
                        &network,
                        &batch,
                        |n| &mut n.layers[layer].bias[index],
                        slopes.bias[index],
                    );
                }
            }
        }
    }
}

#[test]
fn jax_computes_the_same() {
    let mut peer = Peer::start("jax_peer.py");
    for (seed, [inputs, first, second, classes]) in SHAPES.into_iter().enumerate() {
        let shape = Shape::new(inputs, [first, second], classes).unwrap();
        let mut network = glorot_uniform(&shape, 100 + seed as u64);
        let batch = Batch::random(&shape, 32, seed as u64);
        let folder = Folder::default();
        let request = json!({
            "weights": folder.weights(&network),
            "batch": folder.batch(&batch),
            "steps": STEPS,
            "answer": folder.path("answer"),
        });
        let loss = peer.ask(&request)["loss"].as_f64().unwrap();
        let answer = folder.read("answer");
        let (records, all, backend) = (batch.records(), batch.all(), Backend::detect());

        let logits = train::logits(&network, records, &all, backend).unwrap();
        close(&logits, &answer.f32("logits"), 1e-4, "logits");
        let (gradient, metrics) = train::gradient(&network, records, &all, backend).unwrap();
        assert!(
            (metrics.loss() - loss).abs() < 1e-4,
            "{shape} {} {loss}",
            metrics.loss()
        );
        close_network(&gradient, |name| answer.f32(&format!("grad.{name}")), 1e-4);

        let mut adam = Adam::new(AdamOptions::default(), &network);
        for _ in 0..STEPS {
            let (gradient, _) = train::gradient(&network, records, &all, backend).unwrap();
            adam.step(&mut network, &gradient);
        }
        // A step is about the learning rate whatever the gradient: tolerance is a share of it.
        close_network(&network, |name| answer.f32(name), 1e-4);
    }
}

/// One parameter's slope by central difference, in f64, next to what backpropagation says.
fn check(
    network: &Network,
    batch: &Batch,
    parameter: impl Fn(&mut Network) -> &mut f32,
    slope: f32,
) {
    let mut moved = network.clone();
    let start = *parameter(&mut moved);
    let step = 1.0f32 / 4096.0;
    let mut loss_at = |value: f32| {
        *parameter(&mut moved) = value;
        real_loss(&moved, batch)
    };
    let (above, below) = (loss_at(start + step), loss_at(start - step));
    let expected = (above - below) / (f64::from(start + step) - f64::from(start - step));
    // The loss bends, and at a ReLU's kink it breaks.
    assert!(
        (f64::from(slope) - expected).abs() < 2e-3,
        "{}: {slope} but {expected}",
        network.shape()
    );
}

/// The mean cross-entropy, written as a textbook has it, in f64.
fn real_loss(network: &Network, batch: &Batch) -> f64 {
    let mut total = 0.0;
    for (features, &label) in batch.features.chunks(batch.width).zip(&batch.labels) {
        let mut x: Vec<f64> = features
            .iter()
            .map(|&u| f64::from(u) / 255.0 - 0.5)
            .collect();
        for (number, layer) in network.layers.iter().enumerate() {
            x = (0..layer.outputs)
                .map(|o| {
                    let weight = |i| f64::from(layer.weights[i * layer.outputs + o]);
                    let sum: f64 = x.iter().enumerate().map(|(i, x)| weight(i) * x).sum();
                    let z = sum + f64::from(layer.bias[o]);
                    if number < 2 { z.max(0.0) } else { z }
                })
                .collect();
        }
        let sum: f64 = x.iter().map(|z| z.exp()).sum();
        total += sum.ln() - x[usize::from(label)];
    }
    total / batch.labels.len() as f64
}

fn close_network(network: &Network, theirs: impl Fn(&str) -> Vec<f32>, tolerance: f32) {
    for (layer, name) in network.layers.iter().zip(["fc1", "fc2", "fc3"]) {
        let (inputs, outputs) = (layer.inputs, layer.outputs);
        // Theirs is [outputs][inputs].
        let ours: Vec<f32> = (0..outputs)
            .flat_map(|o| (0..inputs).map(move |i| layer.weights[i * outputs + o]))
            .collect();
        close(&ours, &theirs(&format!("{name}.weight")), tolerance, name);
        close(
            &layer.bias,
            &theirs(&format!("{name}.bias")),
            tolerance,
            name,
        );
    }
}

fn close(ours: &[f32], theirs: &[f32], tolerance: f32, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() < tolerance, "{what}: {ours} {theirs}");
    }
}

const SHAPES: [[usize; 4]; 4] = [
    [5, 4, 3, 2],
    [13, 8, 9, 3],
    [20, 33, 7, 26],
    [784, 64, 64, 10],
];
const STEPS: usize = 1;
