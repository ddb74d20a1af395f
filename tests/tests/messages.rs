//! Sealed requests and replies, and the receipts inside: round trips, every bit, every length, and
//! hostile contents under the right key.

use sealnet_core::artefact::ReplyPolicy;
use sealnet_core::fernet::{self, FernetKey, Iv};
use sealnet_core::protocol::{
    AuthenticReply, AuthenticRequest, DeviceId, MAX_FEATURES, MessageError, RECEIPT_LEN, Receipt,
    ReceiptError, RefusalCode, Reply, Request, SignedReceipt, UnverifiedReceipt, Verdict,
    logits_digest, reply_len, request_len,
};
use sealnet_core::sign::{
    Digest512, Domain, Ed25519SigningKey, HmacKey, SigningKey, TrustedKey, sha512,
};

const TIME: u64 = 1_700_000_000;
const POLICIES: [ReplyPolicy; 3] = [
    ReplyPolicy::Label,
    ReplyPolicy::Probabilities,
    ReplyPolicy::Logits,
];

fn wire() -> FernetKey {
    FernetKey::from_bytes([0x61; 32])
}

fn iv() -> Iv {
    Iv::from_bytes([0x62; 16])
}

fn device_keys() -> [SigningKey; 2] {
    [
        SigningKey::Hmac(HmacKey::from_bytes([0x63; 64])),
        SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[0x64; 32])),
    ]
}

/// A token over any plaintext, under the wire key.
fn sealed(plaintext: &[u8]) -> Vec<u8> {
    let mut token = vec![0; fernet::binary_len(plaintext.len())];
    let len = fernet::encrypt(&wire(), TIME, iv(), plaintext, &mut token).unwrap();
    assert_eq!(len, token.len());
    token
}

fn opened(token: &[u8]) -> Vec<u8> {
    let mut token = token.to_vec();
    fernet::decrypt_in_place(&wire(), &mut token, None)
        .unwrap()
        .plaintext()
        .to_vec()
}

fn request(counter: u64, features: &[u8]) -> Result<Vec<u8>, MessageError> {
    let request = Request { counter, features };
    let mut scratch = vec![0; request_len(features.len())];
    let mut out = vec![0; fernet::binary_len(scratch.len())];
    let token = request.seal(&wire(), TIME, iv(), &mut scratch, &mut out)?;
    Ok(token.to_vec())
}

#[test]
fn requests_come_back() {
    for len in [0, 1, 15, 16, 784, MAX_FEATURES] {
        let features: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let mut token = request(u64::MAX - 5, &features).unwrap();
        let digest = sha512(&[&token]);
        let opened = AuthenticRequest::open(&wire(), &mut token).unwrap();
        assert_eq!(opened.counter(), u64::MAX - 5);
        assert_eq!(opened.features(), features);
        assert_eq!(opened.time(), TIME);
        assert_eq!(*opened.digest(), digest);
    }
    let refused = request(1, &[0; MAX_FEATURES + 1]);
    assert_eq!(refused.unwrap_err(), MessageError::FeatureCount(4097));
}

#[test]
fn a_request_is_as_documented() {
    let plaintext = opened(&request(0x0102_0304_0506_0708, &[9, 8, 7]).unwrap());
    let expected = [2, 1, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 0, 0, 9, 8, 7];
    assert_eq!(plaintext, expected);
}

fn refused_request(token: &[u8]) -> MessageError {
    AuthenticRequest::open(&wire(), &mut token.to_vec()).unwrap_err()
}

#[test]
fn a_request_that_was_touched_is_not_authentic() {
    let token = request(7, &[1, 2, 3]).unwrap();
    for bit in 0..token.len() * 8 {
        let mut touched = token.clone();
        touched[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            refused_request(&touched),
            MessageError::Unauthentic,
            "bit {bit}"
        );
    }
    for len in 0..token.len() {
        assert_eq!(
            refused_request(&token[..len]),
            MessageError::Unauthentic,
            "{len} bytes"
        );
    }
    assert_eq!(
        refused_request(&[&token[..], &[0; 16]].concat()),
        MessageError::Unauthentic
    );
    let other = FernetKey::from_bytes([0x60; 32]);
    let refused = AuthenticRequest::open(&other, &mut token.clone()).unwrap_err();
    assert_eq!(refused, MessageError::Unauthentic);
    assert_eq!(refused.refusal(), RefusalCode::Unauthentic);
}

