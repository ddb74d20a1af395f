//! Hostile frames, in both directions.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sealnet_core::fernet::{FernetKey, Iv, binary_len, encrypt};
use sealnet_core::protocol::{
    Kind, MessageError, ReceiptError, Refusal, RefusalCode, UnverifiedReceipt,
};
use sealnet_core::sign::{Ed25519SigningKey, HmacKey, SigningKey};
use sealnet_firmware::client::{Client, ClientError, Link};
use sealnet_firmware::identity::DeviceName;
use sealnet_firmware::journal::MAX_REQUEST_STEP;
use sealnet_firmware::sim::Machine;

use super::support::*;
use crate::model_fixture::random_bytes;

/// A forged status may send a client's counter far up, but never to the end.
#[test]
fn a_counter_too_far_ahead_is_refused() {
    let (mut machine, mut client, _) = machine();
    struct Forger(u64, [u8; 16]);
    impl Link for Forger {
        fn exchange(&mut self, _: &[u8]) -> std::io::Result<Vec<u8>> {
            let mut payload = [0; 123];
            payload[20] = 2;
            payload[25..33].copy_from_slice(&self.0.to_le_bytes());
            payload[105..121].copy_from_slice(&self.1);
            Ok(frame(Kind::Status, &payload))
        }
    }
    let known = nonce(&machine);
    let mut device = machine.boot(SILENT);
    let mut misled = stranger_to_0001();
    misled.status(&mut Forger(u64::MAX, known)).unwrap();
    let request = misled.seal(&[0; 784]).unwrap();
    assert_eq!(request.counter, u64::MAX);
    assert_eq!(
        refusal(&mut device, &request.frame).code,
        RefusalCode::Replay
    );
    let mut misled = stranger_to_0001();
    misled.status(&mut Forger(MAX_REQUEST_STEP, known)).unwrap();
    assert!(misled.infer(&mut device, &[0; 784]).is_err());
    client.infer(&mut device, &[0; 784]).unwrap();
    // A forged nonce costs a request, no more: it is refused, and the client asks again.
    let mut misled = stranger_to_0001();
    misled.status(&mut Forger(0, [7; 16])).unwrap();
    let refused = misled.infer(&mut device, &[0; 784]).unwrap_err();
    assert!(
        matches!(refused, ClientError::Refused(refusal) if refusal.code == RefusalCode::Provisioning),
        "{refused}"
    );
    misled.infer(&mut device, &[0; 784]).unwrap();
}

#[test]
fn forged_requests_are_refused_and_change_nothing() {
    let (mut machine, mut client, _) = machine();
    let known = nonce(&machine);
    let mut short = client_of_0001(&machine);
    let mut device = machine.boot(SILENT);
    let request = client.seal(&[1; 784]).unwrap();
    let token = frames(&request.frame).remove(0).1;
    for byte in 0..token.len() {
        let mut forged = token.clone();
        forged[byte] ^= 0x10;
        let refused = refusal(&mut device, &frame(Kind::Request, &forged));
        assert_eq!(
            refused,
            Refusal {
                code: RefusalCode::Unauthentic,
                highest_counter: 0
            },
            "byte {byte}"
        );
    }
    for len in 0..token.len() {
        let refused = refusal(&mut device, &frame(Kind::Request, &token[..len]));
        assert_eq!(refused.code, RefusalCode::Unauthentic, "length {len}");
    }
    let mut stranger = identity(&ed25519());
    stranger.wire = FernetKey::from_bytes([77; 32]);
    let mut stranger = Client::new(&stranger);
    stranger.expect_provisioning(known);
    let stranger = stranger.seal(&[1; 784]).unwrap();
    assert_eq!(
        refusal(&mut device, &stranger.frame).code,
        RefusalCode::Unauthentic
    );

    // Sealed with the wire key, but malformed, or for another network.
    let sealed = |plaintext: &[u8]| {
        let mut token = vec![0; binary_len(plaintext.len())];
        encrypt(
            &FernetKey::from_bytes([31; 32]),
            0,
            Iv::from_bytes([1; 16]),
            plaintext,
            &mut token,
        )
        .unwrap();
        frame(Kind::Request, &token)
    };
    let mut plaintext = [0; 32 + 784];
    plaintext[..16].copy_from_slice(&[2, 1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0x10, 3, 0, 0]);
    plaintext[16..32].copy_from_slice(&known);
    let malformed = [(0, 1), (1, 1), (2, 1), (3, 1), (12, 4), (15, 4)];
    for (offset, code) in malformed.into_iter().chain((16..32).map(|at| (at, 6))) {
        let mut wrong = plaintext;
        wrong[offset] ^= 2;
        assert_eq!(
            refusal(&mut device, &sealed(&wrong)).code as u8,
            code,
            "offset {offset}"
        );
    }
    assert_eq!(
        refusal(&mut device, &sealed(&[])).code,
        RefusalCode::BadFrame
    );
    assert_eq!(
        refusal(&mut device, &short.seal(&[0; 783]).unwrap().frame).code,
        RefusalCode::Shape
    );
    assert_eq!(
        refusal(&mut device, &short.seal(&[]).unwrap().frame).code,
        RefusalCode::Shape
    );

    // None of it used up the counter.
    let response = device.exchange(&request.frame).unwrap();
    client.open(&request, &response).unwrap();
}

