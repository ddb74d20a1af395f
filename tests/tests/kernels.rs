//! Every kernel that this machine has, against an oracle of one line: every layer of 1 to 130 inputs and outputs, and
//! networks of real shapes.
//!
//! `SEALNET_TEST_KERNEL=avx512vnni` (or `avx2`, `portable`) tries that one alone, and fails where the machine lacks it.

mod model_fixture;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use model_fixture::{Layer, Model, random_bytes, requant_oracle};
use sealnet_core::mlp::{Batch, BatchLayer, DenseRef, Granularity, HostKernel, Kernel, ShapeError};
use sealnet_core::quant::Requant;

const WIDEST: usize = 130;
const GRANULARITIES: [Granularity; 2] = [Granularity::PerTensor, Granularity::PerOutput];
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

/// What an output is before requantisation.
fn accumulator(weights: &[i8], input: &[u8], bias: i32) -> i64 {
    i64::from(bias)
        + weights
            .iter()
            .zip(input)
            .map(|(&w, &x)| i64::from(w) * i64::from(x))
            .sum::<i64>()
}

/// Numbers that differ from one another, without a generator's cost.
struct Numbers {
    bytes: Vec<u8>,
    at: usize,
}

impl Numbers {
    fn new(seed: u64) -> Self {
        let bytes = random_bytes(1 << 16, seed);
        Self { bytes, at: 0 }
    }

    fn byte(&mut self) -> u8 {
        self.at += 1;
        // Passes over the same bytes differ.
        self.bytes[self.at % 65_521] ^ (self.at / 65_521) as u8
    }

    fn i32(&mut self) -> i32 {
        i32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }
}

/// A layer whose outputs have weights of each kind in turn, biases up to the largest, factors of any size.
fn layer(inputs: usize, outputs: usize, granularity: Granularity, numbers: &mut Numbers) -> Layer {
    let mut weights = Vec::with_capacity(inputs * outputs);
    for output in 0..outputs {
        for input in 0..inputs {
            weights.push(match (output + inputs) % 5 {
                0 => 127,
                1 => -127,
                2 => 0,
                3 => [-127, 127][input % 2],
                _ => (numbers.byte() % 255) as i8 ^ i8::MIN,
            });
        }
    }
    // What was -128 is a weight that there cannot be.
    weights
        .iter_mut()
        .for_each(|weight| *weight = (*weight).max(-127));
    let largest = i32::MAX - 255 * 127 * inputs as i32;
    let biases = (0..outputs).map(|output| match output % 7 {
        5 => largest,
        6 => -largest,
        _ => numbers.i32() >> 14,
    });
    let biases = biases.collect();
    let factors = (0..granularity.factors(outputs)).map(|output| {
        let (multiplier, shift) = match (output + inputs + outputs) % 4 {
            // Any.
            0 => (numbers.i32() & i32::MAX, 1 + numbers.byte() % 62),
            1 => ([0, 1, i32::MAX][inputs % 3], 1 + numbers.byte() % 62),
            // Such as leave something between 0 and 255 of an accumulator.
            _ => (
                (1 << 30) + (numbers.i32() & 0xFFFF),
                38 + numbers.byte() % 10,
            ),
        };
        Requant::new(multiplier, shift).unwrap()
    });
    let requants = factors.collect();
    Layer {
        inputs,
        outputs,
        granularity,
        weights,
        biases,
        requants,
    }
}

/// Records at the extremes, at random, and with as much background as a picture has. As many as make a whole block and one
/// more of every kernel.
fn records(inputs: usize, numbers: &mut Numbers) -> Vec<Vec<u8>> {
    let mut record = |kind: usize| {
        (0..inputs)
            .map(|at| match kind {
                0 => 0,
                1 => 255,
                2 => [0, 255][at % 2],
                3 => {
                    if at + 1 == inputs {
                        255
                    } else {
                        0
                    }
                }
                4..7 => {
                    if numbers.byte() < 200 {
                        0
                    } else {
                        numbers.byte()
                    }
                }
                _ => numbers.byte(),
            })
            .collect()
    };
    (0..13).map(&mut record).collect()
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
                for granularity in GRANULARITIES {
                    let layer = layer(inputs, outputs, granularity, &mut numbers);
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
    let (mut activations, mut logits) = (Vec::new(), Vec::new());
    for record in records {
        let rows = layer.weights.chunks_exact(layer.inputs).zip(&layer.biases);
        for (output, (weights, bias)) in rows.enumerate() {
            let requant = layer.requants[output % layer.requants.len()];
            let exact = requant_oracle(accumulator(weights, record, *bias).into(), requant);
            activations.push(exact.clamp(0, 255) as u8);
            logits.push(exact.clamp(i32::MIN.into(), i32::MAX.into()) as i32);
        }
    }
    let bytes = layer.to_bytes();
    let dense = DenseRef::new(
        layer.inputs,
        layer.outputs,
        layer.granularity,
        bytes.borrow(),
    );
    let dense = dense.unwrap();
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let (mut found_activations, mut found_logits) = (activations.clone(), logits.clone());
    for kernel in kernels {
        for mode in MODES {
            let batch = BatchLayer::with_kernel(&dense, mode, *kernel).unwrap();
            let what = format!("{batch:?}, {:?}", layer.granularity);
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
    for (widths, granularity) in shapes.into_iter().zip(GRANULARITIES.into_iter().cycle()) {
        let model = Model::random(widths, granularity, 7);
        let network = model.network();
        let mut numbers = Numbers::new(7);
        let features = records(widths[0], &mut numbers);
        let expected: Vec<Vec<i32>> = features.iter().map(|f| model.oracle(f)).collect();
        for kernel in kernels() {
            for mode in MODES {
                let batch = Batch::with_kernel(&network, mode, kernel).unwrap();
                assert_eq!((batch.kernel(), batch.host_kernel()), (mode, kernel));
                for count in [0, 1, 5, 6, 7, 12, 13, 191, 192, 193, 400] {
                    let which = (0..count).map(|at| at * 5 % features.len());
                    let records: Vec<&[u8]> = which.clone().map(|at| &features[at][..]).collect();
                    let mut logits = vec![0x5A5A; count * widths[3]];
                    batch.logits(&records, &mut logits).unwrap();
                    for (logits, at) in logits.chunks_exact(widths[3]).zip(which) {
                        assert_eq!(logits, expected[at], "{batch:?}");
                    }
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
