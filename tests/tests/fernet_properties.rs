//! Fernet where single vectors cannot reach: every bit, every length, every second of a boundary.

mod fernet_support;

use base64ct::{Base64, Base64Url, Encoding};
use fernet_support::{mac, open_binary, open_text, read_all, text_token, token};
use proptest::prelude::*;
use sealnet_core::fernet::{
    self, FernetError, FernetKey, Iv, Keyring, MAX_CLOCK_SKEW, Ttl, VerifiedToken,
};

const KEY_BYTES: [u8; 32] = *b"sixteen to sign and 16 to hide..";

fn key() -> FernetKey {
    FernetKey::from_bytes(KEY_BYTES)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 37 + i / 251) as u8).collect()
}

#[test]
fn a_ttl_ends_after_its_last_second_and_skew_after_sixty() {
    let made = 1_700_000_000;
    let token = token(&key(), made, 1, b"timed");
    let valid = |now, seconds| open_binary(&key(), &token, Some(Ttl { seconds, now })).is_some();

    for seconds in [0, 1, 60, 3600] {
        assert!(
            valid(made + seconds, seconds),
            "still valid at the age of exactly its TTL"
        );
        assert!(
            !valid(made + seconds + 1, seconds),
            "expired a second later"
        );
    }
    assert!(
        valid(made - MAX_CLOCK_SKEW, 10),
        "60 seconds ahead of our clock"
    );
    assert!(!valid(made - MAX_CLOCK_SKEW - 1, 10), "61 seconds ahead");
    assert!(
        !valid(0, u64::MAX),
        "a large TTL does not excuse the future"
    );
    assert!(valid(made, u64::MAX), "no overflow");
    assert!(!valid(u64::MAX, 10), "no overflow");
    assert!(
        open_binary(&key(), &token, None).is_some(),
        "without a TTL time is data"
    );
}

#[test]
fn times_at_the_ends_of_u64_do_not_wrap() {
    for made in [0, u64::MAX] {
        let token = token(&key(), made, 2, b"");
        let opened = open_binary(&key(), &token, None);
        assert_eq!(opened, Some((vec![], made)));
        assert_eq!(fernet::untrusted_timestamp(&token), Ok(made));
        let valid =
            |now, seconds| open_binary(&key(), &token, Some(Ttl { seconds, now })).is_some();
        assert!(valid(made, 0));
        assert!(valid(made, u64::MAX));
        assert_eq!(valid(0, u64::MAX), made == 0);
        assert_eq!(valid(u64::MAX, 0), made == u64::MAX);
        assert_eq!(valid(u64::MAX - MAX_CLOCK_SKEW, 0), made == u64::MAX);
        assert!(!valid(u64::MAX - MAX_CLOCK_SKEW - 1, 0));
    }
}

