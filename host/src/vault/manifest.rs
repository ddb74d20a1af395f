//! The manifest: what a vault holds, signed; and the unsigned index of profile `paper`.
//!
//! # `manifest-SERIAL.json`
//!
//! A DSSE envelope (see [`crate::dsse`]) of payload type `application/vnd.sealnet.manifest+json`, signed
//! under the domain `sealnet/v1/manifest`. **Manifest digest** everywhere means SHA-512 of the whole object,
//! envelope included, as stored. The payload, verified as stored bytes before it is parsed, is one JSON
//! object; a member that is unknown, repeated or missing makes it invalid.
//!
//! | member | value |
//! |---|---|
//! | `format` | `"sealnet-vault"` |
//! | `version` | 1; a reader refuses a higher one |
//! | `profile` | `"default"`, or `"signed-only"` when `tag_scheme` is `"sha512"` |
//! | `dataset_id` | 32 hex digits, random, the same for all serials of one data set; it is in every record's tag |
//! | `name` | for people; at most 256 bytes, no control characters |
//! | `serial` | from 1, higher each time the data set is sealed; the object's name repeats it |
//! | `created` | seconds since the Unix epoch |
//! | `feature_type` | `"u8"` |
//! | `shape` | lengths of a record's axes, as `[28, 28]`; their product is the number of features |
//! | `classes` | number of classes; labels are below it |
//! | `class_names` | optional: a name for each class |
//! | `records` | number of records |
//! | `parts` | `[{"name", "records"}]`, in order, which together are all records: `train`, then `test` |
//! | `class_counts` | optional: records of each class |
//! | `scaling` | optional: `[{"name", "offset", "scale"}]` for each feature; the value it stands for is `offset + scale · feature` |
//! | `tag_scheme` | `"hmac-sha512"` or `"sha512"` |
//! | `keys` | `{"vault", "tag", "signer"}`: ids of the Fernet key that encrypted, of the tag key (absent with `"sha512"`), of the key that signed; 16 hex digits each |
//! | `merkle` | `{"hash": "sha512", "root"}`, the root in 128 hex digits |
//! | `shards` | `[{"name", "records", "subroot"}]` in order; see [the layout](super) |
//!
//! Hexadecimal is lowercase. Members stand in this order, but a reader does not depend on it.
//!
//! # `paper/index.json`
//!
//! The same object bare, without envelope, and without `serial`, `created`, `keys`, `merkle` and `subroot`;
//! `format` is `"sealnet-index"` and `profile` `"paper"` (or `"keyed-only"` with tags `hmac-sha512`). Nothing
//! in it is protected.

use sealnet_core::record::merkle::root_of;
use sealnet_core::record::{DatasetId, TagScheme};
use sealnet_core::sign::{Digest512, KeyId};
use serde::{Deserialize, Deserializer, Serialize};

use super::records::{About, PartSize};
use super::{MAX_SHARD_BYTES, MAX_SHARD_RECORDS, Profile, line_len};
use crate::dataset::Column;
use crate::dsse::from_json_strict;

/// A manifest (or index) whose parts agree with each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Names the data set through all its serials.
    pub dataset_id: DatasetId,
    /// Which defences the vault has.
    pub profile: Profile,
    /// What the records are.
    pub about: About,
    /// Records of each class, unless hidden.
    pub class_counts: Option<Vec<u64>>,
    /// The shards in order.
    pub shards: Vec<ShardEntry>,
    /// What only a signed manifest has.
    pub seal: Option<SealEntry>,
}

/// One shard as the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardEntry {
    /// 32 hexadecimal digits, the objects' name.
    pub name: String,
    /// Records in it.
    pub records: u32,
    /// Merkle root over its leaves; absent from an unsigned index.
    pub subroot: Option<Digest512>,
}

/// What only a signed manifest has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealEntry {
    /// From 1, higher each time the data set is sealed.
    pub serial: u64,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// Id of the Fernet key that encrypted.
    pub vault_key: KeyId,
    /// Id of the record-tag key; absent with plain tags.
    pub tag_key: Option<KeyId>,
    /// Id of the key that signed.
    pub signer: KeyId,
    /// Merkle root over all records.
    pub root: Digest512,
}

/// Why a manifest is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestError {
    /// It is of a later version.
    Newer(u64),
    /// It is not what the format says.
    Malformed(String),
    /// Its numbers of records do not add up.
    Count(String),
    /// Its root is not that of its shards.
    Root,
}

impl std::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newer(version) => write!(
                f,
                "it is of version {version}, and this sealnet reads version {FORMAT_VERSION}"
            ),
            Self::Malformed(why) | Self::Count(why) => f.write_str(why),
            Self::Root => f.write_str("its Merkle root is not the root over its shards"),
        }
    }
}

