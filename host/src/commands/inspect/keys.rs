//! Key files: what they are and the ids of their keys, never the keys.

use std::path::Path;

use base64ct::{Base64, Encoding};
use sealnet::error::{Error, Result};
use sealnet::keys;
use sealnet_core::fernet::FernetKey;
use sealnet_core::sign::TrustedKey;

use super::Report;

/// A PEM file of an Ed25519 key.
pub(super) fn pem(path: &Path, bytes: &[u8]) -> Option<Result<Report>> {
    if !bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return None;
    }
    if contains(bytes, b"PRIVATE KEY-----") {
        // Read as the commands read it: a key that others can reach is refused here as well.
        return Some(keys::signing_key(path).map(|key| {
            Report::new("signing-key", "an Ed25519 private key (secret)")
                .claim("key id", key.public().key_id().to_string())
                .claim("public key", hex::encode(key.public().to_bytes()))
        }));
    }
    if contains(bytes, b"-----BEGIN PUBLIC KEY-----") {
        return Some(keys::public_key(path).map(|key| {
            Report::new("public-key", "an Ed25519 public key")
                .claim("key id", TrustedKey::Ed25519(key).key_id().to_string())
                .claim("public key", hex::encode(key.to_bytes()))
        }));
    }
    Some(Err(Error::input(
        format!("{} is PEM, but not a key", path.display()),
        "Ed25519 keys are read: PKCS#8 private and SPKI public ones",
    )))
}

/// A file of Fernet keys.
pub(super) fn fernet_keys(path: &Path, bytes: &[u8]) -> Option<Result<Report>> {
    if bytes.len() > MAX_KEY_FILE {
        return None;
    }
    let mut lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    lines.find(|line| FernetKey::parse(line).is_ok())?;
    Some(keys::fernet_keys(path).map(|keys| {
        let ids: Vec<_> = keys.iter().map(|key| key.key_id().to_string()).collect();
        Report::new("fernet-keys", "Fernet keys (secret); the first encrypts").claim("key ids", ids)
    }))
}

/// A key of 32 or 64 bytes in one line of base64.
pub(super) fn base64_secret(_path: &Path, bytes: &[u8]) -> Option<Result<Report>> {
    let mut key = zeroize::Zeroizing::new([0; 64]);
    let length = Base64::decode(bytes.trim_ascii(), key.as_mut_slice())
        .ok()?
        .len();
    let what = match length {
        64 => "a key of 64 bytes (secret): for HMAC-SHA-512",
        32 => "a key of 32 bytes (secret): a device's",
        _ => return None,
    };
    Some(Ok(Report::new("secret", what).claim("bytes", length)))
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// As in the library's own reader.
const MAX_KEY_FILE: usize = 64 << 10;
