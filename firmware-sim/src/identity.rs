//! The device's keys as they lie in flash: one page, written once by provisioning. On a microcontroller it
//! would lie in one-time-programmable or read-protected memory.
//!
//! Beside the keys it holds a nonce that provisioning draws at random. Requests and receipts name it and reply
//! IVs are derived from it, so that a device that is provisioned again under the same keys answers no request
//! twice, repeats no IV and signs no receipt that could be an older one, whatever became of its counters.
//!
//! Little-endian, 276 bytes from the start of the page:
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 4 | magic, `SNID` |
//! | 4 | 2 | version u16, 2 |
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
//! | 256 | 16 | provisioning nonce |
//! | 272 | 4 | CRC-32 u32 of all before it |

mod name;

use core::fmt;

use sealnet_core::fernet::{DerivationKey, FernetKey, NONCE_LEN};
#[cfg(feature = "ed25519-verify")]
use sealnet_core::sign::Ed25519PublicKey;
#[cfg(feature = "ed25519")]
use sealnet_core::sign::Ed25519SigningKey;
use sealnet_core::sign::{HmacKey, Scheme, SigningKey, TrustedKey};
use sealnet_core::wire::{Reader, WireError, Writer};
use zeroize::Zeroizing;

use crate::crc::crc32;
pub use name::DeviceName;

/// Bytes of the identity, from the start of its page.
pub const IDENTITY_LEN: usize = 276;

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

/// What the page holds: a device's keys, and the nonce of their provisioning.
#[derive(Debug, Clone)]
pub struct Provisioned {
    /// The keys.
    pub identity: Identity,
    /// Drawn at random by provisioning. Requests and receipts name it; it is no secret.
    pub nonce: [u8; NONCE_LEN],
}

/// Why a page is no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum IdentityError {
    /// Never provisioned: the magic is not there, or the page is too short.
    Missing,
    /// Written by another version, or with flags or schemes that this one does not know.
    Unknown,
    /// The checksum does not hold, or a field is not what it must be.
    Damaged,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the identity page does not begin as one: the device was never provisioned, or the page is damaged",
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

impl Provisioned {
    /// Reads the page from its start.
    ///
    /// # Errors
    /// [`IdentityError`].
    #[inline(never)]
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
        // Keys are lent by the page until their types copy them, and those wipe themselves when dropped. What
        // the compiler copies when it moves them, on the way out of here say, stays on the stack unwiped: Rust
        // gives no way to forbid it.
        Ok(Self {
            identity: Identity {
                device: DeviceName::from_bytes(fields.array()?).ok_or(IdentityError::Damaged)?,
                wire: FernetKey::from_bytes(*field(&mut fields)?),
                secret: DerivationKey::from_bytes(*field(&mut fields)?),
                model: {
                    let key = FernetKey::from_bytes(*field(&mut fields)?);
                    (flags & HAS_MODEL_KEY != 0).then_some(key)
                },
                publisher: trusted(publisher_scheme, field(&mut fields)?)?,
                receipt: signing(receipt_scheme, field(&mut fields)?)?,
            },
            nonce: fields.array()?,
        })
    }

    /// The bytes for the start of the page.
    ///
    /// # Errors
    /// None in practice: the fields fill the array exactly.
    pub fn write(&self) -> Result<Zeroizing<[u8; IDENTITY_LEN]>, WireError> {
        let Self { identity, nonce } = self;
        let mut bytes = Zeroizing::new([0; IDENTITY_LEN]);
        let (body, checksum) = bytes.split_last_chunk_mut().ok_or(WireError::NoSpace)?;
        let mut fields = Writer::new(body);
        fields.bytes(&MAGIC)?;
        fields.u16(VERSION)?;
        fields.u8(identity.publisher.scheme() as u8)?;
        fields.u8(identity.receipt.scheme() as u8)?;
        fields.u32(if identity.model.is_some() {
            HAS_MODEL_KEY
        } else {
            0
        })?;
        fields.zeros(4)?;
        fields.bytes(&identity.device.to_bytes())?;
        fields.bytes(&*identity.wire.to_bytes())?;
        fields.bytes(identity.secret.as_bytes())?;
        match &identity.model {
            Some(key) => fields.bytes(&*key.to_bytes())?,
            None => fields.zeros(32)?,
        }
        match &identity.publisher {
            TrustedKey::Hmac(key) => fields.bytes(key.as_bytes())?,
            #[cfg(feature = "ed25519-verify")]
            TrustedKey::Ed25519(key) => {
                fields.bytes(&key.to_bytes())?;
                fields.zeros(32)?;
            }
        }
        match &identity.receipt {
            SigningKey::Hmac(key) => fields.bytes(key.as_bytes())?,
            #[cfg(feature = "ed25519")]
            SigningKey::Ed25519(key) => {
                fields.bytes(&*key.to_seed())?;
                fields.zeros(32)?;
            }
        }
        fields.bytes(nonce)?;
        *checksum = crc32(body).to_le_bytes();
        Ok(bytes)
    }
}