impl Manifest {
    /// The bytes of the payload or of the index.
    pub fn to_json(&self) -> Vec<u8> {
        // A struct of strings, numbers and arrays always has a JSON form.
        serde_json::to_vec_pretty(&Document::from(self)).unwrap_or_default()
    }

    /// Reads a payload (`signed`) or an index and checks that its parts agree.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn from_json(bytes: &[u8], signed: bool) -> Result<Manifest, ManifestError> {
        let claim: Claim = from_json_strict(bytes).map_err(ManifestError::Malformed)?;
        let expected = if signed { FORMAT } else { INDEX_FORMAT };
        if claim.format != expected {
            return Err(ManifestError::Malformed(format!(
                "its format is not \"{expected}\""
            )));
        }
        if claim.version > FORMAT_VERSION {
            return Err(ManifestError::Newer(claim.version));
        }
        let document: Document = from_json_strict(bytes).map_err(ManifestError::Malformed)?;
        let manifest = document.manifest(signed)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Number of records.
    pub fn records(&self) -> u64 {
        self.about.records
    }

    /// Checks what types alone cannot say.
    fn check(&self) -> Result<(), ManifestError> {
        self.about.check().map_err(ManifestError::Malformed)?;
        let about = &self.about;
        let in_shards: u64 = self.shards.iter().map(|s| u64::from(s.records)).sum();
        if in_shards != about.records {
            return Err(ManifestError::Count(format!(
                "it says {} records and its shards hold {in_shards}",
                about.records
            )));
        }
        if let Some(counts) = &self.class_counts {
            let classes = counts.len() == usize::from(about.classes);
            let sum = counts.iter().try_fold(0_u64, |sum, n| sum.checked_add(*n));
            if !classes || sum != Some(about.records) {
                return Err(ManifestError::Count(
                    "its class counts do not add up".into(),
                ));
            }
        }
        if let Some((last, full)) = self.shards.split_last() {
            let size = full.first().map_or(last.records, |shard| shard.records);
            let equal = full.iter().all(|shard| shard.records == size);
            if !equal || last.records > size || last.records == 0 {
                return Err(ManifestError::Count(
                    "its shards are of unequal sizes".into(),
                ));
            }
            let bytes = (line_len(about.feature_count()) + 1).saturating_mul(size as usize);
            if size > MAX_SHARD_RECORDS || bytes > MAX_SHARD_BYTES {
                return Err(ManifestError::Malformed("its shards are too large".into()));
            }
            if !full.is_empty() && !size.is_power_of_two() {
                return Err(ManifestError::Malformed(
                    "its shards do not hold a power of two of records".into(),
                ));
            }
        }
        if let Some(seal) = &self.seal {
            let subroots = self
                .shards
                .iter()
                .filter_map(|shard| shard.subroot.as_ref());
            if root_of(subroots) != seal.root {
                return Err(ManifestError::Root);
            }
        }
        Ok(())
    }
}

