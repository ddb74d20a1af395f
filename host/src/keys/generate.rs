//! Making keys.

use std::path::{Path, PathBuf};

use sealnet_core::fernet::FernetKey;
use sealnet_core::sign::{Ed25519PublicKey, Ed25519SigningKey};
use sealnet_firmware::identity::DeviceName;
use zeroize::Zeroizing;

use super::format::{base64_text, fernet_text, public_pem, signing_pem, trusted_key};
use super::{device_folder, publisher_hmac_name};
use crate::error::{Error, Result};
use crate::files::{self, StagedDir, StagedParts};

/// The devices to make keys for.
#[derive(Debug, Clone, Copy)]
pub struct DeviceSet<'a> {
    /// Their names.
    pub names: &'a [DeviceName],
    /// They run clear models only and get no key that opens an encrypted one.
    pub clear_only: bool,
    /// Each gets an HMAC key that models for it are signed with.
    pub hmac: bool,
}

/// What [`generate`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Every file, relative to the key folder, in the order of roles.
    pub files: Vec<PathBuf>,
}

/// Makes the keys of owner, publisher and devices in `root`, or with `add` only those of the devices,
/// beside an owner and a publisher that exist. All appear together, by rename, or not at all.
///
/// # Errors
/// [`Error::Input`] when keys are there already (they are never overwritten), or missing with `add`;
/// [`Error::Io`] when the disk refuses.
pub fn generate(root: &Path, devices: DeviceSet<'_>, add: bool) -> Result<Generated> {
    for (at, name) in devices.names.iter().enumerate() {
        if devices.names[..at].contains(name) {
            return Err(Error::input(
                format!("device {name} is named twice"),
                "name each device once",
            ));
        }
    }
    if add {
        add_devices(root, devices)
    } else {
        new_folder(root, devices)
    }
}

fn new_folder(root: &Path, devices: DeviceSet<'_>) -> Result<Generated> {
    if root.join("owner").exists() || root.join("publisher").exists() {
        return Err(Error::input(
            format!(
                "{} holds keys already; they are never overwritten",
                root.display()
            ),
            "name another folder, or add devices to these keys with --device ID --add",
        ));
    }
    let staged = StagedDir::create_private(root)?;
    let files = write_all_roles(staged.path(), devices).map_err(|e| staged.renamed(e))?;
    staged.commit()?;
    Ok(Generated { files })
}

fn write_all_roles(root: &Path, devices: DeviceSet<'_>) -> Result<Vec<PathBuf>> {
    let mut writer = Writer::new(root);
    writer.folder("owner")?;
    writer.secret(
        "owner/vault.key",
        &fernet_text(&FernetKey::from_bytes(*random()?)),
    )?;
    writer.secret(
        "owner/record-tag.key",
        base64_text(&*random::<64>()?).as_bytes(),
    )?;
    writer.key_pair("owner")?;
    writer.folder("publisher")?;
    let publisher = writer.key_pair("publisher")?;
    let model = FernetKey::from_bytes(*random()?);
    writer.secret("publisher/model.key", &fernet_text(&model))?;
    writer.devices(devices, &publisher, Some(&model))?;
    Ok(writer.files)
}

fn add_devices(root: &Path, devices: DeviceSet<'_>) -> Result<Generated> {
    // Everything that could be missing or in the way is looked at before anything is written.
    files::refuse_writable_folder(root)?;
    let publisher = trusted_key(&root.join("publisher/sign.pub.pem"))?;
    let model = match devices.clear_only {
        true => None,
        false => Some(first_fernet_key(&root.join("publisher/model.key"))?),
    };
    let mut parts = Vec::new();
    for name in devices.names {
        // The folder first: of two who add the same device, one fails there.
        parts.push(device_folder(Path::new(""), name));
        if devices.hmac {
            parts.push(publisher_hmac_name(name).into());
        }
        for there in [
            device_folder(root, name),
            root.join(publisher_hmac_name(name)),
        ] {
            if there.symlink_metadata().is_ok() {
                return Err(Error::input(
                    format!(
                        "{} exists already; keys are never overwritten",
                        there.display()
                    ),
                    "name another device",
                ));
            }
        }
    }
    let staged = StagedParts::create(root)?;
    let mut writer = Writer::new(staged.path());
    writer
        .folder("publisher")
        .and_then(|()| writer.devices(devices, &publisher, model.as_ref()))
        .map_err(|e| staged.renamed(e))?;
    let files = writer.files;
    staged.commit(&parts)?;
    Ok(Generated { files })
}

/// The key that encrypts models: devices are given that one.
fn first_fernet_key(path: &Path) -> Result<FernetKey> {
    let mut keys = super::fernet_keys(path)?;
    Ok(keys.swap_remove(0))
}

/// Writes key files below one folder and remembers them.
struct Writer<'a> {
    root: &'a Path,
    files: Vec<PathBuf>,
}

impl<'a> Writer<'a> {
    fn new(root: &'a Path) -> Self {
        Writer {
            root,
            files: Vec::new(),
        }
    }

