//! Fernet against Python's `cryptography`, both ways.

use base64ct::{Base64Url, Encoding};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sealnet_core::fernet::{self, FernetKey, Iv, Keyring, Ttl};
use sealnet_tests::Peer;
use serde_json::{Value, json};

#[test]
fn python_opens_what_we_seal() {
    let (mut peer, mut rng) = start(1);
    for plaintext in plaintexts(&mut rng) {
        let (key, text) = random_key(&mut rng);
        let token = seal(&key, SEALED_AT, &plaintext, &mut rng);
        let answer = peer.ask(
            &json!({"op": "decrypt", "keys": [text], "token": token, "ttl": 1, "now": SEALED_AT + 1}),
        );
        assert_eq!(answer, opened(&plaintext), "{} bytes", plaintext.len());
    }
}

#[test]
fn we_open_what_python_seals() {
    let (mut peer, mut rng) = start(2);
    for plaintext in plaintexts(&mut rng) {
        let (key, text) = random_key(&mut rng);
        let request = json!({
            "op": "encrypt", "key": text, "plaintext_hex": hex::encode(&plaintext), "time": SEALED_AT,
        });
        let mut token = token_of(&peer.ask(&request));
        let ttl = Ttl {
            seconds: 60,
            now: SEALED_AT + 60,
        };
        let opened = fernet::decrypt_text_in_place(&key, &mut token, Some(ttl)).unwrap();
        assert_eq!(opened.plaintext(), plaintext);
        assert_eq!(opened.timestamp(), SEALED_AT);
    }
}

#[test]
fn both_judge_time_alike() {
    let (mut peer, mut rng) = start(3);
    let (key, text) = random_key(&mut rng);
    let token = seal(&key, SEALED_AT, b"at the boundary", &mut rng);
    for seconds in [0, 1, 59, 60, 61, 3600] {
        for offset in (-62..=62).chain([3599, 3600, 3601]) {
            let now = SEALED_AT.checked_add_signed(offset).unwrap();
            let theirs = peer.ask(
                &json!({"op": "decrypt", "keys": [text], "token": token, "ttl": seconds, "now": now}),
            );
            let ttl = Some(Ttl { seconds, now });
            let mut ours = token.clone().into_bytes();
            let ours = fernet::decrypt_text_in_place(&key, &mut ours, ttl);
            assert_eq!(
                ours.is_ok(),
                theirs.get("error").is_none(),
                "ttl {seconds}, now {offset:+}"
            );
        }
    }
    // Without a TTL neither age nor a future time is judged.
    for sealed_at in [0, u64::from(u32::MAX), 1 << 40] {
        let token = seal(&key, sealed_at, b"no clock", &mut rng);
        let theirs = peer.ask(&json!({"op": "decrypt", "keys": [text], "token": token}));
        assert!(theirs.get("error").is_none());
        assert!(fernet::decrypt_text_in_place(&key, &mut token.into_bytes(), None).is_ok());
    }
}

#[test]
fn rotation_is_understood_both_ways() {
    let (mut peer, mut rng) = start(4);
    let (old, old_text) = random_key(&mut rng);
    let (new, new_text) = random_key(&mut rng);
    let token = seal(&old, SEALED_AT, b"rotate me", &mut rng);

    let request = json!({"op": "rotate", "keys": [new_text, old_text], "token": token});
    let mut theirs = token_of(&peer.ask(&request));
    let by_python = fernet::decrypt_text_in_place(&new, &mut theirs, None).unwrap();
    assert_eq!(by_python.plaintext(), b"rotate me");
    assert_eq!(by_python.timestamp(), SEALED_AT);

    let keys = [new, old];
    let keyring = Keyring::new(&keys).unwrap();
    let mut text = token.into_bytes();
    let binary = fernet::decode_text_in_place(&mut text).unwrap();
    let mut rotated = vec![0; binary.len()];
    let length = keyring
        .rotate(binary, Iv::random(&mut rng), &mut rotated)
        .unwrap();
    let rotated = Base64Url::encode_string(&rotated[..length]);
    // The time is the old one: a TTL of one second still holds a second after sealing.
    let answer = peer.ask(
        &json!({"op": "decrypt", "keys": [new_text], "token": rotated, "ttl": 1, "now": SEALED_AT + 1}),
    );
    assert_eq!(answer, opened(b"rotate me"));
}

#[test]
fn a_changed_token_is_refused_by_both() {
    let (mut peer, mut rng) = start(5);
    let (key, text) = random_key(&mut rng);
    let token = seal(&key, SEALED_AT, b"touched", &mut rng);
    for place in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        // Python passes over the unused bits of the last character and what follows it; we do not.
        if place + LENIENT_TAIL < token.len() {
            let theirs = peer.ask(&json!({"op": "decrypt", "keys": [text], "token": changed}));
            assert_eq!(theirs, json!({"error": "InvalidToken"}), "place {place}");
        }
        let ours = fernet::decrypt_text_in_place(&key, &mut changed.into_bytes(), None).is_err();
        assert!(ours, "place {place}");
    }
}

fn start(seed: u64) -> (Peer, ChaCha20Rng) {
    (
        Peer::start("fernet_peer.py"),
        ChaCha20Rng::seed_from_u64(seed),
    )
}

/// Lengths 0 to 64, a record of MNIST, 64 KiB and 1 MiB; then 1,000 of random length.
fn plaintexts(rng: &mut ChaCha20Rng) -> Vec<Vec<u8>> {
    let random: Vec<usize> = (0..1000)
        .map(|_| (rng.next_u32() % 2048) as usize)
        .collect();
    (0..=64)
        .chain([784, 65_536, 1 << 20])
        .chain(random)
        .map(|length| {
            let mut plaintext = vec![0; length];
            rng.fill_bytes(&mut plaintext);
            plaintext
        })
        .collect()
}

fn random_key(rng: &mut ChaCha20Rng) -> (FernetKey, String) {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    let key = FernetKey::from_bytes(bytes);
    let text = String::from_utf8(key.encode().to_vec()).unwrap();
    (key, text)
}

fn seal(key: &FernetKey, time: u64, plaintext: &[u8], rng: &mut ChaCha20Rng) -> String {
    let mut out = vec![0; fernet::text_len(fernet::binary_len(plaintext.len()))];
    let length = fernet::encrypt_text(key, time, Iv::random(rng), plaintext, &mut out).unwrap();
    out.truncate(length);
    String::from_utf8(out).unwrap()
}

fn token_of(answer: &Value) -> Vec<u8> {
    answer["token"].as_str().unwrap().as_bytes().to_vec()
}

fn opened(plaintext: &[u8]) -> Value {
    json!({"plaintext_hex": hex::encode(plaintext)})
}

const SEALED_AT: u64 = 1_700_000_000;

/// The last group of four characters.
const LENIENT_TAIL: usize = 4;