/// What is looked at before anything else.
#[derive(Deserialize)]
struct Claim {
    format: String,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    version: u64,
    profile: String,
    dataset_id: String,
    name: String,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    serial: Option<u64>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    created: Option<u64>,
    feature_type: String,
    shape: Vec<usize>,
    classes: u16,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    class_names: Option<Vec<String>>,
    records: u64,
    parts: Vec<PartSize>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    class_counts: Option<Vec<u64>>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    scaling: Option<Vec<Column>>,
    tag_scheme: String,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    keys: Option<KeysDocument>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    merkle: Option<MerkleDocument>,
    shards: Vec<ShardDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysDocument {
    vault: String,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    tag: Option<String>,
    signer: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MerkleDocument {
    hash: String,
    root: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShardDocument {
    name: String,
    records: u32,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    subroot: Option<String>,
}

/// An optional member is there with a value or not there: `null` is neither.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

impl From<&Manifest> for Document {
    fn from(manifest: &Manifest) -> Document {
        let about = &manifest.about;
        let seal = manifest.seal.as_ref();
        Document {
            format: if seal.is_some() { FORMAT } else { INDEX_FORMAT }.to_owned(),
            version: FORMAT_VERSION,
            profile: manifest.profile.name().to_owned(),
            dataset_id: manifest.dataset_id.to_string(),
            name: about.name.clone(),
            serial: seal.map(|seal| seal.serial),
            created: seal.map(|seal| seal.created),
            feature_type: FEATURE_TYPE.to_owned(),
            shape: about.shape.clone(),
            classes: about.classes,
            class_names: about.class_names.clone(),
            records: about.records,
            parts: about.parts.clone(),
            class_counts: manifest.class_counts.clone(),
            scaling: about.scaling.clone(),
            tag_scheme: manifest.profile.tag_scheme.name().to_owned(),
            keys: seal.map(|seal| KeysDocument {
                vault: seal.vault_key.to_string(),
                tag: seal.tag_key.map(|key| key.to_string()),
                signer: seal.signer.to_string(),
            }),
            merkle: seal.map(|seal| MerkleDocument {
                hash: MERKLE_HASH.to_owned(),
                root: hex::encode(seal.root),
            }),
            shards: manifest.shards.iter().map(ShardDocument::from).collect(),
        }
    }
}

impl From<&ShardEntry> for ShardDocument {
    fn from(shard: &ShardEntry) -> ShardDocument {
        ShardDocument {
            name: shard.name.clone(),
            records: shard.records,
            subroot: shard.subroot.map(hex::encode),
        }
    }
}

impl Document {
    fn manifest(self, signed: bool) -> Result<Manifest, ManifestError> {
        if self.version != FORMAT_VERSION {
            return Err(wrong("version"));
        }
        if self.feature_type != FEATURE_TYPE {
            return Err(wrong("feature_type"));
        }
        let tag_scheme = [TagScheme::Sha512, TagScheme::HmacSha512]
            .into_iter()
            .find(|scheme| scheme.name() == self.tag_scheme)
            .ok_or_else(|| wrong("tag_scheme"))?;
        let profile = Profile {
            signed_manifest: signed,
            tag_scheme,
        };
        if self.profile != profile.name() {
            return Err(wrong("profile"));
        }
        let seal = match (self.serial, self.created, self.keys, self.merkle) {
            (Some(serial), Some(created), Some(keys), Some(merkle)) if signed => {
                let keyed = tag_scheme == TagScheme::HmacSha512;
                if serial == 0 || merkle.hash != MERKLE_HASH || keys.tag.is_some() != keyed {
                    return Err(wrong("serial, merkle or keys"));
                }
                let key = |text: &str| hex_array(text).map(KeyId::from_bytes);
                Some(SealEntry {
                    serial,
                    created,
                    vault_key: key(&keys.vault)?,
                    tag_key: keys.tag.as_deref().map(key).transpose()?,
                    signer: key(&keys.signer)?,
                    root: hex_array(&merkle.root)?,
                })
            }
            (None, None, None, None) if !signed => None,
            _ => return Err(wrong("serial, created, merkle or keys")),
        };
        let shards = self
            .shards
            .into_iter()
            .map(|shard| {
                // The name becomes an object's name: digits only.
                let _: [u8; 16] = hex_array(&shard.name)?;
                let subroot = shard.subroot.as_deref().map(hex_array).transpose()?;
                if subroot.is_some() != signed {
                    return Err(wrong("subroot"));
                }
                Ok(ShardEntry {
                    name: shard.name,
                    records: shard.records,
                    subroot,
                })
            })
            .collect::<Result<_, ManifestError>>()?;
        Ok(Manifest {
            dataset_id: DatasetId::from_bytes(hex_array(&self.dataset_id)?),
            profile,
            about: About {
                name: self.name,
                shape: self.shape,
                classes: self.classes,
                class_names: self.class_names,
                records: self.records,
                parts: self.parts,
                scaling: self.scaling,
            },
            class_counts: self.class_counts,
            shards,
            seal,
        })
    }
}

fn wrong(member: &str) -> ManifestError {
    ManifestError::Malformed(format!("its member {member} is not what version 1 says"))
}

/// `N` bytes from exactly `2 N` lowercase hexadecimal digits.
fn hex_array<const N: usize>(text: &str) -> Result<[u8; N], ManifestError> {
    let mut bytes = [0; N];
    let lower = !text.bytes().any(|c| c.is_ascii_uppercase());
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) if lower => Ok(bytes),
        _ => Err(ManifestError::Malformed(format!(
            "one of its ids or digests is not {} lowercase hexadecimal digits",
            2 * N
        ))),
    }
}

/// DSSE payload type of a manifest.
pub const PAYLOAD_TYPE: &str = "application/vnd.sealnet.manifest+json";

/// Most bytes of a manifest object: some 200,000 shards.
pub const MAX_MANIFEST_BYTES: u64 = 64 << 20;

const FORMAT: &str = "sealnet-vault";
const INDEX_FORMAT: &str = "sealnet-index";
const FORMAT_VERSION: u64 = 1;
const FEATURE_TYPE: &str = "u8";
const MERKLE_HASH: &str = "sha512";