#[test]
fn an_authentic_request_with_wrong_contents_is_refused() {
    let good = opened(&request(7, &[1, 2, 3]).unwrap());
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut plaintext = good.clone();
        change(&mut plaintext);
        refused_request(&sealed(&plaintext))
    };
    for other in (0..=255_u8).filter(|&v| v != 2) {
        assert_eq!(refused(&|p| p[0] = other), MessageError::Version(other));
    }
    for other in (0..=255_u8).filter(|&v| v != 1) {
        let expected = match other {
            0x81 => MessageError::Direction,
            _ => MessageError::Kind(other),
        };
        assert_eq!(refused(&|p| p[1] = other), expected);
    }
    assert_eq!(refused(&|p| p[2] = 1), MessageError::ReservedBytes);
    assert_eq!(refused(&|p| p[3] = 1), MessageError::ReservedBytes);
    for count in [0_u32, 2, 4, 4096, 4097, u32::MAX] {
        let error = MessageError::FeatureCount(count);
        assert_eq!(
            refused(&|p| p[12..16].copy_from_slice(&count.to_le_bytes())),
            error
        );
        assert_eq!(error.refusal(), RefusalCode::Shape);
    }
    assert_eq!(refused(&|p| p.push(0)), MessageError::FeatureCount(3));
    for len in 0..16 {
        assert_eq!(
            refused(&|p| p.truncate(len)),
            MessageError::Length,
            "{len} bytes"
        );
    }
    for len in 16..good.len() {
        assert_eq!(
            refused(&|p| p.truncate(len)),
            MessageError::FeatureCount(3),
            "{len} bytes"
        );
    }
}

fn receipt(label: u16, logits: &[i32]) -> Receipt {
    Receipt {
        verdict: Verdict::NotEvaluated,
        device_id: DeviceId::from_bytes(*b"sixteen byte id."),
        model_digest: [0xA1; 64],
        firmware_version: 0x0102_0304,
        boot: 0x1112_1314,
        message: 0x2122_2324_2526_2728,
        request_digest: [0xA2; 64],
        label,
        logits_digest: logits_digest(logits.iter().copied()),
    }
}

#[test]
fn a_receipt_is_as_documented() {
    let logits = [-1, 2, i32::MIN];
    let mut le = Vec::new();
    for logit in logits {
        le.extend(logit.to_le_bytes());
    }
    for (key, scheme) in device_keys().iter().zip([1, 2]) {
        let mut expected = b"SNRC".to_vec();
        expected.extend([1, 0, scheme, 0]);
        expected.extend(b"sixteen byte id.");
        expected.extend([0xA1; 64]);
        expected.extend([4, 3, 2, 1]);
        expected.extend([0x14, 0x13, 0x12, 0x11]);
        expected.extend([0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21]);
        expected.extend([0xA2; 64]);
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend(sha512(&[&le]));
        expected.extend(key.sign(Domain::DeviceReceipt, &[&expected]).to_bytes());
        let signed = receipt(1, &logits).sign(key);
        assert_eq!(signed.as_bytes()[..], expected);

        let unverified = UnverifiedReceipt::new(signed.as_bytes());
        assert_eq!(unverified.untrusted(), Ok(receipt(1, &logits)));
        let verified = unverified.verify(&key.trusted()).unwrap();
        assert_eq!(*verified.receipt(), receipt(1, &logits));
    }
}

fn refused_receipt(bytes: &[u8; RECEIPT_LEN], key: &TrustedKey) -> ReceiptError {
    UnverifiedReceipt::new(bytes).verify(key).unwrap_err()
}

#[test]
fn a_receipt_that_was_touched_does_not_verify() {
    for key in device_keys() {
        let good = *receipt(3, &[1]).sign(&key).as_bytes();
        for bit in 0..RECEIPT_LEN * 8 {
            let mut touched = good;
            touched[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                refused_receipt(&touched, &key.trusted()),
                ReceiptError::Signature
            );
        }
        let stranger = SigningKey::Hmac(HmacKey::from_bytes([0; 64])).trusted();
        assert_eq!(refused_receipt(&good, &stranger), ReceiptError::Signature);
    }
}

#[test]
fn a_signed_receipt_with_wrong_contents_is_refused() {
    for (key, other_scheme) in device_keys().iter().zip([2, 1]) {
        let refused = |at: usize, value: u8| {
            let mut bytes = *receipt(3, &[1]).sign(key).as_bytes();
            bytes[at] = value;
            let signature = key.sign(Domain::DeviceReceipt, &[&bytes[..240]]).to_bytes();
            bytes[240..].copy_from_slice(&signature);
            refused_receipt(&bytes, &key.trusted())
        };
        assert_eq!(refused(0, b's'), ReceiptError::Magic);
        assert_eq!(refused(4, 2), ReceiptError::Version(2));
        assert_eq!(refused(5, 1), ReceiptError::Version(0x0101));
        for scheme in [0, 3, 255, other_scheme] {
            assert_eq!(refused(6, scheme), ReceiptError::Scheme(scheme));
        }
        for verdict in 3..=255 {
            assert_eq!(refused(7, verdict), ReceiptError::Verdict(verdict));
        }
        for at in 170..176 {
            assert_eq!(refused(at, 1), ReceiptError::ReservedBytes);
        }
    }
}

