//! Keys and initialisation vectors.

use core::fmt;

use aes::cipher::KeyInit;
use aes::{Aes128Dec, Aes128Enc};
use base64ct::{Base64Url, Encoding};
use hmac::{Hmac, Mac};
use rand_core::{CryptoRng, TryCryptoRng};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::FernetError;
use crate::sign::{KeyId, KeyKind, keyed_sha512};
use crate::wire::copy;

/// Length in characters of a Fernet key as text: 32 bytes in base64url with padding.
pub const FERNET_KEY_TEXT_LEN: usize = 44;

/// A Fernet key: 128 bits for HMAC-SHA-256, then 128 bits for AES. Wiped when dropped.
#[derive(Clone)]
pub struct FernetKey {
    signing: Zeroizing<[u8; 16]>,
    encryption: Zeroizing<[u8; 16]>,
}

impl FernetKey {
    /// Takes 32 random bytes. The copy that was passed is wiped.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
        let mut key = Self {
            signing: Zeroizing::new([0; 16]),
            encryption: Zeroizing::new([0; 16]),
        };
        let halves = key.signing.iter_mut().chain(key.encryption.iter_mut());
        for (to, from) in halves.zip(&bytes) {
            *to = *from;
        }
        bytes.zeroize();
        key
    }

    /// Reads a key as Python's `Fernet.generate_key()` prints it: base64url with padding, nothing around it.
    ///
    /// # Errors
    /// [`FernetError::InvalidKey`] unless the text is the canonical form of 32 bytes.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, FernetError> {
        let text: &[u8; FERNET_KEY_TEXT_LEN] = text
            .as_ref()
            .try_into()
            .map_err(|_| FernetError::InvalidKey)?;
        let mut bytes = Zeroizing::new([0; 32]);
        // Constant-time decoding: the text is the secret. It refuses what is not canonical.
        match Base64Url::decode(text, bytes.as_mut_slice()) {
            Ok(decoded) if decoded.len() == 32 => Ok(Self::from_bytes(*bytes)),
            _ => Err(FernetError::InvalidKey),
        }
    }

    /// The key's bytes, to be written where a device keeps its keys. Secret.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        let mut bytes = Zeroizing::new([0; 32]);
        let halves = self.signing.iter().chain(self.encryption.iter());
        for (to, from) in bytes.iter_mut().zip(halves) {
            *to = *from;
        }
        bytes
    }

    /// The key as text, to be written to a key file. Secret.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<[u8; FERNET_KEY_TEXT_LEN]> {
        let bytes = self.to_bytes();
        let mut text = Zeroizing::new([0; FERNET_KEY_TEXT_LEN]);
        let encoded = Base64Url::encode(bytes.as_slice(), text.as_mut_slice());
        debug_assert!(encoded.is_ok(), "44 characters hold 32 bytes");
        text
    }

    /// The id that names this key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId::of(KeyKind::Fernet, self.to_bytes().as_slice())
    }

    /// HMAC-SHA-256 over `signed`, ready to be output or compared.
    pub(super) fn mac(&self, signed: &[u8]) -> Hmac<Sha256> {
        // RFC 2104 fills a short key with zeros up to the block of 64 bytes.
        let mut block = Zeroizing::new([0; 64]);
        copy(block.as_mut_slice(), self.signing.as_slice());
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        mac.update(signed);
        mac
    }

    pub(super) fn encryptor(&self) -> Aes128Enc {
        Aes128Enc::new((&*self.encryption).into())
    }

    pub(super) fn decryptor(&self) -> Aes128Dec {
        Aes128Dec::new((&*self.encryption).into())
    }
}

impl ZeroizeOnDrop for FernetKey {}

impl fmt::Debug for FernetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FernetKey(..)")
    }
}

/// A device's own secret, from which it derives what it cannot draw at random. Wiped when dropped.
#[derive(Clone)]
pub struct DerivationKey(Zeroizing<[u8; 32]>);

impl DerivationKey {
    /// Takes 32 random bytes, made with the device's other keys. The copy that was passed is wiped.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
        let mut key = Self(Zeroizing::new([0; 32]));
        copy(key.0.as_mut_slice(), &bytes);
        bytes.zeroize();
        key
    }

    /// The secret's bytes, to be written to a key file. Secret.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ZeroizeOnDrop for DerivationKey {}

impl fmt::Debug for DerivationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivationKey(..)")
    }
}

/// An initialisation vector: unpredictable, and used for one token only. That is why it is neither `Copy`
/// nor `Clone`, and why encryption takes it by value.
#[derive(Debug)]
pub struct Iv([u8; 16]);

