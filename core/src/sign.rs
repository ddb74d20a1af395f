//! Signatures: HMAC-SHA-512 and Ed25519, both 64 bytes, over the same message.
//!
//! What is signed is never the document itself but
//!
//! ```text
//! domain label ‖ 0x00 ‖ SHA-512(exact bytes)
//! ```
//!
//! so that a signature over one kind of document can never stand for another, a large file is read once,
//! and `openssl pkeyutl -verify -rawin` can check an Ed25519 signature from the same few bytes. Ed25519 is
//! the pure form of RFC 8032 (no prehash variant), verified strictly. HMAC-SHA-512 is RFC 2104 with a
//! 64-byte key, for devices that are short of flash.
//!
//! The verifier's key fixes the scheme: [`TrustedKey`] is one or the other, and nothing that a document
//! says about itself can change which check is made.
//!
//! A key id is the first 8 bytes of `SHA-512("sealnet/v1/key-id" ‖ 0x00 ‖ kind ‖ key bytes)` with kind 1
//! for HMAC keys, 2 for Ed25519 (the public key's bytes), 3 for Fernet keys, 4 for record-tag keys. It
//! names a key; it proves nothing.

mod domain;
mod hmac512;

#[cfg(feature = "ed25519-verify")]
mod ed25519;

use core::fmt;
use core::hint::black_box;

use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;

pub use domain::{Domain, Message};
#[cfg(feature = "ed25519")]
pub use ed25519::Ed25519SigningKey;
#[cfg(feature = "ed25519-verify")]
pub use ed25519::{BadPublicKey, Ed25519PublicKey};
pub use hmac512::HmacKey;
pub(crate) use hmac512::keyed_sha512;

use crate::wire::copy;

/// Length in bytes of a signature of either scheme.
pub const SIGNATURE_LEN: usize = 64;

/// A SHA-512 digest (FIPS 180-4).
pub type Digest512 = [u8; 64];

/// SHA-512 of the concatenation of `parts`.
#[must_use]
pub fn sha512(parts: &[&[u8]]) -> Digest512 {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    finish512(hash)
}

/// The digest of what was hashed. Once in the image, and not wherever something is hashed.
#[inline(never)]
pub(crate) fn finish512(hash: Sha512) -> Digest512 {
    hash.finalize().into()
}

/// How a document is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Scheme {
    /// HMAC-SHA-512 (RFC 2104, FIPS 198-1) with a 64-byte key.
    HmacSha512 = 1,
    /// Pure Ed25519 (RFC 8032).
    Ed25519 = 2,
}

impl TryFrom<u8> for Scheme {
    type Error = UnknownScheme;

    fn try_from(value: u8) -> Result<Self, UnknownScheme> {
        match value {
            1 => Ok(Self::HmacSha512),
            2 => Ok(Self::Ed25519),
            other => Err(UnknownScheme(other)),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmacSha512 => "hmac-sha512",
            Self::Ed25519 => "ed25519",
        })
    }
}

/// A scheme number that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UnknownScheme(pub u8);

impl fmt::Display for UnknownScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown signature scheme {}", self.0)
    }
}

impl core::error::Error for UnknownScheme {}

/// A signature of either scheme, not yet verified. Compared in constant time: an HMAC is a secret until it
/// has been sent.
#[derive(Clone, Copy)]
pub struct Signature([u8; SIGNATURE_LEN]);

impl Signature {
    /// Takes the 64 bytes as they were stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SIGNATURE_LEN]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes to store.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; SIGNATURE_LEN] {
        self.0
    }
}

impl PartialEq for Signature {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Signature {}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(")?;
        hex(f, &self.0)?;
        f.write_str(")")
    }
}

/// Names a key without revealing it: shown as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 8]);

#[cfg(feature = "defmt")]
impl defmt::Format for KeyId {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=[u8; 8]:02x}", self.0);
    }
}

