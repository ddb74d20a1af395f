//! The 256 bytes that say what a sealed model is; the table is in the [module docs](super).

use core::fmt;

use super::ArtefactError;
use super::section::ALIGNMENT;
use super::text::is_text;
use crate::fernet;
use crate::mlp::{Granularity, Quantisation, Shape, WeightType};
use crate::record::FeatureType;
use crate::sign::{Digest512, KeyId, SIGNATURE_LEN, Scheme};
use crate::wire::{Reader, WireError, Writer};

/// Length in bytes of the header.
pub const HEADER_LEN: usize = 256;
/// The format version that this code reads and writes.
pub const FORMAT_VERSION: u16 = 1;
/// Length in bytes of the longest name.
pub const NAME_LEN: usize = 32;

/// What a sealed model says about itself.
///
/// It is worth what it was obtained from: [`Sealed::untrusted_header`] gives out what the file
/// claims, [`Verified::header`] what the publisher signed.
///
/// [`Sealed::untrusted_header`]: super::Sealed::untrusted_header
/// [`Verified::header`]: super::Verified::header
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How it is signed.
    pub scheme: Scheme,
    /// Whether the body is encrypted, and with which key.
    pub encoding: BodyEncoding,
    /// Who signed it.
    pub signing_key: KeyId,
    /// Rises with each model that must not be rolled back.
    pub security_counter: u32,
    /// Widths from input to output.
    pub shape: Shape,
    /// How fine the weights are, and one requantisation factor a layer or one an output.
    pub quantisation: Quantisation,
    /// What a feature is.
    pub feature_type: FeatureType,
    /// Length in bytes of the body as stored.
    pub body_len: u32,
    /// Length in bytes of the body's plaintext.
    pub plaintext_len: u32,
    /// Where the weights come from.
    pub provenance: Provenance,
    /// SHA-512 of the body's plaintext.
    pub model_digest: Digest512,
    /// When it was sealed, seconds since the Unix epoch.
    pub created: u64,
    /// For people.
    pub name: Name,
}

/// How the body is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEncoding {
    /// As it is, for execution in place.
    Clear,
    /// As one Fernet token in binary form.
    Fernet {
        /// The id of the model key.
        key: KeyId,
    },
}

/// Where the weights come from. The digest is SHA-512 of the training receipt's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// A receipt vouches for them, over sealed and verified data.
    SealedData(Digest512),
    /// A receipt vouches for them, over data that was not sealed.
    UnsealedData(Digest512),
    /// Nothing vouches for them.
    Unverified,
}

/// A model's name: at most 32 bytes of UTF-8 without control characters. It may be empty.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name([u8; NAME_LEN]);

