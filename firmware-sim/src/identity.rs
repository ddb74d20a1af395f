//! The device's keys as they lie in flash: one page, written once by provisioning. On a microcontroller it
//! would lie in one-time-programmable or read-protected memory.
//!
//! Little-endian, 260 bytes from the start of the page:
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 4 | magic, `SNID` |
//! | 4 | 2 | version u16, 1 |
//! | 6 | 1 | scheme of the key that models are verified with: 1 HMAC-SHA-512, 2 Ed25519 |
//! | 7 | 1 | scheme of the key that receipts are signed with, the same numbers |
//! | 8 | 4 | flags u32; bit 0: there is a model key; the others are zero |
//! | 12 | 4 | zeros |
//! | 16 | 16 | device id, ASCII padded with zeros |
//! | 32 | 32 | wire key: Fernet, requests and replies |
//! | 64 | 32 | device secret, from which reply IVs are derived |
//! | 96 | 32 | model key: Fernet, bodies of confidential models; zeros if there is none |
//! | 128 | 64 | key that models are verified with: HMAC key, or Ed25519 public key and 32 zeros |
//! | 192 | 64 | key that receipts are signed with: HMAC key, or Ed25519 seed and 32 zeros |
//! | 256 | 4 | CRC-32 u32 of all before it |

use core::fmt;

use sealnet_core::fernet::{DerivationKey, FernetKey};
use sealnet_core::protocol::DeviceId;
use sealnet_core::sign::{
    Ed25519PublicKey, Ed25519SigningKey, HmacKey, Scheme, SigningKey, TrustedKey,
};
use sealnet_core::wire::{Reader, WireError, Writer};
use zeroize::Zeroizing;

use crate::crc::crc32;

/// Bytes of the identity, from the start of its page.
pub const IDENTITY_LEN: usize = 260;

/// What makes a device itself. Secret.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its name.
    pub device: DeviceName,
    /// Seals requests and replies.
    pub wire: FernetKey,
    /// Reply IVs are derived from it.
    pub secret: DerivationKey,
    /// Opens confidential models; a device for clear models alone has none.
    pub model: Option<FernetKey>,
    /// Models are verified with it. It fixes the scheme.
    pub publisher: TrustedKey,
    /// Receipts are signed with it.
    pub receipt: SigningKey,
}

/// A device's name: 1 to 16 ASCII letters, digits, `-` or `_`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceName([u8; DeviceName::MAX_LEN]);

/// Why a page is no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum IdentityError {
    /// Never provisioned: the magic is not there, or the page is too short.
    Missing,
    /// Written by a newer version, or with flags or schemes that this one does not know.
    Unknown,
    /// The checksum does not hold, or a field is not what it must be.
    Damaged,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the identity page is blank: the device was never provisioned",
            Self::Unknown => {
                "the identity page is of a version, scheme or flag that this firmware does not know"
            }
            Self::Damaged => "the identity page is damaged",
        })
    }
}

impl core::error::Error for IdentityError {}

impl From<WireError> for IdentityError {
    fn from(_: WireError) -> Self {
        Self::Missing
    }
}

impl DeviceName {
    /// Takes a name of 1 to [`DeviceName::MAX_LEN`] ASCII letters, digits, `-` or `_`.
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; Self::MAX_LEN];
        for (to, from) in bytes.get_mut(..name.len())?.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        // Otherwise a name that ends with zeros would be taken for the one without them.
        if name.contains('\0') {
            return None;
        }
        Self::from_bytes(bytes)
    }

    /// Takes the bytes as they were stored: the name, padded with zeros.
    pub fn from_bytes(bytes: [u8; Self::MAX_LEN]) -> Option<Self> {
        let len = bytes
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(Self::MAX_LEN);
        let (name, padding) = bytes.split_at_checked(len)?;
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        let valid =
            !name.is_empty() && name.iter().all(allowed) && padding.iter().all(|byte| *byte == 0);
        valid.then_some(Self(bytes))
    }

    /// The bytes to store: the name, padded with zeros.
    pub fn to_bytes(&self) -> [u8; Self::MAX_LEN] {
        self.0
    }

    /// The id that statuses and receipts carry: the same bytes.
    pub fn id(&self) -> DeviceId {
        DeviceId::from_bytes(self.0)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let name = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        core::str::from_utf8(name).unwrap_or_default()
    }

    /// Length of the longest name.
    pub const MAX_LEN: usize = 16;
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceName({self})")
    }
}

