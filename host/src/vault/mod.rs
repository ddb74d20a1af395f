//! The vault: sealed records in an object store (Phases 1 and 2 of the paper).
//!
//! # Layout, version 1
//!
//! A vault is a prefix in an object store. All objects are immutable.
//!
//! | object | content |
//! |---|---|
//! | `manifest-SERIAL.json` | what the vault holds, signed; SERIAL in decimal, at least 8 digits; see [`manifest`] |
//! | `shards/NAME.fernet` | one standard Fernet token a line, each line ended by LF (0x0A), ASCII |
//! | `shards/NAME.leaves` | 64 bytes a line of the shard: the Merkle leaf hash of its token |
//!
//! NAME is the first 16 bytes of the shard's Merkle subroot in lowercase hexadecimal, so a shard is named by
//! its content. Every line of a vault has the same length, since every record has the same number of
//! features. In Python, `Fernet(key).decrypt(line)` opens any line; what it gives is written down in
//! [`sealnet_core::record`].
//!
//! Records are numbered from 0 through all shards in the manifest's order. Every shard but the last holds the
//! same number of records, a power of two, and the last one at most that many. A shard holds at most 65,536
//! records and 16 MiB of text. A leaf is
//! `SHA-512(0x00 ‖ token)` over the token's **binary** form (the line decoded from base64url), a node
//! `SHA-512(0x01 ‖ left ‖ right)`; a shard's subroot is the root over its leaves, and the root over the
//! subroots, by the same rule, is the RFC 9162 root over all leaves (see [`sealnet_core::record::merkle`]).
//!
//! All serials of a data set have the same name, shape, classes and columns, scaling included: what a model has
//! learnt from one means the same in the next. Another data set goes into another place.
//!
//! The manifest is created last and only if its name is free: a half-written vault has no manifest and is no
//! vault, and of two writers of one serial one wins. Objects that no manifest names harm nothing.
//!
//! # Profile `paper`
//!
//! The scheme as published, for comparison: plain SHA-512 tags and no manifest. Its shards lie under
//! `paper/NAME.fernet` without leaves (NAME: 16 random bytes), and `paper/index.json`, unsigned, says what
//! they hold. It must be asked for, when sealing and when opening.
//!
//! # Memory
//!
//! Sealing and opening hold a few shards at a time, never the data set: at most [`shards_in_flight`], one a
//! core and two, each with its text, its leaves and its records in clear. A shard's text is at most
//! [`SHARD_TARGET_BYTES`], unless `--shard-records` asks for more, and never more than [`MAX_SHARD_BYTES`]: a
//! manifest with larger shards is refused. Its leaves and records together are smaller than its text. So the
//! bound is (cores + 2) · 2 · 4 MiB, 32 MiB on two cores and four times that with the largest shards, whatever
//! the number of records. The manifest, held whole, adds some 300 bytes a shard, and what is wrong with a vault
//! some 10 MiB at most ([`finding::MAX_FINDINGS`]). What a caller keeps comes on top: a CSV file to be sealed is
//! read whole, and so are the records that training will use.

mod check;
pub mod finding;
mod flight;
mod identity;
mod locate;
pub mod manifest;
mod open;
mod output;
mod records;
mod seal;
mod shard;
mod source;

use sealnet_core::fernet::{FernetKey, binary_len, text_len};
use sealnet_core::record::{RECORD_OVERHEAD, TagKey, TagScheme};
use sealnet_core::sign::{SigningKey, TrustedKey};

use crate::error::Result;
use crate::keys::KeyFolder;

pub use flight::shards_in_flight;
pub use locate::manifest_name;
pub use open::{OpenOptions, Opened, Tolerance, open};
pub use output::{DatasetSink, FileSink};
pub use records::{
    About, Chunk, DatasetSource, FolderSource, NullSink, PartSize, RecordSink, RecordSource,
    record_source,
};
pub use seal::{SealOptions, Sealed, seal};
pub use source::{SourceData, SourceOptions, VaultOrigin, load_source};

