//! Training: the same bits every time, on every kernel, and it learns, whatever the shape.
//!
//! That the bits are the documented ones, `train_reference.rs` shows.

use sealnet::progress::Silent;
use sealnet::random::{Random, Stream};
use sealnet::train::{self, Backend, Plan, Recipe, Shape, Trained, numerics};
use sealnet::weights;
use sealnet_tests::network::Batch;
use sha2::{Digest, Sha512};

#[test]
fn a_seed_decides_every_bit_and_the_kernel_none() {
    let shape = Shape::new(49, [17, 10], 4).unwrap();
    let batch = blobs(&shape, 333, 1);
    let digest = |seed, backend| digest(&trained(&shape, &batch, seed, 2, backend));
    let first = digest(1, Backend::Portable);
    for backend in Backend::available() {
        assert_eq!(digest(1, backend), first, "{}", backend.name());
        assert_ne!(digest(2, backend), first, "{}", backend.name());
    }
}

/// The weights of a short run, as they have to come out on every machine and in every version of the same
/// numerics.
#[test]
fn the_bits_are_the_documented_ones() {
    let shape = Shape::new(12, [8, 8], 3).unwrap();
    let trained = trained(&shape, &blobs(&shape, 100, 1), 7, 1, Backend::detect());
    assert_eq!((numerics::VERSION, &digest(&trained)[..16]), PINNED);
}

#[test]
fn it_learns_what_can_be_learnt() {
    for ([inputs, first, second, classes], seed) in [
        [4, 16, 16, 3],
        [30, 8, 24, 2],
        [64, 33, 20, 12],
        [784, 64, 64, 10],
    ]
    .into_iter()
    .zip(3..)
    {
        let shape = Shape::new(inputs, [first, second], classes).unwrap();
        let batch = blobs(&shape, 1500, seed);
        let trained = trained(&shape, &batch, seed, 30, Backend::detect());
        let (start, end) = (trained.history[0], trained.history[29]);
        assert!(end.training.loss() < start.training.loss() / 2.0, "{shape}");
        assert!(
            end.validation.accuracy() > 0.97,
            "{shape} {}",
            end.validation.accuracy()
        );
        assert_eq!((end.training.records, end.validation.records), (1200, 300));
    }
}

#[test]
fn what_cannot_be_trained_on_is_an_error() {
    let shape = Shape::new(4, [3, 3], 2).unwrap();
    let batch = blobs(&shape, 10, 1);
    let attempt = |training: &[u32], validation: &[u32], shape| {
        let plan = Plan {
            records: batch.records(),
            training,
            validation,
            shape,
            image: None,
            recipe: &Recipe::paper(),
            seed: 1,
            backend: Backend::detect(),
            threads: 0,
        };
        train::train(&plan, &Silent)
    };
    let refused = |training: &[u32], validation: &[u32], shape| {
        let error = attempt(training, validation, shape).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    };
    let three = Shape {
        classes: 3,
        ..shape
    };
    assert!(refused(&[], &[], shape).contains("nothing to learn from"));
    assert!(refused(&[10], &[], shape).contains("no record 10"));
    assert!(refused(&[0], &[99], shape).contains("no record 99"));
    assert!(refused(&[0], &[], Shape { inputs: 5, ..shape }).contains("4 features"));
    assert!(
        refused(
            &[0],
            &[],
            Shape {
                hidden: [0, 3],
                ..shape
            }
        )
        .contains("0 first hidden")
    );
    assert!(
        refused(
            &[0, 1, 2],
            &[],
            Shape {
                classes: 1,
                ..shape
            }
        )
        .contains("1 classes")
    );
    attempt(&[0, 1, 2], &[], three).unwrap();
    let recipe = Recipe {
        batch: 0,
        ..Recipe::paper()
    };
    let plan = Plan {
        records: batch.records(),
        training: &[0, 1],
        validation: &[],
        shape,
        image: None,
        recipe: &recipe,
        seed: 1,
        backend: Backend::detect(),
        threads: 0,
    };
    let error = train::train(&plan, &Silent).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("`batch` is 0"), "{error}");
    assert!(Shape::new(65_536, [1, 1], 2).is_err());
}

fn trained(shape: &Shape, batch: &Batch, seed: u64, epochs: u32, backend: Backend) -> Trained {
    let all = batch.all();
    let (training, validation) = all.split_at(all.len() * 4 / 5);
    let recipe = Recipe {
        epochs,
        ..Recipe::paper()
    };
    let plan = Plan {
        records: batch.records(),
        training,
        validation,
        shape: *shape,
        image: None,
        recipe: &recipe,
        seed,
        backend,
        threads: 0,
    };
    train::train(&plan, &Silent).unwrap()
}

fn digest(trained: &Trained) -> String {
    hex::encode(Sha512::digest(weights::to_safetensors(
        &trained.network,
        &Recipe::paper(),
    )))
}

/// Records around one random centre a class.
fn blobs(shape: &Shape, count: usize, seed: u64) -> Batch {
    let mut random = Random::new(seed, Stream::Split);
    let centres: Vec<u8> = (0..shape.classes * shape.inputs)
        .map(|_| random.below(200) as u8)
        .collect();
    let labels: Vec<u16> = (0..count)
        .map(|_| random.below(shape.classes as u32) as u16)
        .collect();
    let mut features = Vec::new();
    for &label in &labels {
        let start = usize::from(label) * shape.inputs;
        let centre = &centres[start..start + shape.inputs];
        features.extend(centre.iter().map(|&u| u + random.below(50) as u8));
    }
    Batch {
        features,
        width: shape.inputs,
        labels,
    }
}

/// Numerics, and the beginning of the weights' digest. A change of the second is one of the first.
const PINNED: (u32, &str) = (3, "3737f58ddba6b725");
