//! The figures on real MNIST: the paper's recipe over five seeds, in reals and in integers.
//!
//! Peers with the same recipe (Keras's defaults, pixels in [-0.5, 0.5], 50,000 records) reach 95.9 %.

use std::thread;

use sealnet::dataset::split::split;
use sealnet::dataset::{self, Dataset, LoadOptions};
use sealnet::export;
use sealnet::progress::Silent;
use sealnet::quantise::Comparison;
use sealnet::train::recipe::PAPER_HIDDEN;
use sealnet::train::{self, Backend, Plan, Recipe, Records, Shape};
use sealnet_core::mlp::Granularity;

#[test]
fn five_seeds_reach_what_peers_reach_and_integers_lose_nothing() {
    let data = dataset::load("mnist", &LoadOptions::default(), &Silent)
        .expect("MNIST is cached or can be fetched: `tests/run setup`");
    let mut results: Vec<(u64, [Comparison; 2])> = thread::scope(|scope| {
        let halves: [&[u64]; 2] = [&[1, 2, 3], &[4, 5]];
        let data = &data;
        let workers = halves.map(|seeds| {
            scope.spawn(move || {
                seeds
                    .iter()
                    .map(|&s| (s, seed(data, s)))
                    .collect::<Vec<_>>()
            })
        });
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    results.sort_by_key(|&(seed, _)| seed);

    println!(
        "seed   f32 %   per channel: int8 %   points lost   changed   per tensor: int8 %  points lost  changed"
    );
    for (seed, [channel, tensor]) in &results {
        println!(
            "{seed:4}   {:5.2}   {:19.2}   {:11.2}   {:7}   {:18.2}  {:11.2}  {:7}",
            100.0 * channel.real_accuracy(),
            100.0 * channel.integer_accuracy(),
            channel.loss_points(),
            channel.changed,
            100.0 * tensor.integer_accuracy(),
            tensor.loss_points(),
            tensor.changed,
        );
    }
    let mean = |figure: &dyn Fn(&[Comparison; 2]) -> f64| {
        results
            .iter()
            .map(|(_, result)| figure(result))
            .sum::<f64>()
            / results.len() as f64
    };
    let accuracy = 100.0 * mean(&|result| result[0].real_accuracy());
    println!("mean   {accuracy:5.2}");
    assert!(accuracy >= 95.8, "mean test accuracy {accuracy:.2} %");
    for (index, name) in ["per channel", "per tensor"].into_iter().enumerate() {
        let lost = mean(&|result| result[index].loss_points());
        let changed = mean(&|result| result[index].changed as f64);
        println!("{name}: {lost:+.3} points lost, {changed:.1} of 10,000 predictions changed");
        assert!(lost <= 0.05, "{name}: int8 loses {lost:.3} points");
        assert!(changed <= 15.0, "{name}: {changed:.1} predictions changed");
    }
}

/// One seed on the 10,000 test images: integers beside reals, per output channel and per tensor.
fn seed(data: &Dataset, seed: u64) -> [Comparison; 2] {
    let split = split(data, None).unwrap();
    assert_eq!(
        (split.train.len(), split.validation.len(), split.test.len()),
        (50_000, 10_000, 10_000)
    );
    let plan = Plan {
        records: Records::from(data),
        training: &split.train,
        validation: &split.validation,
        shape: Shape::new(784, PAPER_HIDDEN, 10).unwrap(),
        recipe: &Recipe::paper(),
        seed,
        backend: Backend::detect(),
    };
    let network = train::train(&plan, &Silent).unwrap().network;
    [Granularity::PerOutput, Granularity::PerTensor].map(|granularity| {
        let prepared = export::prepare(&network, data, &split, granularity, f64::INFINITY);
        prepared.unwrap().test
    })
}
