//! Provisioning: a device's key files, and the flash images made from them and a model.
//!
//! A device's folder is named after it, `device-ID`, and holds:
//!
//! | file | holds |
//! |---|---|
//! | `wire.key` | Fernet key of requests and replies |
//! | `receipt.key` | base64, 64 bytes: HMAC key that receipts are signed with |
//! | `secret.key` | base64, 32 bytes: device secret, from which reply IVs are derived |
//! | `model.key` | Fernet key of confidential models; absent on a device for clear models alone |
//! | `model-hmac.key` | base64, 64 bytes: HMAC key that models are verified with, if it is there |
//! | `publisher.pub.pem` | else: Ed25519 public key (SPKI) that models are verified with |
//!
//! A Fernet key file holds the key as `Fernet.generate_key()` prints it; blank lines and lines that begin
//! with `#` are skipped. The folder and its files are refused when others can reach them: see [`keyfile`].

use std::mem;
use std::path::{Path, PathBuf};

use sealnet_core::artefact::{BodyEncoding, Header, Sealed};
use sealnet_core::fernet::{DerivationKey, NONCE_LEN};
use sealnet_core::mlp::Shape;
use sealnet_core::protocol::{MAX_CLASSES, MAX_FEATURES};
use sealnet_core::sign::{HmacKey, SigningKey, TrustedKey};
use zeroize::Zeroizing;

use crate::identity::{DeviceName, IDENTITY_LEN, Identity, Provisioned};
use crate::journal::{Counters, Journal, JournalError};
use crate::keyfile::{self, Guard, KeyDir, KeyFileError};
use crate::layout::{
    FLASH_LEN, IDENTITY, JOURNAL, ROOM_HINT, SLOT_A, SLOT_LEN, model_ram_len, slot_len,
};
use crate::shape::SHAPE;
use crate::sim::flash::SimFlash;

/// Why a device could not be provisioned. `Display` says what was wrong and where,
/// [`ProvisionError::hint`] what to do.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// A key file or its folder was refused.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The folder's name names no device.
    #[error("{} is not named after a device", path.display())]
    DeviceName {
        /// The folder.
        path: PathBuf,
    },
    /// The model is longer than a slot.
    #[error(
        "the model{} is {len} bytes long; a slot of this firmware, built for {SHAPE}, holds {SLOT_LEN}",
        claimed(.shape)
    )]
    ModelTooLong {
        /// Bytes.
        len: usize,
        /// The shape that its header claims, if it has one.
        shape: Option<Shape>,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// The journal could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The counters of an image that is to be replaced cannot be read.
    #[error("the counters of the image that is there cannot be read: {0}")]
    Forgotten(JournalError),
}

impl ProvisionError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::KeyFile(error) => error.hint(),
            Self::DeviceName { .. } => {
                "the folder must be device-ID, where ID is 1 to 16 letters, digits, `-` or `_`"
                    .into()
            }
            Self::ModelTooLong {
                shape: Some(SHAPE), ..
            } => ROOM_HINT.into(),
            Self::ModelTooLong {
                shape: Some(shape), ..
            } => {
                format!("rebuild it for the model: SEALNET_SHAPE={shape} cargo build --release")
            }
            Self::ModelTooLong { shape: None, .. } => {
                "name a model made by `sealnet export`".into()
            }
            Self::Forgotten(_) => {
                "make new keys with `sealnet keygen`, lest old requests be answered again; \
                 then provision into another file"
                    .into()
            }
            Self::Random(_) | Self::Journal(_) => String::new(),
        }
    }
}

fn claimed(shape: &Option<Shape>) -> String {
    shape.map_or_else(String::new, |shape| format!(", {shape},"))
}

/// Reads the keys in a device's folder.
///
/// # Errors
/// [`ProvisionError`], those that name a file or folder.
pub fn load_keys(folder: &Path) -> Result<Identity, ProvisionError> {
    let name = folder.file_name().and_then(|name| name.to_str());
    let device = name
        .map(|name| name.strip_prefix("device-").unwrap_or(name))
        .and_then(DeviceName::new)
        .ok_or_else(|| ProvisionError::DeviceName {
            path: folder.into(),
        })?;
    let folder = KeyDir::open(folder)?;
    let secret = |name| folder.read(name, Guard::Secret);
    let wire = secret("wire.key")?.parse(keyfile::fernet_key)?;
    let device_secret = secret("secret.key")?.parse(keyfile::base64_key)?;
    let receipt = secret("receipt.key")?.parse(hmac_key)?;
    let model = folder
        .read_if_there("model.key", Guard::Secret)?
        .map(|file| file.parse(keyfile::fernet_key))
        .transpose()?;
    let publisher = match folder.read_if_there("model-hmac.key", Guard::Secret)? {
        Some(file) => TrustedKey::Hmac(file.parse(hmac_key)?),
        None => {
            let file = folder.read("publisher.pub.pem", Guard::Trusted)?;
            TrustedKey::Ed25519(file.parse(keyfile::ed25519_public)?)
        }
    };
    Ok(Identity {
        device,
        wire,
        secret: DerivationKey::from_bytes(*device_secret),
        model,
        publisher,
        receipt: SigningKey::Hmac(receipt),
    })
}