impl Name {
    /// Takes a name; `None` if it is longer than 32 bytes or holds a control character.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; NAME_LEN];
        bytes.get_mut(..name.len())?;
        for (to, from) in bytes.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        Self::from_bytes(bytes)
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Checked when it was made; an empty string is never reached.
        core::str::from_utf8(Self::text(&self.0)).unwrap_or_default()
    }

    /// Reads a name that is padded with zeros.
    fn from_bytes(bytes: [u8; NAME_LEN]) -> Option<Self> {
        // A zero inside the text is a control character too.
        is_text(Self::text(&bytes)).then_some(Self(bytes))
    }

    /// What is not padding.
    fn text(bytes: &[u8; NAME_LEN]) -> &[u8] {
        let end = bytes.iter().rposition(|&b| b != 0);
        end.and_then(|last| bytes.get(..=last)).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({:?})", self.as_str())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Header {
    /// Reads the header at the start of `file` and checks every field, and that the lengths it
    /// states are exactly the file's.
    // A function of its own: where it is inlined, a large struct is copied field by field.
    #[inline(never)]
    pub(super) fn parse(file: &[u8]) -> Result<Self, ArtefactError> {
        let mut r = Reader::new(file);
        if r.array()? != MAGIC {
            return Err(ArtefactError::Magic);
        }
        match r.u16()? {
            FORMAT_VERSION => {}
            other => return Err(ArtefactError::Version(other)),
        }
        // The rest at its offsets, which the compiler checks against the length.
        let (header, after_header) = file.split_first_chunk().ok_or(ArtefactError::Truncated)?;
        let f = Fields(header);
        let scheme = Scheme::try_from(f.u8::<10>()).map_err(|e| ArtefactError::Scheme(e.0))?;
        let encoding = f.u8::<11>();
        if encoding != CLEAR && encoding != FERNET {
            return Err(ArtefactError::Encoding(encoding));
        }
        match f.u32::<12>() {
            0 => {}
            flags => return Err(ArtefactError::Flags(flags)),
        }
        let encoding = match (encoding, *f.array::<24, 8>()) {
            (CLEAR, NO_KEY) => BodyEncoding::Clear,
            (FERNET, id) if id != NO_KEY => BodyEncoding::Fernet {
                key: KeyId::from_bytes(id),
            },
            _ => return Err(ArtefactError::ModelKeyField),
        };
        let shape = Shape::new(f.u16::<36>(), f.u16::<38>(), f.u16::<40>(), f.u16::<42>())
            .map_err(|_| ArtefactError::ZeroWidth)?;
        let weights = match f.u8::<44>() {
            #[cfg(feature = "int8")]
            INT8 => WeightType::Int8,
            #[cfg(feature = "int4")]
            INT4 => WeightType::Int4,
            other if matches!(other, INT8 | INT4) => {
                return Err(ArtefactError::UnsupportedWeightType(other));
            }
            other => return Err(ArtefactError::WeightType(other)),
        };
        let granularity = match f.u8::<45>() {
            1 => Granularity::PerTensor,
            2 => Granularity::PerOutput,
            other => return Err(ArtefactError::Granularity(other)),
        };
        match f.u8::<46>() {
            HALF_UP => {}
            other => return Err(ArtefactError::Rounding(other)),
        }
        let feature_type =
            FeatureType::try_from(f.u8::<47>()).map_err(|e| ArtefactError::FeatureType(e.0))?;
        match f.u32::<48>() {
            len if len as usize == HEADER_LEN => {}
            other => return Err(ArtefactError::HeaderLength(other)),
        }
        let receipt = f.array::<128, 64>();
        let vouched = !all_zero(receipt);
        let provenance = match (f.u8::<60>(), vouched) {
            (UNVERIFIED, false) => Provenance::Unverified,
            (SEALED_DATA, true) => Provenance::SealedData(*receipt),
            (UNSEALED_DATA, true) => Provenance::UnsealedData(*receipt),
            (SEALED_DATA..=UNVERIFIED, _) => return Err(ArtefactError::ReceiptDigest),
            (other, _) => return Err(ArtefactError::Provenance(other)),
        };
        reserved::<61>(f.array::<61, 3>())?;
        let name = Name::from_bytes(*f.array::<200, NAME_LEN>()).ok_or(ArtefactError::Name)?;
        reserved::<232>(f.array::<232, 24>())?;
        let header = Self {
            scheme,
            encoding,
            signing_key: KeyId::from_bytes(*f.array::<16, 8>()),
            security_counter: f.u32::<32>(),
            shape,
            quantisation: Quantisation {
                weights,
                granularity,
            },
            feature_type,
            body_len: f.u32::<52>(),
            plaintext_len: f.u32::<56>(),
            provenance,
            model_digest: *f.array::<64, 64>(),
            created: u64::from_le_bytes(*f.array::<192, 8>()),
            name,
        };
        header.check_lengths(after_header.len())?;
        Ok(header)
    }

    /// `after_header` is the number of bytes that follow the header.
    fn check_lengths(&self, after_header: usize) -> Result<(), ArtefactError> {
        let body = self.body_len as usize;
        match after_header.checked_sub(SIGNATURE_LEN) {
            Some(stored) if stored == body => {}
            Some(stored) if stored > body => return Err(ArtefactError::TrailingBytes),
            _ => return Err(ArtefactError::Truncated),
        }
        // A plaintext is whole sections, each padded, and never longer than what stores it, so
        // `binary_len` cannot overflow.
        let plaintext = self.plaintext_len as usize;
        let agrees = plaintext <= body
            && plaintext.is_multiple_of(ALIGNMENT)
            && match self.encoding {
                BodyEncoding::Clear => body == plaintext,
                BodyEncoding::Fernet { .. } => body == fernet::binary_len(plaintext),
            };
        if !agrees {
            return Err(ArtefactError::PlaintextLength {
                body: self.body_len,
                plaintext: self.plaintext_len,
            });
        }
        Ok(())
    }

    /// Writes the 256 bytes.
    pub(super) fn write(&self, w: &mut Writer<'_>) -> Result<(), WireError> {
        let (encoding, model_key) = match self.encoding {
            BodyEncoding::Clear => (CLEAR, NO_KEY),
            BodyEncoding::Fernet { key } => (FERNET, key.to_bytes()),
        };
        let (provenance, receipt) = match self.provenance {
            Provenance::SealedData(digest) => (SEALED_DATA, digest),
            Provenance::UnsealedData(digest) => (UNSEALED_DATA, digest),
            Provenance::Unverified => (UNVERIFIED, NO_DIGEST),
        };
        w.bytes(&MAGIC)?;
        w.u16(FORMAT_VERSION)?;
        w.u8(self.scheme as u8)?;
        w.u8(encoding)?;
        w.u32(0)?;
        w.bytes(&self.signing_key.to_bytes())?;
        w.bytes(&model_key)?;
        w.u32(self.security_counter)?;
        for width in self.shape.widths() {
            w.u16(width)?;
        }
        w.u8(self.quantisation.weights.code())?;
        w.u8(self.quantisation.granularity as u8)?;
        w.u8(HALF_UP)?;
        w.u8(self.feature_type as u8)?;
        w.u32(HEADER_LEN as u32)?;
        w.u32(self.body_len)?;
        w.u32(self.plaintext_len)?;
        w.u8(provenance)?;
        w.zeros(3)?;
        w.bytes(&self.model_digest)?;
        w.bytes(&receipt)?;
        w.u64(self.created)?;
        w.bytes(&self.name.0)?;
        w.zeros(24)
    }
}