impl KeyId {
    /// Takes the 8 bytes as they were stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The 8 bytes to store.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; 8] {
        self.0
    }

    #[inline(never)]
    pub(crate) fn of(kind: KeyKind, key: &[u8]) -> Self {
        let digest = sha512(&[KEY_ID_LABEL, &[0, kind as u8], key]);
        let mut id = [0; 8];
        copy(&mut id, &digest);
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Separates the ids of keys of different kinds.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum KeyKind {
    Hmac = 1,
    #[cfg(feature = "ed25519-verify")]
    Ed25519 = 2,
    Fernet = 3,
    RecordTag = 4,
}

/// A key that signs. Secret.
#[derive(Clone, Debug)]
pub enum SigningKey {
    /// Signs with HMAC-SHA-512; who can verify can also sign.
    Hmac(HmacKey),
    /// Signs with Ed25519.
    #[cfg(feature = "ed25519")]
    Ed25519(Ed25519SigningKey),
}

impl SigningKey {
    /// The scheme of this key.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        match self {
            Self::Hmac(_) => Scheme::HmacSha512,
            #[cfg(feature = "ed25519")]
            Self::Ed25519(_) => Scheme::Ed25519,
        }
    }

    /// The id of this key, equal to that of [`SigningKey::trusted`].
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        match self {
            Self::Hmac(key) => key.key_id(),
            #[cfg(feature = "ed25519")]
            Self::Ed25519(key) => key.public().key_id(),
        }
    }

    /// Signs the concatenation of `parts` as a document of kind `domain`.
    #[must_use]
    pub fn sign(&self, domain: Domain, parts: &[&[u8]]) -> Signature {
        let message = Message::new(domain, parts);
        match self {
            Self::Hmac(key) => key.sign(message.bytes()),
            #[cfg(feature = "ed25519")]
            Self::Ed25519(key) => key.sign(message.bytes()),
        }
    }

    /// The key with which a verifier checks this key's signatures: for Ed25519 the public half, for HMAC the
    /// same secret.
    #[must_use]
    pub fn trusted(&self) -> TrustedKey {
        match self {
            Self::Hmac(key) => TrustedKey::Hmac(key.clone()),
            #[cfg(feature = "ed25519")]
            Self::Ed25519(key) => TrustedKey::Ed25519(key.public()),
        }
    }
}

/// A key whose signatures are believed. It fixes the scheme.
#[derive(Clone, Debug)]
pub enum TrustedKey {
    /// Checks HMAC-SHA-512.
    Hmac(HmacKey),
    /// Checks Ed25519, strictly.
    #[cfg(feature = "ed25519-verify")]
    Ed25519(Ed25519PublicKey),
}

impl TrustedKey {
    /// The scheme of this key.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        match self {
            Self::Hmac(_) => Scheme::HmacSha512,
            #[cfg(feature = "ed25519-verify")]
            Self::Ed25519(_) => Scheme::Ed25519,
        }
    }

    /// The id of this key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        match self {
            Self::Hmac(key) => key.key_id(),
            #[cfg(feature = "ed25519-verify")]
            Self::Ed25519(key) => key.key_id(),
        }
    }

    /// Checks that `signature` is this key's over exactly `bytes` as a document of kind `domain`, and
    /// returns the proof that carries those bytes: parse what the proof holds, not what was read before.
    ///
    /// # Errors
    /// [`BadSignature`] for any reason whatever.
    pub fn verify<'a>(
        &self,
        domain: Domain,
        bytes: &'a [u8],
        signature: &Signature,
    ) -> Result<Authentic<'a>, BadSignature> {
        self.verify_parts(domain, &[bytes], signature)?;
        Ok(Authentic { bytes })
    }

    /// The same check over the concatenation of `parts`, where the caller builds the proof.
    ///
    /// # Errors
    /// [`BadSignature`] for any reason whatever.
    pub fn verify_parts(
        &self,
        domain: Domain,
        parts: &[&[u8]],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        self.verify_message(&Message::new(domain, parts), signature)?;
        Ok(())
    }

    /// The same check of a document that was hashed before: a device that has been made to skip one check by a
    /// glitch is to make another. What it returns tells the device more than that nothing was wrong.
    ///
    /// # Errors
    /// [`BadSignature`] for any reason whatever.
    pub fn verify_message(
        &self,
        message: &Message,
        signature: &Signature,
    ) -> Result<Matched, BadSignature> {
        match self {
            Self::Hmac(key) => key.verify(message.bytes(), signature),
            #[cfg(feature = "ed25519-verify")]
            Self::Ed25519(key) => key.verify(message.bytes(), signature),
        }
    }
}

