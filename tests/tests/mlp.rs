//! The integer network against oracles that nobody can doubt: exact rationals, `i128`, `f64`.

mod model_fixture;

use model_fixture::{Layer, Model, random_bytes, requant_oracle};
use proptest::prelude::*;
use sealnet_core::mlp::{Granularity, LayerError, Mlp, Network, ShapeError, argmax};
use sealnet_core::quant::{Requant, accumulator_bound};
use sealnet_core::softmax::{probabilities, probabilities_into};

const GRANULARITIES: [Granularity; 2] = [Granularity::PerTensor, Granularity::PerOutput];

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

fn granularity() -> impl Strategy<Value = Granularity> {
    prop_oneof![Just(Granularity::PerTensor), Just(Granularity::PerOutput)]
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
fn layer(inputs: usize, outputs: usize, granularity: Granularity) -> impl Strategy<Value = Layer> {
    let weight = prop_oneof![Just(-127_i8), Just(127), Just(0), -127..=127_i8];
    // Up to 130 inputs reach 130 * 127 * 255 = 4,210,050; the rest of the bound is the bias's.
    let largest = i32::MAX - 4_210_050;
    let bias = prop_oneof![
        -100_000..100_000_i32,
        -largest..=largest,
        Just(largest),
        Just(-largest)
    ];
    let requant = (multipliers(), 1..=62_u8).prop_map(|(m, s)| Requant::new(m, s).unwrap());
    // Factors that leave something of the accumulator: about 2^-9 to 2^-17.
    let useful = (1 << 20..1 << 24_i32, 29..=37_u8).prop_map(|(m, s)| Requant::new(m, s).unwrap());
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
            granularity,
            weights,
            biases,
            requants,
        })
}

fn model_and_features() -> impl Strategy<Value = (Model, Vec<u8>)> {
    (widths(), granularity()).prop_flat_map(|([a, b, c, d], g)| {
        let layers = (layer(a, b, g), layer(b, c, g), layer(c, d, g));
        let model = layers.prop_map(|(x, y, z)| Model::new([x, y, z]));
        (model, features(a))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_shape_equals_the_oracle((model, features) in model_and_features()) {
        prop_assert_eq!(model.logits(&features), model.oracle(&features));
    }
}

/// The same model through both types: they share a kernel, and this shows that they share the rest.
fn both_types_agree<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>() {
    for granularity in GRANULARITIES {
        for seed in 0..4 {
            let model = Model::random([IN, H1, H2, OUT], granularity, seed);
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
}

#[test]
fn activations_of_the_random_models_are_not_degenerate() {
    let model = Model::random([784, 64, 64, 10], Granularity::PerOutput, 1);
    let features = random_bytes(784, 1);
    let hidden = model.layers[0].oracle(&features, 0, 255);
    let inside = hidden.iter().filter(|&&a| a > 0 && a < 255).count();
    assert!(inside > 16, "{hidden:?}");
    let logits = model.oracle(&features);
    assert!(logits.iter().any(|&l| l != logits[0]), "{logits:?}");
}

/// A row at exactly the bound reaches `i32::MAX` and `-i32::MAX` and is right; one more is refused.
#[test]
fn the_accumulator_bound_is_exact() {
    let layer = |inputs: usize, outputs: usize, weight: i8, bias: i32| Layer {
        inputs,
        outputs,
        granularity: Granularity::PerTensor,
        weights: vec![weight; inputs * outputs],
        biases: vec![bias; outputs],
        requants: vec![Requant::new(1 << 30, 30).unwrap()], // the identity
    };
    for inputs in [1, 16, 784, 65_535_usize] {
        for weight in [127_i8, -127] {
            let products = inputs as i64 * 127 * 255;
            let slack = i32::try_from(i64::from(i32::MAX) - products).unwrap();
            let sign = i32::from(weight.signum());
            assert_eq!(accumulator_bound(inputs, sign * slack), i64::from(i32::MAX));

            // As the last layer, under activations of 255, the accumulator is seen whole.
            let model = |bias| {
                let full = layer(1, inputs, 0, 255);
                Model::new([layer(1, 1, 1, 0), full, layer(inputs, 1, weight, bias)])
            };
            assert_eq!(model(sign * slack).logits(&[0]), [sign * i32::MAX]);
            let refused = model(sign * slack + sign).layer(2).unwrap_err();
            assert_eq!(refused, LayerError::AccumulatorBound { row: 0 });
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

#[test]
fn layers_and_buffers_that_do_not_fit_are_refused() {
    let model = Model::random([5, 4, 3, 2], Granularity::PerOutput, 3);
    let [first, second, third] = *model.network().layers();
    assert_eq!(
        Network::new([first, third, second]).unwrap_err(),
        ShapeError::Chain
    );
    let coarse = Model::random([5, 4, 3, 2], Granularity::PerTensor, 3);
    let mixed = [*coarse.network().layers().first().unwrap(), second, third];
    assert_eq!(Network::new(mixed).unwrap_err(), ShapeError::Granularity);

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

/// Softmax in `f64`.
fn softmax_oracle(logits: &[i32], scale: f32) -> Vec<f64> {
    let highest = f64::from(*logits.iter().max().unwrap());
    let weight = |&l: &i32| (f64::from(scale) * (f64::from(l) - highest)).exp();
    let sum: f64 = logits.iter().map(weight).sum();
    logits.iter().map(|l| weight(l) / sum).collect()
}

/// As the module states: 0.001 % of the value, and nothing to speak of below `f32`'s smallest.
fn close(found: f32, exact: f64) -> bool {
    (f64::from(found) - exact).abs() <= 0.000_01 * exact + 1e-30
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn softmax_is_close_to_f64_and_sums_to_one(
        logits in proptest::collection::vec(prop_oneof![-100_000..100_000_i32, any::<i32>()], 1..256),
        scale in prop_oneof![1e-9_f32..1e-6, 1e-6_f32..1e-3, 1e-3_f32..10.0],
    ) {
        let mut found = vec![f32::NAN; logits.len()];
        probabilities_into(&logits, scale, &mut found);
        for (&p, exact) in found.iter().zip(softmax_oracle(&logits, scale)) {
            prop_assert!(close(p, exact), "{} is not {}", p, exact);
        }
        let sum: f64 = found.iter().map(|&p| f64::from(p)).sum();
        prop_assert!((sum - 1.0).abs() < 1e-5, "sum {}", sum);
        let best = argmax(&logits);
        prop_assert!(found.iter().all(|&p| p <= found[best]));
    }
}

#[test]
fn softmax_at_its_extremes() {
    assert_eq!(probabilities(&[7], 0.1), [1.0]);
    assert_eq!(probabilities(&[i32::MIN, i32::MAX], 1.0), [0.0, 1.0]);
    assert_eq!(probabilities(&[i32::MIN; 4], f32::MAX), [0.25; 4]);
    assert_eq!(probabilities(&[i32::MAX, i32::MIN], f32::MAX), [1.0, 0.0]);
    assert_eq!(probabilities::<0>(&[], 1.0), [0.0; 0]);
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(
            probabilities(&[1, -1_000_000], scale),
            [0.5, 0.5],
            "scale {scale}"
        );
    }
    let around_the_cut_off = [0, -86, -87, -88, -89];
    for (p, exact) in probabilities(&around_the_cut_off, 1.0)
        .into_iter()
        .zip(softmax_oracle(&around_the_cut_off, 1.0))
    {
        assert!(close(p, exact), "{p} is not {exact}");
    }
}