/// Bytes at an `OFFSET` that must be zero.
fn reserved<const OFFSET: u16>(bytes: &[u8]) -> Result<(), ArtefactError> {
    if all_zero(bytes) {
        Ok(())
    } else {
        Err(ArtefactError::ReservedBytes { offset: OFFSET })
    }
}

fn all_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// A header's fields, little-endian.
struct Fields<'f>(&'f [u8; HEADER_LEN]);

impl<'f> Fields<'f> {
    fn array<const OFFSET: usize, const N: usize>(&self) -> &'f [u8; N] {
        const { assert!(OFFSET + N <= HEADER_LEN) };
        let field = self.0.get(OFFSET..).and_then(|rest| rest.first_chunk());
        // Never missing, by the assertion.
        field.unwrap_or(&[0; N])
    }

    fn u8<const OFFSET: usize>(&self) -> u8 {
        u8::from_le_bytes(*self.array::<OFFSET, 1>())
    }

    fn u16<const OFFSET: usize>(&self) -> u16 {
        u16::from_le_bytes(*self.array::<OFFSET, 2>())
    }

    fn u32<const OFFSET: usize>(&self) -> u32 {
        u32::from_le_bytes(*self.array::<OFFSET, 4>())
    }
}

/// The first bytes of every sealed model.
pub const MAGIC: [u8; 8] = *b"SEALNETM";
const CLEAR: u8 = 1;
const FERNET: u8 = 2;
const INT8: u8 = 1;
const INT4: u8 = 2;
const HALF_UP: u8 = 1;
const SEALED_DATA: u8 = 1;
const UNSEALED_DATA: u8 = 2;
const UNVERIFIED: u8 = 3;
pub(super) const NO_KEY: [u8; 8] = [0; 8];
pub(super) const NO_DIGEST: Digest512 = [0; 64];

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_name_is_printable_and_padded() {
        assert_eq!(Name::new("").unwrap().as_str(), "");
        assert_eq!(
            Name::new("mnist 784-64-64-10").unwrap().as_str(),
            "mnist 784-64-64-10"
        );
        let longest = "é".repeat(16);
        assert_eq!(Name::new(&longest).unwrap().as_str(), longest);
        assert_eq!(Name::new("123456789012345678901234567890123"), None);
        assert_eq!(Name::new("bell\u{7}"), None);
        assert_eq!(Name::new("a\0b"), None);
        let mut bytes = [0; NAME_LEN];
        bytes[1] = b'x';
        assert_eq!(Name::from_bytes(bytes), None, "a zero before the text");
        assert_eq!(Name::from_bytes([0xC3; NAME_LEN]), None, "not UTF-8");
    }
}
