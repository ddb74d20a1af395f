//! Keys, counters, openings: a good sealed model in the wrong hands, and what cannot be sealed at all.

mod artefact_fixture;
mod model_fixture;

use artefact_fixture::{
    CASES, COUNTER, Case, Scheme, artefact, mismatch, model, model_key, plaintext, run, scaling,
    sign_again, signing_key, with_body,
};
use sealnet_core::artefact::{
    ArtefactError, BodySpec, Claims, Name, NamesSpec, Provenance, ReplyPolicy, SealError, Sealed,
    seal, write_body,
};
use sealnet_core::fernet::FernetKey;
use sealnet_core::mlp::{Kernel, ShapeError, WeightType};
use sealnet_core::sign::{self, HmacKey, SigningKey, TrustedKey};

#[test]
fn only_the_trusted_key_and_scheme_verify() {
    for case in CASES {
        let file = artefact(case);
        let verify =
            |file: &[u8], key: &TrustedKey| Sealed::parse(file).unwrap().verify(key, 0).map(drop);
        let other_scheme = match case.scheme {
            Scheme::Hmac => Scheme::Ed25519,
            Scheme::Ed25519 => Scheme::Hmac,
        };
        let other = signing_key(other_scheme).trusted();
        assert_eq!(verify(&file, &other), Err(mismatch(other_scheme)));

        let stranger = SigningKey::Hmac(HmacKey::from_bytes([0x12; 64]));
        if case.scheme == Scheme::Hmac {
            let error = ArtefactError::SigningKey {
                trusted: stranger.key_id(),
                found: signing_key(case.scheme).key_id(),
            };
            assert_eq!(verify(&file, &stranger.trusted()), Err(error));
        }
        // A stranger who claims the trusted key's id, and its scheme, is left with the signature.
        let mut forged = file.clone();
        let (signed, signature) = forged.split_last_chunk_mut::<64>().unwrap();
        *signature = stranger.sign(sign::Domain::Model, &[signed]).to_bytes();
        let trusted = signing_key(case.scheme).trusted();
        assert_eq!(verify(&forged, &trusted), Err(ArtefactError::Signature));
        // The right key over the right bytes, but as another kind of document.
        let (signed, signature) = forged.split_last_chunk_mut::<64>().unwrap();
        *signature = signing_key(case.scheme)
            .sign(sign::Domain::Manifest, &[signed])
            .to_bytes();
        assert_eq!(verify(&forged, &trusted), Err(ArtefactError::Signature));
    }
}

#[test]
fn an_older_counter_is_refused() {
    for case in CASES {
        let file = artefact(case);
        let trusted = signing_key(case.scheme).trusted();
        for minimum in [0, COUNTER - 1, COUNTER] {
            assert!(
                Sealed::parse(&file)
                    .unwrap()
                    .verify(&trusted, minimum)
                    .is_ok()
            );
        }
        for minimum in [COUNTER + 1, u32::MAX] {
            let refused = Sealed::parse(&file)
                .unwrap()
                .verify(&trusted, minimum)
                .unwrap_err();
            assert_eq!(
                refused,
                ArtefactError::Rollback {
                    found: COUNTER,
                    minimum
                }
            );
        }
    }
}

#[test]
fn only_the_right_opening_opens() {
    for case in CASES {
        let file = artefact(case);
        let trusted = signing_key(case.scheme).trusted();
        let verified = || Sealed::parse(&file).unwrap().verify(&trusted, 0).unwrap();
        let needed = verified().header().plaintext_len;
        let mut buffer = vec![0xA5; needed as usize];
        if !case.encrypted {
            let refused = verified().open(&model_key(), &mut buffer).unwrap_err();
            assert_eq!(refused, ArtefactError::BodyIsClear);
            continue;
        }
        assert_eq!(
            verified().open_in_place().unwrap_err(),
            ArtefactError::BodyIsEncrypted
        );
        let wrong = FernetKey::from_bytes([0x34; 32]);
        let error = ArtefactError::ModelKey {
            given: wrong.key_id(),
            found: model_key().key_id(),
        };
        assert_eq!(verified().open(&wrong, &mut buffer).unwrap_err(), error);
        let short = &mut buffer[1..];
        let error = ArtefactError::BufferTooSmall { needed };
        assert_eq!(verified().open(&model_key(), short).unwrap_err(), error);
        assert!(buffer.iter().all(|&b| b == 0xA5), "nothing was written");
        assert!(verified().open(&model_key(), &mut buffer).is_ok());

        // A token of another key under the right id, and a changed token, both signed.
        let mut file = artefact(case);
        file[24..32].copy_from_slice(&wrong.key_id().to_bytes());
        sign_again(case, &mut file);
        let verified = Sealed::parse(&file).unwrap().verify(&trusted, 0).unwrap();
        buffer.fill(0xA5);
        assert_eq!(
            verified.open(&wrong, &mut buffer).unwrap_err(),
            ArtefactError::Decrypt
        );
        assert!(
            buffer.iter().all(|&b| b == 0xA5),
            "not one byte of plaintext"
        );
        for at in [256, 257, 270, 300, file.len() - 65] {
            let mut file = artefact(case);
            file[at] ^= 1;
            sign_again(case, &mut file);
            assert_eq!(run(case, &file), Err(ArtefactError::Decrypt), "byte {at}");
        }
    }
}

