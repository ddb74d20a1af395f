//! HMAC-SHA-512 (RFC 2104, FIPS 198-1; vectors in RFC 4231).

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{BadSignature, KeyId, KeyKind, Matched, Signature};
use crate::wire::copy;

/// A 64-byte HMAC-SHA-512 key, wiped when dropped.
#[derive(Clone)]
pub struct HmacKey(Zeroizing<[u8; 64]>);

impl HmacKey {
    /// Takes 64 random bytes. The copy that was passed is wiped.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; 64]) -> Self {
        let mut key = Self(Zeroizing::new([0; 64]));
        copy(key.0.as_mut_slice(), &bytes);
        bytes.zeroize();
        key
    }

    /// The key's bytes, to be written to a key file. Secret.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// The id that names this key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId::of(KeyKind::Hmac, self.0.as_slice())
    }

    pub(super) fn sign(&self, message: &[u8]) -> Signature {
        let mut mac = keyed_sha512(self.0.as_slice());
        mac.update(message);
        Signature(mac.finalize().into_bytes().into())
    }

    pub(super) fn verify(
        &self,
        message: &[u8],
        signature: &Signature,
    ) -> Result<Matched, BadSignature> {
        let mut mac = keyed_sha512(self.0.as_slice());
        mac.update(message);
        let tag = Zeroizing::new(<[u8; 64]>::from(mac.finalize().into_bytes()));
        // Compares in constant time.
        match tag.ct_eq(&signature.0).into() {
            true => Ok(Matched::of(&*tag, &signature.0)),
            false => Err(BadSignature),
        }
    }

    /// Signs bare bytes, without a domain: for published test vectors only.
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub fn sign_raw(&self, message: &[u8]) -> Signature {
        self.sign(message)
    }

    /// Verifies bare bytes, without a domain: for published test vectors only.
    ///
    /// # Errors
    /// [`BadSignature`] for any reason whatever.
    #[cfg(feature = "hazmat")]
    pub fn verify_raw(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        self.verify(message, signature)?;
        Ok(())
    }
}

impl ZeroizeOnDrop for HmacKey {}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey(..)")
    }
}

/// HMAC-SHA-512 ready to take a message. `key` is at most one block of 128 bytes; RFC 2104 fills it with
/// zeros, and so does this.
pub(crate) fn keyed_sha512(key: &[u8]) -> Hmac<Sha512> {
    debug_assert!(key.len() <= BLOCK);
    let mut block = Zeroizing::new([0; BLOCK]);
    copy(block.as_mut_slice(), key);
    Hmac::new((&*block).into())
}

/// Block length of SHA-512 in bytes (FIPS 180-4, figure 1).
const BLOCK: usize = 128;

/// What the primitive keeps of the key is wiped as well: without its `zeroize` feature this does not
/// compile. HMAC is a pair of hashes and wipes what they wipe.
const _: () = {
    const fn wiped_on_drop<T: ZeroizeOnDrop>() {}
    wiped_on_drop::<Sha512>();
};