/// Which of the two defences a vault has. They are independent, so that each can be shown to hold alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// A signed manifest with the Merkle root, against an unsigned index.
    pub signed_manifest: bool,
    /// How records are tagged.
    pub tag_scheme: TagScheme,
}

impl Profile {
    /// Keyed tags and a signed manifest.
    pub const DEFAULT: Profile = Profile {
        signed_manifest: true,
        tag_scheme: TagScheme::HmacSha512,
    };

    /// The scheme as the paper has it: neither.
    pub const PAPER: Profile = Profile {
        signed_manifest: false,
        tag_scheme: TagScheme::Sha512,
    };

    /// The profile's name in manifests and output.
    pub const fn name(self) -> &'static str {
        match (self.signed_manifest, self.tag_scheme) {
            (true, TagScheme::HmacSha512) => "default",
            (true, TagScheme::Sha512) => "signed-only",
            (false, TagScheme::HmacSha512) => "keyed-only",
            (false, TagScheme::Sha512) => "paper",
        }
    }
}

/// The owner's keys, as sealing needs them.
#[derive(Debug, Clone, Copy)]
pub struct SealKeys<'k> {
    /// Fernet keys, of which the first encrypts.
    pub vault: &'k [FernetKey],
    /// The record-tag key.
    pub tag: &'k TagKey,
    /// The key that signs manifests.
    pub signer: &'k SigningKey,
}

/// The owner's keys, as opening needs them.
#[derive(Debug, Clone, Copy)]
pub struct OpenKeys<'k> {
    /// Fernet keys; each is tried.
    pub vault: &'k [FernetKey],
    /// The record-tag key.
    pub tag: &'k TagKey,
    /// The key whose manifests are believed.
    pub signer: &'k TrustedKey,
}

/// The owner's keys for opening, read from their files.
#[derive(Debug)]
pub struct OwnerKeys {
    vault: Vec<FernetKey>,
    tag: TagKey,
    signer: TrustedKey,
}

impl OwnerKeys {
    /// Reads `owner/vault.key`, `owner/record-tag.key` and `owner/sign.pub.pem`.
    ///
    /// # Errors
    /// As [`KeyFolder::vault_keys`].
    pub fn load(folder: &KeyFolder) -> Result<OwnerKeys> {
        Ok(OwnerKeys {
            vault: folder.vault_keys()?,
            tag: folder.record_tag_key()?,
            signer: folder.owner_public()?,
        })
    }

    /// The keys as [`open()`] takes them.
    pub fn open_keys(&self) -> OpenKeys<'_> {
        OpenKeys {
            vault: &self.vault,
            tag: &self.tag,
            signer: &self.signer,
        }
    }
}

/// Bytes that a shard's text should not exceed, unless one record alone does.
pub const SHARD_TARGET_BYTES: usize = 4 << 20;

/// Records a shard by default: the most, in a power of two, that keep its text within
/// [`SHARD_TARGET_BYTES`].
pub fn default_shard_records(feature_count: usize) -> u32 {
    let fit = SHARD_TARGET_BYTES / (line_len(feature_count) + 1);
    // At least one; at most 2^15 or so, since a line has more than 100 bytes.
    let fit = u32::try_from(fit).unwrap_or(u32::MAX).max(1);
    1 << fit.ilog2()
}

/// Length of a vault's lines, without the LF: that of the text token of a record with so many features.
pub(crate) fn line_len(feature_count: usize) -> usize {
    text_len(binary_len(feature_count + RECORD_OVERHEAD))
}

/// Most bytes of a shard's text. The longest record there is has some 85 KiB.
pub const MAX_SHARD_BYTES: usize = 16 << 20;

/// Most records of a shard: of the shortest records there are, more would not fit [`MAX_SHARD_BYTES`].
pub const MAX_SHARD_RECORDS: u32 = 1 << 16;
