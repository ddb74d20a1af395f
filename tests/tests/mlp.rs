//! The integer network against oracles that nobody can doubt: exact rationals, `i128`.

mod model_fixture;

use model_fixture::{Layer, Model, WEIGHT_TYPES, quantisations, random_bytes, requant_oracle};
use proptest::prelude::*;
use sealnet_core::mlp::{
    DenseRef, Granularity, LayerError, Mlp, Network, Quantisation, ShapeError, WeightType,
};
use sealnet_core::quant::{Requant, accumulator_bound};

/// Accumulators worth trying: the edges of the type, and everything around zero.
fn accumulators() -> impl Strategy<Value = i32> {
    prop_oneof![
        any::<i32>(),
        -1000..1000_i32,
        Just(i32::MIN),
        Just(i32::MAX),
        Just(0)
    ]
}

fn multipliers() -> impl Strategy<Value = i32> {
    prop_oneof![
        0..=i32::MAX,
        0..1000_i32,
        (0..31_u32).prop_map(|bit| 1 << bit),
        Just(i32::MAX)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn requant_is_the_exact_rational_rounded_half_up(
        acc in accumulators(), multiplier in multipliers(), shift in 1..=62_u8,
    ) {
        let requant = Requant::new(multiplier, shift).unwrap();
        let exact = requant_oracle(acc.into(), requant);
        prop_assert_eq!(i128::from(requant.apply(acc)), exact);
        prop_assert_eq!(i128::from(requant.to_u8(acc)), exact.clamp(0, 255));
        let (low, high) = (i128::from(i32::MIN), i128::from(i32::MAX));
        prop_assert_eq!(i128::from(requant.to_i32(acc)), exact.clamp(low, high));
    }
}

/// Every tie between -64 and 64 at every shift: it goes to the integer above, also below zero.
#[test]
fn ties_go_up_at_every_shift() {
    for shift in 1..=30_u8 {
        for odd in (-127..128_i32).step_by(2) {
            // odd / 2, written as odd * 2^(shift-1) / 2^shift.
            let requant = Requant::new(1 << (shift - 1), shift).unwrap();
            let up = (i64::from(odd) + 1) / 2;
            assert_eq!(requant.apply(odd), up, "{odd}/2 at shift {shift}");
        }
    }
}

fn quantisation() -> impl Strategy<Value = Quantisation> {
    proptest::sample::select(quantisations().collect::<Vec<_>>())
}

fn widths() -> impl Strategy<Value = [usize; 4]> {
    [1..=130_usize, 1..=70, 1..=70, 1..=20]
}

/// Features at their extremes, background, and anything.
fn features(count: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0_u8), Just(255), any::<u8>()];
    prop_oneof![
        proptest::collection::vec(any::<u8>(), count),
        proptest::collection::vec(byte, count),
        Just(vec![0; count]),
        Just(vec![255; count]),
    ]
}

/// Weights, biases and factors at their extremes.
fn layer(
    inputs: usize,
    outputs: usize,
    quantisation: Quantisation,
) -> impl Strategy<Value = Layer> {
    let Quantisation {
        weights: weight_type,
        granularity,
    } = quantisation;
    let max = weight_type.max();
    let weight = prop_oneof![Just(-max), Just(max), Just(0), -max..=max];
    // What keeps something of an accumulator depends on how large it is.
    let (usual, finer) = match weight_type {
        WeightType::Int4 => (6_000, 4_u8),
        _ => (100_000, 0),
    };
    // Up to 130 inputs reach 130 * 127 * 255 = 4,210,050; the rest of the bound is the bias's.
    let largest = i32::MAX - 4_210_050;
    let bias = prop_oneof![
        -usual..usual,
        -largest..=largest,
        Just(largest),
        Just(-largest)
    ];
    let requant = (multipliers(), 1..=62_u8).prop_map(|(m, s)| Requant::new(m, s).unwrap());
    // Factors that leave something of the accumulator: about 2^-9 to 2^-17, or of int4 weights 2^-5 to 2^-13.
    let useful = (1 << 20..1 << 24_i32, 29 - finer..=37 - finer)
        .prop_map(|(m, s)| Requant::new(m, s).unwrap());
    (
        proptest::collection::vec(weight, inputs * outputs),
        proptest::collection::vec(bias, outputs),
        proptest::collection::vec(
            prop_oneof![1 => requant, 3 => useful],
            granularity.factors(outputs),
        ),
    )
        .prop_map(move |(weights, biases, requants)| Layer {
            inputs,
            outputs,
            weight_type,
            granularity,
            weights,
            biases,
            requants,
        })
}

