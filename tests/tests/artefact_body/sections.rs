//! Sections: unknown, misplaced, repeated, missing, cut, and padded with something.

use std::ops::Range;

use super::*;
use crate::artefact_fixture::layout::Section;

fn reserved_unknown_and_misplaced_sections(weights: WeightType) {
    let [_, golden, policy, scaling, names] = sections(weights);
    let [layers, ..] = kinds(weights);
    for (kind, cause) in [
        (0_u16, S::Unknown),
        // Layers with the other type of weights.
        (3 - layers, S::Inapplicable),
        (4, S::Inapplicable),
        (8, S::Unknown),
        (0x0101, S::Unknown),
        (0xFFFF, S::Unknown),
    ] {
        // At each place: instead of a known one, and after the last.
        for at in [0, golden.start, policy.start, scaling.start, names.start] {
            assert_eq!(
                refused(weights, |b| set(b, at, &kind.to_le_bytes())),
                section(kind, cause)
            );
        }
        let mut extra = vec![0; 16];
        set(&mut extra, 0, &kind.to_le_bytes());
        extra[2] = 1;
        assert_eq!(
            refused(weights, |b| b.extend_from_slice(&extra)),
            section(kind, cause)
        );
    }
    for at in [0, golden.start, policy.start, scaling.start, names.start] {
        let int8 = at == 0 && weights == WeightType::Int8;
        let others = if int8 { [1, 2] } else { [2, 3] };
        for version in [0_u16, others[0], others[1], 0x0100] {
            let found = refused(weights, |b| set(b, at + 2, &version.to_le_bytes()));
            assert!(
                matches!(found, E::Section { cause: S::Version(v), .. } if v == version),
                "{found:?}"
            );
        }
        for byte in 8..16 {
            let found = refused(weights, |b| b[at + byte] = 1);
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

fn duplicate_unordered_and_missing_sections(weights: WeightType) {
    let all = sections(weights);
    for (n, kind) in kinds(weights).into_iter().enumerate() {
        let Section { start, end, .. } = all[n];
        let twice = refused(weights, |b| {
            let copy = b[start..end].to_vec();
            b.splice(end..end, copy);
        });
        assert_eq!(twice, section(kind, S::Order));
        let first_again_at_the_end = refused(weights, |b| {
            let copy = b[start..end].to_vec();
            b.extend(copy);
        });
        assert_eq!(first_again_at_the_end, section(kind, S::Order));
        if kind < 6 {
            let without = refused(weights, |b| drop(b.drain(start..end)));
            assert_eq!(without, section(kind, S::Missing));
        }
    }
    for n in 0..4 {
        let (a, b) = (all[n].clone(), all[n + 1].clone());
        let swapped = refused(weights, |body| {
            body[a.start..b.end].rotate_left(a.end - a.start);
        });
        let late = kinds(weights)[n];
        assert_eq!(swapped, section(late, S::Order));
    }
    assert_eq!(
        refused(weights, Vec::clear),
        section(kinds(weights)[0], S::Missing)
    );

    // The optional sections may be missing, each and both.
    let whole = plaintext(&model(weights));
    let [.., scaling, names] = &all;
    for gone in [
        scaling.start..scaling.end,
        names.start..names.end,
        scaling.start..names.end,
    ] {
        let mut body = whole.clone();
        body.drain(gone);
        assert!(cases(weights).all(|case| run(case, &with_body(case, &body)).is_ok()));
    }
}

fn wrong_section_lengths(weights: WeightType) {
    for (n, kind) in kinds(weights).into_iter().enumerate() {
        let Section { start, payload, .. } = sections(weights)[n].clone();
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
            let found = refused(weights, |b| set(b, start + 4, &wrong.to_le_bytes()));
            assert!(
                matches!(found, E::Section { .. }),
                "section {kind}, length {wrong}: {found:?}"
            );
        }
    }
    let policy = sections(weights)[2].clone();
    let longer = refused(weights, |b| {
        set(b, policy.start + 4, &32_u32.to_le_bytes());
        b.splice(policy.end..policy.end, [0; 16]);
    });
    assert_eq!(longer, section(5, S::Length));
}

/// Cut at every section-sized step, with digest and signature made anew: never a panic, never loaded.
fn every_shorter_body_is_refused(weights: WeightType) {
    let body = plaintext(&model(weights));
    let [.., scaling, names] = sections(weights);
    let whole = [scaling.start, names.start];
    for len in (0..body.len())
        .step_by(16)
        .filter(|len| !whole.contains(len))
    {
        for case in cases(weights) {
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
        for case in cases(weights) {
            let found = run(case, &with_body(case, &body[..len])).unwrap_err();
            assert!(
                matches!(found, E::PlaintextLength { .. }),
                "{len} bytes: {found:?}"
            );
        }
    }
}

fn padding_and_reserved_bytes_must_be_zero(weights: WeightType) {
    let [layers, golden, policy, scaling, names] = sections(weights);
    let [kind, ..] = kinds(weights);
    let mut spaces: Vec<(u16, Range<usize>)> = vec![
        (kind, layers.payload.start + 4..layers.payload.start + 16),
        (3, golden.payload.start + 12..golden.payload.start + 16),
        (3, golden.payload.end..golden.end),
        (5, policy.payload.start + 2..policy.payload.end),
        (6, scaling.payload.end..scaling.end),
        (7, names.payload.start + 4..names.payload.start + 16),
        (7, names.payload.end..names.end),
    ];
    for array in arrays(weights).iter().flatten() {
        spaces.push((kind, array.bytes.end..array.padded));
    }
    assert!(spaces.iter().filter(|(_, space)| !space.is_empty()).count() > 12);
    for (kind, space) in spaces {
        for at in space {
            assert_eq!(
                refused(weights, |b| b[at] = 1),
                section(kind, S::Padding),
                "byte {at}"
            );
        }
    }
}

tests! {
    reserved_unknown_and_misplaced_sections
    duplicate_unordered_and_missing_sections
    wrong_section_lengths
    every_shorter_body_is_refused
    padding_and_reserved_bytes_must_be_zero
}
