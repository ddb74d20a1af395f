//! A small vault with keys of its own, and ways to look into its objects.

use std::fs;
use std::path::{Path, PathBuf};

use sealnet::dataset::{Dataset, Part};
use sealnet::error::{Error, Failure, Result};
use sealnet::progress::Silent;
use sealnet::state::SerialMemory;
use sealnet::store::Store;
use sealnet::vault::manifest::Manifest;
use sealnet::vault::{
    DatasetSink, DatasetSource, OpenKeys, OpenOptions, Opened, Profile, SealKeys, SealOptions,
    Sealed, Tolerance, manifest_name, open, seal,
};
use sealnet_core::fernet::FernetKey;
use sealnet_core::record::{TagKey, TagScheme};
use sealnet_core::sign::{Ed25519SigningKey, SigningKey, TrustedKey};

/// Records a shard in these tests.
pub(crate) const SHARD: u32 = 16;

/// 100 records of 6 features: six shards of 16 and one of 4.
pub(crate) fn records() -> Dataset {
    let count = 100;
    Dataset {
        name: "small".into(),
        shape: vec![2, 3],
        classes: 5,
        features: (0..count * 6).map(|i| (i * 37 + i / 11) as u8).collect(),
        labels: (0..count).map(|i| (i * 7 % 5) as u16).collect(),
        parts: vec![
            Part {
                name: "train".into(),
                start: 0,
                len: 75,
            },
            Part {
                name: "test".into(),
                start: 75,
                len: 25,
            },
        ],
        scaling: None,
        class_names: None,
        headings: None,
    }
    .checked()
    .unwrap()
}

/// Signed manifest with plain tags: each defence can be had alone.
pub(crate) const SIGNED_ONLY: Profile = Profile {
    signed_manifest: true,
    tag_scheme: TagScheme::Sha512,
};

/// Keyed tags with an unsigned index.
pub(crate) const KEYED_ONLY: Profile = Profile {
    signed_manifest: false,
    tag_scheme: TagScheme::HmacSha512,
};

/// One owner's keys.
pub(crate) struct Owner {
    pub(crate) vault: Vec<FernetKey>,
    pub(crate) tag: TagKey,
    pub(crate) signer: SigningKey,
    pub(crate) trusted: TrustedKey,
}

impl Owner {
    pub(crate) fn new(seed: u8) -> Owner {
        let signer = SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[seed; 32]));
        Owner {
            vault: vec![FernetKey::from_bytes([seed; 32])],
            tag: TagKey::from_bytes([seed; 64]),
            trusted: signer.trusted(),
            signer,
        }
    }

    pub(crate) fn seal_keys(&self) -> SealKeys<'_> {
        SealKeys {
            vault: &self.vault,
            tag: &self.tag,
            signer: &self.signer,
        }
    }

    pub(crate) fn open_keys(&self) -> OpenKeys<'_> {
        OpenKeys {
            vault: &self.vault,
            tag: &self.tag,
            signer: &self.trusted,
        }
    }
}

