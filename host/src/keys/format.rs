//! What key files look like.

use std::io::Read;
use std::path::Path;

use base64ct::{Base64, Encoding};
use ed25519::pkcs8::spki::EncodePublicKey;
use ed25519::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes, PublicKeyBytes};
use pkcs8::LineEnding;
use sealnet_core::fernet::FernetKey;
use sealnet_core::sign::{Ed25519PublicKey, Ed25519SigningKey, HmacKey, TrustedKey};
use sealnet_firmware::keyfile;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::files;

/// Reads a file of Fernet keys, at least one.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Input`] when others can read it too or it holds
/// something else.
pub fn fernet_keys(path: &Path) -> Result<Vec<FernetKey>> {
    secret(path, keyfile::fernet_keys)
}

/// Reads an Ed25519 signing key: PEM, PKCS#8.
///
/// # Errors
/// As [`fernet_keys`].
pub fn signing_key(path: &Path) -> Result<Ed25519SigningKey> {
    // Text may come before it.
    let is_pem = |text: &[u8]| match text.windows(PEM_START.len()).any(|at| at == PEM_START) {
        true => Ok(Zeroizing::new(text.to_vec())),
        false => Err("it is not PEM text".to_owned()),
    };
    let pem = secret(path, is_pem)?;
    let text = std::str::from_utf8(&pem).map_err(|_| malformed(path, "it is not PEM text"))?;
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        return Err(Error::input(
            format!("{}: the key is protected by a passphrase", path.display()),
            "passphrases are not supported: keep the key as plain PKCS#8 with mode 0600",
        ));
    }
    let pair = KeypairBytes::from_pkcs8_pem(text)
        .map_err(|_| malformed(path, "it is not an Ed25519 private key in PEM (PKCS#8)"))?;
    let seed = Zeroizing::new(pair.secret_key);
    let key = Ed25519SigningKey::from_seed(&seed);
    match pair.public_key {
        Some(public) if public.0 != key.public().to_bytes() => Err(malformed(
            path,
            "its public half does not belong to its private half",
        )),
        _ => Ok(key),
    }
}

/// Reads an Ed25519 public key that is to be trusted: PEM, SPKI. Not a secret, but whoever can write it says
/// who is trusted.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Input`] when others can write it or it is something else.
pub fn trusted_key(path: &Path) -> Result<Ed25519PublicKey> {
    parsed_public(path, &files::read_trusted(path, MAX_KEY_FILE)?)
}

/// Reads an Ed25519 public key only to show it, whoever can write it.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Input`] when it is something else.
pub fn public_key(path: &Path) -> Result<Ed25519PublicKey> {
    parsed_public(path, &files::read_limited(path, MAX_KEY_FILE)?)
}

/// Reads a key that is to be trusted, of either scheme: an Ed25519 public key in PEM, else an HMAC-SHA-512 key.
///
/// # Errors
/// As [`trusted_key`] or [`hmac_key`].
pub fn verification_key(path: &Path) -> Result<TrustedKey> {
    // No more of it than tells which it is: it may be a secret.
    let mut start = Zeroizing::new([0; PEM_START.len()]);
    let (mut file, _) = files::open(path)?;
    match file.read_exact(start.as_mut_slice()) {
        Ok(()) if *start == *PEM_START => trusted_key(path).map(TrustedKey::Ed25519),
        _ => hmac_key(path).map(TrustedKey::Hmac),
    }
}

fn parsed_public(path: &Path, pem: &[u8]) -> Result<Ed25519PublicKey> {
    keyfile::ed25519_public(pem).map_err(|what| malformed(path, &what))
}

/// Reads an HMAC-SHA-512 key: 64 bytes in base64.
///
/// # Errors
/// As [`fernet_keys`].
pub fn hmac_key(path: &Path) -> Result<HmacKey> {
    Ok(HmacKey::from_bytes(*base64_secret(path)?))
}

/// Reads `N` secret bytes from one line of base64.
pub(super) fn base64_secret<const N: usize>(path: &Path) -> Result<Zeroizing<[u8; N]>> {
    secret(path, keyfile::base64_key)
}

/// What `parse` makes of a secret. Of a file that others can reach it is asked too: one that holds no key is told
/// for what it is, and not to be guarded.
fn secret<T>(path: &Path, parse: impl Fn(&[u8]) -> Result<T, String>) -> Result<T> {
    match files::read_secret(path, MAX_KEY_FILE) {
        Ok(text) => parse(&text).map_err(|what| malformed(path, &what)),
        Err(exposed @ Error::Input { .. }) => {
            let text = Zeroizing::new(files::read_limited(path, MAX_KEY_FILE)?);
            match parse(&text) {
                Ok(_) => Err(exposed),
                Err(what) => Err(malformed(path, &what)),
            }
        }
        Err(other) => Err(other),
    }
}

/// A line of base64.
pub(super) fn base64_text(secret: &[u8]) -> Zeroizing<String> {
    // Room for the line's end from the start: growing would leave a copy of the secret behind.
    let encoded = Zeroizing::new(Base64::encode_string(secret));
    let mut text = Zeroizing::new(String::with_capacity(encoded.len() + 1));
    text.push_str(&encoded);
    text.push('\n');
    text
}

/// A line with the key.
pub(super) fn fernet_text(key: &FernetKey) -> Zeroizing<Vec<u8>> {
    let encoded = key.encode();
    let mut text = Zeroizing::new(Vec::with_capacity(encoded.len() + 1));
    text.extend_from_slice(encoded.as_slice());
    text.push(b'\n');
    text
}

/// PKCS#8 version 1, as `openssl genpkey` writes it: without the public key, which OpenSSL 3.0 does not
/// read.
pub(super) fn signing_pem(key: &Ed25519SigningKey) -> Result<Zeroizing<String>> {
    let pair = KeypairBytes {
        secret_key: *key.to_seed(),
        public_key: None,
    };
    pair.to_pkcs8_pem(LineEnding::LF)
        .map_err(|e| Error::input(format!("cannot encode a signing key: {e}"), ""))
}

/// SPKI, as `openssl pkey -pubout` writes it.
pub(super) fn public_pem(key: &Ed25519PublicKey) -> Result<String> {
    PublicKeyBytes(key.to_bytes())
        .to_public_key_pem(LineEnding::LF)
        .map_err(|e| Error::input(format!("cannot encode a public key: {e}"), ""))
}

fn malformed(path: &Path, what: &str) -> Error {
    Error::input(
        format!("{}: {what}", path.display()),
        "restore the file from a copy, or make new keys in a new folder with sealnet keygen",
    )
}

/// How PEM begins (RFC 7468).
const PEM_START: &[u8; 11] = b"-----BEGIN ";
/// No key file comes near this.
const MAX_KEY_FILE: u64 = 64 << 10;