#[test]
fn a_body_that_is_not_the_digests_leaves_no_plaintext() {
    let case = Case {
        scheme: Scheme::Hmac,
        encrypted: true,
        weights: WeightType::Int8,
    };
    let mut file = with_body(case, &plaintext(&model(case.weights)));
    file[64] ^= 1;
    sign_again(case, &mut file);
    let trusted = signing_key(case.scheme).trusted();
    let mut buffer = vec![0xA5; file.len()];
    let verified = Sealed::parse(&file).unwrap().verify(&trusted, 0).unwrap();
    let len = verified.header().plaintext_len as usize;
    assert_eq!(
        verified.open(&model_key(), &mut buffer).unwrap_err(),
        ArtefactError::ModelDigest
    );
    assert!(buffer[..len].iter().all(|&b| b == 0));
}

#[test]
fn what_cannot_load_cannot_be_sealed() {
    let model = model(WeightType::Int8);
    let columns = scaling();
    let spec = BodySpec {
        network: model.network(),
        logit_scale: 1.0,
        golden_seed: 1,
        golden_count: 1,
        policy: ReplyPolicy::Label,
        kernel: Kernel::Dense,
        scaling: None,
        names: None,
    };
    let write = |spec: BodySpec<'_>, len: usize, scratch: usize, logits: usize| {
        let mut out = vec![0; len];
        write_body(&mut out, &spec, &mut vec![0; scratch], &mut vec![0; logits])
            .map(|b| b.bytes().len())
    };
    let len = spec.body_len();
    assert_eq!(write(spec, len, 34, 5), Ok(len));
    assert_eq!(write(spec, len - 1, 34, 5), Err(SealError::NoSpace));
    assert_eq!(
        write(spec, len, 33, 5),
        Err(SealError::Buffers(ShapeError::Scratch))
    );
    assert_eq!(
        write(spec, len, 34, 4),
        Err(SealError::Buffers(ShapeError::Logits))
    );
    for golden_count in [0, 17] {
        assert_eq!(
            write(
                BodySpec {
                    golden_count,
                    ..spec
                },
                9999,
                34,
                5
            ),
            Err(SealError::GoldenCount)
        );
    }
    for logit_scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert_eq!(
            write(
                BodySpec {
                    logit_scale,
                    ..spec
                },
                len,
                34,
                5
            ),
            Err(SealError::LogitScale)
        );
    }
    let mut infinite = columns.clone();
    infinite[3].scale = f32::INFINITY;
    for scaling in [&columns[1..], &infinite] {
        let spec = BodySpec {
            scaling: Some(scaling),
            ..spec
        };
        assert_eq!(write(spec, 9999, 34, 5), Err(SealError::Scaling));
    }
    let long = "n".repeat(256);
    let classes = ["a", "b", "c", "d", "e"];
    for (columns, classes) in [
        (&[][..], &[][..]),
        (&[], &classes[1..]),
        (&["x"; 18], &classes),
        (&[], &["a", "b", "", "d", "e"]),
        (&[], &["a", "b", "c\u{7}", "d", "e"]),
        (&[], &["a", "b", &long, "d", "e"]),
    ] {
        let names = Some(NamesSpec { columns, classes });
        let spec = BodySpec { names, ..spec };
        assert_eq!(write(spec, 9999, 34, 5), Err(SealError::Names));
    }

    let mut out = vec![0; len];
    let body = write_body(&mut out, &spec, &mut [0; 34], &mut [0; 5]).unwrap();
    let key = signing_key(Scheme::Hmac);
    let claims = |provenance| Claims {
        security_counter: 1,
        provenance,
        created: 0,
        name: Name::new("").unwrap(),
    };
    let seal = |claims: Claims, len: usize| seal(&claims, body, &key, None, &mut vec![0; len]);
    assert_eq!(
        seal(claims(Provenance::Unverified), len + 320),
        Ok(len + 320)
    );
    assert_eq!(
        seal(claims(Provenance::Unverified), len + 319),
        Err(SealError::NoSpace)
    );
    assert_eq!(
        seal(claims(Provenance::SealedData([0; 64])), 9999),
        Err(SealError::ReceiptDigest)
    );
    assert_eq!(
        seal(claims(Provenance::UnsealedData([0; 64])), 9999),
        Err(SealError::ReceiptDigest)
    );
}
