//! Hostile bodies, correctly signed, encrypted and digested: the loader refuses each with the error
//! that names the cause, and panics on none; the same error for a body that is clear, decrypted into RAM, or
//! streamed (`run` tries all).

mod artefact_fixture;
mod model_fixture;

use std::ops::Range;

use artefact_fixture::{
    CASES, Case, GOLDEN_COUNT, Scheme, WIDTHS, model, names, plaintext, run, with_body,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sealnet_core::artefact::ArtefactError as E;
use sealnet_core::artefact::SectionError as S;
use sealnet_core::mlp::LayerError;
use sealnet_core::quant::RequantError;

/// One array of a layer: its bytes in the plaintext, and the end of its padding.
#[derive(Debug, Clone)]
struct Array {
    bytes: Range<usize>,
    padded: usize,
}

/// Biases, multipliers, shifts and weights of the three layers, by the format's tables.
fn arrays() -> [[Array; 4]; 3] {
    let mut position = 32;
    let mut array = |len: usize| {
        let bytes = position..position + len;
        position = bytes.end.next_multiple_of(16);
        Array {
            bytes,
            padded: position,
        }
    };
    [0, 1, 2].map(|layer| {
        let (inputs, outputs) = (WIDTHS[layer], WIDTHS[layer + 1]);
        let packed = 16 * inputs.div_ceil(16) * 4 * outputs.div_ceil(4);
        [4 * outputs, 4 * outputs, outputs, packed].map(&mut array)
    })
}

/// A section: its header's start, its payload, and its end.
#[derive(Debug, Clone)]
struct Section {
    start: usize,
    payload: Range<usize>,
    end: usize,
}

/// Types 1, 3, 5, 6 and 7 in this order.
fn sections() -> [Section; 5] {
    let [_, _, [_, _, _, weights]] = arrays();
    let payloads = [
        weights.padded - 16,
        16 + 4 * usize::from(GOLDEN_COUNT) * WIDTHS[3],
        16,
        8 * WIDTHS[0],
        16 + name_lengths().iter().map(|len| 1 + len).sum::<usize>(),
    ];
    let mut start = 0;
    payloads.map(|len| {
        let payload = start + 16..start + 16 + len;
        let end = payload.end.next_multiple_of(16);
        let section = Section {
            start,
            payload,
            end,
        };
        start = end;
        section
    })
}

/// Bytes of each name, columns first.
fn name_lengths() -> Vec<usize> {
    let (columns, classes) = names();
    columns.iter().chain(&classes).map(String::len).collect()
}

fn refused(change: impl Fn(&mut Vec<u8>)) -> E {
    let mut body = plaintext(&model());
    change(&mut body);
    let errors = CASES.map(|case| run(case, &with_body(case, &body)).unwrap_err());
    assert!(
        errors.iter().all(|e| *e == errors[0]),
        "one body, one error: {errors:?}"
    );
    errors[0]
}

fn section(section: u16, cause: S) -> E {
    E::Section { section, cause }
}

fn set(body: &mut [u8], at: usize, bytes: &[u8]) {
    body[at..at + bytes.len()].copy_from_slice(bytes);
}

#[test]
fn the_layout_is_as_documented() {
    let body = plaintext(&model());
    let sections = sections();
    assert_eq!(sections[4].end, body.len());
    for (section, kind) in sections.iter().zip([1, 3, 5, 6, 7]) {
        let len = u32::try_from(section.payload.len()).unwrap().to_le_bytes();
        let version = if kind == 1 { 3 } else { 1 };
        let header = [&[kind, 0, version, 0], &len[..], &[0; 8]].concat();
        assert_eq!(body[section.start..section.payload.start], header);
    }
    for (layer, [biases, multipliers, shifts, weights]) in model().layers.iter().zip(arrays()) {
        let bytes = layer.to_bytes();
        assert_eq!(body[biases.bytes], bytes.biases);
        assert_eq!(body[multipliers.bytes], bytes.multipliers);
        assert_eq!(body[shifts.bytes], bytes.shifts);
        assert_eq!(body[weights.bytes], bytes.weights);
    }
    for case in CASES {
        assert!(
            run(case, &with_body(case, &body)).is_ok(),
            "the helper itself makes a good file"
        );
    }
}

#[test]
fn reserved_unknown_and_misplaced_sections() {
    let [_, golden, policy, scaling, names] = sections();
    for (kind, cause) in [
        (0_u16, S::Unknown),
        (2, S::Reserved),
        (4, S::Reserved),
        (8, S::Unknown),
        (0x0101, S::Unknown),
        (0xFFFF, S::Unknown),
    ] {
        // At each place: instead of a known one, and after the last.
        for at in [0, golden.start, policy.start, scaling.start, names.start] {
            assert_eq!(
                refused(|b| set(b, at, &kind.to_le_bytes())),
                section(kind, cause)
            );
        }
        let mut extra = vec![0; 16];
        set(&mut extra, 0, &kind.to_le_bytes());
        extra[2] = 1;
        assert_eq!(
            refused(|b| b.extend_from_slice(&extra)),
            section(kind, cause)
        );
    }
    for at in [0, golden.start, policy.start, scaling.start, names.start] {
        let others = if at == 0 { [1, 2] } else { [2, 3] };
        for version in [0_u16, others[0], others[1], 0x0100] {
            let found = refused(|b| set(b, at + 2, &version.to_le_bytes()));
            assert!(
                matches!(found, E::Section { cause: S::Version(v), .. } if v == version),
                "{found:?}"
            );
        }
        for byte in 8..16 {
            let found = refused(|b| b[at + byte] = 1);
            assert!(
                matches!(
                    found,
                    E::Section {
                        cause: S::Padding,
                        ..
                    }
                ),
                "{found:?}"
            );
        }
    }
}

#[test]
fn duplicate_unordered_and_missing_sections() {
    let all = sections();
    for (n, kind) in [1, 3, 5, 6, 7].into_iter().enumerate() {
        let Section { start, end, .. } = all[n];
        let twice = refused(|b| {
            let copy = b[start..end].to_vec();
            b.splice(end..end, copy);
        });
        assert_eq!(twice, section(kind, S::Order));
        let first_again_at_the_end = refused(|b| {
            let copy = b[start..end].to_vec();
            b.extend(copy);
        });
        assert_eq!(first_again_at_the_end, section(kind, S::Order));
        if kind < 6 {
            let without = refused(|b| drop(b.drain(start..end)));
            assert_eq!(without, section(kind, S::Missing));
        }
    }
    for n in 0..4 {
        let (a, b) = (all[n].clone(), all[n + 1].clone());
        let swapped = refused(|body| body[a.start..b.end].rotate_left(a.end - a.start));
        let late = [1, 3, 5, 6][n];
        assert_eq!(swapped, section(late, S::Order));
    }
    assert_eq!(refused(Vec::clear), section(1, S::Missing));

    // The optional sections may be missing, each and both.
    let whole = plaintext(&model());
    let [.., scaling, names] = &all;
    for gone in [
        scaling.start..scaling.end,
        names.start..names.end,
        scaling.start..names.end,
    ] {
        let mut body = whole.clone();
        body.drain(gone);
        assert!(
            CASES
                .iter()
                .all(|&case| run(case, &with_body(case, &body)).is_ok())
        );
    }
}

#[test]
fn wrong_section_lengths() {
    for (n, kind) in [1, 3, 5, 6, 7].into_iter().enumerate() {
        let Section { start, payload, .. } = sections()[n].clone();
        let len = payload.len() as u32;
        for wrong in [
            0,
            1,
            15,
            len - 1,
            len + 1,
            len + 16,
            len + 0x1_0000,
            u32::MAX - 15,
            u32::MAX,
        ] {
            let found = refused(|b| set(b, start + 4, &wrong.to_le_bytes()));
            assert!(
                matches!(found, E::Section { .. }),
                "section {kind}, length {wrong}: {found:?}"
            );
        }
    }
    let policy = sections()[2].clone();
    let longer = refused(|b| {
        set(b, policy.start + 4, &32_u32.to_le_bytes());
        b.splice(policy.end..policy.end, [0; 16]);
    });
    assert_eq!(longer, section(5, S::Length));
}

/// Cut at every section-sized step, with digest and signature made anew: never a panic, never loaded.
#[test]
fn every_shorter_body_is_refused() {
    let body = plaintext(&model());
    let [.., scaling, names] = sections();
    let whole = [scaling.start, names.start];
    for len in (0..body.len())
        .step_by(16)
        .filter(|len| !whole.contains(len))
    {
        for case in CASES {
            let found = run(case, &with_body(case, &body[..len])).unwrap_err();
            let known = matches!(
                found,
                E::Section {
                    cause: S::Length | S::Missing,
                    ..
                }
            );
            assert!(known, "{len} bytes: {found:?}");
        }
    }
    // A length that is no multiple of 16 is already the header's mistake.
    for len in [1, 15, 17, body.len() - 1] {
        for case in CASES {
            let found = run(case, &with_body(case, &body[..len])).unwrap_err();
            assert!(
                matches!(found, E::PlaintextLength { .. }),
                "{len} bytes: {found:?}"
            );
        }
    }
}

#[test]
fn padding_and_reserved_bytes_must_be_zero() {
    let [layers, golden, policy, scaling, names] = sections();
    let mut spaces: Vec<(u16, Range<usize>)> = vec![
        (1, layers.payload.start + 4..layers.payload.start + 16),
        (3, golden.payload.start + 12..golden.payload.start + 16),
        (3, golden.payload.end..golden.end),
        (5, policy.payload.start + 2..policy.payload.end),
        (6, scaling.payload.end..scaling.end),
        (7, names.payload.start + 4..names.payload.start + 16),
        (7, names.payload.end..names.end),
    ];
    for array in arrays().iter().flatten() {
        spaces.push((1, array.bytes.end..array.padded));
    }
    assert!(spaces.iter().filter(|(_, space)| !space.is_empty()).count() > 12);
    for (kind, space) in spaces {
        for at in space {
            assert_eq!(
                refused(|b| b[at] = 1),
                section(kind, S::Padding),
                "byte {at}"
            );
        }
    }
}

#[test]
fn layers_that_are_out_of_range() {
    for (n, [biases, multipliers, shifts, weights]) in arrays().iter().enumerate() {
        let layer = n as u8 + 1;
        let of = |cause| E::Layer { layer, cause };
        let (inputs, outputs) = (WIDTHS[n], WIDTHS[n + 1]);
        let mut halves = weights.bytes.clone().step_by(2);
        for first in (0..inputs.next_multiple_of(16)).step_by(2) {
            for even in (0..outputs.next_multiple_of(4)).step_by(2) {
                for input in [first, first + 1] {
                    let at = halves.next().unwrap();
                    let odd = even + 1;
                    // Of the even output -128, of the odd one -128 and 128; both rows may be none of the layer's.
                    for (half, row) in [(0x0080_u16, even), (0x8000, odd), (0x7FFF, odd)] {
                        let found = refused(|b| set(b, at, &half.to_le_bytes()));
                        // 0x7FFF is -1 for the even output.
                        let beside = input >= inputs;
                        let even_first = half == 0x7FFF && (beside || even >= outputs);
                        let expected = match row < outputs {
                            _ if even_first => LayerError::Padding { row: even },
                            _ if beside => LayerError::Padding { row },
                            true => LayerError::WeightRange { row },
                            false => LayerError::Padding { row },
                        };
                        assert_eq!(found, of(expected), "{half:#x} for {input}, {row}");
                    }
                }
            }
        }
        assert_eq!(halves.next(), None);
        for (row, at) in biases.bytes.clone().step_by(4).enumerate() {
            for bias in [i32::MAX, i32::MIN, -i32::MAX] {
                let found = refused(|b| set(b, at, &bias.to_le_bytes()));
                assert_eq!(found, of(LayerError::AccumulatorBound { row }));
            }
        }
        for (row, at) in multipliers.bytes.clone().step_by(4).enumerate() {
            let cause = RequantError::Multiplier;
            for multiplier in [-1, i32::MIN] {
                let found = refused(|b| set(b, at, &multiplier.to_le_bytes()));
                assert_eq!(found, of(LayerError::Requant { row, cause }));
            }
        }
        for (row, at) in shifts.bytes.clone().enumerate() {
            let cause = RequantError::Shift;
            for shift in [0, 63, 64, 255] {
                assert_eq!(
                    refused(|b| b[at] = shift),
                    of(LayerError::Requant { row, cause })
                );
            }
        }
    }
}

#[test]
fn numbers_that_are_out_of_range() {
    let [layers, golden, policy, scaling, _] = sections();
    for scale in [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let found = refused(|b| set(b, layers.payload.start, &scale.to_le_bytes()));
        assert_eq!(found, E::LogitScale, "{scale}");
    }
    for count in [0_u16, 17, 0xFFFF] {
        let found = refused(|b| set(b, golden.payload.start + 8, &count.to_le_bytes()));
        assert_eq!(found, E::GoldenCount);
    }
    for width in [0_u16, 4, 6, 0xFFFF] {
        let found = refused(|b| set(b, golden.payload.start + 10, &width.to_le_bytes()));
        assert_eq!(found, E::GoldenCount);
    }
    for count in [1_u16, 2, 4, 16] {
        let found = refused(|b| set(b, golden.payload.start + 8, &count.to_le_bytes()));
        assert_eq!(found, section(3, S::Length));
    }
    for reply in (0..=255_u8).filter(|r| !(1..=3).contains(r)) {
        assert_eq!(
            refused(|b| b[policy.payload.start] = reply),
            E::ReplyPolicy(reply)
        );
    }
    for kernel in 2..=255_u8 {
        let found = refused(|b| b[policy.payload.start + 1] = kernel);
        assert_eq!(found, E::Kernel(kernel));
    }
    for (n, at) in scaling.payload.clone().step_by(4).enumerate() {
        let column = n as u16 / 2;
        for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let found = refused(|b| set(b, at, &number.to_le_bytes()));
            assert_eq!(found, E::FeatureScaling { column });
        }
    }
}