/// One key seals both directions; each end refuses what it sent itself.
#[test]
fn reflected_messages_are_refused_at_both_ends() {
    let (mut machine, mut client, _) = machine();
    let mut device = machine.boot(SILENT);
    let request = client.seal(&[1; 784]).unwrap();
    let response = device.exchange(&request.frame).unwrap();
    let reply = frames(&response).remove(0).1;
    assert_eq!(
        refusal(&mut device, &frame(Kind::Request, &reply)).code,
        RefusalCode::Unauthentic
    );
    assert_eq!(
        refusal(&mut device, &response).code,
        RefusalCode::BadFrame,
        "the frame as it was sent"
    );
    let token = frames(&request.frame).remove(0).1;
    let error = client
        .open(&request, &frame(Kind::Reply, &token))
        .unwrap_err();
    assert!(
        matches!(error, ClientError::Message(MessageError::Direction)) && error.is_verification(),
        "{error}"
    );
    let error = client.open(&request, &request.frame).unwrap_err();
    assert!(
        matches!(error, ClientError::Unexpected(Kind::Request)),
        "{error}"
    );
    // Neither end lost its step.
    client.open(&request, &response).unwrap();
    client.infer(&mut device, &[1; 784]).unwrap();
}

#[test]
fn the_device_is_in_step_after_garbage() {
    let (mut machine, mut client, _) = machine();
    let mut device = machine.boot(SILENT);
    let request = client.seal(&[1; 784]).unwrap();
    for len in 1..request.frame.len() - 1 {
        let refused = refusal(&mut device, &[&request.frame[..len], &[0]].concat());
        assert!(
            matches!(
                refused.code,
                RefusalCode::BadFrame | RefusalCode::Unauthentic
            ),
            "length {len}"
        );
    }
    let bad = [
        &[1, 0][..],
        &[2, 9, 0],
        &[2, 0x81, 0],
        &[3, 6, 1, 0],
        &[5, 1, 1, 0],
        &[0xFF; 5000],
        &[0],
    ];
    for bytes in bad {
        let response = device.exchange(bytes).unwrap();
        for (kind, payload) in frames(&response) {
            assert_eq!(kind, Kind::Refused);
            assert_eq!(
                Refusal::parse(&payload).unwrap().code,
                RefusalCode::BadFrame
            );
        }
    }
    assert!(
        device.exchange(&[0; 100]).unwrap().is_empty(),
        "zeros between frames"
    );
    // Byte by byte, and two frames at once.
    let (last, first) = request.frame.split_last().unwrap();
    for byte in first {
        assert!(device.exchange(&[*byte]).unwrap().is_empty());
    }
    let response = device.exchange(&[*last]).unwrap();
    client.open(&request, &response).unwrap();
    let pair = [
        client.seal(&[1; 784]).unwrap(),
        client.seal(&[2; 784]).unwrap(),
    ];
    let response = device
        .exchange(&[pair[0].frame.as_slice(), &pair[1].frame].concat())
        .unwrap();
    assert_eq!(
        frames(&response)
            .iter()
            .map(|(kind, _)| *kind)
            .collect::<Vec<_>>(),
        [Kind::Reply; 2]
    );
}

