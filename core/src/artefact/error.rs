//! Why an artefact was refused.

use core::fmt;

use super::section;
use crate::mlp::{LayerError, Shape, ShapeError};
use crate::sign::{KeyId, Scheme};
use crate::wire::WireError;

/// Why a sealed model was refused: one variant a cause, in the order in which the chain checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ArtefactError {
    // --- parse
    /// The file ends before its header, body or signature does.
    Truncated,
    /// Bytes follow the signature.
    TrailingBytes,
    /// It does not begin with `SEALNETM`.
    Magic,
    /// A format version other than 1.
    Version(u16),
    /// An unknown signature scheme.
    Scheme(u8),
    /// An unknown body encoding.
    Encoding(u8),
    /// A flag is set; version 1 knows none.
    Flags(u32),
    /// The model key's id is zero for an encrypted body, or not zero for a clear one.
    ModelKeyField,
    /// A width of the network is 0.
    ZeroWidth,
    /// An unknown weight type.
    WeightType(u8),
    /// A weight type that this build does not run (1: int8, 2: int4).
    UnsupportedWeightType(u8),
    /// An unknown granularity of requantisation.
    Granularity(u8),
    /// An unknown rounding rule.
    Rounding(u8),
    /// An unknown feature type.
    FeatureType(u8),
    /// A header length other than 256.
    HeaderLength(u32),
    /// The plaintext length is not a multiple of 16 or does not agree with the stored length.
    PlaintextLength {
        /// Stored length of the body in bytes.
        body: u32,
        /// Length in bytes that the plaintext is said to have.
        plaintext: u32,
    },
    /// An unknown provenance.
    Provenance(u8),
    /// The training receipt's digest is zero although there is a receipt, or the reverse.
    ReceiptDigest,
    /// Bytes that must be zero are not.
    ReservedBytes {
        /// Where they begin, from the start of the file.
        offset: u16,
    },
    /// The name is not UTF-8, holds a control character, or is not padded with zeros.
    Name,
    // --- verify
    /// Signed under another scheme than the trusted key's.
    SchemeMismatch {
        /// The trusted key's.
        trusted: Scheme,
        /// The header's.
        found: Scheme,
    },
    /// Signed with another key than the trusted one.
    SigningKey {
        /// The trusted key.
        trusted: KeyId,
        /// The key that the header names.
        found: KeyId,
    },
    /// The signature does not verify: the file was changed, or another key made it.
    Signature,
    /// The security counter is too low: an older model.
    Rollback {
        /// The artefact's counter.
        found: u32,
        /// The lowest one accepted.
        minimum: u32,
    },
    // --- open
    /// The body is clear; it needs no key.
    BodyIsClear,
    /// The body is encrypted; it needs a key.
    BodyIsEncrypted,
    /// The body is encrypted with another key than the one given.
    ModelKey {
        /// The key given.
        given: KeyId,
        /// The key that the header names.
        found: KeyId,
    },
    /// The buffer is too small for the plaintext.
    BufferTooSmall {
        /// Bytes needed.
        needed: u32,
    },
    /// The body does not decrypt: not a token of this key.
    Decrypt,
    /// The plaintext does not have the digest that the header promises.
    ModelDigest,
    // --- load
    /// The network has another shape than the one asked for.
    Dimensions {
        /// The shape asked for.
        expected: Shape,
        /// The artefact's.
        found: Shape,
    },
    /// A section of the body is wrong.
    Section {
        /// Its type; see [`section`].
        section: u16,
        /// What is wrong.
        cause: SectionError,
    },
    /// The logit scale is not a positive finite number.
    LogitScale,
    /// A layer is wrong.
    Layer {
        /// 1, 2 or 3.
        layer: u8,
        /// What is wrong.
        cause: LayerError,
    },
    /// An unknown reply policy.
    ReplyPolicy(u8),
    /// An unknown kernel.
    Kernel(u8),
    /// The golden section holds no vector, more than 16, or vectors of another width.
    GoldenCount,
    /// The network does not give a golden vector's logits.
    Golden {
        /// Which one, from 0.
        vector: u16,
    },
    /// A scaling factor of the features is not a finite number.
    FeatureScaling {
        /// Which column, from 0.
        column: u16,
    },
    /// There is neither one name for each column nor one for each class.
    NameCount,
    /// The name of a column or class is empty, not UTF-8, or has a control character.
    NameText,
    /// A buffer that the caller lent does not fit.
    Buffers(ShapeError),
}

/// What is wrong with a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SectionError {
    /// Its type is unknown.
    Unknown,
    /// No model of this kind has such a section, in this version.
    Inapplicable,
    /// Its version is unknown.
    Version(u16),
    /// It repeats or comes after a section of a higher type.
    Order,
    /// It is not there.
    Missing,
    /// It ends outside the body, or its length does not fit its contents.
    Length,
    /// Bytes that must be zero are not.
    Padding,
}

