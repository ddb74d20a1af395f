//! Records: their bytes, the tag that binds them (H0 when sealed, H1 when opened), Merkle hashing.
//!
//! The plaintext of a vault's token, little-endian:
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 8 | index in the data set, from 0 |
//! | 8 | 2 | label |
//! | 10 | n | features, one byte each in version 1 |
//! | 10 + n | 64 | tag |
//!
//! The paper (section 3.1.1) appends to each record the SHA-512 of its features and label, H0, and
//! compares it after decryption with H1, computed from the record without looking at H0 (section 3.1.2).
//! That binds a record to itself only: whoever holds the Fernet key can make another, and records can
//! change places. Here the tag's input names the place as well,
//!
//! ```text
//! "sealnet/v1/record" ‖ 0x00 ‖ dataset id[16] ‖ index u64 ‖ label u16
//!                     ‖ feature type u8 ‖ feature count u32 ‖ features
//! ```
//!
//! and the default scheme is HMAC-SHA-512 under a key that the storage never sees. Every field before the
//! features has a fixed length, so two different records never give the same input.

pub mod merkle;

use core::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha512;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::sign::{self, KeyId, KeyKind, keyed_sha512};
use crate::wire::{Reader, WireError, Writer, copy};

/// Length in bytes of a record's tag.
pub const TAG_LEN: usize = 64;

/// How many bytes longer an encoded record is than its features.
pub const RECORD_OVERHEAD: usize = 8 + 2 + TAG_LEN;

/// Names a data set: 16 random bytes, chosen when it is first sealed. Shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatasetId([u8; 16]);

impl DatasetId {
    /// Takes the 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for DatasetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        sign::hex(f, &self.0)
    }
}

impl fmt::Debug for DatasetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatasetId({self})")
    }
}

/// What one feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum FeatureType {
    /// An unsigned byte, such as a pixel.
    U8 = 1,
}

impl TryFrom<u8> for FeatureType {
    type Error = UnknownFeatureType;

    fn try_from(value: u8) -> Result<Self, UnknownFeatureType> {
        match value {
            1 => Ok(Self::U8),
            other => Err(UnknownFeatureType(other)),
        }
    }
}

/// A feature type that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UnknownFeatureType(pub u8);

impl fmt::Display for UnknownFeatureType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown feature type {}", self.0)
    }
}

impl core::error::Error for UnknownFeatureType {}

/// One record, borrowed from where its features lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Place in the data set, from 0.
    pub index: u64,
    /// Class, from 0.
    pub label: u16,
    /// Features in the data set's order, one byte each.
    pub features: &'a [u8],
}

/// Writes a record and its tag to the start of `out`; returns the length,
/// `features.len() + `[`RECORD_OVERHEAD`].
///
/// # Errors
/// [`WireError::NoSpace`] if `out` is too short; what was written by then is unspecified.
pub fn encode(record: &Record<'_>, tag: &Tag, out: &mut [u8]) -> Result<usize, WireError> {
    let mut writer = Writer::new(out);
    writer.u64(record.index)?;
    writer.u16(record.label)?;
    writer.bytes(record.features)?;
    writer.bytes(&tag.0)?;
    Ok(writer.position())
}

/// Takes an encoded record apart. Everything between label and tag is features: the caller knows how many
/// there must be. The tag is not checked here, see [`Tagger::verify`].
///
/// # Errors
/// [`WireError::Truncated`] if `bytes` are fewer than [`RECORD_OVERHEAD`].
pub fn decode(bytes: &[u8]) -> Result<(Record<'_>, Tag), WireError> {
    let feature_count = bytes
        .len()
        .checked_sub(RECORD_OVERHEAD)
        .ok_or(WireError::Truncated)?;
    let mut reader = Reader::new(bytes);
    let record = Record {
        index: reader.u64()?,
        label: reader.u16()?,
        features: reader.bytes(feature_count)?,
    };
    let tag = Tag(reader.array()?);
    reader.finish()?;
    Ok((record, tag))
}