fn logits(classes: usize) -> Vec<i32> {
    (0..classes).map(|i| (i as i32 * 37) % 101 - 50).collect()
}

fn reply(
    policy: ReplyPolicy,
    classes: usize,
    receipt: &SignedReceipt,
) -> Result<Vec<u8>, MessageError> {
    let logits = logits(classes);
    let probabilities: Vec<f32> = (0..classes).map(|i| i as f32 / 512.0).collect();
    let reply = Reply {
        policy,
        receipt,
        probabilities: &probabilities,
        logits: &logits,
    };
    let mut scratch = vec![0; reply_len(policy, classes)];
    let mut out = vec![0; fernet::binary_len(scratch.len())];
    Ok(reply
        .seal(&wire(), TIME, iv(), &mut scratch, &mut out)?
        .to_vec())
}

#[test]
fn replies_come_back_with_what_the_policy_allows() {
    for key in device_keys() {
        for classes in [1, 2, 10, 256] {
            let label = sealnet_core::mlp::argmax(&logits(classes)) as u16;
            let signed = receipt(label, &logits(classes)).sign(&key);
            for policy in POLICIES {
                let mut token = reply(policy, classes, &signed).unwrap();
                let opened = AuthenticReply::open(&wire(), &mut token).unwrap();
                assert_eq!(opened.policy(), policy);
                assert_eq!(usize::from(opened.class_count()), classes);
                assert_eq!(opened.time(), TIME);
                assert_eq!(opened.receipt().as_bytes(), signed.as_bytes());
                let probabilities: Option<Vec<f32>> = opened.probabilities().map(Iterator::collect);
                assert_eq!(probabilities.is_some(), policy != ReplyPolicy::Label);
                if let Some(probabilities) = probabilities {
                    assert!(
                        probabilities
                            .iter()
                            .zip(0..)
                            .all(|(&p, i)| p == i as f32 / 512.0)
                    );
                }
                let expected = (policy == ReplyPolicy::Logits).then(|| logits(classes));
                assert_eq!(opened.logits().map(Iterator::collect), expected);

                let verified = opened.verify(&key.trusted(), &[0xA2; 64]).unwrap();
                assert_eq!(verified.receipt().label, label);
            }
        }
    }
}

#[test]
fn a_reply_of_another_size_cannot_be_sealed() {
    let signed = receipt(0, &[]).sign(&device_keys()[0]);
    for policy in POLICIES {
        for classes in [0, 257] {
            let refused = reply(policy, classes, &signed).unwrap_err();
            assert_eq!(refused, MessageError::ClassCount(classes as u16));
        }
        let unequal = Reply {
            policy,
            receipt: &signed,
            probabilities: &[0.5],
            logits: &[1, 2],
        };
        let refused = unequal
            .seal(&wire(), TIME, iv(), &mut [0; 1000], &mut [0; 1000])
            .map(drop);
        let expected = match policy {
            ReplyPolicy::Label => Ok(()),
            _ => Err(MessageError::ClassCount(2)),
        };
        assert_eq!(refused, expected);
        let small = Reply {
            policy,
            receipt: &signed,
            probabilities: &[0.5],
            logits: &[1],
        };
        let needed = reply_len(policy, 1);
        let mut room = vec![0; needed];
        let mut out = vec![0; fernet::binary_len(needed)];
        let (short, short_out) = (needed - 1, out.len() - 1);
        let mut seal = |scratch: usize, written: usize| {
            small
                .seal(
                    &wire(),
                    TIME,
                    iv(),
                    &mut room[..scratch],
                    &mut out[..written],
                )
                .map(drop)
        };
        assert_eq!(seal(short, short_out + 1), Err(MessageError::NoSpace));
        assert_eq!(seal(needed, short_out), Err(MessageError::NoSpace));
        assert_eq!(seal(needed, short_out + 1), Ok(()));
    }
}

fn refused_reply(token: &[u8]) -> MessageError {
    AuthenticReply::open(&wire(), &mut token.to_vec()).unwrap_err()
}

