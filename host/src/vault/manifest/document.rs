//! The JSON form of a manifest, member by member.

use std::fmt;
use std::marker::PhantomData;

use sealnet_core::record::{DatasetId, TagScheme};
use sealnet_core::sign::KeyId;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::super::Profile;
use super::super::records::{About, MAX_AXES, MAX_PARTS, PartSize};
use super::{Manifest, ManifestError, SealEntry, ShardEntry};
use crate::dataset::{Column, Headings, MAX_FEATURES};
use crate::dsse::from_json_strict;

/// What is looked at before anything else.
#[derive(Deserialize)]
struct Claim {
    format: String,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
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
    #[serde(deserialize_with = "bounded::<MAX_AXES, _, _>")]
    shape: Vec<usize>,
    classes: u16,
    #[serde(
        default,
        deserialize_with = "present_bounded::<MAX_CLASSES, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    class_names: Option<Vec<String>>,
    records: u64,
    #[serde(deserialize_with = "bounded::<MAX_PARTS, _, _>")]
    parts: Vec<PartSize>,
    #[serde(
        default,
        deserialize_with = "present_bounded::<MAX_CLASSES, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    class_counts: Option<Vec<u64>>,
    #[serde(
        default,
        deserialize_with = "present_bounded::<MAX_FEATURES, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    scaling: Option<Vec<Column>>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    headings: Option<Headings>,
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

/// A list of at most `MAX` items. A longer one is refused while it is read: whoever writes an unsigned index
/// does not decide how much memory reading it takes.
fn bounded<'de, const MAX: usize, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Items<const MAX: usize, T>(PhantomData<T>);

    impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for Items<MAX, T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX} items")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = source.next_element()? {
                if items.len() == MAX {
                    return Err(A::Error::invalid_length(MAX + 1, &self));
                }
                items.push(item);
            }
            Ok(items)
        }
    }

    deserializer.deserialize_seq(Items::<MAX, T>(PhantomData))
}

fn present_bounded<'de, const MAX: usize, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    bounded::<MAX, D, T>(deserializer).map(Some)
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
            headings: about.headings.clone(),
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
    /// Reads the object, the version first: members of a later version are not faults.
    pub(super) fn parse(bytes: &[u8], signed: bool) -> Result<Document, ManifestError> {
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
        from_json_strict(bytes).map_err(ManifestError::Malformed)
    }

    pub(super) fn manifest(self, signed: bool) -> Result<Manifest, ManifestError> {
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
                headings: self.headings,
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

const FORMAT: &str = "sealnet-vault";
const INDEX_FORMAT: &str = "sealnet-index";
pub(super) const FORMAT_VERSION: u64 = 1;
const FEATURE_TYPE: &str = "u8";
const MERKLE_HASH: &str = "sha512";
/// Labels have 16 bits.
const MAX_CLASSES: usize = 1 << 16;
