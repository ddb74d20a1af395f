//! The sealed model under attack: every bit, every length, every field of the header, every key.
//! Each is refused with the error that names the cause.

mod artefact_fixture;
mod model_fixture;

use artefact_fixture::{
    CASES, COUNTER, CREATED, Case, LOGIT_SCALE, RECEIPT, artefact, features, mismatch, model,
    model_key, names, plaintext, run, run_any, run_streamed, scaling, sign_again, signing_key,
};
use sealnet_core::artefact::{
    ArtefactError, BodyEncoding, Provenance, ReplyPolicy, Sealed, SectionError, expand,
};
use sealnet_core::mlp::{Granularity, Quantisation, Shape};
use sealnet_core::sign::{self, KeyId};

#[test]
fn a_sealed_model_answers_and_says_what_it_is() {
    for case in CASES {
        let file = artefact(case);
        assert_eq!(
            run(case, &file).unwrap(),
            model(case.weights).oracle(&features()),
            "{case:?}"
        );

        let trusted = signing_key(case.scheme).trusted();
        let verified = Sealed::parse(&file).unwrap().verify(&trusted, 0).unwrap();
        let header = *verified.header();
        let body = plaintext(&model(case.weights));
        assert_eq!(header.security_counter, COUNTER);
        assert_eq!(header.created, CREATED);
        assert_eq!(header.name.as_str(), "a small model");
        assert_eq!(header.provenance, Provenance::SealedData(RECEIPT));
        let quantisation = Quantisation {
            weights: case.weights,
            granularity: Granularity::PerOutput,
        };
        assert_eq!(header.quantisation, quantisation);
        assert_eq!(header.shape, Shape::new(19, 8, 7, 5).unwrap());
        assert_eq!(header.signing_key, trusted.key_id());
        assert_eq!(header.plaintext_len as usize, body.len());
        assert_eq!(header.model_digest, sign::sha512(&[&body]));
        let encoding = if case.encrypted {
            BodyEncoding::Fernet {
                key: model_key().key_id(),
            }
        } else {
            BodyEncoding::Clear
        };
        assert_eq!(header.encoding, encoding);

        let mut buffer = vec![0; body.len()];
        let opened = if case.encrypted {
            verified.open(&model_key(), &mut buffer).unwrap()
        } else {
            verified.open_in_place().unwrap()
        };
        let deployed = opened.load::<19, 8, 7, 5>().unwrap();
        assert_eq!(*deployed.model_digest(), header.model_digest);
        assert_eq!(deployed.policy(), ReplyPolicy::Logits);
        assert_eq!(deployed.logit_scale(), LOGIT_SCALE);
        assert!(deployed.scaling().unwrap().columns().eq(scaling()));
        let found = deployed.names().unwrap();
        let (columns, classes) = names();
        assert!(found.columns().eq(columns) && found.classes().eq(classes));
    }
}

/// Clear mode uses the weights where they lie, 16-byte aligned from the file's start.
#[test]
fn clear_weights_are_used_in_place_and_aligned() {
    for case in CASES.into_iter().filter(|case| !case.encrypted) {
        let file = artefact(case);
        let verified = Sealed::parse(&file)
            .unwrap()
            .verify(&signing_key(case.scheme).trusted(), 0)
            .unwrap();
        let (mut scratch, mut logits) = ([0; 64], [0; 5]);
        let deployed = verified
            .open_in_place()
            .unwrap()
            .load_any(&mut scratch, &mut logits)
            .unwrap();
        for layer in deployed.network().layers() {
            let bytes = layer.bytes();
            for array in [bytes.biases, bytes.multipliers, bytes.shifts, bytes.weights] {
                let offset = array.as_ptr() as usize - file.as_ptr() as usize;
                assert!(offset + array.len() < file.len(), "inside the file");
                assert_eq!(offset % 16, 0);
            }
        }
    }
}

#[test]
fn every_changed_bit_is_refused_with_its_reason() {
    for case in CASES {
        let file = artefact(case);
        let mut changed = file.clone();
        for offset in 0..file.len() {
            // Each bit; what makes a 1 a 2 and a 2 a 1; all.
            for mask in [1, 2, 4, 8, 16, 32, 64, 128, 3, 255] {
                changed[offset] = file[offset] ^ mask;
                let expected = expected(case, &changed, offset);
                assert_eq!(
                    run_any(case, &changed),
                    Err(expected),
                    "{case:?}, byte {offset} ^ {mask}"
                );
                if case.encrypted {
                    assert_eq!(run_streamed(case, &changed), Err(expected), "streamed");
                }
            }
            changed[offset] = file[offset];
        }
    }
}