#[test]
fn names_that_are_out_of_range() {
    let payload = sections()[4].payload.clone();
    for (at, counts) in [(0, [1_u16, 18, 20, 0xFFFF]), (2, [1, 4, 6, 0xFFFF])] {
        for count in counts {
            let found = refused(|b| set(b, payload.start + at, &count.to_le_bytes()));
            assert_eq!(found, E::NameCount, "{count} at {at}");
        }
        // None where there are some: what follows is then no longer what the section says.
        let found = refused(|b| set(b, payload.start + at, &[0, 0]));
        assert!(
            matches!(found, E::Section { section: 7, .. } | E::NameText),
            "{found:?}"
        );
    }
    assert_eq!(refused(|b| set(b, payload.start, &[0; 4])), E::NameCount);
    let mut at = payload.start + 16;
    for len in name_lengths() {
        assert_eq!(refused(|b| b[at] = 0), E::NameText);
        // One byte less or more shifts all that follow; the last name then leaves a byte or needs one.
        for wrong in [len - 1, len + 1] {
            let found = refused(|b| b[at] = wrong as u8);
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
                assert_eq!(refused(|b| b[text] = byte), E::NameText, "byte {text}");
            }
        }
        at += 1 + len;
    }
    assert_eq!(at, payload.end);
}