impl Identity {
    /// Reads the identity at the start of its page.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn read(page: &[u8]) -> Result<Self, IdentityError> {
        let mut fields = Reader::new(page);
        let body = fields.bytes(IDENTITY_LEN - 4)?;
        let checksum = fields.u32()?;
        let mut fields = Reader::new(body);
        if fields.array()? != MAGIC {
            return Err(IdentityError::Missing);
        }
        if crc32(body) != checksum {
            return Err(IdentityError::Damaged);
        }
        if fields.u16()? != VERSION {
            return Err(IdentityError::Unknown);
        }
        let publisher_scheme = scheme(fields.u8()?)?;
        let receipt_scheme = scheme(fields.u8()?)?;
        let flags = fields.u32()?;
        if flags & !HAS_MODEL_KEY != 0 || fields.array()? != [0; 4] {
            return Err(IdentityError::Unknown);
        }
        let device = DeviceName::from_bytes(fields.array()?).ok_or(IdentityError::Damaged)?;
        let wire = FernetKey::from_bytes(fields.array()?);
        let secret = DerivationKey::from_bytes(fields.array()?);
        let model = FernetKey::from_bytes(fields.array()?);
        let publisher = Zeroizing::new(fields.array()?);
        let receipt = Zeroizing::new(fields.array()?);
        Ok(Self {
            device,
            wire,
            secret,
            model: (flags & HAS_MODEL_KEY != 0).then_some(model),
            publisher: match publisher_scheme {
                Scheme::HmacSha512 => TrustedKey::Hmac(HmacKey::from_bytes(*publisher)),
                Scheme::Ed25519 => {
                    let key = Ed25519PublicKey::from_bytes(&*half(&publisher)?);
                    TrustedKey::Ed25519(key.map_err(|_| IdentityError::Damaged)?)
                }
            },
            receipt: match receipt_scheme {
                Scheme::HmacSha512 => SigningKey::Hmac(HmacKey::from_bytes(*receipt)),
                Scheme::Ed25519 => {
                    SigningKey::Ed25519(Ed25519SigningKey::from_seed(&*half(&receipt)?))
                }
            },
        })
    }

    /// The bytes for the start of the page.
    ///
    /// # Errors
    /// None in practice: the fields fill the array exactly.
    pub fn write(&self) -> Result<Zeroizing<[u8; IDENTITY_LEN]>, WireError> {
        let mut bytes = Zeroizing::new([0; IDENTITY_LEN]);
        let (body, checksum) = bytes.split_last_chunk_mut().ok_or(WireError::NoSpace)?;
        let mut fields = Writer::new(body);
        fields.bytes(&MAGIC)?;
        fields.u16(VERSION)?;
        fields.u8(self.publisher.scheme() as u8)?;
        fields.u8(self.receipt.scheme() as u8)?;
        fields.u32(if self.model.is_some() {
            HAS_MODEL_KEY
        } else {
            0
        })?;
        fields.zeros(4)?;
        fields.bytes(&self.device.to_bytes())?;
        fields.bytes(&*self.wire.to_bytes())?;
        fields.bytes(self.secret.as_bytes())?;
        match &self.model {
            Some(key) => fields.bytes(&*key.to_bytes())?,
            None => fields.zeros(32)?,
        }
        match &self.publisher {
            TrustedKey::Hmac(key) => fields.bytes(key.as_bytes())?,
            TrustedKey::Ed25519(key) => {
                fields.bytes(&key.to_bytes())?;
                fields.zeros(32)?;
            }
        }
        match &self.receipt {
            SigningKey::Hmac(key) => fields.bytes(key.as_bytes())?,
            SigningKey::Ed25519(key) => {
                fields.bytes(&*key.to_seed())?;
                fields.zeros(32)?;
            }
        }
        *checksum = crc32(body).to_le_bytes();
        Ok(bytes)
    }
}

