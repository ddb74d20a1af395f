//! The engine against the definition on `sealnet::train`'s page, written down once more in plain loops: the same
//! bits from every backend with any number of threads.
//!
//! `SEALNET_TEST_BACKEND=avx512` (or `avx2`, `portable`) fails where the machine lacks it.

mod reference;

use reference::Reference;
use sealnet::random::{Random, Stream};
use sealnet::train::adam::Adam;
use sealnet::train::init::{glorot_uniform, he_uniform};
use sealnet::train::schedule::{self, Schedule};
use sealnet::train::{
    AsIs, Backend, Chunk, Compute, Engine, InputMap, Network, Prepared, Settings, Shape, State,
    Targets, View,
};
use sealnet_tests::network::Batch;

/// A set-up: what is trained how, and on what.
struct Case {
    shape: Shape,
    input: InputMap,
    adam: Adam,
    batch: usize,
    records: usize,
    soft: Option<f64>,
    smoothing: f64,
    view: bool,
}

/// Widths that fill no vector, one, and several; parts that are empty; batches of one and more than there is.
fn cases() -> Vec<Case> {
    let plain = |widths: [usize; 4], batch, records| Case {
        shape: Shape::new(widths[0], [widths[1], widths[2]], widths[3]).unwrap(),
        input: InputMap::centred(),
        adam: Adam::default(),
        batch,
        records,
        soft: None,
        smoothing: 0.0,
        view: false,
    };
    let offsets = |inputs: usize| (0..inputs).map(|i| (i as f32 * 0.3).sin().abs()).collect();
    let decay = Adam {
        weight_decay: 0.05,
        ..Adam::default()
    };
    vec![
        plain([784, 64, 64, 10], 32, 200),
        plain([1, 1, 1, 2], 1, 7),
        plain([5, 3, 20, 2], 4, 21),
        plain([63, 17, 16, 33], 7, 50),
        plain([200, 130, 47, 5], 50, 40),
        Case {
            input: InputMap::new(offsets(100), 0.31),
            adam: decay,
            smoothing: 0.1,
            ..plain([100, 40, 65, 10], 16, 100)
        },
        Case {
            soft: Some(4.0),
            adam: decay,
            ..plain([49, 33, 18, 11], 13, 60)
        },
        // More records than a word has, the last batch short; targets of more lines than one.
        Case {
            soft: Some(2.0),
            ..plain([49, 70, 18, 21], 70, 165)
        },
        Case {
            view: true,
            soft: Some(1.5),
            ..plain([49, 33, 18, 11], 13, 60)
        },
    ]
}

/// Weights as eighths in the first layer, as fourths and as halves in the others.
struct Eighths;

impl View for Eighths {
    #[inline(always)]
    fn rewrite(&self, layer: usize, weights: &[f32], seen: &mut [f32]) {
        let scale = [0.125, 0.25, 0.5][layer];
        for (seen, weight) in seen.iter_mut().zip(weights) {
            *seen = (weight / scale).round_ties_even() * scale;
        }
    }
}

#[test]
fn every_backend_and_any_threads_give_the_documented_bits() {
    let backends = backends();
    for (seed, case) in cases().iter().enumerate() {
        let batch = digits(case, seed as u64);
        let mut random = Random::new(seed as u64, Stream::Split);
        let probabilities = probabilities(&mut random, case.records, case.shape.classes);
        let targets = match case.soft {
            Some(temperature) => Targets::Soft {
                probabilities: &probabilities,
                labels: &batch.labels,
                temperature,
            },
            None => Targets::Labels {
                labels: &batch.labels,
                smoothing: case.smoothing,
            },
        };
        let schedule = Schedule {
            peak: 0.01,
            warm_up: 3,
            total: 2 * case.records.div_ceil(case.batch) as u64,
            shape: schedule::Shape::Cosine,
        };
        let start = he_uniform(&case.shape, seed as u64);
        let mut orders = [batch.all(), batch.all()];
        random.shuffle(&mut orders[1]);

        let mut reference = Reference::new(&start, &case.input, case.adam);
        let mut losses = Vec::new();
        for which in orders.iter().flat_map(|order| order.chunks(case.batch)) {
            let rate = schedule.rate(losses.len() as u64);
            let view = case.view.then_some(&Eighths);
            losses.push(reference.step(view, batch.records(), which, &targets, rate));
        }
        for backend in &backends {
            for threads in [1, 2, 3, 7, 12] {
                let what = format!("{}, {}, {threads} threads", case.shape, backend.name());
                let compute = Compute {
                    backend: *backend,
                    threads,
                };
                let (state, sums) =
                    trained(case, &start, compute, &batch, targets, &orders, &|t| {
                        schedule.rate(t)
                    });
                assert_eq!(sums, losses, "{what}");
                assert_eq!(state.steps as usize, losses.len());
                same(&state.network, &reference.network, &what);
                same(&state.mean, &reference.mean, &what);
                same(&state.square, &reference.square, &what);
            }
        }
    }
}