/// The next field, where it lies.
fn field<'p, const N: usize>(fields: &mut Reader<'p>) -> Result<&'p [u8; N], IdentityError> {
    let field = fields.bytes(N)?;
    field.try_into().map_err(|_| IdentityError::Missing)
}

fn trusted(scheme: Scheme, key: &[u8; 64]) -> Result<TrustedKey, IdentityError> {
    match scheme {
        Scheme::HmacSha512 => Ok(TrustedKey::Hmac(HmacKey::from_bytes(*key))),
        #[cfg(feature = "ed25519-verify")]
        Scheme::Ed25519 => match Ed25519PublicKey::from_bytes(half(key)?) {
            Ok(key) => Ok(TrustedKey::Ed25519(key)),
            Err(_) => Err(IdentityError::Damaged),
        },
        #[cfg(not(feature = "ed25519-verify"))]
        Scheme::Ed25519 => Err(IdentityError::Unknown),
    }
}

fn signing(scheme: Scheme, key: &[u8; 64]) -> Result<SigningKey, IdentityError> {
    match scheme {
        Scheme::HmacSha512 => Ok(SigningKey::Hmac(HmacKey::from_bytes(*key))),
        #[cfg(feature = "ed25519")]
        Scheme::Ed25519 => Ok(SigningKey::Ed25519(Ed25519SigningKey::from_seed(half(
            key,
        )?))),
        #[cfg(not(feature = "ed25519"))]
        Scheme::Ed25519 => Err(IdentityError::Unknown),
    }
}

/// The first 32 bytes of a key field whose other 32 must be zero.
#[cfg(feature = "ed25519-verify")]
fn half(field: &[u8; 64]) -> Result<&[u8; 32], IdentityError> {
    match field.as_chunks().0 {
        [key, rest] if *rest == [0; 32] => Ok(key),
        _ => Err(IdentityError::Damaged),
    }
}

fn scheme(number: u8) -> Result<Scheme, IdentityError> {
    Scheme::try_from(number).map_err(|_| IdentityError::Unknown)
}

const MAGIC: [u8; 4] = *b"SNID";
const VERSION: u16 = 2;
const HAS_MODEL_KEY: u32 = 1;

#[cfg(all(test, feature = "ed25519"))]
mod tests {
    use super::*;

    fn provisioned(hmac: bool) -> Provisioned {
        let receipt = Ed25519SigningKey::from_seed(&[5; 32]);
        let identity = Identity {
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
        };
        Provisioned {
            identity,
            nonce: [6; NONCE_LEN],
        }
    }

    #[test]
    fn reads_back_what_was_written() {
        for hmac in [true, false] {
            let written = provisioned(hmac).write().unwrap();
            assert_eq!(
                &written[..16],
                [
                    b"SNID\x02\0".as_slice(),
                    &[2 - u8::from(hmac); 2],
                    &[u8::from(hmac), 0, 0, 0, 0, 0, 0, 0]
                ]
                .concat()
            );
            let page = [written.as_slice(), &[0xFF; 100]].concat();
            assert_eq!(written[256..272], [6; 16]);
            let read = Provisioned::read(&page).unwrap();
            assert_eq!(read.write().unwrap(), written);
            assert_eq!(read.identity.device.as_str(), "0001");
        }
    }

    #[test]
    fn refuses_every_other_page() {
        for hmac in [true, false] {
            let written = provisioned(hmac).write().unwrap();
            for bit in 0..written.len() * 8 {
                let mut changed = written.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let expected = if bit < 32 {
                    IdentityError::Missing
                } else {
                    IdentityError::Damaged
                };
                assert_eq!(
                    Provisioned::read(&*changed).unwrap_err(),
                    expected,
                    "bit {bit}"
                );
            }
            assert_eq!(
                Provisioned::read(&written[..275]).unwrap_err(),
                IdentityError::Missing
            );
        }
        assert_eq!(
            Provisioned::read(&[0xFF; 4096]).unwrap_err(),
            IdentityError::Missing
        );
    }

    #[test]
    fn refuses_what_a_later_version_may_write() {
        let written = provisioned(false).write().unwrap();
        let unknown = [
            (4, 1),
            (4, 3),
            (6, 0),
            (6, 3),
            (7, 3),
            (8, 2),
            (11, 0x80),
            (12, 1),
        ];
        let damaged = [(16, 0), (16, b' '), (31, b'x'), (160, 1), (255, 1)];
        for (expected, changes) in [
            (IdentityError::Unknown, &unknown[..]),
            (IdentityError::Damaged, &damaged),
        ] {
            for (offset, value) in changes {
                let mut changed = written.clone();
                changed[*offset] = *value;
                let checksum = crc32(&changed[..272]);
                changed[272..].copy_from_slice(&checksum.to_le_bytes());
                assert_eq!(
                    Provisioned::read(&*changed).unwrap_err(),
                    expected,
                    "offset {offset}"
                );
            }
        }
    }

    #[test]
    fn shows_no_secret() {
        let shown = format!("{:?}", provisioned(true));
        assert!(
            shown.contains("FernetKey(..)") && !shown.contains("5, 5") && !shown.contains("0505"),
            "{shown}"
        );
    }
}