impl From<WireError> for ArtefactError {
    /// For the header, where a short read means a short file.
    fn from(error: WireError) -> Self {
        match error {
            WireError::TrailingBytes => Self::TrailingBytes,
            WireError::Truncated | WireError::NoSpace => Self::Truncated,
        }
    }
}

impl From<ShapeError> for ArtefactError {
    fn from(error: ShapeError) -> Self {
        Self::Buffers(error)
    }
}

impl fmt::Display for ArtefactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated => f.write_str("the file ends too early"),
            Self::TrailingBytes => f.write_str("bytes follow the signature"),
            Self::Magic => f.write_str("not a sealed model: it does not begin with SEALNETM"),
            Self::Version(v) => write!(f, "format version {v} is not known (known: 1)"),
            Self::Scheme(v) => write!(f, "signature scheme {v} is not known"),
            Self::Encoding(v) => write!(f, "body encoding {v} is not known"),
            Self::Flags(v) => write!(f, "unknown flags {v:#010x}"),
            Self::ModelKeyField => {
                f.write_str("the model key's id does not agree with the body's encoding")
            }
            Self::ZeroWidth => f.write_str("a width of the network is 0"),
            Self::WeightType(v) => write!(f, "weight type {v} is not known"),
            Self::UnsupportedWeightType(v) => {
                let name = if v == 1 { "int8" } else { "int4" };
                write!(
                    f,
                    "weight type {v} ({name}) is not among those that this build runs"
                )
            }
            Self::Granularity(v) => write!(f, "granularity {v} is not known"),
            Self::Rounding(v) => write!(f, "rounding rule {v} is not known"),
            Self::FeatureType(v) => write!(f, "feature type {v} is not known"),
            Self::HeaderLength(v) => write!(f, "header length {v} is not 256"),
            Self::PlaintextLength { body, plaintext } => write!(
                f,
                "a body of {body} bytes does not hold sections of {plaintext} bytes"
            ),
            Self::Provenance(v) => write!(f, "provenance {v} is not known"),
            Self::ReceiptDigest => {
                f.write_str("the training receipt's digest does not agree with the provenance")
            }
            Self::ReservedBytes { offset } => {
                write!(f, "reserved bytes from offset {offset} on are not zero")
            }
            Self::Name => f.write_str("the name is not printable UTF-8 padded with zeros"),
            Self::SchemeMismatch { trusted, found } => {
                write!(
                    f,
                    "signed with {found}, but the trusted key is for {trusted}"
                )
            }
            Self::SigningKey { trusted, found } => {
                write!(f, "signed by key {found}, but the trusted key is {trusted}")
            }
            Self::Signature => f.write_str("the signature does not verify"),
            Self::Rollback { found, minimum } => write!(
                f,
                "security counter {found} is below {minimum}: an older model"
            ),
            Self::BodyIsClear => f.write_str("the body is clear, not encrypted"),
            Self::BodyIsEncrypted => f.write_str("the body is encrypted and needs a key"),
            Self::ModelKey { given, found } => {
                write!(
                    f,
                    "encrypted with key {found}, but the key given is {given}"
                )
            }
            Self::BufferTooSmall { needed } => {
                write!(f, "the buffer is too small: {needed} bytes are needed")
            }
            Self::Decrypt => f.write_str("the body does not decrypt with this key"),
            Self::ModelDigest => f.write_str("the body does not have the digest of its header"),
            Self::Dimensions { expected, found } => {
                write!(f, "the network is {found}, not {expected}")
            }
            Self::Section { section, cause } => {
                write!(f, "section {section} ({}): {cause}", section::name(section))
            }
            Self::LogitScale => f.write_str("the logit scale is not a positive finite number"),
            Self::Layer { layer, cause } => write!(f, "layer {layer}: {cause}"),
            Self::ReplyPolicy(v) => write!(f, "reply policy {v} is not known"),
            Self::Kernel(v) => write!(f, "kernel {v} is not known"),
            Self::GoldenCount => {
                f.write_str("the golden section does not hold 1 to 16 vectors of the model's width")
            }
            Self::Golden { vector } => write!(f, "golden vector {vector} gives other logits"),
            Self::FeatureScaling { column } => {
                write!(f, "the scaling of column {column} is not finite")
            }
            Self::NameCount => f.write_str(
                "the names section holds neither one name for each column nor one for each class",
            ),
            Self::NameText => f.write_str("the name of a column or class is not printable UTF-8"),
            Self::Buffers(cause) => cause.fmt(f),
        }
    }
}

impl fmt::Display for SectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("its type is not known"),
            Self::Inapplicable => f.write_str("no model of this kind has such a section"),
            Self::Version(v) => write!(f, "its version {v} is not known"),
            Self::Order => f.write_str("it repeats or is out of order"),
            Self::Missing => f.write_str("it is missing"),
            Self::Length => f.write_str("its length is wrong"),
            Self::Padding => f.write_str("its reserved bytes or padding are not zero"),
        }
    }
}

impl core::error::Error for ArtefactError {}
impl core::error::Error for SectionError {}
