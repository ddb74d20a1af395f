use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use base64ct::{Base64, Encoding as _};
use sealnet_core::fernet::FernetKey;
use sealnet_core::sign::{Ed25519SigningKey, Scheme};

use super::*;
use crate::layout::{JOURNAL_LEN, SLOT_B};

/// Made with `openssl genpkey -algorithm ed25519 | openssl pkey -pubout`.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";
/// RFC 8032, section 7.1, test 1: the secret key of `PUBLIC_KEY`.
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

struct Folder {
    root: tempfile::TempDir,
    name: &'static str,
}

impl Folder {
    fn new(name: &'static str) -> Self {
        let folder = Self {
            root: tempfile::tempdir().unwrap(),
            name,
        };
        fs::create_dir(folder.path()).unwrap();
        folder.write(
            "wire.key",
            "# made today\n\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n",
            0o600,
        );
        folder.write(
            "model.key",
            "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
            0o400,
        );
        folder.write(
            "secret.key",
            &(Base64::encode_string(&[3; 32]) + "\n"),
            0o600,
        );
        folder.write(
            "receipt.key",
            &(Base64::encode_string(&[4; 64]) + "\r\n"),
            0o600,
        );
        folder.write("publisher.pub.pem", PUBLIC_KEY, 0o644);
        folder
    }

    fn path(&self) -> PathBuf {
        self.root.path().join(self.name)
    }

    fn write(&self, file: &str, text: &str, mode: u32) {
        let path = self.path().join(file);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.path().join(file)).unwrap();
    }

    fn error(&self) -> String {
        let error = load_keys(&self.path()).unwrap_err();
        assert!(!error.hint().is_empty());
        error
            .to_string()
            .replace(self.root.path().to_str().unwrap(), "ROOT")
    }
}

