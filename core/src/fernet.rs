//! Fernet, to the letter of its public specification (<https://github.com/fernet/spec>, `Spec.md`).
//!
//! A token in its binary form, 73 bytes and the padded plaintext:
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 1 | version, `0x80` |
//! | 1 | 8 | timestamp, seconds since the Unix epoch, **big-endian** |
//! | 9 | 16 | IV |
//! | 25 | 16 n, n ≥ 1 | ciphertext: AES-128-CBC, PKCS#7 padding |
//! | 25 + 16 n | 32 | HMAC-SHA-256 over all before it |
//!
//! Its text form is base64url (RFC 4648, section 5) with padding. Only the canonical text is taken: no
//! whitespace, no other alphabet, no missing padding, and the unused bits of the last character zero.
//! (Python's decoder lets the first, second and last of these pass, so one token has many texts there.)
//!
//! Every way to decrypt checks form, MAC, time and padding first, in that order; not one byte of plaintext
//! exists before. Time is judged only when a [`Ttl`] is given, as Python's `cryptography` does. All
//! failures are the one [`FernetError::InvalidToken`].
//!
//! | to | use |
//! |---|---|
//! | encrypt into a buffer | [`encrypt`], [`encrypt_text`] |
//! | decrypt where the token lies in RAM | [`decrypt_in_place`], [`decrypt_text_in_place`] |
//! | decrypt a token that lies in flash, in pieces | [`VerifiedToken`] |
//! | hold several keys, change them | [`Keyring`] |
//!
//! Time and IV always come from the caller. An [`Iv`] can be drawn from a random source or derived from a
//! counter, but not made from bytes (outside test vectors, feature `hazmat`), and each is used once.

mod base64url;
mod cbc;
mod key;
mod keyring;
mod stream;
mod token;

use core::fmt;

pub use key::{DerivationKey, FERNET_KEY_TEXT_LEN, FernetKey, Iv, NONCE_LEN};
pub use keyring::Keyring;
pub use stream::{PlaintextReader, VerifiedToken};
pub(crate) use token::authenticate;
pub use token::{
    Decrypted, binary_len, decode_text_in_place, decrypt_in_place, decrypt_text_in_place,
    encode_text, encrypt, encrypt_text, text_len, untrusted_timestamp,
};

/// How far, in seconds, a token's time may lie ahead of ours when a [`Ttl`] is given.
pub const MAX_CLOCK_SKEW: u64 = 60;

/// How old a token may be, judged at a given time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// Time to live in seconds: a token of exactly this age is still valid.
    pub seconds: u64,
    /// The present in seconds since the Unix epoch.
    pub now: u64,
}

impl Ttl {
    /// Whether a token with this timestamp is valid. Saturation cannot change the answer: a sum beyond
    /// `u64::MAX` is not below any time, and neither is `u64::MAX`.
    pub(crate) const fn admits(self, timestamp: u64) -> bool {
        let expired = timestamp.saturating_add(self.seconds) < self.now;
        let from_the_future = self.now.saturating_add(MAX_CLOCK_SKEW) < timestamp;
        !expired && !from_the_future
    }
}

/// Why a key, a token or a buffer was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FernetError {
    /// The token is not valid under this key, or not valid at this time. Deliberately without detail: a
    /// reason would tell a forger how far they got.
    InvalidToken,
    /// The text is not a Fernet key: 44 characters of canonical base64url for 32 bytes.
    InvalidKey,
    /// The output buffer is too small; see [`binary_len`] and [`text_len`].
    BufferTooSmall,
    /// A keyring needs at least one key.
    EmptyKeyring,
}

impl fmt::Display for FernetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidToken => "invalid token, or not encrypted under this key",
            Self::InvalidKey => "not a Fernet key (44 characters of base64url)",
            Self::BufferTooSmall => "the output buffer is too small",
            Self::EmptyKeyring => "a keyring needs at least one key",
        })
    }
}

impl core::error::Error for FernetError {}