#[test]
fn a_reply_that_was_touched_or_is_malformed_is_refused() {
    let signed = receipt(3, &logits(4)).sign(&device_keys()[0]);
    for policy in POLICIES {
        let token = reply(policy, 4, &signed).unwrap();
        for bit in 0..token.len() * 8 {
            let mut touched = token.clone();
            touched[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                refused_reply(&touched),
                MessageError::Unauthentic,
                "bit {bit}"
            );
        }
        for len in 0..token.len() {
            assert_eq!(
                refused_reply(&token[..len]),
                MessageError::Unauthentic,
                "{len} bytes"
            );
        }

        let good = opened(&token);
        assert_eq!(good.len(), reply_len(policy, 4));
        assert_eq!(good[..8], [2, 0x81, 4, 0, policy as u8, 0, 0, 0]);
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut plaintext = good.clone();
            change(&mut plaintext);
            refused_reply(&sealed(&plaintext))
        };
        for version in (0..=255_u8).filter(|&v| v != 2) {
            assert_eq!(refused(&|p| p[0] = version), MessageError::Version(version));
        }
        for other in (0..=255_u8).filter(|&v| v != 0x81) {
            let expected = match other {
                1 => MessageError::Direction,
                _ => MessageError::Kind(other),
            };
            assert_eq!(refused(&|p| p[1] = other), expected);
        }
        for other in (0..=255_u8).filter(|v| !(1..=3).contains(v)) {
            assert_eq!(refused(&|p| p[4] = other), MessageError::ReplyPolicy(other));
        }
        for other in POLICIES.into_iter().filter(|&p| p != policy) {
            assert_eq!(refused(&|p| p[4] = other as u8), MessageError::Length);
        }
        for at in 5..8 {
            assert_eq!(refused(&|p| p[at] = 1), MessageError::ReservedBytes);
        }
        for count in [0, 257, u16::MAX] {
            let error = MessageError::ClassCount(count);
            assert_eq!(
                refused(&|p| p[2..4].copy_from_slice(&count.to_le_bytes())),
                error
            );
        }
        for len in 0..good.len() {
            assert_eq!(
                refused(&|p| p.truncate(len)),
                MessageError::Length,
                "{len} bytes"
            );
        }
        assert_eq!(refused(&|p| p.push(0)), MessageError::Length);
    }
}

/// One key seals both directions: what comes back to its sender is refused for that alone.
#[test]
fn a_reflected_message_is_refused() {
    let signed = receipt(3, &logits(4)).sign(&device_keys()[0]);
    for policy in POLICIES {
        let reply = reply(policy, 4, &signed).unwrap();
        let refused = refused_request(&reply);
        assert_eq!(refused, MessageError::Direction);
        assert_eq!(refused.refusal(), RefusalCode::Unauthentic);
    }
    // As long as a reply of each policy, and as close to one as its sender can make it.
    for policy in POLICIES {
        let features = vec![1; reply_len(policy, 4) - request_len(0)];
        let request = request(7, &features).unwrap();
        assert_eq!(refused_reply(&request), MessageError::Direction);
    }
}

#[test]
fn a_receipt_for_something_else_is_refused() {
    let key = &device_keys()[1];
    let largest = sealnet_core::mlp::argmax(&logits(4)) as u16;
    let refused = |receipt: Receipt, policy, request: Digest512| {
        let mut token = reply(policy, 4, &receipt.sign(key)).unwrap();
        let opened = AuthenticReply::open(&wire(), &mut token).unwrap();
        opened.verify(&key.trusted(), &request).map(drop)
    };
    let good = receipt(largest, &logits(4));
    for policy in POLICIES {
        assert_eq!(refused(good, policy, [0xA2; 64]), Ok(()));
        assert_eq!(
            refused(good, policy, [0xA3; 64]),
            Err(ReceiptError::Request)
        );
        let beyond = Receipt { label: 4, ..good };
        assert_eq!(
            refused(beyond, policy, [0xA2; 64]),
            Err(ReceiptError::Label)
        );
    }
    let other = Receipt {
        label: (largest + 1) % 4,
        ..good
    };
    assert_eq!(
        refused(other, ReplyPolicy::Logits, [0xA2; 64]),
        Err(ReceiptError::Label)
    );
    let other = receipt(largest, &[1, 2, 3, 4]);
    assert_eq!(
        refused(other, ReplyPolicy::Logits, [0xA2; 64]),
        Err(ReceiptError::Logits)
    );
    // Without the logits the reader cannot know; the digest is there for who can.
    assert_eq!(refused(other, ReplyPolicy::Label, [0xA2; 64]), Ok(()));
}
