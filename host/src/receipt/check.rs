//! Receipts against the keys that are trusted and what is expected of them.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;

use sealnet_core::artefact::Header;
use sealnet_core::fernet::{self, FernetError};
use sealnet_core::protocol::{FrameReader, Kind, MAX_PAYLOAD, Receipt};
use sealnet_core::sign::{Digest512, TrustedKey, sha512};
use sealnet_firmware::identity::DeviceName;

use super::device::{Held, Kept, device_text};
use super::{Alone, REFUSED, verify_alone};
use crate::error::{Error, Failure, Result};
use crate::files;
use crate::keys::{self, KeyFolder};
use crate::model::ModelFile;

/// Whose receipts are believed.
#[derive(Debug)]
pub struct Trust {
    folder: Option<KeyFolder>,
    key: Option<TrustedKey>,
    /// Read once: a file may hold the receipts of many answers.
    devices: HashMap<DeviceName, Option<TrustedKey>>,
    models: HashMap<DeviceName, Header>,
}

/// What every receipt of a device must say.
#[derive(Debug, Default)]
pub struct Expected {
    /// Which device answered.
    pub device: Option<DeviceName>,
    /// Which model it ran.
    pub model: Option<ExpectedModel>,
    /// SHA-512 of the request token that it answered.
    pub request: Option<Digest512>,
    /// What it answered.
    pub label: Option<u16>,
}

/// A model that is expected.
#[derive(Debug)]
pub enum ExpectedModel {
    /// The one with this digest.
    Digest(Digest512),
    /// This sealed model, as its publisher signed it for the device in question.
    File(ModelFile),
}

/// A receipt that is all that was asked for.
#[derive(Debug)]
pub struct Checked {
    /// What the device says, and how it signed.
    pub held: Held,
    /// The key's id.
    pub key_id: String,
    /// The sealed model's header, where one was expected as a file: its publisher's signature holds.
    pub model: Option<Header>,
}

/// Why a receipt was not verified.
#[derive(Debug)]
pub enum Unverified {
    /// A check failed.
    Failed {
        /// The kind of check, as in [`Failure::check`].
        check: &'static str,
        /// What it found.
        cause: String,
    },
    /// It could not be made.
    Input(Error),
}

impl From<Error> for Unverified {
    fn from(error: Error) -> Self {
        match error {
            Error::Verification { what, .. } => {
                // Where it is said, it is said of which file.
                failed("signature", what.strip_prefix(REFUSED).unwrap_or(&what))
            }
            other => Unverified::Input(other),
        }
    }
}

impl Unverified {
    /// The failure at `place`, if a check failed.
    ///
    /// # Errors
    /// The error for which no check could be made.
    pub fn at(self, place: String) -> Result<Failure> {
        match self {
            Unverified::Failed { check, cause } => Ok(Failure {
                place,
                check,
                cause,
                index: None,
                shard: None,
            }),
            Unverified::Input(error) => Err(error),
        }
    }
}

impl Trust {
    /// Believes the keys in `folder`: the owner's for training receipts, for a device's receipt that of the
    /// device which it names. Where `key` is given, all receipts must be that one's.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Input`] when the folder is none, or `key` cannot be read, is no key, or
    /// others can reach it.
    pub fn new(folder: Option<&Path>, key: Option<&Path>) -> Result<Trust> {
        Ok(Trust {
            folder: folder.map(KeyFolder::open).transpose()?,
            key: key.map(keys::verification_key).transpose()?,
            devices: HashMap::new(),
            models: HashMap::new(),
        })
    }

    /// Verifies a training receipt, and where `weights` are given that it is about those of these bytes.
    ///
    /// # Errors
    /// [`Unverified`] with the first thing that is not as it must be.
    pub fn training(&self, file: &[u8], weights: Option<&[u8]>) -> Result<Alone, Unverified> {
        let owner = match (&self.key, &self.folder) {
            (Some(key), _) => key.clone(),
            (None, Some(folder)) => folder.owner_public()?,
            (None, None) => return Err(Unverified::Input(no_key())),
        };
        let alone = verify_alone(file, &owner)?;
        let about = weights.map(|weights| alone.clone().about(weights));
        match about.transpose().map_err(Unverified::from) {
            Err(Unverified::Failed { cause, .. }) => Err(failed("weights", cause)),
            Err(other) => Err(other),
            Ok(_) => Ok(alone),
        }
    }