#[test]
fn loads_a_devices_keys() {
    let folder = Folder::new("device-0001");
    let identity = load_keys(&folder.path()).unwrap();
    assert_eq!(identity.device.as_str(), "0001");
    assert_eq!(*identity.wire.to_bytes(), [1; 32]);
    assert_eq!(*identity.model.unwrap().to_bytes(), [2; 32]);
    assert_eq!(*identity.secret.as_bytes(), [3; 32]);
    assert!(matches!(identity.receipt, SigningKey::Hmac(key) if *key.as_bytes() == [4; 64]));
    let seed: Vec<u8> = (0..32)
        .map(|i| u8::from_str_radix(&SEED[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    let public = Ed25519SigningKey::from_seed(&seed.try_into().unwrap()).public();
    assert!(
        matches!(identity.publisher, TrustedKey::Ed25519(key) if key.to_bytes() == public.to_bytes())
    );
}

#[test]
fn a_device_for_clear_models_has_no_model_key_and_an_hmac_device_trusts_its_own_key() {
    let folder = Folder::new("left");
    folder.remove("model.key");
    folder.write("model-hmac.key", &Base64::encode_string(&[5; 64]), 0o600);
    let identity = load_keys(&folder.path()).unwrap();
    assert_eq!(identity.device.as_str(), "left");
    assert!(identity.model.is_none());
    assert_eq!(identity.publisher.scheme(), Scheme::HmacSha512);
    folder.remove("publisher.pub.pem");
    load_keys(&folder.path()).unwrap();
}

#[test]
fn refuses_secrets_that_others_can_read() {
    for file in ["wire.key", "model.key", "secret.key", "receipt.key"] {
        for mode in [0o640, 0o604, 0o620, 0o601] {
            let folder = Folder::new("device-0001");
            let path = folder.path().join(file);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let expected = format!(
                "ROOT/device-0001/{file} is a secret that others can reach (mode {mode:04o})"
            );
            assert_eq!(folder.error(), expected);
        }
    }
}

#[test]
fn names_the_file_that_holds_no_key() {
    let cases = [
        ("wire.key", "", "it holds no Fernet key"),
        (
            "wire.key",
            "not a key",
            "line 1 is not a Fernet key (44 characters of base64url)",
        ),
        (
            "model.key",
            "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\nAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n",
            "it holds several Fernet keys, and a device takes one",
        ),
        (
            "secret.key",
            "AAAA",
            "it is not 32 bytes in one line of base64",
        ),
        (
            "receipt.key",
            "!",
            "it is not 64 bytes in one line of base64",
        ),
        (
            "publisher.pub.pem",
            "-----BEGIN PUBLIC KEY-----",
            "it is not a usable Ed25519 public key in PEM (SPKI)",
        ),
    ];
    for (file, text, expected) in cases {
        let folder = Folder::new("device-0001");
        folder.remove(file);
        folder.write(file, text, 0o600);
        assert_eq!(
            folder.error(),
            format!("ROOT/device-0001/{file}: {expected}")
        );
    }
    let folder = Folder::new("device-0001");
    folder.remove("secret.key");
    assert_eq!(
        folder.error(),
        "cannot read ROOT/device-0001/secret.key: No such file or directory (os error 2)"
    );
    for mode in [0o770, 0o702, 0o1777] {
        let folder = Folder::new("device-0001");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let expected =
            format!("ROOT/device-0001 is trusted, and others can change it (mode {mode:04o})");
        assert_eq!(folder.error(), expected);
    }
    for mode in [0o664, 0o646] {
        let folder = Folder::new("device-0001");
        folder.write("publisher.pub.pem", PUBLIC_KEY, mode);
        assert_eq!(
            folder.error(),
            format!(
                "ROOT/device-0001/publisher.pub.pem is trusted, and others can change it (mode {mode:04o})"
            )
        );
    }
    assert_eq!(
        Folder::new("device-a name").error(),
        "ROOT/device-a name is not named after a device"
    );
    assert_eq!(
        Folder::new("device-0123456789abcdefg").error(),
        "ROOT/device-0123456789abcdefg is not named after a device"
    );
}

#[test]
fn lays_the_flash_out_as_documented() {
    let identity = load_keys(&Folder::new("device-0001").path()).unwrap();
    let counters = Counters {
        boot: 5,
        security: 42,
        requests: 512,
    };
    let mut flash = flash_image(&identity, &[7; 1000], counters).unwrap();
    let bytes = flash.bytes();
    assert_eq!(bytes.len(), FLASH_LEN);
    assert_eq!(bytes[..1000], [7; 1000]);
    assert!(
        bytes[1000..IDENTITY]
            .iter()
            .chain(&bytes[IDENTITY + IDENTITY_LEN..JOURNAL])
            .all(|byte| *byte == 0xFF)
    );
    let provisioned = Provisioned::read(&bytes[IDENTITY..]).unwrap();
    let written = Provisioned {
        identity: identity.clone(),
        nonce: provisioned.nonce,
    };
    assert_eq!(
        bytes[IDENTITY..IDENTITY + IDENTITY_LEN],
        *written.write().unwrap().as_slice()
    );
    let (mapped, region) = flash.split(JOURNAL);
    assert_eq!(
        (mapped.len(), FLASH_LEN - JOURNAL),
        (SLOT_B + SLOT_LEN + 4096, JOURNAL_LEN)
    );
    assert_eq!(Journal::open(region).unwrap().counters(), counters);
    assert!(flash_image(&identity, &[0; SLOT_LEN], counters).is_ok());
    let error = flash_image(&identity, &[0; SLOT_LEN + 1], counters).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the model is {} bytes long; a slot of this firmware, built for {SHAPE}, holds {SLOT_LEN}",
            SLOT_LEN + 1
        )
    );
}

fn nonce(flash: &SimFlash) -> [u8; NONCE_LEN] {
    Provisioned::read(&flash.bytes()[IDENTITY..]).unwrap().nonce
}

#[test]
fn each_provisioning_has_a_nonce_of_its_own() {
    let identity = load_keys(&Folder::new("device-0001").path()).unwrap();
    let [first, second] = [1, 2].map(|_| flash_image(&identity, &[], Counters::default()).unwrap());
    assert_ne!(nonce(&first), nonce(&second));
}

#[test]
fn counters_go_on_unless_the_old_image_is_another_devices() {
    let mut identity = load_keys(&Folder::new("device-0001").path()).unwrap();
    let counters = Counters {
        boot: 5,
        security: 42,
        requests: 512,
    };
    let mut old = flash_image(&identity, &[], counters).unwrap();
    assert_eq!(counters_of(&mut old, &identity).unwrap(), Some(counters));
    // One of name and wire key is enough: either could be asked, or answer, as before.
    identity.device = DeviceName::new("0002").unwrap();
    assert_eq!(counters_of(&mut old, &identity).unwrap(), Some(counters));
    identity.wire = FernetKey::from_bytes([9; 32]);
    assert_eq!(counters_of(&mut old, &identity).unwrap(), None);
    identity.device = DeviceName::new("0001").unwrap();
    assert_eq!(counters_of(&mut old, &identity).unwrap(), Some(counters));

    // Who cannot say whose it is keeps its counters, and who has none cannot be replaced.
    let changed = |from: usize| {
        let mut bytes = old.bytes().to_vec();
        bytes[from..].fill(0xFF);
        bytes[IDENTITY + 4] = 1;
        SimFlash::new(bytes)
    };
    assert_eq!(
        counters_of(&mut changed(FLASH_LEN), &identity).unwrap(),
        Some(counters)
    );
    let error = counters_of(&mut changed(JOURNAL), &identity).unwrap_err();
    assert!(matches!(error, ProvisionError::Forgotten(_)) && !error.hint().is_empty());
}
