//! Sealing one shard: records to tokens, leaves and subroot.

use getrandom::SysRng;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sealnet_core::fernet::{self, Iv, Keyring, binary_len};
use sealnet_core::record::merkle::{RootBuilder, leaf_hash};
use sealnet_core::record::{self, DatasetId, RECORD_OVERHEAD, Record, Tagger};
use sealnet_core::sign::Digest512;

use super::line_len;
use super::records::Chunk;
use crate::error::{Error, Result};

/// What all shards of a vault are sealed with.
#[derive(Debug)]
pub(super) struct Sealer<'k> {
    pub(super) dataset_id: DatasetId,
    pub(super) keyring: Keyring<'k>,
    pub(super) tagger: Tagger,
    /// Seconds since the Unix epoch, the time of every token.
    pub(super) time: u64,
    pub(super) classes: u16,
    pub(super) feature_count: usize,
    /// Whether leaves and subroot are wanted.
    pub(super) merkle: bool,
}

/// One shard ready to be stored.
#[derive(Debug)]
pub(super) struct SealedShard {
    /// The tokens, one a line.
    pub(super) text: Vec<u8>,
    /// 64 bytes a record.
    pub(super) leaves: Vec<u8>,
    pub(super) subroot: Option<Digest512>,
    /// Records of each class.
    pub(super) class_counts: Vec<u64>,
}

impl Sealer<'_> {
    /// Seals records `start` onwards.
    pub(super) fn seal(&self, start: u64, chunk: &Chunk<'_>) -> Result<SealedShard> {
        let count = chunk.labels.len();
        let plaintext_len = self.feature_count + RECORD_OVERHEAD;
        let step = line_len(self.feature_count) + 1;
        // IVs must be unpredictable, not secret: a stream cipher seeded from the operating system, which
        // is too slow to be asked for each.
        let mut random = ChaCha20Rng::try_from_rng(&mut SysRng)
            .map_err(|e| Error::input(format!("the system gives no random bytes: {e}"), ""))?;
        let mut text = vec![b'\n'; count * step];
        let mut leaves = Vec::with_capacity(if self.merkle { count * 64 } else { 0 });
        let mut tree = RootBuilder::new();
        let mut class_counts = vec![0; usize::from(self.classes)];
        let mut plaintext = vec![0; plaintext_len];
        let mut token = vec![0; binary_len(plaintext_len)];

        let lines = text.chunks_exact_mut(step);
        let rows = chunk.features.chunks_exact(self.feature_count);
        for (((index, line), &label), features) in
            (start..).zip(lines).zip(&*chunk.labels).zip(rows)
        {
            match class_counts.get_mut(usize::from(label)) {
                Some(count) => *count += 1,
                None => return Err(unknown_class(index, label, self.classes)),
            }
            let record = Record {
                index,
                label,
                features,
            };
            let tag = self.tagger.tag(&self.dataset_id, &record);
            record::encode(&record, &tag, &mut plaintext).map_err(does_not_fit)?;
            let iv = Iv::random(&mut random);
            self.keyring
                .encrypt(self.time, iv, &plaintext, &mut token)
                .map_err(does_not_fit)?;
            if self.merkle {
                let leaf = leaf_hash(&token);
                tree.push(leaf);
                leaves.extend_from_slice(&leaf);
            }
            // The line's last byte is the LF.
            fernet::encode_text(&token, line).map_err(does_not_fit)?;
        }
        Ok(SealedShard {
            text,
            leaves,
            subroot: self.merkle.then(|| tree.root()),
            class_counts,
        })
    }
}

fn unknown_class(index: u64, label: u16, classes: u16) -> Error {
    Error::input(
        format!("record {index} has label {label}, and there are {classes} classes"),
        "correct the data: labels are 0 to classes - 1",
    )
}

/// Buffers are made to measure above; this would be a defect here.
fn does_not_fit(error: impl std::fmt::Display) -> Error {
    Error::input(
        format!("a record does not fit its token: {error}"),
        "please report this defect",
    )
}
