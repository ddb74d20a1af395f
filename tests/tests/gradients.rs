//! Gradients against finite differences of an independent network in f64, and, with the forward pass and
//! Adam, against JAX on the same weights.

use sealnet::train::adam::Adam;
use sealnet::train::init::glorot_uniform;
use sealnet::train::{
    self, AsIs, Backend, Chunk, Compute, Engine, InputMap, Judge, Network, Prepared, Settings,
    Shape, Targets,
};
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
        let network = glorot_uniform(&shape, 100 + seed as u64);
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

        let settings = Settings {
            input: InputMap::centred(),
            adam: Adam::default(),
            batch: all.len(),
            compute: backend.into(),
        };
        let mut engine = Engine::new(&network, settings).unwrap();
        let chunk = Chunk {
            prepared: &Prepared::new(&records),
            targets: Targets::labels(&batch.labels),
            order: &all.repeat(STEPS),
            rate: &|_| 1e-3,
        };
        engine.run(&chunk, &AsIs, &mut |_| ()).unwrap();
        // A step is about the learning rate whatever the gradient: tolerance is a share of it.
        close_network(&engine.network(), |name| answer.f32(name), 1e-4);
    }
}

/// By targets of all kinds and behind an input map, and by the features themselves.
#[test]
fn gradients_of_every_loss_and_of_the_input() {
    for (seed, [inputs, first, second, classes]) in SHAPES.into_iter().enumerate() {
        let shape = Shape::new(inputs, [first, second], classes).unwrap();
        let network = glorot_uniform(&shape, 50 + seed as u64);
        let batch = Batch::random(&shape, 9, seed as u64);
        let offsets = (0..inputs).map(|i| (i as f32 * 0.4).cos().abs()).collect();
        let input = InputMap::new(offsets, 0.37);
        let soft: Vec<f32> = (0..9 * classes)
            .map(|at| {
                let row = (0..classes).map(|c| 1.0 + (at / classes * c) as f32);
                (1.0 + (at / classes * (at % classes)) as f32) / row.sum::<f32>()
            })
            .collect();
        let all = [
            Targets::Labels {
                labels: &batch.labels,
                smoothing: 0.2,
            },
            Targets::Soft {
                probabilities: &soft,
                labels: &batch.labels,
                temperature: 3.0,
            },
        ];
        for targets in all {
            let prepared = Prepared::new(&batch.records());
            let loss = |network: &Network, x: &[f64], record: usize| {
                real_target_loss(network, &input, x, &targets, record)
            };
            let features: Vec<f64> = batch
                .features
                .iter()
                .map(|&u| f64::from(u) / 255.0)
                .collect();
            let rows: Vec<&[f64]> = features.chunks(inputs).collect();
            let mean = |network: &Network| {
                let losses = rows
                    .iter()
                    .zip(0..)
                    .map(|(x, record)| loss(network, x, record));
                losses.sum::<f64>() / 9.0
            };
            let (gradient, metrics) =
                train::gradient_of(&network, &input, &prepared, targets, Backend::detect())
                    .unwrap();
            assert!((metrics.loss() - mean(&network)).abs() < 1e-4, "{shape}");
            for layer in 0..3 {
                let count = network.layers[layer].weights.len();
                for index in (0..count).step_by(1 + count / 40) {
                    let at = |step: f32| {
                        let mut moved = network.clone();
                        moved.layers[layer].weights[index] += step;
                        (mean(&moved), f64::from(moved.layers[layer].weights[index]))
                    };
                    let ((above, to), (below, from)) = (at(STEP), at(-STEP));
                    let expected = (above - below) / (to - from);
                    let slope = f64::from(gradient.layers[layer].weights[index]);
                    assert!(
                        (slope - expected).abs() < 6e-3,
                        "{shape}: {slope} but {expected}"
                    );
                }
            }
            slopes_of_the_input(&network, &input, &prepared, targets, &rows, loss);
        }
    }
}

/// The input gradient against differences, and its bits by every backend and any number of threads.
fn slopes_of_the_input(
    network: &Network,
    input: &InputMap,
    prepared: &Prepared,
    targets: Targets<'_>,
    rows: &[&[f64]],
    loss: impl Fn(&Network, &[f64], usize) -> f64,
) {
    let slopes = |backend, threads| {
        let judge = Judge::new(network, input, Compute { backend, threads });
        judge.input_gradient(prepared, targets).unwrap()
    };
    let first = slopes(Backend::Portable, 1);
    for backend in Backend::available() {
        for threads in [1, 2, 5] {
            assert_eq!(
                slopes(backend, threads),
                first,
                "{} {threads}",
                backend.name()
            );
        }
    }
    let inputs = prepared.width();
    for (record, (x, slopes)) in rows.iter().zip(first.chunks(inputs)).enumerate() {
        for i in (0..inputs).step_by(1 + inputs / 20) {
            let at = |step: f64| {
                let mut moved = x.to_vec();
                moved[i] += step;
                loss(network, &moved, record)
            };
            let step = f64::from(STEP);
            let expected = (at(step) - at(-step)) / (2.0 * step);
            let slope = f64::from(slopes[i]);
            // A ReLU's kink within the step shows; these seeds have none.
            assert!(
                (slope - expected).abs() < 2e-2 * (1.0 + expected.abs()),
                "{slope} {expected}"
            );
        }
    }
}

/// The loss of one record in f64: `x` is `u / 255`.
fn real_target_loss(
    network: &Network,
    input: &InputMap,
    x: &[f64],
    targets: &Targets<'_>,
    record: usize,
) -> f64 {
    let scale = f64::from(input.scale());
    let offsets = input.offsets().iter().map(|&offset| f64::from(offset));
    let x = x
        .iter()
        .zip(offsets)
        .map(|(x, offset)| (x - offset) / scale);
    let z = real_logits(network, x.collect());
    let classes = z.len();
    let (t, temperature): (Vec<f64>, f64) = match targets {
        Targets::Labels { labels, smoothing } => {
            let hit = |c| f64::from(u8::from(c == usize::from(labels[record])));
            let of = |c| (1.0 - smoothing) * hit(c) + smoothing / classes as f64;
            ((0..classes).map(of).collect(), 1.0)
        }
        Targets::Soft {
            probabilities,
            temperature,
            ..
        } => {
            let row = &probabilities[record * classes..][..classes];
            (row.iter().map(|&p| f64::from(p)).collect(), *temperature)
        }
    };
    let sum: f64 = z.iter().map(|z| (z / temperature).exp()).sum();
    let terms = z
        .iter()
        .zip(t)
        .map(|(z, t)| t * (sum.ln() - z / temperature));
    temperature * temperature * terms.sum::<f64>()
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
    let step = STEP;
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
        let x = features.iter().map(|&u| f64::from(u) / 255.0 - 0.5);
        let z = real_logits(network, x.collect());
        let sum: f64 = z.iter().map(|z| z.exp()).sum();
        total += sum.ln() - z[usize::from(label)];
    }
    total / batch.labels.len() as f64
}

fn real_logits(network: &Network, mut x: Vec<f64>) -> Vec<f64> {
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
    x
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
const STEP: f32 = 1.0 / 4096.0;
