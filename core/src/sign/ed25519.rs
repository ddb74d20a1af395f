//! Pure Ed25519 (RFC 8032, section 5.1), verified strictly.
//!
//! The point arithmetic is `curve25519-dalek`'s; the check itself stands here, since `ed25519-dalek`'s is kilobytes more
//! code on a Cortex-M: reductions modulo the group order by Montgomery multiplication, and SHA-512 through other traits.
//!
//! Strict means: the public key and the signature's point `R` are not of small order, `S` is below the
//! group order, every encoding is canonical, and the equation is checked without the cofactor. With that, nobody but
//! the signer can make another signature of a message from one, and a signature holds for one key and one message
//! alone (Chalkias, Garillot, Nikolaenko: "Taming the many EdDSAs", 2020).

use core::fmt;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
#[cfg(feature = "ed25519")]
use ed25519_dalek::Signer;
use ed25519_dalek::VerifyingKey;
#[cfg(feature = "ed25519")]
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::{BadSignature, KeyId, KeyKind, Matched, Signature, sha512};

/// An Ed25519 private key, wiped when dropped.
#[cfg(feature = "ed25519")]
#[derive(Clone)]
pub struct Ed25519SigningKey(ed25519_dalek::SigningKey);

#[cfg(feature = "ed25519")]
impl Ed25519SigningKey {
    /// Takes the 32-byte seed that RFC 8032 calls the private key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The seed, to be written to a key file. Secret.
    #[must_use]
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> Ed25519PublicKey {
        // Canonical and of large order: a clamped multiple of the base point.
        Ed25519PublicKey(self.0.verifying_key())
    }

    pub(super) fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }

    /// Signs bare bytes, without a domain: for published test vectors only.
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub fn sign_raw(&self, message: &[u8]) -> Signature {
        self.sign(message)
    }
}

#[cfg(feature = "ed25519")]
impl ZeroizeOnDrop for Ed25519SigningKey {}

#[cfg(feature = "ed25519")]
impl fmt::Debug for Ed25519SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519SigningKey(..)")
    }
}

/// An Ed25519 public key that is a canonical point of large order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ed25519PublicKey(VerifyingKey);

impl Ed25519PublicKey {
    /// Takes the 32 bytes of RFC 8032, section 5.1.2.
    ///
    /// # Errors
    /// [`BadPublicKey`] if they are not a point of the curve, not its canonical encoding, or a point of small
    /// order, under which one signature would verify for any message.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, BadPublicKey> {
        if !canonical_y(bytes) {
            return Err(BadPublicKey);
        }
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| BadPublicKey)?;
        // Small order also covers x = 0 with the sign bit set, the other encoding that is not canonical.
        if key.is_weak() {
            return Err(BadPublicKey);
        }
        Ok(Self(key))
    }

    /// The 32 bytes of RFC 8032, section 5.1.2.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The id that names this key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId::of(KeyKind::Ed25519, self.0.as_bytes())
    }

    /// RFC 8032, section 5.1.7, without the cofactor: `R = S B - k A`.
    pub(super) fn verify(
        &self,
        message: &[u8],
        signature: &Signature,
    ) -> Result<Matched, BadSignature> {
        let [r, s] = signature.0.as_chunks().0 else {
            return Err(BadSignature);
        };
        let point = CompressedEdwardsY(*r).decompress().ok_or(BadSignature)?;
        // `A` is not of small order either, which made it a key.
        if point.is_small_order() || !below_order(s) {
            return Err(BadSignature);
        }
        let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(
            &scalar(&challenge(r, self.0.as_bytes(), message)),
            &-self.0.to_edwards(),
            &scalar(s),
        );
        // Of encodings, so that an `R` that is not canonical is refused. Nothing here is secret.
        let expected = expected.compress();
        if expected.as_bytes() == r {
            Ok(Matched::of(expected.as_bytes(), r))
        } else {
            Err(BadSignature)
        }
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

impl fmt::Debug for Ed25519PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519PublicKey(")?;
        super::hex(f, self.0.as_bytes())?;
        f.write_str(")")
    }
}

/// The bytes are not a public key that may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BadPublicKey;

impl fmt::Display for BadPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a usable Ed25519 public key")
    }
}

impl core::error::Error for BadPublicKey {}

/// Whether the y coordinate is below p = 2^255 - 19, whose little-endian bytes are ed ff … ff 7f.
fn canonical_y(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    *low < 0xed || high & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
}

/// Whether a little-endian number is below the group's order (RFC 8032, section 5.1).
fn below_order(s: &[u8; 32]) -> bool {
    s.iter().rev().lt(ORDER.iter().rev())
}