    /// Verifies a device's receipt and that it is what was expected.
    ///
    /// # Errors
    /// [`Unverified`] with the first thing that is not as it must be.
    pub fn device(&mut self, kept: &Kept, expected: &Expected) -> Result<Checked, Unverified> {
        let key = self.key_for(kept)?;
        let held = kept.verify(&key).map_err(|e| failed(e.check(), e))?;
        let receipt = held.receipt();
        let name = DeviceName::from_bytes(receipt.device_id.to_bytes());
        let refuse = |check, what: &str, said: &dyn Display, wanted: &dyn Display| {
            Err(failed(check, format!("{what} {said}, and not {wanted}")))
        };
        if let Some(device) = &expected.device
            && device.id() != receipt.device_id
        {
            let said = device_text(receipt.device_id);
            return refuse("device", "it is of device", &said, device);
        }
        if let Some(request) = &expected.request
            && *request != receipt.request_digest
        {
            let (said, wanted) = (short(&receipt.request_digest), short(request));
            return refuse("request", "it answers request", &said, &wanted);
        }
        if let Some(label) = &expected.label
            && *label != receipt.label
        {
            return refuse("label", "its label is", &receipt.label, label);
        }
        let (model, wanted) = match &expected.model {
            None => (None, None),
            Some(ExpectedModel::Digest(digest)) => (None, Some(*digest)),
            Some(ExpectedModel::File(file)) => {
                let header = self.model_for(name.as_ref(), file)?;
                (Some(header), Some(header.model_digest))
            }
        };
        if let Some(wanted) = wanted
            && wanted != receipt.model_digest
        {
            let (said, wanted) = (short(&receipt.model_digest), short(&wanted));
            return refuse("model", "it is for model", &said, &wanted);
        }
        Ok(Checked {
            held,
            key_id: key.key_id().to_string(),
            model,
        })
    }

    /// The key that must have signed. Which device's that is the receipt itself may say: if it lies, the
    /// signature does not hold.
    fn key_for(&mut self, kept: &Kept) -> Result<TrustedKey, Unverified> {
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        let Some(folder) = &self.folder else {
            return Err(Unverified::Input(no_key()));
        };
        let claimed: Receipt = kept.untrusted().map_err(|e| failed(e.check(), e))?;
        let name = DeviceName::from_bytes(claimed.device_id.to_bytes());
        let key = match name {
            None => None,
            Some(name) => match self.devices.get(&name) {
                Some(known) => known.clone(),
                None => {
                    let key = folder.device_receipt(&name)?;
                    self.devices.insert(name, key.clone());
                    key
                }
            },
        };
        key.ok_or_else(|| {
            let device = device_text(claimed.device_id);
            let folder = folder.path().display();
            failed(
                "key",
                format!("it names device {device}, for which {folder} holds no keys"),
            )
        })
    }

    /// The model's header, after its signature was verified as that device verifies it.
    fn model_for(
        &mut self,
        device: Option<&DeviceName>,
        file: &ModelFile,
    ) -> Result<Header, Unverified> {
        let (Some(folder), Some(device)) = (&self.folder, device) else {
            return Err(Unverified::Input(Error::input(
                "which publisher signs models for the device is not known",
                "give the keys too with --keys, or the model's digest in place of its file",
            )));
        };
        if let Some(header) = self.models.get(device) {
            return Ok(*header);
        }
        let publisher = folder.device_publisher(device)?;
        let header = file.verified(&publisher).map_err(|e| match e {
            Error::Verification { what, .. } => failed("model", what),
            other => Unverified::Input(other),
        })?;
        self.models.insert(*device, header);
        Ok(header)
    }
}

/// SHA-512 of the request token in a file: in binary form, as text, or in the frame in which it was sent.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Input`] when it holds no token.
pub fn request_digest(path: &Path) -> Result<Digest512> {
    let mut bytes = files::read_limited(path, MAX_REQUEST)?;
    let is_token = |token: &[u8]| fernet::untrusted_timestamp(token).is_ok();
    if is_token(&bytes) {
        return Ok(sha512(&[&bytes]));
    }
    let mut frames = FrameReader::<{ 1 + MAX_PAYLOAD }>::new();
    for &byte in &bytes {
        if let Some(Ok(frame)) = frames.push(byte)
            && frame.kind == Kind::Request
        {
            return Ok(sha512(&[frame.payload]));
        }
    }
    let length = bytes.trim_ascii_end().len();
    let token: Result<&mut [u8], FernetError> = fernet::decode_text_in_place(&mut bytes[..length]);
    match token {
        Ok(token) if is_token(token) => Ok(sha512(&[token])),
        _ => Err(Error::input(
            format!("{} holds no request", path.display()),
            "give the Fernet token that was sent to the device, or its frame",
        )),
    }
}

fn failed(check: &'static str, cause: impl ToString) -> Unverified {
    Unverified::Failed {
        check,
        cause: cause.to_string(),
    }
}

fn no_key() -> Error {
    Error::input(
        "there is no key to verify with",
        "give --keys DIR or --key FILE",
    )
}

/// The beginning of a digest, for people.
fn short(digest: &Digest512) -> String {
    format!("{}…", hex::encode(&digest[..8]))
}

/// The text of the longest request, and a line's end.
const MAX_REQUEST: u64 = 8 << 10;
