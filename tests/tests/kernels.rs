//! Every kernel that this machine has, against an oracle of one line: every layer of 1 to 130 inputs and outputs, and
//! networks of real shapes.
//!
//! `SEALNET_TEST_KERNEL=avx512vnni` (or `avx2`, `portable`) tries that one alone, and fails where the machine lacks it.

mod layer_fixture;
mod model_fixture;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use layer_fixture::{Numbers, layer, oracle, records};
use model_fixture::{GRANULARITIES, Layer, Model};
use sealnet_core::mlp::{
    Batch, BatchLayer, DenseRef, Granularity, HostKernel, Kernel, Quantisation, ShapeError,
    WeightType,
};

const WIDEST: usize = 130;
const MODES: [Kernel; 2] = [Kernel::Dense, Kernel::Skip];

/// The kernels to try, and on standard error those that this machine lacks.
fn kernels() -> Vec<HostKernel> {
    if let Ok(name) = std::env::var("SEALNET_TEST_KERNEL") {
        let named = |kernel: &HostKernel| kernel.name() == name;
        let kernel = HostKernel::ALL.into_iter().find(named);
        let kernel = kernel.unwrap_or_else(|| panic!("no kernel is called {name:?}"));
        assert!(
            kernel.is_available(),
            "this machine lacks the kernel {name}"
        );
        return vec![kernel];
    }
    let (found, lacking): (Vec<_>, Vec<_>) = HostKernel::ALL
        .into_iter()
        .partition(|kernel| kernel.is_available());
    for kernel in lacking {
        eprintln!("not tried, since this machine lacks it: {kernel}");
    }
    found
}

/// Int8 weights with both granularities, int4 weights with one and the other in turn.
fn quantisations(inputs: usize, outputs: usize) -> [Quantisation; 3] {
    let [tensor, output] = GRANULARITIES;
    [
        (WeightType::Int8, tensor),
        (WeightType::Int8, output),
        (WeightType::Int4, GRANULARITIES[(inputs + outputs) % 2]),
    ]
    .map(|(weights, granularity)| Quantisation {
        weights,
        granularity,
    })
}

#[test]
fn every_layer_equals_the_oracle() {
    let kernels = kernels();
    let next = AtomicUsize::new(1);
    let work = || {
        loop {
            // The widest first, so that no thread has the longest alone at the end.
            let inputs = WIDEST + 1 - next.fetch_add(1, Ordering::Relaxed).min(WIDEST + 1);
            if inputs == 0 {
                return;
            }
            let mut numbers = Numbers::new(inputs as u64);
            let records = records(inputs, &mut numbers);
            for outputs in 1..=WIDEST {
                for quantisation in quantisations(inputs, outputs) {
                    let layer = layer(inputs, outputs, quantisation, &mut numbers);
                    equals_the_oracle(&layer, &records, &kernels);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}

fn equals_the_oracle(layer: &Layer, records: &[Vec<u8>], kernels: &[HostKernel]) {
    let (activations, logits) = oracle(layer, records);
    let bytes = layer.to_bytes();
    let quantisation = layer.quantisation();
    let dense = DenseRef::new(layer.inputs, layer.outputs, quantisation, bytes.borrow());
    let dense = dense.unwrap();
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let (mut found_activations, mut found_logits) = (activations.clone(), logits.clone());
    for kernel in kernels {
        for mode in MODES {
            let batch = BatchLayer::with_kernel(&dense, mode, *kernel).unwrap();
            let what = format!("{batch:?}, {quantisation:?}");
            found_activations.fill(0xA5);
            batch.hidden(&records, &mut found_activations).unwrap();
            assert_eq!(found_activations, activations, "{what}");
            found_logits.fill(0x5A5A);
            batch.output(&records, &mut found_logits).unwrap();
            assert_eq!(found_logits, logits, "{what}");
        }
    }
}

#[test]
fn real_networks_equal_the_oracle_in_batches_of_any_size() {
    let shapes = [
        [784, 64, 64, 10],
        [784, 128, 32, 10],
        [3000, 65, 63, 200],
        [785, 130, 1, 1],
    ];
    let weight_types: [(_, &[usize]); 2] = [
        (
            WeightType::Int8,
            &[0, 1, 5, 6, 7, 12, 13, 191, 192, 193, 400],
        ),
        // What is left of a block is there whatever weights are.
        (WeightType::Int4, &[1, 13, 193]),
    ];
    for (widths, granularity) in shapes.into_iter().zip(GRANULARITIES.into_iter().cycle()) {
        let mut numbers = Numbers::new(7);
        let features = records(widths[0], &mut numbers);
        for (weights, counts) in weight_types {
            let quantisation = Quantisation {
                weights,
                granularity,
            };
            let model = Model::random_of(widths, quantisation, 7);
            batches_equal_the_oracle(&model, &features, counts);
        }
    }
}

fn batches_equal_the_oracle(model: &Model, features: &[Vec<u8>], counts: &[usize]) {
    let network = model.network();
    let classes = usize::from(network.shape().output());
    let expected: Vec<Vec<i32>> = features.iter().map(|f| model.oracle(f)).collect();
    for kernel in kernels() {
        for mode in MODES {
            let batch = Batch::with_kernel(&network, mode, kernel).unwrap();
            assert_eq!((batch.kernel(), batch.host_kernel()), (mode, kernel));
            for count in counts {
                let which = (0..*count).map(|at| at * 5 % features.len());
                let records: Vec<&[u8]> = which.clone().map(|at| &features[at][..]).collect();
                let mut logits = vec![0x5A5A; count * classes];
                batch.logits(&records, &mut logits).unwrap();
                for (logits, at) in logits.chunks_exact(classes).zip(which) {
                    assert_eq!(logits, expected[at], "{batch:?}");
                }
            }
        }
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let model = Model::random([9, 4, 3, 2], Granularity::PerOutput, 1);
    let network = model.network();
    let (good, short) = ([0; 9], [0; 8]);
    for kernel in kernels() {
        let batch = Batch::with_kernel(&network, Kernel::Dense, kernel).unwrap();
        let logits = |records: &[&[u8]], room| batch.logits(records, &mut vec![0; room]);
        assert_eq!(logits(&[&good, &good], 4), Ok(()));
        assert_eq!(logits(&[&good, &short], 4), Err(ShapeError::Features));
        assert_eq!(logits(&[&good, &good], 3), Err(ShapeError::Logits));
        let layer = BatchLayer::with_kernel(&network.layers()[0], Kernel::Skip, kernel).unwrap();
        let hidden = |records: &[&[u8]], room| layer.hidden(records, &mut vec![0; room]);
        assert_eq!(hidden(&[&good], 4), Ok(()));
        assert_eq!(hidden(&[&short], 4), Err(ShapeError::Features));
        assert_eq!(hidden(&[&good], 5), Err(ShapeError::Logits));
        assert_eq!(layer.output(&[&good], &mut [0; 3]), Err(ShapeError::Logits));
    }
}
