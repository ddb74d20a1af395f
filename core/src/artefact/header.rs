//! The 256 bytes that say what a sealed model is; the table is in the [module docs](super).

use core::fmt;

use super::ArtefactError;
use super::section::ALIGNMENT;
use crate::fernet;
use crate::mlp::{Granularity, Shape};
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
    /// One requantisation factor a layer, or one an output.
    pub granularity: Granularity,
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
        Self::text(&self.0).unwrap_or_default()
    }

    /// Reads a name that is padded with zeros.
    fn from_bytes(bytes: [u8; NAME_LEN]) -> Option<Self> {
        let text = Self::text(&bytes)?;
        // A zero inside the text is a control character too.
        (!text.chars().any(char::is_control)).then_some(Self(bytes))
    }

    fn text(bytes: &[u8; NAME_LEN]) -> Option<&str> {
        let end = bytes
            .iter()
            .rposition(|&b| b != 0)
            .map_or(0, |last| last + 1);
        core::str::from_utf8(bytes.get(..end)?).ok()
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
    pub(super) fn parse(file: &[u8]) -> Result<Self, ArtefactError> {
        let mut r = Reader::new(file);
        if r.array()? != MAGIC {
            return Err(ArtefactError::Magic);
        }
        match r.u16()? {
            FORMAT_VERSION => {}
            other => return Err(ArtefactError::Version(other)),
        }
        let scheme = Scheme::try_from(r.u8()?).map_err(|e| ArtefactError::Scheme(e.0))?;
        let encoding = r.u8()?;
        if encoding != CLEAR && encoding != FERNET {
            return Err(ArtefactError::Encoding(encoding));
        }
        match r.u32()? {
            0 => {}
            flags => return Err(ArtefactError::Flags(flags)),
        }
        let signing_key = KeyId::from_bytes(r.array()?);
        let encoding = match (encoding, r.array()?) {
            (CLEAR, NO_KEY) => BodyEncoding::Clear,
            (FERNET, id) if id != NO_KEY => BodyEncoding::Fernet {
                key: KeyId::from_bytes(id),
            },
            _ => return Err(ArtefactError::ModelKeyField),
        };
        let security_counter = r.u32()?;
        let shape = Shape::new(r.u16()?, r.u16()?, r.u16()?, r.u16()?)
            .map_err(|_| ArtefactError::ZeroWidth)?;
        match r.u8()? {
            INT8 => {}
            INT4 => return Err(ArtefactError::ReservedWeightType(INT4)),
            other => return Err(ArtefactError::WeightType(other)),
        }
        let granularity = match r.u8()? {
            1 => Granularity::PerTensor,
            2 => Granularity::PerOutput,
            other => return Err(ArtefactError::Granularity(other)),
        };
        match r.u8()? {
            HALF_UP => {}
            other => return Err(ArtefactError::Rounding(other)),
        }
        let feature_type =
            FeatureType::try_from(r.u8()?).map_err(|e| ArtefactError::FeatureType(e.0))?;
        match r.u32()? {
            len if len as usize == HEADER_LEN => {}
            other => return Err(ArtefactError::HeaderLength(other)),
        }
        let body_len = r.u32()?;
        let plaintext_len = r.u32()?;
        let provenance = r.u8()?;
        if !(SEALED_DATA..=UNVERIFIED).contains(&provenance) {
            return Err(ArtefactError::Provenance(provenance));
        }
        reserved::<3>(&mut r)?;
        let model_digest = r.array()?;
        let provenance = match (provenance, r.array()?) {
            (UNVERIFIED, NO_DIGEST) => Provenance::Unverified,
            (SEALED_DATA, digest) if digest != NO_DIGEST => Provenance::SealedData(digest),
            (UNSEALED_DATA, digest) if digest != NO_DIGEST => Provenance::UnsealedData(digest),
            _ => return Err(ArtefactError::ReceiptDigest),
        };
        let created = r.u64()?;
        let name = Name::from_bytes(r.array()?).ok_or(ArtefactError::Name)?;
        reserved::<24>(&mut r)?;
        let header = Self {
            scheme,
            encoding,
            signing_key,
            security_counter,
            shape,
            granularity,
            feature_type,
            body_len,
            plaintext_len,
            provenance,
            model_digest,
            created,
            name,
        };
        header.check_lengths(r.remaining())?;
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
        w.u8(INT8)?;
        w.u8(self.granularity as u8)?;
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

/// Reads `N` bytes that must be zero.
fn reserved<const N: usize>(r: &mut Reader<'_>) -> Result<(), ArtefactError> {
    // The header is 256 bytes long, so its offsets fit.
    let offset = r.position() as u16;
    if r.array()? == [0; N] {
        Ok(())
    } else {
        Err(ArtefactError::ReservedBytes { offset })
    }
}

const MAGIC: [u8; 8] = *b"SEALNETM";
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
