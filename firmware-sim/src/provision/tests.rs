use std::os::unix::fs::PermissionsExt as _;

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
            let expected =
                format!("ROOT/device-0001/{file} is open to other users (mode {mode:04o})");
            assert_eq!(folder.error(), expected);
        }
    }
}

#[test]
fn names_the_file_that_holds_no_key() {
    let cases = [
        (
            "wire.key",
            "",
            "Fernet key (one line of 44 characters; a device takes one key)",
        ),
        (
            "wire.key",
            "not a key",
            "Fernet key (one line of 44 characters; a device takes one key)",
        ),
        (
            "model.key",
            "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\nAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n",
            "Fernet key (one line of 44 characters; a device takes one key)",
        ),
        ("secret.key", "AAAA", "32 bytes in base64"),
        ("receipt.key", "!", "HMAC key (64 bytes in base64)"),
        (
            "publisher.pub.pem",
            "-----BEGIN PUBLIC KEY-----",
            "Ed25519 public key in PEM (SPKI)",
        ),
    ];
    for (file, text, expected) in cases {
        let folder = Folder::new("device-0001");
        folder.remove(file);
        folder.write(file, text, 0o600);
        assert_eq!(
            folder.error(),
            format!("ROOT/device-0001/{file} holds no {expected}")
        );
    }
    let folder = Folder::new("device-0001");
    folder.remove("secret.key");
    assert_eq!(
        folder.error(),
        "cannot read ROOT/device-0001/secret.key: No such file or directory (os error 2)"
    );
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
    let mut flash = flash_image(&identity, &[7; 1000], 42).unwrap();
    let bytes = flash.bytes();
    assert_eq!(bytes.len(), FLASH_LEN);
    assert_eq!(bytes[..1000], [7; 1000]);
    assert!(
        bytes[1000..IDENTITY]
            .iter()
            .chain(&bytes[IDENTITY + IDENTITY_LEN..JOURNAL])
            .all(|byte| *byte == 0xFF)
    );
    assert_eq!(
        bytes[IDENTITY..IDENTITY + IDENTITY_LEN],
        *identity.write().unwrap().as_slice()
    );
    let (mapped, region) = flash.split(JOURNAL);
    assert_eq!(
        (mapped.len(), FLASH_LEN - JOURNAL),
        (SLOT_B + SLOT_LEN + 4096, JOURNAL_LEN)
    );
    let counters = Journal::open(region).unwrap().counters();
    assert_eq!(
        (counters.boot, counters.security, counters.requests),
        (0, 42, 0)
    );
    assert!(flash_image(&identity, &[0; SLOT_LEN], 0).is_ok());
    let error = flash_image(&identity, &[0; SLOT_LEN + 1], 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the model is {} bytes long; a slot of this firmware, built for {SHAPE}, holds {SLOT_LEN}",
            SLOT_LEN + 1
        )
    );
}
