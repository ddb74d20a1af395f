//! The key folder: one key a role, each in a file of its own.
//!
//! | file | form | secret | used to |
//! |---|---|---|---|
//! | `owner/vault.key` | Fernet keys | yes | encrypt and decrypt records |
//! | `owner/record-tag.key` | 64 bytes | yes | tag records with HMAC-SHA-512 |
//! | `owner/sign.pem` | Ed25519, PKCS#8 | yes | sign manifests and training receipts |
//! | `owner/sign.pub.pem` | Ed25519, SPKI | no | verify them |
//! | `publisher/sign.pem`, `sign.pub.pem` | the same | the same | sign and verify models |
//! | `publisher/model.key` | Fernet keys | yes | encrypt models |
//! | `publisher/model-hmac-ID.key` | 64 bytes | yes | sign models for one device with HMAC-SHA-512 |
//! | `device-ID/wire.key` | Fernet key | yes | seal requests to the device and its replies |
//! | `device-ID/receipt.key` | 64 bytes | yes | sign the device's receipts |
//! | `device-ID/secret.key` | 32 bytes | yes | derive what the device cannot draw at random |
//! | `device-ID/publisher.pub.pem` | Ed25519, SPKI | no | verify models on the device |
//! | `device-ID/model.key` | Fernet key | yes | decrypt models; absent for clear models only |
//! | `device-ID/model-hmac.key` | 64 bytes | yes | verify models in place of `publisher.pub.pem` |
//!
//! Forms: *Fernet keys* as Python's `Fernet.generate_key()` prints them, one a line, the first encrypts
//! and all decrypt, blank lines and lines that begin with `#` are skipped; *bytes* as one line of base64
//! (RFC 4648, section 4); *Ed25519* as PEM that OpenSSL reads and writes (RFC 8410).
//!
//! Secret files are made with mode 0600 and refused when group or others can read or write them; public keys
//! are trusted for where they lie, so they and the folders are refused when group or others can write them; all
//! must belong to this user or to root ([`sealnet_firmware::keyfile`]).
//! Each loader below reads only the files of its own need.

mod format;
mod generate;

use std::path::{Path, PathBuf};

use sealnet_core::fernet::FernetKey;
use sealnet_core::record::TagKey;
use sealnet_core::sign::{Ed25519SigningKey, SigningKey, TrustedKey};
use sealnet_firmware::identity::{DeviceName, Identity};
use sealnet_firmware::provision;

use crate::error::{Error, Result};
use crate::files;

pub use format::{fernet_keys, hmac_key, public_key, signing_key, trusted_key, verification_key};
pub use generate::{DeviceSet, Generated, generate};

/// A folder that [`generate()`] made.
#[derive(Debug, Clone)]
pub struct KeyFolder {
    root: PathBuf,
}

