//! Tampering with a sealed vault: what someone can do who writes to its storage.

mod campaign;
mod export;
mod model;
mod scene;
mod vault;
mod wire;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64, Encoding};
use sealnet_core::fernet::{self, FernetKey, Iv, binary_len, decrypt_text_in_place, text_len};
use sealnet_core::record::merkle::leaf_hash;
use sealnet_core::record::{Record, Tagger, decode, encode};

use crate::error::{Error, Result};
use crate::files;
use crate::vault::manifest::Manifest;
use crate::vault::manifest_name;

pub use campaign::{Campaign, KindReport, Report, run};

/// One way of tampering with a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaultTampering {
    /// One bit of one record's ciphertext is flipped.
    CiphertextBit,
    /// One record is taken out of its shard.
    DroppedRecord,
    /// Two records of a shard change places.
    SwappedRecords,
    /// An insider with the vault's Fernet key, but not the record-tag key, puts another label on a record,
    /// hashes it afresh with plain SHA-512, encrypts it again and makes the shard's leaves fit.
    InsiderForgery,
    /// The newest manifest is taken away, so that an older, validly signed vault is found.
    OlderVault,
    /// The manifest is edited.
    EditedManifest,
}

impl VaultTampering {
    /// Every way.
    pub const ALL: [VaultTampering; 6] = [
        VaultTampering::CiphertextBit,
        VaultTampering::DroppedRecord,
        VaultTampering::SwappedRecords,
        VaultTampering::InsiderForgery,
        VaultTampering::OlderVault,
        VaultTampering::EditedManifest,
    ];

    /// What it is, for people.
    pub const fn name(self) -> &'static str {
        match self {
            VaultTampering::CiphertextBit => "ciphertext bit flipped",
            VaultTampering::DroppedRecord => "record dropped",
            VaultTampering::SwappedRecords => "two records swapped",
            VaultTampering::InsiderForgery => "record forged by an insider",
            VaultTampering::OlderVault => "old vault replayed",
            VaultTampering::EditedManifest => "manifest edited",
        }
    }

    /// The check that must notice it, as [`Failure::check`](crate::error::Failure::check) names it.
    pub const fn noticed_by(self) -> &'static str {
        match self {
            VaultTampering::CiphertextBit => "decrypt",
            VaultTampering::DroppedRecord => "count",
            VaultTampering::SwappedRecords => "index",
            VaultTampering::InsiderForgery => "root",
            VaultTampering::OlderVault => "serial",
            VaultTampering::EditedManifest => "signature",
        }
    }

    /// Tampers with the vault in the folder `vault`, whose newest manifest is `manifest`, at the record that
    /// `choice` picks. Files are replaced, never written into, so that a hard-linked original stays whole.
    ///
    /// # Errors
    /// When the vault cannot be read or written, or is not as its manifest says.
    pub fn apply(
        self,
        vault: &Path,
        manifest: &Manifest,
        insider: &FernetKey,
        choice: usize,
    ) -> Result<()> {
        match self {
            VaultTampering::OlderVault => {
                let newest = newest_manifest(vault, manifest);
                std::fs::remove_file(&newest).map_err(Error::io("remove", newest))
            }
            VaultTampering::EditedManifest => edit_manifest(&newest_manifest(vault, manifest)),
            VaultTampering::CiphertextBit
            | VaultTampering::DroppedRecord
            | VaultTampering::SwappedRecords
            | VaultTampering::InsiderForgery => self.edit_shard(vault, manifest, insider, choice),
        }
    }

    fn edit_shard(
        self,
        vault: &Path,
        manifest: &Manifest,
        insider: &FernetKey,
        choice: usize,
    ) -> Result<()> {
        let shards = &manifest.shards;
        let shard = shards
            .get(choice % shards.len().max(1))
            .ok_or_else(|| odd(vault))?;
        let folder = if manifest.seal.is_some() {
            "shards"
        } else {
            "paper"
        };
        let path = vault.join(folder).join(format!("{}.fernet", shard.name));
        let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let mut lines: Vec<Vec<u8>> = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(<[u8]>::to_vec)
            .collect();
        if lines.len() < 2 {
            return Err(odd(vault));
        }
        let place = choice % (lines.len() - 1);
        match self {
            VaultTampering::DroppedRecord => drop(lines.remove(place)),
            VaultTampering::SwappedRecords => lines.swap(place, place + 1),
            VaultTampering::InsiderForgery => {
                let (line, leaf) =
                    forge(&lines[place], manifest, insider).ok_or_else(|| odd(vault))?;
                lines[place] = line;
                if manifest.seal.is_some() {
                    replace_leaf(&path.with_extension("leaves"), place, &leaf)?;
                }
            }
            _ => flip(&mut lines[place]).ok_or_else(|| odd(vault))?,
        }
        let mut text = lines.join(&b'\n');
        text.push(b'\n');
        files::write_atomic(&path, &text)
    }
}