/// A record's tag, H0 or H1. Compared in constant time.
#[derive(Clone, Copy)]
pub struct Tag([u8; TAG_LEN]);

impl Tag {
    /// Takes the 64 bytes as they were stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; TAG_LEN]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes to store.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; TAG_LEN] {
        self.0
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Tag {}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(")?;
        sign::hex(f, &self.0)?;
        f.write_str(")")
    }
}

/// How tags are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TagScheme {
    /// SHA-512 without a key, as the paper has it: whoever can encrypt can forge.
    Sha512 = 1,
    /// HMAC-SHA-512 under a key that the storage never sees.
    HmacSha512 = 2,
}

impl TagScheme {
    /// The name in manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha512 => "sha512",
            Self::HmacSha512 => "hmac-sha512",
        }
    }
}

impl fmt::Display for TagScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A record-tag key. Wiped when dropped.
#[derive(Clone)]
pub struct TagKey {
    bytes: Zeroizing<[u8; 64]>,
    /// The key already absorbed: a quarter of the work for a record of one kilobyte.
    keyed: Hmac<Sha512>,
}

impl TagKey {
    /// Takes 64 random bytes. The copy that was passed is wiped.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; 64]) -> Self {
        let mut key = Self {
            keyed: keyed_sha512(&bytes),
            bytes: Zeroizing::new([0; 64]),
        };
        copy(key.bytes.as_mut_slice(), &bytes);
        bytes.zeroize();
        key
    }

    /// The key's bytes, to be written to a key file. Secret.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.bytes
    }

    /// The id that names this key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId::of(KeyKind::RecordTag, self.bytes.as_slice())
    }
}

impl ZeroizeOnDrop for TagKey {}

impl fmt::Debug for TagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TagKey(..)")
    }
}

/// Makes and checks tags of one scheme.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one exists a run, and core has no allocator to box with"
)]
pub enum Tagger {
    /// SHA-512 without a key.
    Sha512,
    /// HMAC-SHA-512.
    HmacSha512(TagKey),
}

impl Tagger {
    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> TagScheme {
        match self {
            Self::Sha512 => TagScheme::Sha512,
            Self::HmacSha512(_) => TagScheme::HmacSha512,
        }
    }

    /// Computes the tag from data set id, index, label and features alone.
    #[must_use]
    pub fn tag(&self, dataset: &DatasetId, record: &Record<'_>) -> Tag {
        // A count beyond u32 saturates: the features end the input, so it stays unambiguous.
        let count = u32::try_from(record.features.len()).unwrap_or(u32::MAX);
        let parts: [&[u8]; 8] = [
            RECORD_LABEL,
            &[0],
            &dataset.0,
            &record.index.to_le_bytes(),
            &record.label.to_le_bytes(),
            &[FeatureType::U8 as u8],
            &count.to_le_bytes(),
            record.features,
        ];
        Tag(match self {
            Self::Sha512 => sign::sha512(&parts),
            Self::HmacSha512(key) => {
                let mut mac = key.keyed.clone();
                parts.iter().for_each(|part| mac.update(part));
                mac.finalize().into_bytes().into()
            }
        })
    }

    /// Computes the tag anew (H1), without using `tag` (H0), and compares the two in constant time.
    ///
    /// # Errors
    /// [`TagMismatch`] if data set, place, label or features are not those that were tagged.
    pub fn verify(
        &self,
        dataset: &DatasetId,
        record: &Record<'_>,
        tag: &Tag,
    ) -> Result<(), TagMismatch> {
        if self.tag(dataset, record) == *tag {
            Ok(())
        } else {
            Err(TagMismatch)
        }
    }
}

/// A record is not what was tagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagMismatch;

impl fmt::Display for TagMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the record's tag does not match (H1 differs from H0)")
    }
}

impl core::error::Error for TagMismatch {}

const RECORD_LABEL: &[u8] = b"sealnet/v1/record";
