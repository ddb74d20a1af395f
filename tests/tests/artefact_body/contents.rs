//! What lies beside the layers: numbers, names and golden logits.

use super::*;
use crate::artefact_fixture::WIDTHS;
use crate::artefact_fixture::layout::name_lengths;

fn numbers_that_are_out_of_range(weights: WeightType) {
    let [layers, golden, policy, scaling, _] = sections(weights);
    for scale in [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let found = refused(weights, |b| {
            set(b, layers.payload.start, &scale.to_le_bytes());
        });
        assert_eq!(found, E::LogitScale, "{scale}");
    }
    for count in [0_u16, 17, 0xFFFF] {
        let found = refused(weights, |b| {
            set(b, golden.payload.start + 8, &count.to_le_bytes());
        });
        assert_eq!(found, E::GoldenCount);
    }
    for width in [0_u16, 4, 6, 0xFFFF] {
        let found = refused(weights, |b| {
            set(b, golden.payload.start + 10, &width.to_le_bytes());
        });
        assert_eq!(found, E::GoldenCount);
    }
    for count in [1_u16, 2, 4, 16] {
        let found = refused(weights, |b| {
            set(b, golden.payload.start + 8, &count.to_le_bytes());
        });
        assert_eq!(found, section(3, S::Length));
    }
    for reply in (0..=255_u8).filter(|r| !(1..=3).contains(r)) {
        assert_eq!(
            refused(weights, |b| b[policy.payload.start] = reply),
            E::ReplyPolicy(reply)
        );
    }
    for kernel in 2..=255_u8 {
        let found = refused(weights, |b| b[policy.payload.start + 1] = kernel);
        assert_eq!(found, E::Kernel(kernel));
    }
    for (n, at) in scaling.payload.clone().step_by(4).enumerate() {
        let column = n as u16 / 2;
        for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let found = refused(weights, |b| set(b, at, &number.to_le_bytes()));
            assert_eq!(found, E::FeatureScaling { column });
        }
    }
}

fn names_that_are_out_of_range(weights: WeightType) {
    let payload = sections(weights)[4].payload.clone();
    for (at, counts) in [(0, [1_u16, 18, 20, 0xFFFF]), (2, [1, 4, 6, 0xFFFF])] {
        for count in counts {
            let found = refused(weights, |b| {
                set(b, payload.start + at, &count.to_le_bytes());
            });
            assert_eq!(found, E::NameCount, "{count} at {at}");
        }
        // None where there are some: what follows is then no longer what the section says.
        let found = refused(weights, |b| set(b, payload.start + at, &[0, 0]));
        assert!(
            matches!(found, E::Section { section: 7, .. } | E::NameText),
            "{found:?}"
        );
    }
    assert_eq!(
        refused(weights, |b| set(b, payload.start, &[0; 4])),
        E::NameCount
    );
    let mut at = payload.start + 16;
    for len in name_lengths() {
        assert_eq!(refused(weights, |b| b[at] = 0), E::NameText);
        // One byte less or more shifts all that follow; the last name then leaves a byte or needs one.
        for wrong in [len - 1, len + 1] {
            let found = refused(weights, |b| b[at] = wrong as u8);
            assert!(
                matches!(
                    found,
                    E::NameText
                        | E::Section {
                            section: 7,
                            cause: S::Length
                        }
                ),
                "{found:?}"
            );
        }
        for text in at + 1..=at + len {
            for byte in [0, 0x1B, 0x7F, 0xFF] {
                assert_eq!(
                    refused(weights, |b| b[text] = byte),
                    E::NameText,
                    "byte {text}"
                );
            }
        }
        at += 1 + len;
    }
    assert_eq!(at, payload.end);
}

fn golden_logits_that_the_network_does_not_give(weights: WeightType) {
    let golden = sections(weights)[1].payload.clone();
    for (n, at) in (golden.start + 16..golden.end).enumerate() {
        let vector = (n / (4 * WIDTHS[3])) as u16;
        for mask in [1, 0x80] {
            assert_eq!(refused(weights, |b| b[at] ^= mask), E::Golden { vector });
        }
    }
    assert_eq!(
        refused(weights, |b| b[golden.start] ^= 1),
        E::Golden { vector: 0 }
    );
    // A changed network under the old logits: every bias of the last layer shows.
    let [_, _, [biases, _, shifts, _]] = arrays(weights);
    for at in biases.bytes.step_by(4) {
        assert_eq!(
            refused(weights, |b| b[at + 2] ^= 0x40),
            E::Golden { vector: 0 }
        );
    }
    for at in shifts.bytes {
        assert_eq!(refused(weights, |b| b[at] -= 4), E::Golden { vector: 0 });
    }
}

tests! {
    numbers_that_are_out_of_range
    names_that_are_out_of_range
    golden_logits_that_the_network_does_not_give
}
