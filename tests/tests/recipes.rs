//! Recipes beyond the paper's: every part of them gives the same bits on every kernel and any number of threads, and
//! does what it is there for.

use sealnet::progress::Silent;
use sealnet::train::recipe::Weights;
use sealnet::train::{self, Backend, Plan, Recipe, Trained, numerics};
use sealnet::weights;
use sealnet_tests::bars::{attacked, images, plan, taught};
use sealnet_tests::network::Batch;
use sha2::{Digest, Sha512};

#[test]
fn every_kernel_and_number_of_threads_gives_the_same_bits() {
    let images = images(150);
    for (name, recipe) in [("taught", taught()), ("attacked", attacked())] {
        let first = trained(&images, &recipe, 1, Backend::detect(), 1);
        for backend in Backend::available() {
            for threads in [1, 2, 3] {
                let again = trained(&images, &recipe, 1, backend, threads);
                assert_eq!(
                    again,
                    first,
                    "{name}: {} with {threads} threads",
                    backend.name()
                );
            }
        }
        assert_ne!(
            trained(&images, &recipe, 2, Backend::detect(), 2).network,
            first.network,
            "{name}"
        );
    }
}

#[test]
fn a_teacher_learns_and_so_does_who_learns_from_it() {
    let images = images(600);
    let recipe = Recipe {
        epochs: 20,
        ..taught()
    };
    let trained = trained(&images, &recipe, 3, Backend::detect(), 2);
    assert_eq!((trained.teacher.len(), trained.history.len()), (2, 20));
    assert!(
        trained.teacher[1].validation.accuracy() > 0.9,
        "{:?}",
        trained.teacher
    );
    assert!(
        trained.history[19].validation.accuracy() > 0.9,
        "{:?}",
        trained.history[19]
    );
}

/// What a quantisation-aware finish leaves lies on a grid that has the type's integers, whatever scale training had.
#[test]
fn a_finish_leaves_weights_that_integers_hold() {
    let images = images(150);
    let without = Recipe {
        teacher: None,
        distillation: None,
        finish: None,
        ..taught()
    };
    let on_grid = |column: &[f64], most: i32| {
        let largest = column
            .iter()
            .fold(0.0f64, |most, weight| most.max(weight.abs()));
        (1..=most).any(|integer| {
            let scale = largest / f64::from(integer);
            column
                .iter()
                .all(|weight| (weight / scale - (weight / scale).round()).abs() < 1e-3)
        })
    };
    for (weights, most) in [(Weights::Int4, 7), (Weights::Int8, 127)] {
        let mut on = [0, 0];
        for (recipe, on) in [without.clone(), without.clone().with_weights(weights)]
            .iter()
            .zip(&mut on)
        {
            let network = trained(&images, recipe, 1, Backend::detect(), 1).network;
            for layer in &network.layers[..2] {
                for output in 0..layer.outputs {
                    let column = layer.weights.iter().skip(output).step_by(layer.outputs);
                    let column: Vec<f64> = column.map(|&weight| f64::from(weight)).collect();
                    *on += u32::from(on_grid(&column, most));
                }
            }
        }
        assert_eq!(on, [0, 27], "{weights}");
    }
}

/// The bits of short runs, as they have to come out on every machine and in every version of the same numerics.
#[test]
fn the_bits_are_pinned() {
    let images = images(150);
    let digest = |recipe: &Recipe| {
        let trained = trained(&images, recipe, 1, Backend::detect(), 2);
        let mut hash = Sha512::new();
        hash.update(weights::to_safetensors(&trained.network, recipe));
        for epoch in &trained.teacher {
            hash.update(epoch.training.loss_sum.to_le_bytes());
            hash.update(epoch.validation.loss_sum.to_le_bytes());
        }
        hex::encode(&hash.finalize()[..8])
    };
    let found = (numerics::VERSION, digest(&taught()), digest(&attacked()));
    let (version, taught, attacked) = PINNED;
    assert_eq!(found, (version, taught.into(), attacked.into()));
}

#[test]
fn what_changes_images_takes_images() {
    let images = images(40);
    let plan_of = |recipe: &Recipe, image| {
        let all = images.all();
        let plan = Plan {
            image,
            ..plan(&images, &all, recipe, 1, Backend::detect(), 1)
        };
        train::train(&plan, &Silent).map(|_| ())
    };
    let refused = plan_of(&taught(), None).unwrap_err();
    assert_eq!(refused.exit_code(), 2);
    assert!(refused.to_string().contains("changes images"), "{refused}");
    let augmented = Recipe {
        teacher: None,
        distillation: None,
        ..taught()
    };
    assert!(plan_of(&augmented, None).is_err());
    plan_of(
        &Recipe {
            augmentation: None,
            ..augmented.clone()
        },
        None,
    )
    .unwrap();
    // Too small for three poolings.
    let thin = plan_of(&taught(), Some([4, 36])).unwrap_err();
    assert!(thin.to_string().contains("4 by 36"), "{thin}");
}

fn trained(
    images: &Batch,
    recipe: &Recipe,
    seed: u64,
    backend: Backend,
    threads: usize,
) -> Trained {
    let all = images.all();
    train::train(&plan(images, &all, recipe, seed, backend, threads), &Silent).unwrap()
}

/// Numerics, and the digests of a taught and of an attacked network.
const PINNED: (u32, &str, &str) = (3, "db10ce3596f2207d", "5c15d1f760e585ce");