/// Flips a bit in the middle of a token: some character becomes another of the alphabet.
fn flip(line: &mut [u8]) -> Option<()> {
    let middle = line.len() / 2;
    let character = line.get_mut(middle)?;
    *character = if *character == b'A' { b'B' } else { b'A' };
    Some(())
}

/// What the insider makes of a line: the same record with the next label, and its leaf.
fn forge(line: &[u8], manifest: &Manifest, insider: &FernetKey) -> Option<(Vec<u8>, [u8; 64])> {
    let mut token = line.to_vec();
    let decrypted = decrypt_text_in_place(insider, &mut token, None).ok()?;
    let (record, _) = decode(decrypted.plaintext()).ok()?;
    let forged = Record {
        label: (record.label + 1) % manifest.about.classes.max(1),
        ..record
    };
    let hash = Tagger::Sha512.tag(&manifest.dataset_id, &forged);
    let mut plaintext = vec![0; decrypted.plaintext().len()];
    encode(&forged, &hash, &mut plaintext).ok()?;
    encrypt(&plaintext, insider)
}

/// The same record in a token of today.
fn encrypt_again(line: &[u8], insider: &FernetKey) -> Option<(Vec<u8>, [u8; 64])> {
    let mut token = line.to_vec();
    let decrypted = decrypt_text_in_place(insider, &mut token, None).ok()?;
    encrypt(decrypted.plaintext(), insider)
}

/// A line, and its leaf.
fn encrypt(plaintext: &[u8], key: &FernetKey) -> Option<(Vec<u8>, [u8; 64])> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let iv = Iv::try_random(&mut getrandom::SysRng).ok()?;
    let mut text = vec![0; text_len(binary_len(plaintext.len()))];
    let length = fernet::encrypt_text(key, time, iv, plaintext, &mut text).ok()?;
    text.truncate(length);
    let mut binary = text.clone();
    let leaf = leaf_hash(fernet::decode_text_in_place(&mut binary).ok()?);
    Some((text, leaf))
}

fn replace_leaf(path: &Path, place: usize, leaf: &[u8; 64]) -> Result<()> {
    let mut leaves = std::fs::read(path).map_err(Error::io("read", path))?;
    let (leaf_slots, _) = leaves.as_chunks_mut::<64>();
    if let Some(slot) = leaf_slots.get_mut(place) {
        *slot = *leaf;
    }
    files::write_atomic(path, &leaves)
}

/// Counts one record less, and leaves the signature as it was.
fn edit_manifest(path: &Path) -> Result<()> {
    let text = std::fs::read(path).map_err(Error::io("read", path))?;
    let edited = (|| {
        let mut envelope: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let payload = Base64::decode_vec(envelope.get("payload")?.as_str()?).ok()?;
        let mut payload: serde_json::Value = serde_json::from_slice(&payload).ok()?;
        let records = payload.get("records")?.as_u64()?;
        payload["records"] = records.saturating_sub(1).into();
        envelope["payload"] = Base64::encode_string(payload.to_string().as_bytes()).into();
        // In the one form that an envelope has, so that nothing but its signature is wrong.
        Some(envelope.to_string() + "\n")
    })();
    let edited = edited.ok_or_else(|| odd(path))?;
    files::write_atomic(path, edited.as_bytes())
}

fn newest_manifest(vault: &Path, manifest: &Manifest) -> PathBuf {
    let serial = manifest.seal.as_ref().map_or(0, |seal| seal.serial);
    vault.join(manifest_name(serial))
}

fn odd(vault: &Path) -> Error {
    Error::input(
        format!("{} is not as its manifest says", vault.display()),
        "tampering needs a whole vault to begin with",
    )
}