impl Iv {
    /// Draws one from a random source that cannot fail.
    #[must_use]
    pub fn random(source: &mut impl CryptoRng) -> Self {
        let mut iv = [0; 16];
        source.fill_bytes(&mut iv);
        Self(iv)
    }

    /// Draws one from a random source that can fail, such as the operating system's.
    ///
    /// # Errors
    /// The source's own error.
    pub fn try_random<R: TryCryptoRng>(source: &mut R) -> Result<Self, R::Error> {
        let mut iv = [0; 16];
        source.try_fill_bytes(&mut iv)?;
        Ok(Self(iv))
    }

    /// Derives one where there is no random source: the first 16 bytes of
    /// `HMAC-SHA-512(key, "sealnet/v1/reply-iv" ‖ 0x00 ‖ nonce ‖ boot ‖ message)`, counters little-endian.
    ///
    /// A PRF's output is as good as random to all who lack the key. It must not repeat: `nonce` is drawn
    /// each time the device is provisioned, `boot` rises with each start since, and `message` with each
    /// message of that start.
    #[must_use]
    pub fn derive(key: &DerivationKey, nonce: &[u8; NONCE_LEN], boot: u32, message: u64) -> Self {
        let mut mac = keyed_sha512(key.0.as_slice());
        mac.update(REPLY_IV_LABEL);
        mac.update(&[0]);
        mac.update(nonce);
        mac.update(&boot.to_le_bytes());
        mac.update(&message.to_le_bytes());
        let mut iv = [0; 16];
        copy(&mut iv, &mac.finalize().into_bytes());
        Self(iv)
    }

    /// Takes given bytes: for test vectors only. A repeated or predictable IV breaks secrecy.
    #[cfg(any(test, feature = "hazmat"))]
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Length in bytes of the nonce that [`Iv::derive`] takes.
pub const NONCE_LEN: usize = 16;

const REPLY_IV_LABEL: &[u8] = b"sealnet/v1/reply-iv";

/// What the primitives keep of a key is wiped as well: without their `zeroize` features this does not
/// compile. HMAC is a pair of hashes and wipes what they wipe.
const _: () = {
    const fn wiped_on_drop<T: ZeroizeOnDrop>() {}
    wiped_on_drop::<Sha256>();
    wiped_on_drop::<Aes128Dec>();
    wiped_on_drop::<cbc::Encryptor<Aes128Enc>>();
};

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn key_text_round_trips_and_only_the_canonical_form_is_read() {
        let text = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
        let key = FernetKey::parse(text).unwrap();
        assert_eq!(key.encode().as_slice(), text.as_bytes());
        assert_eq!(
            key.key_id(),
            FernetKey::parse(text.as_bytes()).unwrap().key_id()
        );

        let replaced = |from: &str, to: &str| text.replacen(from, to, 1);
        let mut bad: Vec<String> = [
            replaced("=", ""),        // no padding
            replaced("=", "=="),      // too much
            replaced("4=", "=="),     // 31 bytes
            replaced("=", "A"),       // 33 bytes
            replaced("4e4=", "4e5="), // the same bytes, unused bits set
            replaced("4e4=", "4e7="),
            replaced("_", "/"), // the standard alphabet
            replaced("-", "+"),
            replaced("cw", " w"),
            replaced("cw", "\nw"),
            replaced("=", "=\n"),
            replaced("cw", "é"), // two bytes of UTF-8
            replaced("cw_0", "c=_0"),
            String::new(),
        ]
        .into();
        bad.push(format!(" {text}"));
        for text in bad {
            assert_eq!(
                FernetKey::parse(&text).err(),
                Some(FernetError::InvalidKey),
                "{text:?}"
            );
        }
    }

    #[test]
    fn derived_ivs_differ_by_every_input() {
        let key = DerivationKey::from_bytes([1; 32]);
        let mut seen: Vec<[u8; 16]> = Vec::new();
        for nonce in [[0; 16], [1; 16]] {
            for boot in 0..8 {
                for message in 0..64 {
                    seen.push(Iv::derive(&key, &nonce, boot, message).0);
                }
            }
        }
        seen.push(Iv::derive(&DerivationKey::from_bytes([2; 32]), &[0; 16], 0, 0).0);
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn nothing_prints_a_secret() {
        assert_eq!(
            format!("{:?}", FernetKey::from_bytes([1; 32])),
            "FernetKey(..)"
        );
        assert_eq!(
            format!("{:?}", DerivationKey::from_bytes([1; 32])),
            "DerivationKey(..)"
        );
    }
}
