//! The device's receipt for one answer. The table is in the [module docs](super).

use core::fmt;

use sha2::{Digest, Sha512};

use crate::fernet::NONCE_LEN;
use crate::sign::{
    Digest512, Domain, SIGNATURE_LEN, Scheme, Signature, SigningKey, TrustedKey, finish512, hex,
};
use crate::wire::{Reader, WireError, Writer};

/// Length in bytes of a receipt.
pub const RECEIPT_LEN: usize = SIGNED_LEN + SIGNATURE_LEN;

/// Names a device: shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DeviceId([u8; 16]);

impl DeviceId {
    /// Takes the 16 bytes as they were stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes to store.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({self})")
    }
}

/// What the device's detector thinks of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Verdict {
    /// No detector ran.
    NotEvaluated = 0,
    /// Nothing suspicious.
    Accept = 1,
    /// Perhaps made to deceive.
    Suspicious = 2,
}

impl TryFrom<u8> for Verdict {
    type Error = ReceiptError;

    fn try_from(value: u8) -> Result<Self, ReceiptError> {
        match value {
            0 => Ok(Self::NotEvaluated),
            1 => Ok(Self::Accept),
            2 => Ok(Self::Suspicious),
            other => Err(ReceiptError::Verdict(other)),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotEvaluated => "not-evaluated",
            Self::Accept => "accept",
            Self::Suspicious => "suspicious",
        })
    }
}

/// What a receipt says. On its own it proves nothing: see [`VerifiedReceipt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Receipt {
    /// What the detector thinks of the input.
    pub verdict: Verdict,
    /// Who answered.
    pub device_id: DeviceId,
    /// SHA-512 of the model's plaintext body.
    pub model_digest: Digest512,
    /// The firmware that answered.
    pub firmware_version: u32,
    /// How many times the device has booted.
    pub boot: u32,
    /// How many messages it has sealed since.
    pub message: u64,
    /// SHA-512 of the whole request token.
    pub request_digest: Digest512,
    /// The answer.
    pub label: u16,
    /// See [`logits_digest`].
    pub logits_digest: Digest512,
    /// Of the device's provisioning: boot and message count within it.
    pub nonce: [u8; NONCE_LEN],
}

impl Receipt {
    /// Signs the receipt.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> SignedReceipt {
        let mut bytes = [0; RECEIPT_LEN];
        if let Some((signed, signature)) = bytes.split_last_chunk_mut::<SIGNATURE_LEN>() {
            // Cannot fail: the fields add up to SIGNED_LEN, as the round trip in the tests shows.
            let _ = self.write(key.scheme(), &mut Writer::new(signed));
            *signature = key.sign(Domain::DeviceReceipt, &[signed]).to_bytes();
        }
        SignedReceipt(bytes)
    }

    fn write(&self, scheme: Scheme, w: &mut Writer<'_>) -> Result<(), WireError> {
        w.bytes(&MAGIC)?;
        w.u16(VERSION)?;
        w.u8(scheme as u8)?;
        w.u8(self.verdict as u8)?;
        w.bytes(&self.device_id.0)?;
        w.bytes(&self.model_digest)?;
        w.u32(self.firmware_version)?;
        w.u32(self.boot)?;
        w.u64(self.message)?;
        w.bytes(&self.request_digest)?;
        w.u16(self.label)?;
        w.zeros(6)?;
        w.bytes(&self.logits_digest)?;
        w.bytes(&self.nonce)
    }

    fn parse(bytes: &[u8]) -> Result<(Scheme, Self), ReceiptError> {
        let mut r = Reader::new(bytes);
        if r.array()? != MAGIC {
            return Err(ReceiptError::Magic);
        }
        match r.u16()? {
            VERSION => {}
            other => return Err(ReceiptError::Version(other)),
        }
        let scheme = Scheme::try_from(r.u8()?).map_err(|e| ReceiptError::Scheme(e.0))?;
        let verdict = Verdict::try_from(r.u8()?)?;
        let device_id = DeviceId(r.array()?);
        let model_digest = r.array()?;
        let firmware_version = r.u32()?;
        let boot = r.u32()?;
        let message = r.u64()?;
        let request_digest = r.array()?;
        let label = r.u16()?;
        if r.array()? != [0; 6] {
            return Err(ReceiptError::ReservedBytes);
        }
        let receipt = Self {
            verdict,
            device_id,
            model_digest,
            firmware_version,
            boot,
            message,
            request_digest,
            label,
            logits_digest: r.array()?,
            nonce: r.array()?,
        };
        Ok((scheme, receipt))
    }
}