fn model_and_features() -> impl Strategy<Value = (Model, Vec<u8>)> {
    (widths(), quantisation()).prop_flat_map(|([a, b, c, d], q)| {
        let layers = (layer(a, b, q), layer(b, c, q), layer(c, d, q));
        let model = layers.prop_map(|(x, y, z)| Model::new([x, y, z]));
        (model, features(a))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_shape_equals_the_oracle((model, features) in model_and_features()) {
        prop_assert_eq!(model.logits(&features), model.oracle(&features));
    }
}

/// The same model through both types: they share a kernel, and this shows that they share the rest.
fn both_types_agree<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>() {
    for quantisation in quantisations() {
        for seed in 0..4 {
            let model = Model::random_of([IN, H1, H2, OUT], quantisation, seed);
            let mlp = Mlp::<IN, H1, H2, OUT>::try_from(model.network()).unwrap();
            let random = random_bytes(IN, seed).try_into().unwrap();
            for features in [random, [0; IN], [255; IN]] {
                let logits = mlp.logits(&features);
                assert_eq!(logits[..], model.logits(&features));
                assert_eq!(logits[..], model.oracle(&features));
            }
        }
    }
}

#[test]
fn compile_time_shapes_equal_run_time_shapes() {
    both_types_agree::<784, 64, 64, 10>();
    both_types_agree::<784, 128, 32, 10>();
    both_types_agree::<1, 1, 1, 1>();
    both_types_agree::<15, 17, 16, 3>();
    both_types_agree::<33, 7, 130, 2>();
    both_types_agree::<64, 3, 5, 256>();
    // More inputs than those after which what shares a sum is taken out of it, and more than a narrow int4 layer has.
    both_types_agree::<2049, 257, 65, 5>();
}

#[test]
fn activations_of_the_random_models_are_not_degenerate() {
    for quantisation in quantisations() {
        let model = Model::random_of([784, 64, 64, 10], quantisation, 1);
        let features = random_bytes(784, 1);
        let mut input = features.clone();
        for layer in &model.layers[..2] {
            let hidden = layer.oracle(&input, 0, 255);
            let inside = hidden.iter().filter(|&&a| a > 0 && a < 255).count();
            assert!(inside > 16, "{quantisation:?}: {hidden:?}");
            input = hidden.iter().map(|&a| a as u8).collect();
        }
        let logits = model.oracle(&features);
        assert!(logits.iter().any(|&l| l != logits[0]), "{logits:?}");
    }
}

/// A row at exactly the bound, which with int8 weights reaches `i32::MAX` and `-i32::MAX`, is right; one more is refused.
#[test]
fn the_accumulator_bound_is_exact() {
    let layer = |inputs: usize, outputs: usize, weight_type, weight: i8, bias: i32| Layer {
        inputs,
        outputs,
        weight_type,
        granularity: Granularity::PerTensor,
        weights: vec![weight; inputs * outputs],
        biases: vec![bias; outputs],
        requants: vec![Requant::new(1 << 30, 30).unwrap()], // the identity
    };
    for inputs in [1, 16, 784, 65_535_usize] {
        for weight_type in WEIGHT_TYPES {
            let max = weight_type.max();
            // Whatever weights are, the bound is that of int8 ones.
            let products = inputs as i64 * 127 * 255;
            let slack = i32::try_from(i64::from(i32::MAX) - products).unwrap();
            for weight in [max, -max] {
                let sign = i32::from(weight.signum());
                assert_eq!(accumulator_bound(inputs, sign * slack), i64::from(i32::MAX));

                // As the last layer, under activations of 255, the accumulator is seen whole.
                let model = |bias| {
                    let first = layer(1, 1, weight_type, 1, 0);
                    let full = layer(1, inputs, weight_type, 0, 255);
                    let last = layer(inputs, 1, weight_type, weight, bias);
                    Model::new([first, full, last])
                };
                let reached = inputs as i64 * i64::from(weight) * 255 + i64::from(sign * slack);
                let reached = i32::try_from(reached).unwrap();
                assert_eq!(reached.abs() == i32::MAX, max == 127);
                assert_eq!(model(sign * slack).logits(&[0]), [reached]);
                let refused = model(sign * slack + sign).layer(2).unwrap_err();
                assert_eq!(refused, LayerError::AccumulatorBound { row: 0 });
            }
        }
    }
}

#[test]
fn a_layer_names_what_is_wrong_with_it() {
    let good = Model::random([5, 4, 3, 2], Granularity::PerOutput, 3);
    let refused = |change: &dyn Fn(&mut Layer)| {
        let mut layers = good.layers.clone();
        change(&mut layers[0]);
        Model::new(layers).layer(0).unwrap_err()
    };
    assert_eq!(
        refused(&|l| l.weights[13] = -128),
        LayerError::WeightRange { row: 2 }
    );
    assert_eq!(
        refused(&|l| l.biases[3] = i32::MIN),
        LayerError::AccumulatorBound { row: 3 }
    );
    assert_eq!(refused(&|l| l.weights.truncate(19)), LayerError::Length);
    assert_eq!(refused(&|l| l.biases.push(0)), LayerError::Length);
    assert_eq!(refused(&|l| l.requants.truncate(1)), LayerError::Length);
    assert_eq!(
        refused(&|l| l.granularity = Granularity::PerTensor),
        LayerError::Length
    );
    let empty = |l: &mut Layer| {
        l.inputs = 0;
        l.weights.clear();
    };
    assert_eq!(refused(&empty), LayerError::Length);
}

/// A nibble by the format's description: of four outputs for two inputs each word, inputs up to a multiple of 16; the
/// last output's with a sign, the others 8 more than their weights.
fn set_nibble(packed: &mut [u8], inputs: usize, output: usize, input: usize, weight: i8) {
    let word = output / 4 * inputs.next_multiple_of(16) / 2 + input / 2;
    let nibble = 8 * word + input % 2 * 4 + output % 4;
    let stored = weight + if output % 4 == 3 { 0 } else { 8 };
    let place = 4 * (nibble % 2);
    let byte = &mut packed[nibble / 2];
    *byte = *byte & !(15 << place) | (stored as u8 & 15) << place;
}

#[test]
fn an_int4_layer_names_what_is_wrong_with_it() {
    const INT4: Quantisation = Quantisation {
        weights: WeightType::Int4,
        granularity: Granularity::PerOutput,
    };
    let (inputs, outputs) = (19, 6);
    let model = Model::random_of([inputs, outputs, 3, 2], INT4, 3);
    let good = model.layers[0].to_bytes();
    let made = |change: &dyn Fn(&mut Vec<u8>), quantisation| {
        let mut bytes = good.clone();
        change(&mut bytes.weights);
        DenseRef::new(inputs, outputs, quantisation, bytes.borrow()).map(drop)
    };
    for input in 0..inputs.next_multiple_of(16) {
        for row in 0..outputs.next_multiple_of(4) {
            let inside = input < inputs && row < outputs;
            for weight in -8..=7 {
                let expected = match (inside, weight) {
                    (true, -8) => Err(LayerError::WeightRange { row }),
                    (true, _) | (false, 0) => Ok(()),
                    (false, _) => Err(LayerError::Padding { row }),
                };
                let set = |packed: &mut Vec<u8>| set_nibble(packed, inputs, row, input, weight);
                assert_eq!(made(&set, INT4), expected, "{weight} for {input}, {row}");
            }
        }
    }
    // A word less or more, and the weights of the other type.
    let len = good.weights.len();
    for wrong in [0, len - 4, len + 4, 2 * len] {
        let resized = |packed: &mut Vec<u8>| packed.resize(wrong, 0);
        assert_eq!(made(&resized, INT4), Err(LayerError::Length), "{wrong}");
    }
    let int8 = Quantisation {
        weights: WeightType::Int8,
        ..INT4
    };
    assert_eq!(made(&|_| (), int8), Err(LayerError::Length));
    // What is no nibble cannot be packed.
    let mut packed = vec![0; good.weights.len()];
    for weight in [-8_i8, 8, i8::MIN, i8::MAX] {
        let weights: Vec<u8> = vec![weight as u8; inputs * outputs];
        let found = WeightType::Int4.pack(inputs, outputs, &weights, &mut packed);
        assert_eq!(found, None, "{weight}");
    }
}

/// Half as many bytes, and what comes back is what was packed.
#[test]
fn packed_weights_come_back() {
    for (inputs, outputs) in [(1, 1), (16, 4), (17, 5), (31, 67), (784, 64)] {
        let lens = WEIGHT_TYPES.map(|weights| weights.packed_len(inputs, outputs));
        assert_eq!(lens[0], 2 * lens[1]);
        for quantisation in quantisations() {
            let model = Model::random_of([inputs, outputs, 1, 1], quantisation, 6);
            let (layer, weights) = (&model.layers[0], quantisation.weights);
            let mut found = vec![0xA5; inputs * outputs];
            let packed = layer.packed();
            weights
                .unpack(inputs, outputs, &packed, &mut found)
                .unwrap();
            assert!(
                found
                    .iter()
                    .zip(&layer.weights)
                    .all(|(&f, &w)| f as i8 == w)
            );
            for (packed, room) in [
                (&packed[4..], inputs * outputs),
                (&packed, inputs * outputs - 1),
            ] {
                let found = weights.unpack(inputs, outputs, packed, &mut vec![0; room]);
                assert_eq!(found, None);
            }
        }
    }
}

#[test]
fn layers_and_buffers_that_do_not_fit_are_refused() {
    let model = Model::random([5, 4, 3, 2], Granularity::PerOutput, 3);
    let [first, second, third] = *model.network().layers();
    assert_eq!(
        Network::new([first, third, second]).unwrap_err(),
        ShapeError::Chain
    );
    let coarse = Model::random([5, 4, 3, 2], Granularity::PerTensor, 3);
    let int4 = Quantisation {
        weights: WeightType::Int4,
        granularity: Granularity::PerOutput,
    };
    let finer = Model::random_of([5, 4, 3, 2], int4, 3);
    for other in [coarse, finer] {
        let [one, two, three] = *other.network().layers();
        for mixed in [
            [one, second, third],
            [first, two, third],
            [first, second, three],
        ] {
            assert_eq!(Network::new(mixed).unwrap_err(), ShapeError::Quantisation);
        }
    }

    let network = model.network();
    let infer = |features, scratch, logits| {
        network.infer(
            &vec![0; features],
            &mut vec![0; scratch],
            &mut vec![0; logits],
        )
    };
    assert_eq!(infer(5, 7, 2), Ok(()));
    assert_eq!(infer(5, 9, 2), Ok(()), "a longer scratch is fine");
    assert_eq!(infer(4, 7, 2), Err(ShapeError::Features));
    assert_eq!(infer(6, 7, 2), Err(ShapeError::Features));
    assert_eq!(infer(5, 6, 2), Err(ShapeError::Scratch));
    assert_eq!(infer(5, 3, 2), Err(ShapeError::Scratch));
    assert_eq!(infer(5, 7, 1), Err(ShapeError::Logits));
    assert_eq!(infer(5, 7, 3), Err(ShapeError::Logits));
    assert_eq!(
        Mlp::<5, 4, 2, 2>::try_from(network).unwrap_err(),
        ShapeError::Dimensions
    );
}
