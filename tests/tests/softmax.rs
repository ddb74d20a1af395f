//! Softmax against an oracle that nobody can doubt: `f64`.

use proptest::prelude::*;
use sealnet_core::mlp::argmax;
use sealnet_core::softmax::{probabilities, probabilities_into};

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