/// A receipt with its signature, as it is sent and stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedReceipt([u8; RECEIPT_LEN]);

impl SignedReceipt {
    /// The bytes to send or store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; RECEIPT_LEN] {
        &self.0
    }
}

/// A receipt that came from somewhere.
#[derive(Debug, Clone, Copy)]
pub struct UnverifiedReceipt<'a>(&'a [u8; RECEIPT_LEN]);

impl<'a> UnverifiedReceipt<'a> {
    /// Looks at a receipt's bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8; RECEIPT_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, to store them as they came.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8; RECEIPT_LEN] {
        self.0
    }

    /// What the receipt claims: for showing, never for deciding.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`] if it is malformed.
    pub fn untrusted(&self) -> Result<Receipt, ReceiptError> {
        Receipt::parse(self.0).map(|(_, receipt)| receipt)
    }

    /// Checks the signature, then reads what it covers. `trusted` fixes the scheme.
    ///
    /// # Errors
    ///
    /// [`ReceiptError::Signature`] if it does not verify; for one that does, what is wrong with it.
    pub fn verify(&self, trusted: &TrustedKey) -> Result<VerifiedReceipt, ReceiptError> {
        let (signed, signature) = self
            .0
            .split_last_chunk::<SIGNATURE_LEN>()
            .ok_or(ReceiptError::Length)?;
        let signature = Signature::from_bytes(*signature);
        let signed = trusted
            .verify(Domain::DeviceReceipt, signed, &signature)
            .map_err(|_| ReceiptError::Signature)?;
        let (scheme, receipt) = Receipt::parse(signed.bytes())?;
        if scheme != trusted.scheme() {
            return Err(ReceiptError::Scheme(scheme as u8));
        }
        Ok(VerifiedReceipt(receipt))
    }
}

/// A receipt whose signature holds. Only [`UnverifiedReceipt::verify`] makes one.
///
/// It still has to be compared with what was wanted: device, model, and request digest (which
/// [`AuthenticReply::verify`](super::AuthenticReply::verify) does).
#[derive(Debug, Clone, Copy)]
pub struct VerifiedReceipt(Receipt);

impl VerifiedReceipt {
    /// What the device says.
    #[must_use]
    pub const fn receipt(&self) -> &Receipt {
        &self.0
    }
}

/// SHA-512 of the logits as little-endian `i32`, one after another.
#[must_use]
pub fn logits_digest(logits: impl IntoIterator<Item = i32>) -> Digest512 {
    let mut hash = Sha512::new();
    for logit in logits {
        hash.update(logit.to_le_bytes());
    }
    finish512(hash)
}

/// Why a receipt was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ReceiptError {
    /// Not 320 bytes.
    Length,
    /// It does not begin with `SNRC`.
    Magic,
    /// An unknown version.
    Version(u16),
    /// An unknown signature scheme, or not the trusted key's.
    Scheme(u8),
    /// An unknown verdict.
    Verdict(u8),
    /// Bytes that must be zero are not.
    ReservedBytes,
    /// The signature does not verify.
    Signature,
    /// It is for another request.
    Request,
    /// It is for other logits than the reply's.
    Logits,
    /// Its label is not that of the reply's logits, or above the number of classes.
    Label,
}

impl From<WireError> for ReceiptError {
    fn from(_: WireError) -> Self {
        Self::Length
    }
}

impl fmt::Display for ReceiptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "a receipt has {RECEIPT_LEN} bytes"),
            Self::Magic => f.write_str("not a receipt: it does not begin with SNRC"),
            Self::Version(v) => write!(f, "receipt version {v} is not known (known: {VERSION})"),
            Self::Scheme(v) => write!(f, "signature scheme {v} is not the trusted key's"),
            Self::Verdict(v) => write!(f, "verdict {v} is not known"),
            Self::ReservedBytes => f.write_str("reserved bytes are not zero"),
            Self::Signature => f.write_str("the receipt's signature does not verify"),
            Self::Request => f.write_str("the receipt is for another request"),
            Self::Logits => f.write_str("the receipt is for other logits"),
            Self::Label => f.write_str("the receipt's label is not that of the reply"),
        }
    }
}

impl core::error::Error for ReceiptError {}

const MAGIC: [u8; 4] = *b"SNRC";
const VERSION: u16 = 2;
/// All before the signature.
const SIGNED_LEN: usize = 4 + 2 + 1 + 1 + 16 + 64 + 4 + 4 + 8 + 64 + 2 + 6 + 64 + NONCE_LEN;