/// A number made of what was compared. Code that a fault has thrown past a comparison, into what follows a success,
/// has another one than a success gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched(u32);

impl Matched {
    /// What a success gives.
    pub const NUMBER: u32 = 0x1E87_4B2D;

    /// Of two values that are said to be equal. In constant time.
    fn of(found: &[u8], expected: &[u8]) -> Self {
        let pairs = found.iter().zip(expected);
        let difference = pairs.fold(0, |all, (found, expected)| all | (found ^ expected));
        Self(Self::NUMBER.wrapping_add(black_box(difference).into()))
    }

    /// The same, and that `condition` held. The compiler, which knows that it did, does not know that it is asked.
    pub(crate) fn and(self, condition: bool) -> Self {
        Self(self.0.wrapping_add(black_box(!condition).into()))
    }

    /// The number, to be compared with [`NUMBER`](Self::NUMBER).
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// Bytes whose signature has been verified. Only [`TrustedKey::verify`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Authentic<'a> {
    bytes: &'a [u8],
}

impl<'a> Authentic<'a> {
    /// The bytes that were verified.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// The signature is not this key's over these bytes in this domain. Deliberately without detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature does not verify")
    }
}

impl core::error::Error for BadSignature {}

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

const KEY_ID_LABEL: &[u8] = b"sealnet/v1/key-id";

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;
    use std::vec::Vec;

    use super::*;

    fn keys() -> Vec<SigningKey> {
        std::vec![
            SigningKey::Hmac(HmacKey::from_bytes([7; 64])),
            #[cfg(feature = "ed25519")]
            SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[9; 32])),
        ]
    }

    #[test]
    fn signs_and_verifies_only_in_its_domain() {
        for key in keys() {
            let trusted = key.trusted();
            assert_eq!(key.key_id(), trusted.key_id());
            assert_eq!(key.scheme(), trusted.scheme());
            for &domain in Domain::ALL {
                let signature = key.sign(domain, &[b"docu", b"", b"ment"]);
                for &other in Domain::ALL {
                    let verified = trusted.verify(other, b"document", &signature);
                    assert_eq!(verified.is_ok(), domain == other);
                    if let Ok(authentic) = verified {
                        assert_eq!(authentic.bytes(), b"document");
                    }
                }
            }
        }
    }

    #[test]
    fn every_bit_of_document_and_signature_counts() {
        for key in keys() {
            let trusted = key.trusted();
            let document = *b"a short document";
            let signature = key.sign(Domain::Model, &[&document]);
            for bit in 0..document.len() * 8 {
                let mut changed = document;
                changed[bit / 8] ^= 1 << (bit % 8);
                let refused = trusted.verify(Domain::Model, &changed, &signature);
                assert_eq!(refused.err(), Some(BadSignature));
            }
            for bit in 0..SIGNATURE_LEN * 8 {
                let mut changed = signature.to_bytes();
                changed[bit / 8] ^= 1 << (bit % 8);
                let changed = Signature::from_bytes(changed);
                assert!(trusted.verify(Domain::Model, &document, &changed).is_err());
            }
        }
    }

    #[test]
    fn a_scheme_never_verifies_with_another_schemes_key() {
        let keys = keys();
        for (i, signer) in keys.iter().enumerate() {
            let signature = signer.sign(Domain::Manifest, &[b"x"]);
            for (j, verifier) in keys.iter().enumerate() {
                let verified = verifier
                    .trusted()
                    .verify(Domain::Manifest, b"x", &signature);
                assert_eq!(verified.is_ok(), i == j);
            }
        }
    }

    #[test]
    fn nothing_prints_a_secret() {
        let key = SigningKey::Hmac(HmacKey::from_bytes([0x5a; 64]));
        for text in [std::format!("{key:?}"), std::format!("{:?}", key.trusted())] {
            assert_eq!(text, "Hmac(HmacKey(..))");
        }
        assert_eq!(key.key_id().to_string().len(), 16);
        assert_eq!(Scheme::try_from(3), Err(UnknownScheme(3)));
        assert_eq!(Scheme::try_from(2), Ok(Scheme::Ed25519));
    }
}