/// `k = SHA-512(R ‖ A ‖ M)` modulo the group's order.
#[inline(never)] // what it takes of the stack is free again for the points
fn challenge(r: &[u8; 32], a: &[u8; 32], message: &[u8]) -> [u8; 32] {
    reduced(&sha512(&[r, a, message]))
}

/// A scalar of a number below the group's order, which the caller has made sure of: nothing is reduced here, as
/// `Scalar`'s other constructors do.
fn scalar(below_order: &[u8; 32]) -> Scalar {
    Scalar::from_bits(*below_order)
}

/// A little-endian number modulo the group's order, bit by bit.
///
/// For a signature's check alone, where nothing is secret: it takes other ways for other numbers.
/// `Scalar::from_bytes_mod_order_wide` gives the same and is faster, but its Montgomery multiplication is 2 kB of
/// code that a verifier has no other use for.
fn reduced(bytes: &[u8; 64]) -> [u8; 32] {
    let order = words(&ORDER);
    // Below the order, and so is twice that and one after at most one subtraction; 256 bits hold both.
    let mut sum = [0_u32; 8];
    for byte in bytes.iter().rev() {
        for bit in (0..u8::BITS).rev() {
            let mut carry = u32::from(byte >> bit) & 1;
            for word in &mut sum {
                let doubled = *word << 1 | carry;
                carry = *word >> 31;
                *word = doubled;
            }
            if sum.iter().rev().ge(order.iter().rev()) {
                let mut borrow = 0;
                for (word, order) in sum.iter_mut().zip(&order) {
                    let difference = i64::from(*word) - i64::from(*order) + borrow;
                    *word = difference as u32;
                    borrow = difference >> 32;
                }
            }
        }
    }
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(sum) {
        *bytes = word.to_le_bytes();
    }
    bytes
}

/// The words of a little-endian number.
fn words(bytes: &[u8; 32]) -> [u32; 8] {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

/// 2^252 + 27742317777372353535851937790883648493, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// What the crate keeps of the key is wiped as well. Without its `zeroize` feature this does not compile.
#[cfg(feature = "ed25519")]
const _: () = {
    const fn wiped_on_drop<T: ZeroizeOnDrop>() {}
    wiped_on_drop::<ed25519_dalek::SigningKey>();
};

#[cfg(test)]
mod tests {
    use curve25519_dalek::scalar::Scalar;

    use super::{BadPublicKey, Ed25519PublicKey, ORDER, reduced, scalar};
    use crate::sign::sha512;

    #[test]
    fn a_number_is_reduced_as_the_curves_crate_does() {
        let wide = |bytes: &[u8]| {
            let mut wide = [0; 64];
            wide[..bytes.len()].copy_from_slice(bytes);
            wide
        };
        let mut below = ORDER;
        below[0] -= 1;
        let mut above = ORDER;
        above[0] += 1;
        assert_eq!(reduced(&wide(&ORDER)), [0; 32]);
        assert_eq!(reduced(&wide(&below)), below);
        assert_eq!(reduced(&wide(&above))[..2], [1, 0]);
        let edges = [[0xff; 64], wide(&[0xff; 32]), wide(&[]), wide(&[7])];
        let digests = (0..200_u8).map(|number| sha512(&[&[number]]));
        for bytes in edges.into_iter().chain(digests) {
            let expected = Scalar::from_bytes_mod_order_wide(&bytes);
            assert_eq!(reduced(&bytes), expected.to_bytes());
            assert_eq!(scalar(&reduced(&bytes)), expected);
        }
    }

    #[test]
    fn weak_and_uncanonical_keys_are_refused() {
        // y = 1, the neutral element; y = 0, of order 4; y = -1, of order 2.
        let mut one = [0; 32];
        one[0] = 1;
        let mut minus_one = [0xff; 32];
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        for weak in [one, [0; 32], minus_one] {
            assert_eq!(Ed25519PublicKey::from_bytes(&weak), Err(BadPublicKey));
            let mut signed = weak;
            signed[31] |= 0x80;
            assert_eq!(Ed25519PublicKey::from_bytes(&signed), Err(BadPublicKey));
        }
        // Every y in p..2^255, with either sign: some of them decompress, none may pass.
        for low in 0xed..=0xff {
            for high in [0x7f, 0xff] {
                let mut bytes = [0xff; 32];
                bytes[0] = low;
                bytes[31] = high;
                assert_eq!(Ed25519PublicKey::from_bytes(&bytes), Err(BadPublicKey));
            }
        }
    }
}