#[test]
fn changed_or_foreign_replies_are_refused_by_the_client() {
    let (mut machine, mut client, _) = machine();
    let mut device = machine.boot(SILENT);
    let request = client.seal(&[1; 784]).unwrap();
    let response = device.exchange(&request.frame).unwrap();
    let token = frames(&response).remove(0).1;
    for byte in 0..token.len() {
        let mut changed = token.clone();
        changed[byte] ^= 4;
        let error = client
            .open(&request, &frame(Kind::Reply, &changed))
            .unwrap_err();
        assert!(error.is_verification(), "byte {byte}: {error}");
    }
    let answer = client.open(&request, &response).unwrap();
    assert!(
        matches!(client.open(&request, &response), Err(ClientError::Stale)),
        "the same reply again"
    );
    let next = client.seal(&[1; 784]).unwrap();
    assert!(
        matches!(client.open(&next, &response), Err(ClientError::Receipt(_))),
        "the reply to another request"
    );
    let mut elsewhere = stranger_to_0001();
    elsewhere.expect_model([0; 64]);
    assert!(matches!(
        elsewhere.open(&request, &response),
        Err(ClientError::Model)
    ));

    // Each byte of the receipt, signature included.
    let keys = identity(&ed25519());
    let trusted = keys.receipt.trusted();
    let verified = UnverifiedReceipt::new(&answer.receipt_bytes)
        .verify(&trusted)
        .unwrap();
    assert_eq!(*verified.receipt(), answer.receipt);
    for byte in 0..answer.receipt_bytes.len() {
        let mut changed = answer.receipt_bytes;
        changed[byte] ^= 1;
        assert!(
            UnverifiedReceipt::new(&changed).verify(&trusted).is_err(),
            "byte {byte}"
        );
    }

    // Another device with the same wire key (which keygen never makes): its receipts give it away.
    let mut other = identity(&ed25519());
    other.device = DeviceName::new("0002").unwrap();
    for same_receipt_key in [true, false] {
        if !same_receipt_key {
            other.receipt = SigningKey::Hmac(HmacKey::from_bytes([34; 64]));
        }
        let mut machine =
            Machine::provision(&other, &Export::default().seal(&network(1)), 0).unwrap();
        let mut device = machine.boot(SILENT);
        let mut client = stranger_to_0001();
        let error = client.infer(&mut device, &[1; 784]).unwrap_err();
        assert_eq!(
            matches!(error, ClientError::Device(_)),
            same_receipt_key,
            "{error}"
        );
        assert!(error.is_verification());
    }
}

#[test]
fn a_device_may_sign_receipts_with_ed25519() {
    let mut identity = identity(&ed25519());
    identity.receipt = SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[44; 32]));
    let mut machine =
        Machine::provision(&identity, &Export::default().seal(&network(1)), 0).unwrap();
    let mut device = machine.boot(SILENT);
    let answer = Client::new(&identity)
        .infer(&mut device, &[0; 784])
        .unwrap();
    assert!(matches!(
        stranger_to_0001().infer(&mut device, &[0; 784]),
        Err(ClientError::Receipt(ReceiptError::Signature))
    ));
    UnverifiedReceipt::new(&answer.receipt_bytes)
        .verify(&identity.receipt.trusted())
        .unwrap();
}

#[test]
fn a_hundred_thousand_hostile_frames() {
    let (mut machine, mut client, model) = machine();
    let mut device = machine.boot(SILENT);
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let mut request = client.seal(&[7; 784]).unwrap();
    let mut refused = 0;
    for round in 0..100_000 {
        let mut bytes = request.frame.clone();
        mutate(&mut bytes, &mut rng);
        let response = device.exchange(&bytes).unwrap();
        for (kind, payload) in frames(&response) {
            match kind {
                Kind::Refused => refused += 1,
                Kind::Status => {}
                // Only if the mutation left the token itself as it was sealed.
                Kind::Reply => {
                    client
                        .open(&request, &frame(Kind::Reply, &payload))
                        .expect("a forgery was answered");
                    request = client.seal(&[7; 784]).unwrap();
                }
                other => panic!("{other:?} from a device"),
            }
        }
        if round % 5_000 == 0 {
            device.exchange(&[0]).unwrap();
            let features = random_bytes(784, round);
            assert!(
                client
                    .infer(&mut device, &features)
                    .unwrap()
                    .computed(&model.logits(&features))
            );
            request = client.seal(&[7; 784]).unwrap();
        }
    }
    assert!(refused > 50_000, "{refused} refusals");
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut ChaCha20Rng) {
    let mut below = |n: usize| rng.next_u32() as usize % n.max(1);
    for _ in 0..=below(3) {
        let (at, value, len) = (below(bytes.len()), below(256) as u8, bytes.len());
        match below(9) {
            0 => bytes[at] ^= 1 << (value % 8),
            1 => bytes[at] = value,
            2 => bytes.truncate(at + 1),
            3 => bytes.insert(at, value),
            4 => bytes.insert(at, 0),
            5 => drop(bytes.remove(at)),
            6 => bytes.extend_from_within(at..),
            7 => bytes.drain(..at).for_each(drop),
            _ => bytes[at..(at + 8).min(len)].fill(value),
        }
        if bytes.is_empty() {
            bytes.push(value);
        }
    }
}