/// Why no device, even one that is built for the model's shape, can run a model: what is in the way, and what
/// to do. `len` is the length in bytes of the sealed model with this header.
pub fn obstacle(header: &Header, len: usize) -> Option<(String, &'static str)> {
    let Header {
        shape,
        encoding,
        quantisation,
        ..
    } = header;
    let ram = model_ram_len(*shape, quantisation.weights.bits());
    let slot = slot_len(*shape);
    if usize::from(shape.input()) > MAX_FEATURES || usize::from(shape.output()) > MAX_CLASSES {
        let most =
            format!("a device takes at most {MAX_FEATURES} features and {MAX_CLASSES} classes");
        return Some((most, "train a smaller network"));
    }
    if len > slot {
        let what = format!("it is {len} bytes long, and a slot for {shape} holds {slot}");
        return Some((what, ROOM_HINT));
    }
    let body = header.plaintext_len as usize;
    if matches!(encoding, BodyEncoding::Fernet { .. }) && body > ram {
        let what = format!("its body is {body} bytes long, and the RAM for {shape} holds {ram}");
        return Some((what, ROOM_HINT));
    }
    None
}

/// Lays out a device's flash: the model in slot A, the keys beside a nonce drawn at random, and a journal
/// with these counters. The model is not checked: the device does that when it boots.
///
/// Counters begin at zero on a new device alone; one that has been in use goes on from
/// [`counters_of`] its old image.
///
/// # Errors
/// [`ProvisionError::ModelTooLong`] or [`ProvisionError::Random`].
pub fn flash_image(
    identity: &Identity,
    model: &[u8],
    counters: Counters,
) -> Result<SimFlash, ProvisionError> {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce)?;
    let provisioned = Provisioned {
        identity: identity.clone(),
        nonce,
    };
    let keys = provisioned.write().map_err(|_| JournalError::Geometry)?;
    let mut bytes = Zeroizing::new(vec![0xFF; FLASH_LEN]);
    fits_slot(model)?;
    put(&mut bytes, SLOT_A, model);
    put(&mut bytes, IDENTITY, keys.as_slice());
    let mut flash = SimFlash::new(mem::take(&mut bytes));
    let (_, journal) = flash.split(JOURNAL);
    Journal::format(journal, counters)?;
    Ok(flash)
}

/// The counters that an image made for `identity` must go on from when it replaces `old`: those of `old`,
/// or `None` if that is another device's, of another name and wire key.
///
/// # Errors
/// [`ProvisionError::Forgotten`] if the old counters cannot be read: to begin again from zero would let
/// old requests be answered a second time.
pub fn counters_of(
    old: &mut SimFlash,
    identity: &Identity,
) -> Result<Option<Counters>, ProvisionError> {
    let (mapped, journal) = old.split(JOURNAL);
    let page = mapped.get(IDENTITY..).unwrap_or_default();
    // An identity that cannot be read, one of an older version say, may be this device's.
    if let Ok(Provisioned { identity: old, .. }) = Provisioned::read(page)
        && old.device != identity.device
        && old.wire.key_id() != identity.wire.key_id()
    {
        return Ok(None);
    }
    let journal = Journal::open(journal).map_err(ProvisionError::Forgotten)?;
    Ok(Some(journal.counters()))
}

/// Whether a model fits a slot of this firmware.
///
/// # Errors
/// [`ProvisionError::ModelTooLong`].
pub fn fits_slot(model: &[u8]) -> Result<(), ProvisionError> {
    if model.len() <= SLOT_LEN {
        return Ok(());
    }
    Err(ProvisionError::ModelTooLong {
        len: model.len(),
        shape: Sealed::parse(model)
            .ok()
            .map(|sealed| sealed.untrusted_header().shape),
    })
}

fn put(flash: &mut [u8], offset: usize, contents: &[u8]) {
    for (to, from) in flash.iter_mut().skip(offset).zip(contents) {
        *to = *from;
    }
}

fn hmac_key(text: &[u8]) -> Result<HmacKey, String> {
    Ok(HmacKey::from_bytes(*keyfile::base64_key(text)?))
}

const _: () = assert!(IDENTITY_LEN <= crate::layout::PAGE_LEN);

#[cfg(test)]
mod tests;
