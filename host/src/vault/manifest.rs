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
//! | `shape` | lengths of a record's axes, 8 at most, as `[28, 28]`; their product is the number of features |
//! | `classes` | number of classes; labels are below it |
//! | `class_names` | optional: a name for each class |
//! | `records` | number of records, below 2^32 |
//! | `parts` | `[{"name", "records"}]`, in order, 64 at most, which together are all records: `train`, then `test` |
//! | `class_counts` | optional: records of each class |
//! | `scaling` | optional: `[{"name", "offset", "scale"}]` for each feature; the value it stands for is `offset + scale · feature` |
//! | `headings` | optional: `{"label", "features"}`, the name of the label's column and of each feature's, all different |
//! | `tag_scheme` | `"hmac-sha512"` or `"sha512"` |
//! | `keys` | `{"vault", "tag", "signer"}`: ids of the Fernet key that encrypted, of the tag key (absent with `"sha512"`), of the key that signed; 16 hex digits each |
//! | `merkle` | `{"hash": "sha512", "root"}`, the root in 128 hex digits |
//! | `shards` | `[{"name", "records", "subroot"}]` in order, at most 65,536 records and 16 MiB of text each; see [the layout](super) |
//!
//! Hexadecimal is lowercase. Members stand in this order, but a reader does not depend on it.
//!
//! # `paper/index.json`
//!
//! The same object bare, without envelope, and without `serial`, `created`, `keys`, `merkle` and `subroot`;
//! `format` is `"sealnet-index"` and `profile` `"paper"` (or `"keyed-only"` with tags `hmac-sha512`). Nothing
//! in it is protected.

mod document;

use sealnet_core::record::DatasetId;
use sealnet_core::record::merkle::root_of;
use sealnet_core::sign::{Digest512, KeyId};

use super::records::About;
use super::{MAX_SHARD_BYTES, MAX_SHARD_RECORDS, Profile, line_len};
use document::{Document, FORMAT_VERSION};

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
                "it was made by a newer sealnet, in version {version}, and this one reads version {FORMAT_VERSION}"
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
        let manifest = Document::parse(bytes, signed)?.manifest(signed)?;
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

/// DSSE payload type of a manifest.
pub const PAYLOAD_TYPE: &str = "application/vnd.sealnet.manifest+json";

/// Most bytes of a manifest object: some 200,000 shards.
pub const MAX_MANIFEST_BYTES: u64 = 64 << 20;
