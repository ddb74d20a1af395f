//! What the Fernet tests share: one call that asks every entry point and demands one answer.

use hmac::{Hmac, KeyInit, Mac};
use sealnet_core::fernet::{
    self, FernetError, FernetKey, Iv, Keyring, PlaintextReader, Ttl, VerifiedToken,
};
use sha2::Sha256;

/// Plaintext and timestamp.
pub(crate) type Opened = (Vec<u8>, u64);

/// Decrypts a token in text form through every entry point there is; all must agree.
pub(crate) fn open_text(key: &FernetKey, text: &[u8], ttl: Option<Ttl>) -> Option<Opened> {
    let mut buffer = text.to_vec();
    let in_place = owned(fernet::decrypt_text_in_place(key, &mut buffer, ttl));

    let mut buffer = text.to_vec();
    let keys = [other_key(), key.clone()];
    let keyring = Keyring::new(&keys).expect("not empty");
    let by_keyring = owned(keyring.decrypt_text_in_place(&mut buffer, ttl));
    assert_eq!(by_keyring, in_place, "the keyring judges as its keys do");

    let mut buffer = text.to_vec();
    let binary = fernet::decode_text_in_place(&mut buffer).map(|binary| binary.to_vec());
    let in_two_steps = binary
        .ok()
        .and_then(|binary| open_binary(key, &binary, ttl));
    assert_eq!(
        in_two_steps, in_place,
        "text and binary form are judged alike"
    );
    in_place
}

/// Decrypts a token in binary form through every entry point there is; all must agree.
pub(crate) fn open_binary(key: &FernetKey, token: &[u8], ttl: Option<Ttl>) -> Option<Opened> {
    let mut buffer = token.to_vec();
    let in_place = owned(fernet::decrypt_in_place(key, &mut buffer, ttl));
    if in_place.is_none() {
        assert_eq!(buffer, token, "a refused token is left as it was");
    }

    let keys = [other_key(), other_key(), key.clone()];
    let keyring = Keyring::new(&keys).expect("not empty");
    let mut buffer = token.to_vec();
    let by_keyring = owned(keyring.decrypt_in_place(&mut buffer, ttl));
    assert_eq!(by_keyring, in_place, "the keyring judges as its keys do");

    for verified in [
        VerifiedToken::verify(key, token, ttl),
        keyring.verify(token, ttl),
    ] {
        let streamed = match verified {
            Ok(verified) => Some((read_all(verified.reader(), 7), verified.timestamp())),
            Err(error) => {
                assert_eq!(error, FernetError::InvalidToken, "one opaque error");
                None
            }
        };
        assert_eq!(
            streamed, in_place,
            "streaming judges as decryption in place does"
        );
    }
    in_place
}

/// Reads to the end in pieces of `piece` bytes.
pub(crate) fn read_all(mut reader: PlaintextReader<'_>, piece: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; piece];
    loop {
        let expected = reader.remaining().min(piece);
        let n = reader.read(&mut buffer);
        assert_eq!(n, expected, "a piece is full unless the plaintext ends");
        if n == 0 {
            return all;
        }
        all.extend_from_slice(&buffer[..n]);
    }
}

/// A binary token under an IV made from `seed`.
#[allow(dead_code, reason = "not every test binary needs it")]
pub(crate) fn token(key: &FernetKey, time: u64, seed: u8, plaintext: &[u8]) -> Vec<u8> {
    let mut out = vec![0; fernet::binary_len(plaintext.len())];
    let iv = Iv::from_bytes([seed; 16]);
    let len = fernet::encrypt(key, time, iv, plaintext, &mut out).expect("the length is right");
    assert_eq!(len, out.len());
    out
}

/// A token in text form under an IV made from `seed`.
#[allow(dead_code, reason = "not every test binary needs it")]
pub(crate) fn text_token(key: &FernetKey, time: u64, seed: u8, plaintext: &[u8]) -> Vec<u8> {
    let mut out = vec![0; fernet::text_len(fernet::binary_len(plaintext.len()))];
    let iv = Iv::from_bytes([seed; 16]);
    let len =
        fernet::encrypt_text(key, time, iv, plaintext, &mut out).expect("the length is right");
    assert_eq!(len, out.len());
    out
}

/// HMAC-SHA-256 by the crate alone, to build what our own encryption never would.
#[allow(dead_code, reason = "not every test binary needs it")]
pub(crate) fn mac(signing_key: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(signing_key).expect("any length is a key");
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

fn other_key() -> FernetKey {
    FernetKey::from_bytes([0xc3; 32])
}

fn owned(result: Result<fernet::Decrypted<'_>, FernetError>) -> Option<Opened> {
    match result {
        Ok(decrypted) => Some((decrypted.plaintext().to_vec(), decrypted.timestamp())),
        Err(error) => {
            assert_eq!(error, FernetError::InvalidToken, "one opaque error");
            None
        }
    }
}