    fn folder(&self, name: &str) -> Result<()> {
        files::create_private_dir(&self.root.join(name))
    }

    fn secret(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        files::write_secret_new(&self.root.join(name), bytes)?;
        self.files.push(name.into());
        Ok(())
    }

    fn public(&mut self, name: &str, key: &Ed25519PublicKey) -> Result<()> {
        files::write_public_new(&self.root.join(name), public_pem(key)?.as_bytes())?;
        self.files.push(name.into());
        Ok(())
    }

    /// A new Ed25519 key in `folder`; gives its public half.
    fn key_pair(&mut self, folder: &str) -> Result<Ed25519PublicKey> {
        let key = Ed25519SigningKey::from_seed(&*random()?);
        self.secret(&format!("{folder}/sign.pem"), signing_pem(&key)?.as_bytes())?;
        self.public(&format!("{folder}/sign.pub.pem"), &key.public())?;
        Ok(key.public())
    }

    fn devices(
        &mut self,
        devices: DeviceSet<'_>,
        publisher: &Ed25519PublicKey,
        model: Option<&FernetKey>,
    ) -> Result<()> {
        let model = model.filter(|_| !devices.clear_only);
        for device in devices.names {
            let folder = format!("device-{device}");
            self.folder(&folder)?;
            let name = |file: &str| format!("{folder}/{file}");
            if devices.hmac {
                let hmac = base64_text(&*random::<64>()?);
                self.secret(&publisher_hmac_name(device), hmac.as_bytes())?;
                self.secret(&name("model-hmac.key"), hmac.as_bytes())?;
            }
            let wire = FernetKey::from_bytes(*random()?);
            self.secret(&name("wire.key"), &fernet_text(&wire))?;
            let receipt = base64_text(&*random::<64>()?);
            self.secret(&name("receipt.key"), receipt.as_bytes())?;
            let secret = base64_text(&*random::<32>()?);
            self.secret(&name("secret.key"), secret.as_bytes())?;
            self.public(&name("publisher.pub.pem"), publisher)?;
            if let Some(model) = model {
                self.secret(&name("model.key"), &fernet_text(model))?;
            }
        }
        Ok(())
    }
}

/// Bytes from the operating system's random source.
fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    match getrandom::fill(bytes.as_mut_slice()) {
        Ok(()) => Ok(bytes),
        Err(e) => Err(Error::input(
            format!("the operating system gives no random bytes: {e}"),
            "keys cannot be made on this machine now",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KeyFolder, device_name};
    use super::*;

    fn names(names: &[&str]) -> Vec<DeviceName> {
        names
            .iter()
            .map(|name| device_name(name).unwrap())
            .collect()
    }

    #[test]
    fn a_whole_folder_loads_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("keys");
        let [one, two] = [&names(&["0001"])[0], &names(&["0002"])[0]].map(|name| *name);
        let set = DeviceSet {
            names: &[one],
            clear_only: false,
            hmac: false,
        };
        let made = generate(&root, set, false).unwrap();
        assert_eq!(made.files.len(), 12);
        let keys = KeyFolder::open(&root).unwrap();
        assert_eq!(
            keys.owner_signing().unwrap().key_id(),
            keys.owner_public().unwrap().key_id()
        );
        assert_ne!(
            keys.owner_public().unwrap().key_id(),
            keys.publisher_public().unwrap().key_id()
        );
        keys.record_tag_key().unwrap();
        let device = keys.device(&one).unwrap();
        assert_eq!(
            device.publisher.key_id(),
            keys.publisher_signing().unwrap().key_id()
        );
        let shared = device.model.unwrap().key_id();
        assert_eq!(shared, keys.model_keys().unwrap()[0].key_id());
        assert_ne!(shared, keys.vault_keys().unwrap()[0].key_id());

        assert!(generate(&root, set, false).is_err());
        assert!(generate(&root, set, true).is_err());
        assert!(keys.device(&two).is_err());
        let more = DeviceSet {
            names: &[two],
            clear_only: true,
            hmac: true,
        };
        generate(&root, more, true).unwrap();
        let device = keys.device(&two).unwrap();
        assert!(device.model.is_none());
        assert_eq!(
            device.publisher.key_id(),
            keys.publisher_hmac(&two).unwrap().key_id()
        );
        assert!(keys.publisher_hmac(&one).is_err());
    }

    #[test]
    fn nothing_is_left_of_a_refused_request() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("keys");
        let twice = names(&["a", "a"]);
        let set = DeviceSet {
            names: &twice,
            clear_only: false,
            hmac: false,
        };
        assert!(generate(&root, set, false).is_err());
        assert!(
            generate(
                &root,
                DeviceSet {
                    names: &twice[..1],
                    ..set
                },
                true
            )
            .is_err()
        );
        assert!(!root.exists());
        assert!(device_name("").is_err() && device_name("a/b").is_err());
        assert!(device_name("12345678901234567").is_err());
    }
}