impl KeyFolder {
    /// Names the folder; its files are read when they are needed.
    ///
    /// # Errors
    /// [`Error::Input`] when there is no such folder or others can write to it.
    pub fn open(root: &Path) -> Result<KeyFolder> {
        if !root.is_dir() {
            return Err(Error::input(
                format!("{} is not a folder with keys", root.display()),
                format!("make keys first: sealnet keygen {}", root.display()),
            ));
        }
        files::refuse_writable_folder(root)?;
        Ok(KeyFolder {
            root: root.to_owned(),
        })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The folder of one device's files, whether or not it exists.
    pub fn device_folder(&self, device: &DeviceName) -> PathBuf {
        device_folder(&self.root, device)
    }

    /// Owner: the vault's Fernet keys, at least one; the first encrypts.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Input`] when a key file is missing, unreadable, readable by others, or
    /// not what it should be; so for all loaders.
    pub fn vault_keys(&self) -> Result<Vec<FernetKey>> {
        fernet_keys(&self.role("owner")?.join("vault.key"))
    }

    /// Owner: the key that tags records.
    ///
    /// # Errors
    /// As [`vault_keys`](Self::vault_keys).
    pub fn record_tag_key(&self) -> Result<TagKey> {
        let path = self.role("owner")?.join("record-tag.key");
        Ok(TagKey::from_bytes(*format::base64_secret(&path)?))
    }

    /// Owner: signs manifests and training receipts.
    ///
    /// # Errors
    /// As [`vault_keys`](Self::vault_keys), and [`Error::Input`] when `sign.pub.pem` beside it is another
    /// key's: nobody could verify what is signed.
    pub fn owner_signing(&self) -> Result<SigningKey> {
        self.signing("owner").map(SigningKey::Ed25519)
    }

    /// Verifies the owner's manifests and training receipts. Public.
    ///
    /// # Errors
    /// As [`vault_keys`](Self::vault_keys).
    pub fn owner_public(&self) -> Result<TrustedKey> {
        trusted_key(&self.role("owner")?.join("sign.pub.pem")).map(TrustedKey::Ed25519)
    }

    /// Publisher: signs models for all devices.
    ///
    /// # Errors
    /// As [`owner_signing`](Self::owner_signing).
    pub fn publisher_signing(&self) -> Result<SigningKey> {
        self.signing("publisher").map(SigningKey::Ed25519)
    }

    /// Publisher: signs models for one device, with the HMAC key that they share.
    ///
    /// # Errors
    /// As [`vault_keys`](Self::vault_keys); the hint tells how to make a device with such a key.
    pub fn publisher_hmac(&self, device: &DeviceName) -> Result<SigningKey> {
        self.role("publisher")?;
        let path = self.root.join(publisher_hmac_name(device));
        if !path.exists() {
            return Err(Error::input(
                format!(
                    "device {device} has no HMAC key: {} is missing",
                    path.display()
                ),
                format!(
                    "make a device that has one: sealnet keygen {} --device ID --hmac --add",
                    self.root.display()
                ),
            ));
        }
        hmac_key(&path).map(SigningKey::Hmac)
    }

    /// Verifies the publisher's Ed25519 signatures. Public.
    ///
    /// # Errors
    /// As [`vault_keys`](Self::vault_keys).
    pub fn publisher_public(&self) -> Result<TrustedKey> {
        trusted_key(&self.role("publisher")?.join("sign.pub.pem")).map(TrustedKey::Ed25519)
    }

    /// Publisher: the Fernet keys of models, at least one; the first encrypts.
    ///
    /// # Errors
    /// As [`vault_keys`](Self::vault_keys).
    pub fn model_keys(&self) -> Result<Vec<FernetKey>> {
        fernet_keys(&self.role("publisher")?.join("model.key"))
    }

    /// The keys of one device, as it is provisioned with them.
    ///
    /// # Errors
    /// As [`vault_keys`](Self::vault_keys), and [`Error::Input`] when there is no such device.
    pub fn device(&self, device: &DeviceName) -> Result<Identity> {
        let folder = self.device_folder(device);
        if !folder.is_dir() {
            return Err(Error::input(
                format!(
                    "there are no keys for device {device}: {} is missing",
                    folder.display()
                ),
                format!(
                    "name another --device, or make it: sealnet keygen {} --device {device} --add",
                    self.root.display()
                ),
            ));
        }
        // It checks the folder and the files that it opens, and reads from those.
        provision::load_keys(&folder).map_err(|e| Error::input(e.to_string(), e.hint()))
    }

    /// Verifies one device's receipts; none when there is no such device.
    ///
    /// # Errors
    /// As [`vault_keys`](Self::vault_keys).
    pub fn device_receipt(&self, device: &DeviceName) -> Result<Option<TrustedKey>> {
        if !self.device_folder(device).is_dir() {
            return Ok(None);
        }
        let folder = self.role(&format!("device-{device}"))?;
        let key = hmac_key(&folder.join("receipt.key"))?;
        Ok(Some(TrustedKey::Hmac(key)))
    }

    /// Verifies models as one device does.
    ///
    /// # Errors
    /// As [`vault_keys`](Self::vault_keys).
    pub fn device_publisher(&self, device: &DeviceName) -> Result<TrustedKey> {
        let folder = self.role(&format!("device-{device}"))?;
        let hmac = folder.join("model-hmac.key");
        match hmac.symlink_metadata() {
            Ok(_) => hmac_key(&hmac).map(TrustedKey::Hmac),
            Err(_) => trusted_key(&folder.join("publisher.pub.pem")).map(TrustedKey::Ed25519),
        }
    }

    /// The folder of one role, which others must not be able to put keys into.
    fn role(&self, name: &str) -> Result<PathBuf> {
        let folder = self.root.join(name);
        files::refuse_writable_folder(&folder)?;
        Ok(folder)
    }

    /// The signing key of one role, whose public half lies beside it or not at all.
    fn signing(&self, role: &str) -> Result<Ed25519SigningKey> {
        let folder = self.role(role)?;
        let [secret, public] = ["sign.pem", "sign.pub.pem"].map(|name| folder.join(name));
        let key = signing_key(&secret)?;
        if public.symlink_metadata().is_err() {
            return Ok(key);
        }
        let (half, other) = (key.public(), trusted_key(&public)?);
        if half.to_bytes() == other.to_bytes() {
            return Ok(key);
        }
        Err(Error::input(
            format!(
                "{} (key {}) is not the public half of {} (key {})",
                public.display(),
                TrustedKey::Ed25519(other).key_id(),
                secret.display(),
                TrustedKey::Ed25519(half).key_id()
            ),
            format!(
                "restore the one that was changed, or write the public half anew: openssl pkey -in {} \
                 -pubout -out {}",
                secret.display(),
                public.display()
            ),
        ))
    }
}

/// Reads a device's name as typed.
///
/// # Errors
/// [`Error::Input`] unless it is 1 to 16 ASCII letters, digits, `-` or `_`.
pub fn device_name(text: &str) -> Result<DeviceName> {
    DeviceName::new(text).ok_or_else(|| {
        Error::input(
            format!("{text:?} is not a device's name"),
            "use 1 to 16 letters, digits, `-` or `_`, as in 0001",
        )
    })
}

fn device_folder(root: &Path, device: &DeviceName) -> PathBuf {
    root.join(format!("device-{device}"))
}

fn publisher_hmac_name(device: &DeviceName) -> String {
    format!("publisher/model-hmac-{device}.key")
}
