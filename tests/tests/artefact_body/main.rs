//! Hostile bodies, correctly signed, encrypted and digested: the loader refuses each with the error
//! that names the cause, and panics on none; the same error for a body that is clear, decrypted into RAM, or
//! streamed (`run` tries all). Of each type of weights.

/// Each of these once for each type of weights.
macro_rules! tests {
    ($($name:ident)*) => {
        mod int8 {
            $(#[test] fn $name() { super::$name(sealnet_core::mlp::WeightType::Int8); })*
        }
        mod int4 {
            $(#[test] fn $name() { super::$name(sealnet_core::mlp::WeightType::Int4); })*
        }
    };
}

#[path = "../artefact_fixture/mod.rs"]
mod artefact_fixture;
mod contents;
mod layers;
#[path = "../model_fixture/mod.rs"]
mod model_fixture;
mod sections;

use artefact_fixture::layout::{arrays, kinds, sections};
use artefact_fixture::{Case, Scheme, cases, model, plaintext, run, with_body};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sealnet_core::artefact::ArtefactError as E;
use sealnet_core::artefact::SectionError as S;
use sealnet_core::mlp::WeightType;

fn refused(weights: WeightType, change: impl Fn(&mut Vec<u8>)) -> E {
    let mut body = plaintext(&model(weights));
    change(&mut body);
    let errors: Vec<E> = cases(weights)
        .map(|case| run(case, &with_body(case, &body)).unwrap_err())
        .collect();
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

fn the_layout_is_as_documented(weights: WeightType) {
    let body = plaintext(&model(weights));
    let sections = sections(weights);
    assert_eq!(sections[4].end, body.len());
    for (section, kind) in sections.iter().zip(kinds(weights)) {
        let len = u32::try_from(section.payload.len()).unwrap().to_le_bytes();
        let version = if kind == 1 { 3 } else { 1 };
        let header = [&[kind as u8, 0, version, 0], &len[..], &[0; 8]].concat();
        assert_eq!(body[section.start..section.payload.start], header);
    }
    let model = model(weights);
    for (layer, [biases, multipliers, shifts, packed]) in model.layers.iter().zip(arrays(weights)) {
        let bytes = layer.to_bytes();
        assert_eq!(body[biases.bytes], bytes.biases);
        assert_eq!(body[multipliers.bytes], bytes.multipliers);
        assert_eq!(body[shifts.bytes], bytes.shifts);
        assert_eq!(body[packed.bytes], bytes.weights);
    }
    for case in cases(weights) {
        assert!(
            run(case, &with_body(case, &body)).is_ok(),
            "the helper itself makes a good file"
        );
    }
}

/// A publisher's key in hostile hands: any body, signed. It may load, it must not panic.
fn no_signed_body_panics(weights: WeightType) {
    let good = plaintext(&model(weights));
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
            let case = Case {
                scheme,
                encrypted,
                weights,
            };
            run(case, &with_body(case, &body))
        });
        assert_eq!(clear, encrypted);
        loaded += usize::from(clear.is_ok());
    }
    // Some changes hit nothing that the golden vectors see: a zero made zero, for one.
    assert!(loaded < 15_000, "{loaded} of 30,000 loaded");
}

tests! {
    the_layout_is_as_documented
    no_signed_body_panics
}