#[test]
fn a_checkpoint_goes_on_to_the_same_bits() {
    let case = &cases()[0];
    let batch = digits(case, 5);
    let start = glorot_uniform(&case.shape, 5);
    let targets = Targets::labels(&batch.labels);
    let orders = [batch.all(), batch.all()];
    let rate = |step: u64| 1e-3 / (step + 1) as f64;
    let compute = Compute::default();
    let (whole, _) = trained(case, &start, compute, &batch, targets, &orders, &rate);

    let (half, _) = trained(case, &start, compute, &batch, targets, &orders[..1], &rate);
    let mut resumed = Engine::new(&Network::zeros(&case.shape), settings(case, compute)).unwrap();
    resumed.restore(&half).unwrap();
    assert_eq!(resumed.state(), half);
    let chunk = Chunk {
        prepared: &Prepared::new(&batch.records()),
        targets,
        order: &orders[1],
        rate: &rate,
    };
    resumed.run(&chunk, &AsIs, &mut |_| ()).unwrap();
    assert_eq!(resumed.state(), whole);

    let other = Network::zeros(&Shape {
        inputs: 783,
        ..case.shape
    });
    let mut engine = Engine::new(&other, settings(case, compute)).unwrap();
    assert_eq!(engine.restore(&half).unwrap_err().exit_code(), 2);
}

/// Random records of which some inputs have no feature at all, and some none in the first half, as a digit's border.
fn digits(case: &Case, seed: u64) -> Batch {
    let mut batch = Batch::random(&case.shape, case.records, seed);
    for (record, row) in batch.features.chunks_mut(case.shape.inputs).enumerate() {
        for (input, feature) in row.iter_mut().enumerate() {
            if input % 7 == 2 || input % 3 == 1 && record < case.records / 2 {
                *feature = 0;
            }
        }
    }
    batch
}

fn settings(case: &Case, compute: Compute) -> Settings {
    Settings {
        input: case.input.clone(),
        adam: case.adam,
        batch: case.batch,
        compute,
    }
}

/// The state after an epoch in each of `orders`, and each batch's losses.
fn trained(
    case: &Case,
    start: &Network,
    compute: Compute,
    batch: &Batch,
    targets: Targets<'_>,
    orders: &[Vec<u32>],
    rate: &dyn Fn(u64) -> f64,
) -> (State, Vec<f64>) {
    let mut engine = Engine::new(start, settings(case, compute)).unwrap();
    let prepared = Prepared::new(&batch.records());
    let mut losses = Vec::new();
    for order in orders {
        let chunk = Chunk {
            prepared: &prepared,
            targets,
            order,
            rate,
        };
        let mut done = |metrics: &sealnet::train::Metrics| losses.push(metrics.loss_sum);
        let total = if case.view {
            engine.run(&chunk, &Eighths, &mut done)
        } else {
            engine.run(&chunk, &AsIs, &mut done)
        };
        assert_eq!(total.unwrap().records, order.len() as u64);
    }
    (engine.state(), losses)
}

/// Those that this machine has; says which, and which it lacks.
fn backends() -> Vec<Backend> {
    let available = Backend::available();
    let names: Vec<&str> = available.iter().map(|backend| backend.name()).collect();
    for name in Backend::NAMES {
        let found = names.contains(&name);
        let how = if found {
            "compared"
        } else {
            "not compared, since this machine lacks it"
        };
        eprintln!("backend {name}: {how}");
        let required = std::env::var("SEALNET_TEST_BACKEND").is_ok_and(|wanted| wanted == name);
        assert!(found || !required, "this machine lacks the backend {name}");
    }
    // What the processor says it has must be there.
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        assert_eq!(names.contains(&"avx2"), avx2);
        let avx512 = ["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"];
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        if !flags.is_empty() {
            let flag = |wanted: &str| flags.split_whitespace().any(|flag| flag == wanted);
            assert_eq!(names.contains(&"avx512"), avx512.into_iter().all(flag));
        }
    }
    available
}

fn same(ours: &Network, theirs: &Network, what: &str) {
    for (number, (ours, theirs)) in ours.layers.iter().zip(&theirs.layers).enumerate() {
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(
            bits(&ours.weights),
            bits(&theirs.weights),
            "{what}, layer {number}"
        );
        assert_eq!(
            bits(&ours.bias),
            bits(&theirs.bias),
            "{what}, layer {number}"
        );
    }
}

fn probabilities(random: &mut Random, records: usize, classes: usize) -> Vec<f32> {
    let mut all = Vec::new();
    for _ in 0..records {
        let row: Vec<f32> = (0..classes).map(|_| random.unit()).collect();
        let sum: f32 = row.iter().sum::<f32>() + 1e-3;
        all.extend(row.iter().map(|p| p / sum));
    }
    all
}