/// The first 32 bytes of a key field whose other 32 must be zero.
fn half(field: &[u8; 64]) -> Result<Zeroizing<[u8; 32]>, IdentityError> {
    match field.as_chunks().0 {
        [key, rest] if *rest == [0; 32] => Ok(Zeroizing::new(*key)),
        _ => Err(IdentityError::Damaged),
    }
}

fn scheme(number: u8) -> Result<Scheme, IdentityError> {
    Scheme::try_from(number).map_err(|_| IdentityError::Unknown)
}

const MAGIC: [u8; 4] = *b"SNID";
const VERSION: u16 = 1;
const HAS_MODEL_KEY: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(hmac: bool) -> Identity {
        let receipt = Ed25519SigningKey::from_seed(&[5; 32]);
        Identity {
            device: DeviceName::new("0001").unwrap(),
            wire: FernetKey::from_bytes([1; 32]),
            secret: DerivationKey::from_bytes([2; 32]),
            model: hmac.then(|| FernetKey::from_bytes([3; 32])),
            publisher: match hmac {
                true => TrustedKey::Hmac(HmacKey::from_bytes([4; 64])),
                false => TrustedKey::Ed25519(Ed25519SigningKey::from_seed(&[4; 32]).public()),
            },
            receipt: match hmac {
                true => SigningKey::Hmac(HmacKey::from_bytes([5; 64])),
                false => SigningKey::Ed25519(receipt),
            },
        }
    }

    #[test]
    fn reads_back_what_was_written() {
        for hmac in [true, false] {
            let written = identity(hmac).write().unwrap();
            assert_eq!(
                &written[..16],
                [
                    b"SNID\x01\0".as_slice(),
                    &[2 - u8::from(hmac); 2],
                    &[u8::from(hmac), 0, 0, 0, 0, 0, 0, 0]
                ]
                .concat()
            );
            let page = [written.as_slice(), &[0xFF; 100]].concat();
            let read = Identity::read(&page).unwrap();
            assert_eq!(read.write().unwrap(), written);
            assert_eq!(read.device.as_str(), "0001");
        }
    }

    #[test]
    fn refuses_every_other_page() {
        for hmac in [true, false] {
            let written = identity(hmac).write().unwrap();
            for bit in 0..written.len() * 8 {
                let mut changed = written.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let expected = if bit < 32 {
                    IdentityError::Missing
                } else {
                    IdentityError::Damaged
                };
                assert_eq!(
                    Identity::read(&*changed).unwrap_err(),
                    expected,
                    "bit {bit}"
                );
            }
            assert_eq!(
                Identity::read(&written[..259]).unwrap_err(),
                IdentityError::Missing
            );
        }
        assert_eq!(
            Identity::read(&[0xFF; 4096]).unwrap_err(),
            IdentityError::Missing
        );
    }

    #[test]
    fn refuses_what_a_later_version_may_write() {
        let written = identity(false).write().unwrap();
        let unknown = [(4, 2), (6, 0), (6, 3), (7, 3), (8, 2), (11, 0x80), (12, 1)];
        let damaged = [(16, 0), (16, b' '), (31, b'x'), (160, 1), (255, 1)];
        for (expected, changes) in [
            (IdentityError::Unknown, &unknown[..]),
            (IdentityError::Damaged, &damaged),
        ] {
            for (offset, value) in changes {
                let mut changed = written.clone();
                changed[*offset] = *value;
                let checksum = crc32(&changed[..256]);
                changed[256..].copy_from_slice(&checksum.to_le_bytes());
                assert_eq!(
                    Identity::read(&*changed).unwrap_err(),
                    expected,
                    "offset {offset}"
                );
            }
        }
    }

    #[test]
    fn names_of_devices() {
        for name in ["0", "device_7-B", "0123456789abcdef"] {
            assert_eq!(DeviceName::new(name).unwrap().as_str(), name);
        }
        for name in ["", "0123456789abcdefg", "a b", "a/b", "\u{e9}", "a\0"] {
            assert_eq!(DeviceName::new(name), None, "{name:?}");
        }
    }

    #[test]
    fn shows_no_secret() {
        let shown = format!("{:?}", identity(true));
        assert!(
            shown.contains("FernetKey(..)") && !shown.contains("5, 5") && !shown.contains("0505"),
            "{shown}"
        );
    }
}