/// An owner, a folder for vaults, and what the owner's machine remembers.
pub(crate) struct World {
    pub(crate) owner: Owner,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> World {
        World {
            owner: Owner::new(7),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A world with `records` sealed in its vault.
    pub(crate) fn sealed() -> World {
        let world = World::new();
        world.seal(&records()).unwrap();
        world
    }

    pub(crate) fn sealed_as(profile: Profile) -> World {
        let world = World::new();
        world.seal_as(&records(), profile).unwrap();
        world
    }

    /// The vault's folder.
    pub(crate) fn vault(&self) -> PathBuf {
        self.folder.path().join("vault")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.vault().join(name)
    }

    pub(crate) fn memory(&self) -> SerialMemory {
        SerialMemory::at(self.folder.path().join("state"))
    }

    pub(crate) fn store(&self) -> Store {
        Store::create(self.vault().to_str().unwrap()).unwrap()
    }

    pub(crate) fn seal(&self, data: &Dataset) -> Result<Sealed> {
        self.seal_as(data, Profile::DEFAULT)
    }

    pub(crate) fn seal_as(&self, data: &Dataset, profile: Profile) -> Result<Sealed> {
        let options = SealOptions {
            profile,
            shard_records: Some(SHARD),
            ..SealOptions::default()
        };
        self.seal_with(data, &options)
    }

    pub(crate) fn seal_with(&self, data: &Dataset, options: &SealOptions) -> Result<Sealed> {
        let source = DatasetSource::new(data);
        let keys = self.owner.seal_keys();
        seal(
            &source,
            &self.store(),
            keys,
            options,
            &self.memory(),
            &Silent,
        )
    }

    pub(crate) fn open(&self) -> Result<(Dataset, Opened)> {
        self.open_with(&OpenOptions::default())
    }

    pub(crate) fn open_as(&self, profile: Profile) -> Result<(Dataset, Opened)> {
        self.open_with(&OpenOptions {
            profile,
            ..OpenOptions::default()
        })
    }

    pub(crate) fn open_allowing(&self, max_tampered: Tolerance) -> Result<(Dataset, Opened)> {
        self.open_with(&OpenOptions {
            max_tampered,
            ..OpenOptions::default()
        })
    }

    pub(crate) fn open_with(&self, options: &OpenOptions) -> Result<(Dataset, Opened)> {
        self.open_as_owner(&self.owner, options)
    }

    pub(crate) fn open_as_owner(
        &self,
        owner: &Owner,
        options: &OpenOptions,
    ) -> Result<(Dataset, Opened)> {
        let mut sink = DatasetSink::default();
        let store = self.store();
        let keys = owner.open_keys();
        let opened = open(&store, keys, options, &self.memory(), &mut sink, &Silent)?;
        Ok((sink.into_dataset().expect("it opened"), opened))
    }

    /// The names of the shards, in order, of the manifest with this serial.
    pub(crate) fn shards(&self, serial: u64) -> Vec<String> {
        let envelope = fs::read(self.path(&manifest_name(serial))).unwrap();
        shard_names(&manifest_of(&envelope))
    }

    /// The names of the shards of an unsigned index.
    pub(crate) fn index_shards(&self) -> Vec<String> {
        let index = fs::read(self.path("paper/index.json")).unwrap();
        shard_names(&Manifest::from_json(&index, false).unwrap())
    }

    pub(crate) fn tokens(&self, shard: &str) -> PathBuf {
        self.path(&format!("shards/{shard}.fernet"))
    }

    pub(crate) fn leaves(&self, shard: &str) -> PathBuf {
        self.path(&format!("shards/{shard}.leaves"))
    }

    /// Opens the vault and expects these failures, each as (check, record), and exit code 1.
    #[track_caller]
    pub(crate) fn refuses(&self, expected: &[(&str, Option<u64>)]) {
        refused(self.open().map(drop), expected);
    }
}

/// Expects these failures, each as (check, record), and exit code 1.
#[track_caller]
pub(crate) fn refused(result: Result<()>, expected: &[(&str, Option<u64>)]) {
    let error = result.expect_err("it must be refused");
    assert_eq!(error.exit_code(), 1, "{error}");
    let found: Vec<_> = failures(&error)
        .iter()
        .map(|f| (f.check, f.index))
        .collect();
    assert_eq!(found, expected, "{error}: {:?}", error.failures());
}

pub(crate) fn failures(error: &Error) -> &[Failure] {
    error.failures()
}

/// Whole records `from..to` failing the same check.
pub(crate) fn all(
    check: &'static str,
    records: std::ops::Range<u64>,
) -> Vec<(&'static str, Option<u64>)> {
    records.map(|index| (check, Some(index))).collect()
}

/// The manifest in an envelope, not verified.
pub(crate) fn manifest_of(envelope: &[u8]) -> Manifest {
    let envelope: serde_json::Value = serde_json::from_slice(envelope).unwrap();
    let payload = envelope["payload"].as_str().unwrap();
    let payload = <base64ct::Base64 as base64ct::Encoding>::decode_vec(payload).unwrap();
    Manifest::from_json(&payload, true).unwrap()
}

fn shard_names(manifest: &Manifest) -> Vec<String> {
    manifest.shards.iter().map(|s| s.name.clone()).collect()
}

/// The lines of a shard, without their LF.
pub(crate) fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

pub(crate) fn write_lines(path: &Path, lines: &[String]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(path, text).unwrap();
}

/// Changes a file by way of its lines.
pub(crate) fn edit_lines(path: &Path, edit: impl FnOnce(&mut Vec<String>)) {
    let mut all = lines(path);
    edit(&mut all);
    write_lines(path, &all);
}

/// Flips one bit of a file.
pub(crate) fn flip(path: &Path, byte: usize, bit: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

/// Copies a folder and all in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