/// What the tables say about a file that was good before the byte at `offset` changed.
fn expected(case: Case, file: &[u8], offset: usize) -> ArtefactError {
    let byte = file[offset];
    let u16_at = |at: usize| u16::from_le_bytes([file[at], file[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    match offset {
        0..8 => ArtefactError::Magic,
        8..10 => ArtefactError::Version(u16_at(8)),
        10 if matches!(byte, 1 | 2) => mismatch(case.scheme),
        10 => ArtefactError::Scheme(byte),
        11 if matches!(byte, 1 | 2) => ArtefactError::ModelKeyField,
        11 => ArtefactError::Encoding(byte),
        12..16 => ArtefactError::Flags(u32_at(12)),
        16..24 => ArtefactError::SigningKey {
            trusted: signing_key(case.scheme).key_id(),
            found: KeyId::from_bytes(file[16..24].try_into().unwrap()),
        },
        24..32 if !case.encrypted => ArtefactError::ModelKeyField,
        36..44 if u16_at(offset & !1) == 0 => ArtefactError::ZeroWidth,
        44 if !matches!(byte, 1 | 2) => ArtefactError::WeightType(byte),
        45 if !matches!(byte, 1 | 2) => ArtefactError::Granularity(byte),
        46 => ArtefactError::Rounding(byte),
        47 => ArtefactError::FeatureType(byte),
        48..52 => ArtefactError::HeaderLength(u32_at(48)),
        52..56 if u32_at(52) as usize > file.len() - 320 => ArtefactError::Truncated,
        52..56 => ArtefactError::TrailingBytes,
        56..60 => ArtefactError::PlaintextLength {
            body: u32_at(52),
            plaintext: u32_at(56),
        },
        60 if byte == 3 => ArtefactError::ReceiptDigest,
        60 if !matches!(byte, 1 | 2) => ArtefactError::Provenance(byte),
        61..64 => ArtefactError::ReservedBytes { offset: 61 },
        200..232 if !is_name(&file[200..232]) => ArtefactError::Name,
        232..256 => ArtefactError::ReservedBytes { offset: 232 },
        _ => ArtefactError::Signature,
    }
}

fn is_name(padded: &[u8]) -> bool {
    let text = std::str::from_utf8(padded).map(|text| text.trim_end_matches('\0'));
    text.is_ok_and(|text| !text.contains(char::is_control))
}

#[test]
fn every_length_but_the_right_one_is_refused() {
    for case in CASES {
        let file = artefact(case);
        for len in 0..file.len() {
            for run in [run_any, run_streamed] {
                let found = run(case, &file[..len]);
                assert_eq!(found, Err(ArtefactError::Truncated), "{len} bytes");
            }
        }
        for extra in [1, 2, 16, 64, 1000] {
            let longer = [&file[..], &vec![0; extra]].concat();
            for run in [run_any, run_streamed] {
                let found = run(case, &longer);
                assert_eq!(found, Err(ArtefactError::TrailingBytes), "{extra} more");
            }
        }
    }
}

/// Every field out of its range, signed by the publisher: the parser refuses, not the signature.
#[test]
fn a_signed_header_out_of_range_is_refused_by_its_own_check() {
    use ArtefactError as E;
    for case in CASES {
        let good = artefact(case);
        let stored = u32::from_le_bytes(good[52..56].try_into().unwrap());
        let plain = u32::from_le_bytes(good[56..60].try_into().unwrap());
        let mut fields: Vec<(usize, Vec<u8>, E)> = vec![
            (0, b"SEALNETm".to_vec(), E::Magic),
            (200, vec![b'a', 0, b'b'], E::Name),
            (200, vec![0x1B, b'[', b'2', b'J'], E::Name),
            (200, vec![0xFF; 32], E::Name),
            (52, (stored + 1).to_le_bytes().into(), E::Truncated),
            (52, u32::MAX.to_le_bytes().into(), E::Truncated),
            (52, (stored - 1).to_le_bytes().into(), E::TrailingBytes),
            (52, 0_u32.to_le_bytes().into(), E::TrailingBytes),
            (128, vec![0; 64], E::ReceiptDigest),
            (60, vec![3], E::ReceiptDigest),
        ];
        for value in [0_u16, 2, 0xFFFF] {
            fields.push((8, value.to_le_bytes().into(), E::Version(value)));
        }
        for value in (0..=255_u8).filter(|v| !matches!(v, 1 | 2)) {
            fields.push((10, vec![value], E::Scheme(value)));
            fields.push((11, vec![value], E::Encoding(value)));
            fields.push((44, vec![value], E::WeightType(value)));
            fields.push((45, vec![value], E::Granularity(value)));
        }
        for value in (0..=255_u8).filter(|&v| v != 1) {
            fields.push((46, vec![value], E::Rounding(value)));
            fields.push((47, vec![value], E::FeatureType(value)));
        }
        for value in [0].into_iter().chain(4..=255_u8) {
            fields.push((60, vec![value], E::Provenance(value)));
        }
        for bit in 0..32 {
            let flags = 1_u32 << bit;
            fields.push((12, flags.to_le_bytes().into(), E::Flags(flags)));
        }
        for at in [36, 38, 40, 42] {
            fields.push((at, vec![0, 0], E::ZeroWidth));
        }
        for len in [0, 255, 257, u32::MAX] {
            fields.push((48, len.to_le_bytes().into(), E::HeaderLength(len)));
        }
        for plaintext in [0, plain - 1, plain + 1, plain + 16, u32::MAX] {
            let error = E::PlaintextLength {
                body: stored,
                plaintext,
            };
            fields.push((56, plaintext.to_le_bytes().into(), error));
        }
        for at in 61..64 {
            fields.push((at, vec![1], E::ReservedBytes { offset: 61 }));
        }
        for at in 232..256 {
            fields.push((at, vec![0x80], E::ReservedBytes { offset: 232 }));
        }
        let key = if case.encrypted { [0; 8] } else { [9; 8] };
        fields.push((24, key.into(), E::ModelKeyField));
        let encoding = if case.encrypted { 1 } else { 2 };
        fields.push((11, vec![encoding], E::ModelKeyField));

        for (offset, bytes, error) in fields {
            let mut file = good.clone();
            file[offset..offset + bytes.len()].copy_from_slice(&bytes);
            sign_again(case, &mut file);
            assert_eq!(
                Sealed::parse(&file).unwrap_err(),
                error,
                "{case:?}, {bytes:?} at {offset}"
            );
        }
    }
}

/// Fields that are in range but untrue, signed by the publisher.
#[test]
fn a_signed_header_that_does_not_fit_its_body_is_refused() {
    for case in CASES {
        let refused = |offset: usize, bytes: &[u8]| {
            let mut file = artefact(case);
            file[offset..offset + bytes.len()].copy_from_slice(bytes);
            sign_again(case, &mut file);
            run(case, &file).unwrap_err()
        };
        assert_eq!(refused(64, &[0; 64]), ArtefactError::ModelDigest);
        assert_eq!(
            refused(10, &[3 - case.scheme as u8 - 1]),
            mismatch(case.scheme)
        );
        for at in [36, 38, 40, 42] {
            let found = refused(at, &[9, 0]);
            assert!(
                matches!(found, ArtefactError::Dimensions { .. }),
                "{found:?}"
            );
        }
        let granularity = refused(45, &[1]);
        assert!(
            matches!(granularity, ArtefactError::Section { section, .. } if section == case.layers())
                || matches!(granularity, ArtefactError::Layer { .. }),
            "{granularity:?}"
        );
        // The other type of weights than the body has.
        let inapplicable = ArtefactError::Section {
            section: case.layers(),
            cause: SectionError::Inapplicable,
        };
        let other = 3 - case.layers() as u8;
        assert_eq!(refused(44, &[other]), inapplicable);
        let said = inapplicable.to_string();
        let section = format!("section {} (", case.layers());
        assert!(
            said.contains(&section) && said.contains("no model of this kind"),
            "{said}"
        );
        let found = KeyId::from_bytes([7; 8]);
        let trusted = signing_key(case.scheme).key_id();
        assert_eq!(
            refused(16, &[7; 8]),
            ArtefactError::SigningKey { trusted, found }
        );
        if case.encrypted {
            let given = model_key().key_id();
            assert_eq!(
                refused(24, &[7; 8]),
                ArtefactError::ModelKey { given, found }
            );
        }
    }
}

/// Computed in Python from the documentation of `expand` alone.
#[test]
fn golden_inputs_are_as_documented() {
    let mut features = [0; 12];
    expand(0x0123_4567_89AB_CDEF, 0, &mut features);
    assert_eq!(features, EXPANDED[0]);
    expand(0x0123_4567_89AB_CDEF, 1, &mut features);
    assert_eq!(features, EXPANDED[1]);
    expand(u64::MAX, 15, &mut features);
    assert_eq!(features, EXPANDED[2]);
}

const EXPANDED: [[u8; 12]; 3] = [
    [157, 147, 190, 236, 8, 114, 5, 81, 27, 231, 15, 236],
    [68, 0, 0, 0, 238, 0, 158, 115, 27, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 197, 0, 0, 183, 0],
];
