//! Sealed requests and replies, and the receipts inside: round trips, every bit, every length, and
//! hostile contents under the right key.

mod receipts;
mod replies;
mod updates;

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
const NONCE: [u8; 16] = *b"provisioned once";
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
    let request = Request {
        counter,
        nonce: NONCE,
        features,
    };
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
        assert_eq!(*opened.nonce(), NONCE);
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
    let mut expected = vec![2, 1, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 0, 0];
    expected.extend(NONCE);
    expected.extend([9, 8, 7]);
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
            0x81 | 0x83 => MessageError::Direction,
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
    for len in 0..32 {
        assert_eq!(
            refused(&|p| p.truncate(len)),
            MessageError::Length,
            "{len} bytes"
        );
    }
    for len in 32..good.len() {
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
        nonce: NONCE,
    }
}
