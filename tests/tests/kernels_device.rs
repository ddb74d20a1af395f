//! The kernels that a device has, on boards in QEMU, against an oracle of one line: every layer of 1 to 130 inputs and
//! outputs, and wider ones whose sums have to be taken apart on the way. A target of its own: it keeps both cores busy.
#![cfg(unix)]

mod layer_fixture;
mod model_fixture;

use std::thread;
use std::time::Duration;

use layer_fixture::{Numbers, layer, oracle, records};
use model_fixture::{GRANULARITIES, Layer, OwnedBytes};
use sealnet_core::mlp::{DenseRef, Quantisation, WeightType};
use sealnet_core::quant::Requant;
use sealnet_firmware::bench::{LayerBoard, LayerCase};
use sealnet_firmware::qemu::Board;

const WIDEST: usize = 130;
/// Beyond what shares a sum for 256 inputs, and beyond a tile of 64 outputs.
const WIDE: ([usize; 12], [usize; 8]) = (
    [255, 256, 257, 259, 272, 293, 384, 512, 513, 784, 785, 1024],
    [1, 3, 4, 10, 64, 65, 68, 130],
);
/// Of `records`: the highest values, alternating ones, one at the end, two with background, one at random.
const RECORDS: [usize; 6] = [1, 2, 3, 4, 5, 8];

/// A layer, what it is run on, and what must become of it.
struct Case {
    layer: Layer,
    bytes: OwnedBytes,
    records: Vec<u8>,
    activations: Vec<u8>,
    logits: Vec<i32>,
}

impl Case {
    fn of(inputs: usize, outputs: usize, weights: WeightType, numbers: &mut Numbers) -> Self {
        let quantisation = Quantisation {
            weights,
            granularity: GRANULARITIES[(inputs + outputs) % 2],
        };
        let mut layer = layer(inputs, outputs, quantisation, numbers);
        // Half of them with no shift that a kernel has to take the long way for.
        if (inputs / 2 + outputs).is_multiple_of(2) {
            for requant in &mut layer.requants {
                let shift = 33 + requant.shift() % 30;
                *requant = Requant::new(requant.multiplier(), shift).unwrap();
            }
        }
        let all = records(inputs, numbers);
        let records: Vec<Vec<u8>> = RECORDS.map(|at| all[at].clone()).into();
        let (activations, logits) = oracle(&layer, &records);
        Self {
            bytes: layer.to_bytes(),
            layer,
            records: records.concat(),
            activations,
            logits,
        }
    }

    fn dense(&self) -> DenseRef<'_> {
        let (layer, bytes) = (&self.layer, self.bytes.borrow());
        DenseRef::new(layer.inputs, layer.outputs, layer.quantisation(), bytes).unwrap()
    }
}

/// Runs layers of these shapes; gives how many there were and how many of them a kernel takes in its fastest way.
fn equal_the_oracle(
    board: Board,
    weights: WeightType,
    shapes: impl Iterator<Item = (usize, usize)>,
) -> [usize; 2] {
    let machine = LayerBoard::power_on(board, weights, TIMEOUT, &|_| {});
    let mut machine = machine.unwrap_or_else(|error| panic!("{error}\n{}", error.hint()));
    let mut numbers = Numbers::new(weights.bits().into());
    let shapes: Vec<_> = shapes.collect();
    let (mut count, mut fast) = (0, 0);
    for shapes in shapes.chunks(TOGETHER) {
        let cases: Vec<Case> = shapes
            .iter()
            .map(|&(inputs, outputs)| Case::of(inputs, outputs, weights, &mut numbers))
            .collect();
        let layers: Vec<LayerCase<'_>> = cases
            .iter()
            .map(|case| LayerCase {
                layer: case.dense(),
                records: &case.records,
            })
            .collect();
        let results = machine.run(&layers).unwrap();
        assert_eq!(results.len(), cases.len());
        for ((case, layer), found) in cases.iter().zip(&layers).zip(&results) {
            let what = format!(
                "{:?}, {:?}, {board}",
                layer.layer,
                case.layer.quantisation()
            );
            for (way, activations) in ["dense", "skip", "skip of activations"]
                .iter()
                .zip(&found.hidden)
            {
                assert_eq!(*activations, case.activations, "{way}: {what}");
            }
            for (way, logits) in ["dense", "skip"].iter().zip(&found.output) {
                assert_eq!(*logits, case.logits, "{way}, logits: {what}");
            }
            count += 1;
            fast += usize::from(layer.layer.is_fast());
        }
    }
    [count, fast]
}

fn small() -> impl Iterator<Item = (usize, usize)> {
    (1..=WIDEST).flat_map(|inputs| (1..=WIDEST).map(move |outputs| (inputs, outputs)))
}

fn wide() -> impl Iterator<Item = (usize, usize)> {
    let (inputs, outputs) = WIDE;
    let shapes = inputs
        .into_iter()
        .flat_map(move |inputs| outputs.map(|outputs| (inputs, outputs)));
    // And as many outputs as a board's answers have room for.
    let shapes = shapes.chain([(64, 1024), (1, 1023)]);
    // And around as many inputs as sums of int4 weights' products have room for.
    shapes.chain([(2049, 4), (4096, 67), (4386, 5), (4387, 8)])
}

/// With DSP instructions.
#[test]
fn every_layer_on_a_cortex_m4_equals_the_oracle() {
    thread::scope(|scope| {
        for weights in [WeightType::Int8, WeightType::Int4] {
            scope.spawn(move || {
                let [count, fast] =
                    equal_the_oracle(Board::CortexM4, weights, small().chain(wide()));
                assert_eq!(count, WIDEST * WIDEST + 12 * 8 + 6);
                // Both ways of a kernel were taken, over and over.
                assert!((2_000..count - 2_000).contains(&fast), "{fast} of {count}");
            });
        }
    });
}

/// Without: the portable kernel, which the host's tests know, by a compiler for another target.
#[test]
fn some_layers_on_a_cortex_m3_equal_the_oracle() {
    thread::scope(|scope| {
        for weights in [WeightType::Int8, WeightType::Int4] {
            scope.spawn(move || {
                let shapes = small().step_by(37).chain(wide().step_by(5));
                equal_the_oracle(Board::CortexM3, weights, shapes);
            });
        }
    });
}

/// Layers that are made and compared at once.
const TOGETHER: usize = 1_000;
const TIMEOUT: Duration = Duration::from_secs(600);
