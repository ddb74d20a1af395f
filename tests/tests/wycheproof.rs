//! Project Wycheproof's hostile vectors, each through the narrowest path we have to the code that ships.
//!
//! - Ed25519: key and signature as [`Ed25519PublicKey`] judges them, without the domain.
//! - HMAC-SHA-512: [`HmacKey`] for keys of up to 64 bytes, the primitive for longer ones.
//! - HMAC-SHA-256: the primitive.
//! - AES-CBC with PKCS#5 padding: as the ciphertext of a Fernet token with a right MAC, so that it is our
//!   padding check which must refuse.

use hmac::digest::block_api::EagerHash;
use hmac::{Hmac, KeyInit, Mac};
use sealnet_core::fernet::{self, FernetKey, Iv, VerifiedToken};
use sealnet_core::sign::{Ed25519PublicKey, HmacKey, Signature};
use sha2::{Sha256, Sha512};
use wycheproof::TestResult;

#[test]
fn ed25519() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519);
    let set = set.expect("the crate holds the vectors");
    let mut valid = 0;
    let mut run = 0;
    for group in &set.test_groups {
        let key: &[u8; 32] = group.key.pk.as_slice().try_into().expect("32 bytes");
        let key = Ed25519PublicKey::from_bytes(key);
        for test in &group.tests {
            // A signature of another length cannot even be expressed.
            let signature = <[u8; 64]>::try_from(test.sig.as_slice()).map(Signature::from_bytes);
            let accepted = key.is_ok_and(|key| {
                signature.is_ok_and(|signature| key.verify_raw(&test.msg, &signature).is_ok())
            });
            let expected = must_accept(test.result, test.tc_id);
            assert_eq!(accepted, expected, "case {}: {}", test.tc_id, test.comment);
            valid += usize::from(expected);
            run += 1;
        }
    }
    assert_eq!(run, set.number_of_tests);
    assert!(valid > 50 && run - valid > 50, "{valid} of {run} are valid");
}

#[test]
fn hmac_sha512() {
    let run = macs::<Sha512>(wycheproof::mac::TestName::HmacSha512, |key, message| {
        // HMAC fills a key with zeros up to the block, so a shorter key is also one of 64 bytes.
        let mut filled = [0; 64];
        filled.get_mut(..key.len())?.copy_from_slice(key);
        Some(
            HmacKey::from_bytes(filled)
                .sign_raw(message)
                .to_bytes()
                .to_vec(),
        )
    });
    assert!(
        run.through_ours > 100,
        "{} through our own key",
        run.through_ours
    );
}

#[test]
fn hmac_sha256() {
    macs::<Sha256>(wycheproof::mac::TestName::HmacSha256, |_, _| None);
}

struct Macs {
    through_ours: usize,
}

fn macs<D: EagerHash>(
    name: wycheproof::mac::TestName,
    ours: impl Fn(&[u8], &[u8]) -> Option<Vec<u8>>,
) -> Macs {
    let set = wycheproof::mac::TestSet::load(name).expect("the crate holds the vectors");
    let mut run = 0;
    let mut through_ours = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let expected = must_accept(test.result, test.tc_id);
            let mut mac = Hmac::<D>::new_from_slice(&test.key).expect("any length is a key");
            mac.update(&test.msg);
            let accepted = mac.verify_truncated_left(&test.tag).is_ok();
            assert_eq!(accepted, expected, "case {}: {}", test.tc_id, test.comment);
            if let Some(computed) = ours(&test.key, &test.msg) {
                let accepted = computed[..group.tag_size / 8] == *test.tag;
                assert_eq!(accepted, expected, "case {}: {}", test.tc_id, test.comment);
                through_ours += 1;
            }
            run += 1;
        }
    }
    assert_eq!(run, set.number_of_tests);
    Macs { through_ours }
}

#[test]
fn aes_128_cbc_pkcs5_inside_a_token() {
    let set = wycheproof::cipher::TestSet::load(wycheproof::cipher::TestName::AesCbcPkcs5);
    let set = set.expect("the crate holds the vectors");
    let mut run = 0;
    let mut refused = 0;
    for group in set.test_groups.iter().filter(|group| group.key_size == 128) {
        for test in &group.tests {
            let mut secret = *b"signs the token.________________";
            secret[16..].copy_from_slice(&test.key);
            let key = FernetKey::from_bytes(secret);
            let iv: [u8; 16] = test.nonce.as_slice().try_into().expect("16 bytes");

            let mut token = vec![0x80];
            token.extend([0; 8]);
            token.extend(iv);
            token.extend(test.ct.iter());
            let mut mac =
                Hmac::<Sha256>::new_from_slice(&secret[..16]).expect("any length is a key");
            mac.update(&token);
            token.extend(mac.finalize().into_bytes());

            let expected = must_accept(test.result, test.tc_id);
            let label = format!("case {}: {}", test.tc_id, test.comment);
            let verified = VerifiedToken::verify(&key, &token, None);
            assert_eq!(verified.is_ok(), expected, "{label}");
            if let Ok(verified) = verified {
                let mut out = vec![0; verified.plaintext_len()];
                assert_eq!(
                    verified.decrypt_into(&mut out).expect("it fits"),
                    &test.pt[..],
                    "{label}"
                );
            }
            let mut buffer = token.clone();
            let opened = fernet::decrypt_in_place(&key, &mut buffer, None);
            assert_eq!(opened.is_ok(), expected, "{label}");
            if let Ok(opened) = opened {
                assert_eq!(opened.plaintext(), &test.pt[..], "{label}");
                let mut made = vec![0; token.len()];
                fernet::encrypt(&key, 0, Iv::from_bytes(iv), &test.pt, &mut made).expect("it fits");
                assert_eq!(made, token, "{label}");
            }
            run += 1;
            refused += usize::from(!expected);
        }
    }
    assert!(
        run > 60 && refused > 30,
        "{run} run, {refused} of them invalid"
    );
}

/// Wycheproof marks some cases `acceptable`: legacy behaviour one may or may not allow. None of these sets
/// has any, and none may slip in unseen.
fn must_accept(result: TestResult, case: usize) -> bool {
    match result {
        TestResult::Valid => true,
        TestResult::Invalid => false,
        TestResult::Acceptable => panic!("case {case} is neither valid nor invalid"),
    }
}