#[test]
fn golden_logits_that_the_network_does_not_give() {
    let golden = sections()[1].payload.clone();
    for (n, at) in (golden.start + 16..golden.end).enumerate() {
        let vector = (n / (4 * WIDTHS[3])) as u16;
        for mask in [1, 0x80] {
            assert_eq!(refused(|b| b[at] ^= mask), E::Golden { vector });
        }
    }
    assert_eq!(refused(|b| b[golden.start] ^= 1), E::Golden { vector: 0 });
    // A changed network under the old logits: every bias of the last layer shows.
    let [_, _, [biases, _, shifts, _]] = arrays();
    for at in biases.bytes.step_by(4) {
        assert_eq!(refused(|b| b[at + 2] ^= 0x40), E::Golden { vector: 0 });
    }
    for at in shifts.bytes {
        assert_eq!(refused(|b| b[at] -= 4), E::Golden { vector: 0 });
    }
}

/// A publisher's key in hostile hands: any body, signed. It may load, it must not panic.
#[test]
fn no_signed_body_panics() {
    let good = plaintext(&model());
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let mut loaded = 0;
    for _ in 0..30_000 {
        let mut body = good.clone();
        for _ in 0..1 + rng.next_u32() % 8 {
            let at = rng.next_u32() as usize % body.len();
            let interesting = [0, 1, 0x7F, 0x80, 0xFF, rng.next_u32() as u8];
            body[at] = interesting[rng.next_u32() as usize % interesting.len()];
        }
        // Clear, in RAM and streamed, which agree.
        let [clear, encrypted] = [false, true].map(|encrypted| {
            let scheme = Scheme::Hmac;
            let case = Case { scheme, encrypted };
            run(case, &with_body(case, &body))
        });
        assert_eq!(clear, encrypted);
        loaded += usize::from(clear.is_ok());
    }
    // Some changes hit nothing that the golden vectors see: a zero made zero, for one.
    assert!(loaded < 15_000, "{loaded} of 30,000 loaded");
}