#[test]
fn every_single_bit_flip_is_refused_in_both_forms() {
    for len in [0, 1, 15, 16, 17, 100] {
        let plaintext = bytes(len);
        let binary = token(&key(), 42, 3, &plaintext);
        let text = text_token(&key(), 42, 3, &plaintext);
        assert_eq!(open_text(&key(), &text, None), Some((plaintext, 42)));
        for bit in 0..binary.len() * 8 {
            let changed = flip(&binary, bit);
            assert_eq!(
                open_binary(&key(), &changed, None),
                None,
                "binary bit {bit}"
            );
        }
        for bit in 0..text.len() * 8 {
            let changed = flip(&text, bit);
            assert_eq!(open_text(&key(), &changed, None), None, "text bit {bit}");
        }
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let binary = token(&key(), 42, 4, &bytes(50));
    let text = text_token(&key(), 42, 4, &bytes(50));
    for len in 0..binary.len() {
        assert_eq!(open_binary(&key(), &binary[..len], None), None);
        assert_eq!(
            open_binary(&key(), &binary[binary.len() - len..], None),
            None
        );
    }
    for len in 0..text.len() {
        assert_eq!(open_text(&key(), &text[..len], None), None);
        assert_eq!(open_text(&key(), &text[text.len() - len..], None), None);
    }
    for more in 1..=48 {
        for filler in [0, b'A', b'=', 0x80] {
            let longer = [binary.clone(), vec![filler; more]].concat();
            assert_eq!(open_binary(&key(), &longer, None), None);
            let longer = [text.clone(), vec![filler; more]].concat();
            assert_eq!(open_text(&key(), &longer, None), None);
        }
    }
}

#[test]
fn every_key_but_the_right_one_is_refused() {
    let binary = token(&key(), 42, 5, b"for one key only");
    for bit in 0..16 * 8 {
        let mut other = KEY_BYTES;
        other[bit / 8] ^= 1 << (bit % 8);
        let other = FernetKey::from_bytes(other);
        assert_eq!(open_binary(&other, &binary, None), None);
        assert_ne!(other.key_id(), key().key_id());
    }
}

/// A token with a MAC that is right and a padding that is not can only come from someone who holds the
/// signing half of the key. All 256 values of the last byte over every possible rest.
#[test]
fn only_a_whole_padding_is_accepted() {
    for last in 0..=255_u8 {
        let own_rest = |i: usize| 15 - i < usize::from(last);
        for (wrong_at, right) in (0..16).map(|i| (Some(i), false)).chain([(None, true)]) {
            let mut block = [0xee; 16];
            for (i, byte) in block.iter_mut().enumerate() {
                if own_rest(i) && wrong_at != Some(i) {
                    *byte = last;
                }
            }
            block[15] = last;
            let harmless = wrong_at.is_some_and(|i| !own_rest(i) || i == 15);
            let valid = (1..=16).contains(&last) && (right || harmless);
            let opened = open_binary(&key(), &with_last_block(block), None);
            assert_eq!(
                opened.is_some(),
                valid,
                "last byte {last}, wrong at {wrong_at:?}"
            );
            if let Some((plaintext, _)) = opened {
                assert_eq!(plaintext.len(), 32 - usize::from(last));
            }
        }
    }
}

/// Two blocks of plaintext, the second as given, encrypted as they are and with a right MAC. Decrypting a
/// token of two blocks tells which ciphertext stands for the second one: CBC lets us choose the block
/// before it, at the price of the first block's plaintext.
fn with_last_block(wanted: [u8; 16]) -> Vec<u8> {
    // 31 bytes: the second block is 15 bytes and 0x01.
    let known: [u8; 16] = [[0x11; 15].as_slice(), &[1]]
        .concat()
        .try_into()
        .expect("16 bytes");
    let mut token = token(
        &key(),
        42,
        6,
        &[[0x22; 16].as_slice(), &known[..15]].concat(),
    );
    for (byte, (known, wanted)) in token[25..41].iter_mut().zip(known.iter().zip(wanted)) {
        *byte ^= known ^ wanted;
    }
    let signed = token.len() - 32;
    let tag = mac(&KEY_BYTES[..16], &token[..signed]);
    token[signed..].copy_from_slice(&tag);
    token
}

#[test]
fn malformed_base64_of_every_kind_is_refused() {
    // Binary tokens of 73, 89 and 105 bytes: two, one and no characters of padding.
    for (len, padding) in [(0, 2), (16, 1), (32, 0)] {
        let good = String::from_utf8(text_token(&key(), 42, 7, &bytes(len))).expect("ASCII");
        assert_eq!(good.bytes().filter(|c| *c == b'=').count(), padding);
        assert!(open_text(&key(), good.as_bytes(), None).is_some());
        let bare = good.trim_end_matches('=');

        let mut bad: Vec<Vec<u8>> = (0..5)
            .filter(|n| *n != padding)
            .map(|n| format!("{bare}{}", "=".repeat(n)).into_bytes())
            .collect();
        bad.push(format!("={good}").into_bytes());
        bad.push(b"====".to_vec());
        // The unused bits of the last character, each way to set them.
        let last = ALPHABET
            .iter()
            .position(|c| bare.as_bytes().last() == Some(c));
        let last = last.expect("a token ends in a character of the alphabet");
        for unused in 1..1 << (2 * padding) {
            let mut text = good.clone().into_bytes();
            text[bare.len() - 1] = ALPHABET[last | unused];
            assert_ne!(text, good.as_bytes());
            bad.push(text);
        }
        // A foreign byte in place of, before, after and between any of them.
        for at in 0..=good.len() {
            for foreign in [
                b' ', b'\t', b'\n', b'\r', 0, b'=', b'+', b'/', b'.', b'%', 0x80, 0xff,
            ] {
                let mut text = good.clone().into_bytes();
                text.insert(at, foreign);
                bad.push(text.clone());
                text.remove((at + 1) % (good.len() + 1));
                if text != good.as_bytes() {
                    bad.push(text);
                }
            }
        }
        bad.push(format!("{good}\n").into_bytes());
        bad.push(format!("{good}\r\n").into_bytes());
        bad.push([b"\xef\xbb\xbf", good.as_bytes()].concat());
        for text in bad {
            let shown = String::from_utf8_lossy(&text).into_owned();
            assert_eq!(open_text(&key(), &text, None), None, "{shown:?}");
        }
    }
}

#[test]
fn the_standard_alphabet_is_refused() {
    let mut tried = 0;
    for seed in 0..50 {
        let binary = token(&key(), 42, seed, &bytes(30));
        let mut text = vec![0; fernet::text_len(binary.len())];
        let text = Base64::encode(&binary, &mut text).expect("the length is right");
        if text.contains(['+', '/']) {
            assert_eq!(open_text(&key(), text.as_bytes(), None), None);
            tried += 1;
        }
    }
    assert!(
        tried > 40,
        "only {tried} tokens have a character that tells the alphabets apart"
    );
}

#[test]
fn rotation_keeps_timestamp_and_plaintext_and_changes_the_rest() {
    let new = FernetKey::from_bytes([8; 32]);
    let keys = [new.clone(), key()];
    let keyring = Keyring::new(&keys).expect("not empty");
    assert_eq!(keyring.primary().key_id(), new.key_id());
    for len in 0..=100 {
        let plaintext = bytes(len);
        let old = token(&key(), 1234, 9, &plaintext);
        let mut rotated = vec![0; old.len()];
        let written = keyring.rotate(&old, Iv::from_bytes([10; 16]), &mut rotated);
        assert_eq!(written, Ok(old.len()));
        assert_eq!(
            rotated,
            token(&new, 1234, 10, &plaintext),
            "as if it had been made so"
        );
        assert_eq!(
            open_binary(&new, &rotated, None),
            Some((plaintext.clone(), 1234))
        );
        assert_eq!(open_binary(&key(), &rotated, None), None);

        let mut text = text_token(&key(), 1234, 9, &plaintext);
        let done = keyring.rotate_text_in_place(&mut text, Iv::from_bytes([10; 16]));
        assert_eq!(done, Ok(()));
        assert_eq!(text, text_token(&new, 1234, 10, &plaintext));
    }
}

#[test]
fn rotation_refuses_what_no_key_opens() {
    let keys = [FernetKey::from_bytes([8; 32])];
    let keyring = Keyring::new(&keys).expect("not empty");
    let old = token(&key(), 1234, 9, b"x");
    let mut out = vec![0; old.len()];
    let refused = keyring.rotate(&old, Iv::from_bytes([0; 16]), &mut out);
    assert_eq!(refused, Err(FernetError::InvalidToken));
    assert_eq!(out, vec![0; old.len()], "nothing is written");
    let mut text = text_token(&key(), 1234, 9, b"x");
    let refused = keyring.rotate_text_in_place(&mut text, Iv::from_bytes([0; 16]));
    assert_eq!(refused, Err(FernetError::InvalidToken));

    let own = token(&keys[0], 1234, 9, b"x");
    let short = keyring.rotate(&own, Iv::from_bytes([0; 16]), &mut out[1..]);
    assert_eq!(short, Err(FernetError::BufferTooSmall));
    assert_eq!(Keyring::new(&[]).err(), Some(FernetError::EmptyKeyring));
}

#[test]
fn streaming_equals_decryption_in_place_for_all_lengths_and_pieces() {
    for len in 0..=300 {
        let plaintext = bytes(len);
        let token = token(&key(), 42, 11, &plaintext);
        assert_eq!(
            open_binary(&key(), &token, None),
            Some((plaintext.clone(), 42))
        );
        let verified = VerifiedToken::verify(&key(), &token, None).expect("it is valid");
        assert_eq!(verified.plaintext_len(), len);
        for piece in 1..=len + 17 {
            assert_eq!(
                read_all(verified.reader(), piece),
                plaintext,
                "{len} by {piece}"
            );
        }
        for position in (0..=len + 17).chain([usize::MAX]) {
            let rest = &plaintext[position.min(len)..];
            let reader = verified.reader_at(position);
            assert_eq!(reader.remaining(), rest.len());
            for piece in [1, 15, 16, 33] {
                let read = read_all(verified.reader_at(position), piece);
                assert_eq!(read, rest, "{len} from {position} by {piece}");
            }
        }
        let mut out = vec![0xaa; len + 5];
        assert_eq!(verified.decrypt_into(&mut out).expect("it fits"), plaintext);
        assert_eq!(
            out[len..],
            [0xaa; 5],
            "nothing is written beyond the plaintext"
        );
        if len > 0 {
            let short = verified.decrypt_into(&mut out[..len - 1]);
            assert_eq!(short.err(), Some(FernetError::BufferTooSmall));
        }
    }
}

#[test]
fn a_short_buffer_is_an_error_and_stays_untouched() {
    for len in 0..=50 {
        let plaintext = bytes(len);
        let binary = fernet::binary_len(len);
        for room in 0..binary {
            let mut out = vec![0xaa; room];
            let iv = Iv::from_bytes([0; 16]);
            let refused = fernet::encrypt(&key(), 0, iv, &plaintext, &mut out);
            assert_eq!(refused, Err(FernetError::BufferTooSmall));
            assert!(out.iter().all(|byte| *byte == 0xaa));
        }
        for room in 0..fernet::text_len(binary) {
            let mut out = vec![0xaa; room];
            let iv = Iv::from_bytes([0; 16]);
            let refused = fernet::encrypt_text(&key(), 0, iv, &plaintext, &mut out);
            assert_eq!(refused, Err(FernetError::BufferTooSmall));
            assert!(out.iter().all(|byte| *byte == 0xaa));
        }
    }
}

proptest! {
    #[test]
    fn what_is_encrypted_is_decrypted(
        secret: [u8; 32],
        time: u64,
        iv: [u8; 16],
        plaintext in prop::collection::vec(any::<u8>(), 0..3000),
        pieces in prop::collection::vec(0..200_usize, 1..20),
    ) {
        let key = FernetKey::from_bytes(secret);
        let mut text = vec![0; fernet::text_len(fernet::binary_len(plaintext.len()))];
        let len = fernet::encrypt_text(&key, time, Iv::from_bytes(iv), &plaintext, &mut text);
        prop_assert_eq!(len, Ok(text.len()));
        prop_assert_eq!(open_text(&key, &text, None), Some((plaintext.clone(), time)));

        let mut buffer = text.clone();
        let binary = fernet::decode_text_in_place(&mut buffer).expect("it is canonical");
        let mut again = vec![0; text.len()];
        prop_assert_eq!(Base64Url::encode(binary, &mut again).expect("same length").as_bytes(), &text);

        let verified = VerifiedToken::verify(&key, binary, None).expect("it is valid");
        let mut reader = verified.reader();
        let mut read = Vec::new();
        for piece in pieces.iter().cycle().take(10_000) {
            let mut part = vec![0; *piece];
            let n = reader.read(&mut part);
            read.extend_from_slice(&part[..n]);
        }
        prop_assert!(plaintext.starts_with(&read));
        prop_assert_eq!(read.len() + reader.remaining(), plaintext.len());
    }

    #[test]
    fn noise_is_never_a_token(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(open_binary(&key(), &noise, None), None);
        prop_assert_eq!(open_text(&key(), &noise, None), None);
    }

    #[test]
    fn text_is_taken_only_in_canonical_form(text in "[A-Za-z0-9_=-]{0,120}") {
        let mut buffer = text.clone().into_bytes();
        if let Ok(binary) = fernet::decode_text_in_place(&mut buffer) {
            let mut again = vec![0; text.len()];
            let again = Base64Url::encode(binary, &mut again).expect("same length");
            prop_assert_eq!(again, text);
        }
    }

    #[test]
    fn a_key_has_one_text(secret: [u8; 32], at in 0..44_usize, c: u8) {
        let key = FernetKey::from_bytes(secret);
        let mut text = *key.encode();
        prop_assert_eq!(FernetKey::parse(text).expect("its own text").key_id(), key.key_id());
        let original = std::mem::replace(&mut text[at], c);
        if let Ok(other) = FernetKey::parse(text) {
            prop_assert_eq!(*other.encode(), text);
            prop_assert_eq!(other.key_id() == key.key_id(), original == c);
        }
    }
}

fn flip(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[bit / 8] ^= 1 << (bit % 8);
    changed
}

/// RFC 4648, table 2.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
