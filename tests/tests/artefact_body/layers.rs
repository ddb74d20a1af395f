//! Layers: numbers out of range, and weights of another type.

use sealnet_core::mlp::LayerError;
use sealnet_core::quant::RequantError;

use super::*;
use crate::artefact_fixture::WIDTHS;
use crate::artefact_fixture::layout::Array;

/// Int8 weights that there cannot be: where they lie, what lies there, and what is wrong with it.
fn wrong_halves(
    packed: &Array,
    inputs: usize,
    outputs: usize,
) -> Vec<(usize, [u8; 2], LayerError)> {
    let mut wrong = Vec::new();
    let mut halves = packed.bytes.clone().step_by(2);
    for first in (0..inputs.next_multiple_of(16)).step_by(2) {
        for even in (0..outputs.next_multiple_of(4)).step_by(2) {
            for input in [first, first + 1] {
                let at = halves.next().unwrap();
                let odd = even + 1;
                // Of the even output -128, of the odd one -128 and 128; both rows may be none of the layer's.
                for (half, row) in [(0x0080_u16, even), (0x8000, odd), (0x7FFF, odd)] {
                    // 0x7FFF is -1 for the even output.
                    let beside = input >= inputs;
                    let even_first = half == 0x7FFF && (beside || even >= outputs);
                    let expected = match row < outputs {
                        _ if even_first => LayerError::Padding { row: even },
                        _ if beside => LayerError::Padding { row },
                        true => LayerError::WeightRange { row },
                        false => LayerError::Padding { row },
                    };
                    wrong.push((at, half.to_le_bytes(), expected));
                }
            }
        }
    }
    assert_eq!(halves.next(), None);
    wrong
}

/// The same of int4 weights: in each place -8, and beside the layer 1.
fn wrong_nibbles(
    packed: &Array,
    inputs: usize,
    outputs: usize,
) -> Vec<(usize, [u8; 2], LayerError)> {
    let mut wrong = Vec::new();
    let mut halves = packed.bytes.clone().step_by(2);
    for first in (0..outputs.next_multiple_of(4)).step_by(4) {
        for input in 0..inputs.next_multiple_of(16) {
            let at = halves.next().unwrap();
            for (row, place) in (first..first + 4).zip(0..) {
                let inside = input < inputs && row < outputs;
                let mut half = |weight: i32, expected| {
                    // 1 for each of the others that is there.
                    let ones =
                        (first..first + 4).map(|row| i32::from(input < inputs && row < outputs));
                    let mut weights: Vec<i32> = ones.collect();
                    weights[place] = weight;
                    let lower = (weights[2] + 8) * 256 + (weights[1] + 8) * 16 + weights[0] + 8;
                    let half = i16::try_from(weights[3] * 4096 + lower).unwrap();
                    wrong.push((at, half.to_le_bytes(), expected));
                };
                if inside {
                    half(-8, LayerError::WeightRange { row });
                } else {
                    half(-8, LayerError::Padding { row });
                    half(1, LayerError::Padding { row });
                }
            }
        }
    }
    assert_eq!(halves.next(), None);
    wrong
}

fn layers_that_are_out_of_range(weights: WeightType) {
    for (n, [biases, multipliers, shifts, packed]) in arrays(weights).iter().enumerate() {
        let layer = n as u8 + 1;
        let of = |cause| E::Layer { layer, cause };
        let (inputs, outputs) = (WIDTHS[n], WIDTHS[n + 1]);
        let wrong = match weights {
            WeightType::Int4 => wrong_nibbles(packed, inputs, outputs),
            _ => wrong_halves(packed, inputs, outputs),
        };
        for (at, half, expected) in wrong {
            assert_eq!(
                refused(weights, |b| set(b, at, &half)),
                of(expected),
                "{half:?} at {at}"
            );
        }
        for (row, at) in biases.bytes.clone().step_by(4).enumerate() {
            for bias in [i32::MAX, i32::MIN, -i32::MAX] {
                let found = refused(weights, |b| set(b, at, &bias.to_le_bytes()));
                assert_eq!(found, of(LayerError::AccumulatorBound { row }));
            }
        }
        for (row, at) in multipliers.bytes.clone().step_by(4).enumerate() {
            let cause = RequantError::Multiplier;
            for multiplier in [-1, i32::MIN] {
                let found = refused(weights, |b| set(b, at, &multiplier.to_le_bytes()));
                assert_eq!(found, of(LayerError::Requant { row, cause }));
            }
        }
        for (row, at) in shifts.bytes.clone().enumerate() {
            let cause = RequantError::Shift;
            for shift in [0, 63, 64, 255] {
                assert_eq!(
                    refused(weights, |b| b[at] = shift),
                    of(LayerError::Requant { row, cause })
                );
            }
        }
    }
}

/// A whole section of layers of the other type, in an artefact that says so or not.
fn layers_of_the_other_type(weights: WeightType) {
    let body = plaintext(&model(weights));
    let (one, other) = match weights {
        WeightType::Int4 => ((2_u16, 1_u16), (1_u16, 3_u16)),
        _ => ((1, 3), (2, 1)),
    };
    let renamed = |body: &mut Vec<u8>| {
        body[0] = other.0 as u8;
        body[2] = other.1 as u8;
    };
    assert_eq!(refused(weights, renamed), section(other.0, S::Inapplicable));
    for mut case in cases(weights) {
        case.weights = match weights {
            WeightType::Int4 => WeightType::Int8,
            _ => WeightType::Int4,
        };
        let run = |body: &[u8]| run(case, &with_body(case, body)).unwrap_err();
        assert_eq!(run(&body), section(one.0, S::Inapplicable));
        // Only the type of the section is changed.
        let mut changed = body.clone();
        changed[0] = other.0 as u8;
        assert_eq!(run(&changed), section(other.0, S::Version(one.1)));
        // And its version: those are no weights of that type, or not as many.
        renamed(&mut changed);
        let found = run(&changed);
        let known = matches!(found, E::Section { section, cause: S::Length } if section == other.0);
        assert!(
            known || matches!(found, E::Layer { layer: 1, .. }),
            "{found:?}"
        );
    }
}

tests! {
    layers_that_are_out_of_range
    layers_of_the_other_type
}
