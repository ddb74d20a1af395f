//! Sealing a data set into a vault (Phase 1).
//!
//! Shards are sealed on all cores and stored, a few in flight, each synced; the manifest comes last and only
//! if its name is free. What an interrupted or killed run leaves are objects that nothing names, and in
//! `shards/` (or `paper/`) staging files of objects half written, `NAME.fernet#1` and `NAME.leaves#1`: no
//! reader looks at either, and they can be removed. A run that fails by itself, as on a full disk, takes its
//! own objects away again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use futures::{StreamExt, stream};
use sealnet_core::fernet::Keyring;
use sealnet_core::record::merkle::root_of;
use sealnet_core::record::{DatasetId, TagScheme, Tagger};
use sealnet_core::sign::{Digest512, Domain, sha512};

use super::flight::{on_a_core, shards_in_flight};
use super::identity::{Identity, identity, random_id};
use super::locate::{INDEX_NAME, manifest_name};
use super::manifest::{MAX_MANIFEST_BYTES, Manifest, PAYLOAD_TYPE, SealEntry, ShardEntry};
use super::records::{About, RecordSource};
use super::shard::Sealer;
use super::{
    MAX_SHARD_BYTES, MAX_SHARD_RECORDS, Profile, SealKeys, default_shard_records, line_len,
};
use crate::dsse;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::state::{Contact, SerialMemory, Version};
use crate::store::{Put, Store};

/// How to seal.
#[derive(Debug, Clone)]
pub struct SealOptions {
    /// Which defences the vault gets.
    pub profile: Profile,
    /// The data set's id; else that of the vault that is there and remembered there, or a random one.
    pub dataset_id: Option<DatasetId>,
    /// The serial; else one above the highest in the store or seen before.
    pub serial: Option<u64>,
    /// Records a shard, a power of two; else [`default_shard_records`].
    pub shard_records: Option<u32>,
    /// Leave the class counts out of the manifest, which storage can read.
    pub hide_counts: bool,
}

impl Default for SealOptions {
    fn default() -> SealOptions {
        SealOptions {
            profile: Profile::DEFAULT,
            dataset_id: None,
            serial: None,
            shard_records: None,
            hide_counts: false,
        }
    }
}

/// A vault that was sealed.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Its manifest (or index).
    pub manifest: Manifest,
    /// SHA-512 of the manifest object; absent without a signed manifest.
    pub manifest_digest: Option<Digest512>,
    /// Bytes of all objects created.
    pub bytes: u64,
    /// Whether the data set was sealed before: this is its next serial.
    pub continues: bool,
    /// What the user should know of the store.
    pub warnings: Vec<String>,
}

/// Seals the records of `source` into `store`.
///
/// # Errors
/// [`Error::Input`] when source or options do not fit the format or what the store holds already,
/// [`Error::Refused`] when the vault that is there is not the signer's or not the one that was there,
/// [`Error::Io`] when the store or the memory cannot be written, and the source's own. No manifest is created
/// then, unless the error says that it was.
pub fn seal(
    source: &dyn RecordSource,
    store: &Store,
    keys: SealKeys<'_>,
    options: &SealOptions,
    memory: &SerialMemory,
    progress: &dyn Progress,
) -> Result<Sealed> {
    let about = source.about();
    about
        .check()
        .map_err(|what| Error::input(format!("{} cannot be sealed: {what}", about.name), ""))?;
    let shard_records = shard_records(about, options)?;
    let Identity {
        dataset_id,
        serial,
        continues,
        warnings,
    } = identity(about, store, &keys.signer.trusted(), options, memory)?;
    if serial.is_some() {
        // A serial that cannot be remembered should be known before the work, not after it.
        memory.probe()?;
    }
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let sealer = Sealer {
        dataset_id,
        keyring: Keyring::new(keys.vault)
            .map_err(|_| Error::input("there is no vault key", "run sealnet keygen"))?,
        tagger: match options.profile.tag_scheme {
            TagScheme::Sha512 => Tagger::Sha512,
            TagScheme::HmacSha512 => Tagger::HmacSha512(keys.tag.clone()),
        },
        time,
        classes: about.classes,
        feature_count: about.feature_count(),
        merkle: options.profile.signed_manifest,
    };
    let run = Run {
        source,
        store,
        sealer: &sealer,
        shard_records,
        created: Mutex::new(Vec::new()),
    };
    progress.start("sealing", about.records);
    let stored = run.store_shards(progress);
    progress.finish();
    let sealed = stored.map_err(Unpublished::Certain).and_then(|stored| {
        let manifest = Manifest {
            dataset_id,
            profile: options.profile,
            about: about.clone(),
            class_counts: (!options.hide_counts).then_some(stored.class_counts),
            seal: serial.map(|serial| SealEntry {
                serial,
                created: time,
                vault_key: sealer.keyring.primary().key_id(),
                tag_key: match &sealer.tagger {
                    Tagger::Sha512 => None,
                    Tagger::HmacSha512(key) => Some(key.key_id()),
                },
                signer: keys.signer.key_id(),
                root: root_of(stored.shards.iter().filter_map(|s| s.subroot.as_ref())),
            }),
            shards: stored.shards,
        };
        publish(store, keys, manifest, stored.bytes).map(|(manifest, manifest_digest, bytes)| {
            Sealed {
                manifest,
                manifest_digest,
                bytes,
                continues,
                warnings,
            }
        })
    });
    let sealed = match sealed {
        Ok(sealed) => sealed,
        Err(Unpublished::Certain(error)) => {
            run.discard();
            return Err(error);
        }
        // The manifest may be there: what it names must stay.
        Err(Unpublished::Unknown(error)) => return Err(error),
    };
    if let (Some(serial), Some(digest)) = (serial, sealed.manifest_digest) {
        let version = Version {
            dataset_id: dataset_id.to_string(),
            signer: keys.signer.key_id().to_string(),
            serial,
            manifest_digest: hex::encode(digest),
        };
        let contact = memory
            .remember(&version, &store.place())
            .map_err(|error| sealed_but_forgotten(store, &version, &error))?;
        if !matches!(contact, Contact::First | Contact::Known) {
            return Err(Error::input(
                format!("another vault of data set {dataset_id} took serial {serial} meanwhile"),
                "the vault just made will be refused on this machine: seal again to take the next serial",
            ));
        }
    }
    Ok(sealed)
}

/// The vault is whole and published; only this machine does not know it.
fn sealed_but_forgotten(store: &Store, version: &Version, error: &Error) -> Error {
    let (id, digest) = (&version.dataset_id, &version.manifest_digest);
    Error::input(
        format!(
            "the vault IS sealed, as {} with manifest digest {digest}, but this machine could not remember \
             it: {error}",
            store.path_of(&manifest_name(version.serial)).display()
        ),
        format!(
            "mend that and run sealnet open {} --dataset-id {id} --manifest-digest {digest} once, which \
             remembers it; do not seal again",
            store.location()
        ),
    )
}

/// Why there is no manifest, and whether that is certain.
enum Unpublished {
    Certain(Error),
    Unknown(Error),
}

/// Creates the manifest or index, which makes a vault of what lies there; gives it, its digest and all bytes.
fn publish(
    store: &Store,
    keys: SealKeys<'_>,
    manifest: Manifest,
    shard_bytes: u64,
) -> Result<(Manifest, Option<Digest512>, u64), Unpublished> {
    let json = manifest.to_json();
    let (name, object) = match &manifest.seal {
        Some(seal) => (
            manifest_name(seal.serial),
            dsse::sign_json(PAYLOAD_TYPE, &json, keys.signer, Domain::Manifest),
        ),
        None => (INDEX_NAME.to_owned(), json),
    };
    let digest = manifest.seal.is_some().then(|| sha512(&[&object]));
    let length = object.len() as u64;
    if length > MAX_MANIFEST_BYTES {
        return Err(Unpublished::Certain(Error::input(
            format!("the manifest would have {length} bytes, more than {MAX_MANIFEST_BYTES}"),
            "use larger shards: --shard-records",
        )));
    }
    match store.block_on(store.put_new(&name, object)) {
        Ok(Put::Created) => Ok((manifest, digest, shard_bytes + length)),
        Ok(Put::Taken) => Err(Unpublished::Certain(taken(&name))),
        Err(error) => Err(Unpublished::Unknown(error)),
    }
}

fn taken(name: &str) -> Error {
    Error::input(
        format!("{name} was created by someone else meanwhile"),
        "one of two writers wins: look at what is there, and seal again if that is right",
    )
}

fn shard_records(about: &About, options: &SealOptions) -> Result<u32> {
    let step = line_len(about.feature_count()) + 1;
    let records = match options.shard_records {
        Some(records) => records,
        None => default_shard_records(about.feature_count()),
    };
    let bytes = step.saturating_mul(records as usize);
    if !records.is_power_of_two() || records > MAX_SHARD_RECORDS || bytes > MAX_SHARD_BYTES {
        return Err(Error::input(
            format!("shards of {records} records, {bytes} bytes, are not possible"),
            format!(
                "a shard holds a power of two of records, at most {MAX_SHARD_RECORDS} and at most \
                 {MAX_SHARD_BYTES} bytes"
            ),
        ));
    }
    Ok(records)
}

/// One run of sealing.
struct Run<'r> {
    source: &'r dyn RecordSource,
    store: &'r Store,
    sealer: &'r Sealer<'r>,
    shard_records: u32,
    /// The objects that this run has created.
    created: Mutex<Vec<String>>,
}

/// What lies in the store before there is a manifest.
struct Stored {
    shards: Vec<ShardEntry>,
    class_counts: Vec<u64>,
    bytes: u64,
}

impl Run<'_> {
    fn store_shards(&self, progress: &dyn Progress) -> Result<Stored> {
        let records = self.source.about().records;
        let size = u64::from(self.shard_records);
        rayon::in_place_scope(|scope| {
            let stop = &AtomicBool::new(false);
            let shards = (0..records.div_ceil(size)).map(|number| async move {
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let start = number * size;
                // At most `size`, which is 32 bits.
                let count = size.min(records - start) as u32;
                let sealed = on_a_core(scope, move || {
                    let chunk = self.source.read(start, count as usize)?;
                    self.sealer.seal(start, &chunk)
                })
                .await??;
                let bytes = (sealed.text.len() + sealed.leaves.len()) as u64;
                let entry = self
                    .put(count, sealed.text, sealed.leaves, sealed.subroot)
                    .await?;
                progress.inc(u64::from(count));
                Ok(Some((entry, sealed.class_counts, bytes)))
            });
            let mut stored = Stored {
                shards: Vec::new(),
                class_counts: vec![0; usize::from(self.source.about().classes)],
                bytes: 0,
            };
            self.store.block_on(async {
                let mut in_order = stream::iter(shards).buffered(shards_in_flight());
                let mut failure = None;
                // After a failure those in flight are awaited, so that all they create can be taken away.
                while let Some(shard) = in_order.next().await {
                    match shard {
                        Ok(Some((entry, counts, bytes))) => {
                            stored.shards.push(entry);
                            stored.bytes += bytes;
                            for (sum, count) in stored.class_counts.iter_mut().zip(counts) {
                                *sum += count;
                            }
                        }
                        Ok(None) => {}
                        Err(error) => {
                            stop.store(true, Ordering::Relaxed);
                            failure.get_or_insert(error);
                        }
                    }
                }
                failure.map_or(Ok(stored), Err)
            })
        })
    }

    async fn put(
        &self,
        records: u32,
        text: Vec<u8>,
        leaves: Vec<u8>,
        subroot: Option<Digest512>,
    ) -> Result<ShardEntry> {
        let (folder, name) = match &subroot {
            // The subroot is a hash of all tokens: half of its half names them beyond doubt.
            Some(subroot) => ("shards", hex::encode(&subroot[..16])),
            None => ("paper", random_id()?.to_string()),
        };
        if subroot.is_some() {
            self.put_object(format!("{folder}/{name}.leaves"), leaves)
                .await?;
        }
        self.put_object(format!("{folder}/{name}.fernet"), text)
            .await?;
        Ok(ShardEntry {
            name,
            records,
            subroot,
        })
    }

    async fn put_object(&self, name: String, content: Vec<u8>) -> Result<()> {
        match self.store.put_new(&name, content).await? {
            Put::Created => {
                if let Ok(mut created) = self.created.lock() {
                    created.push(name);
                }
                Ok(())
            }
            // Names are random or hash random IVs: nobody comes by one by chance.
            Put::Taken => Err(taken(&name)),
        }
    }

    /// Takes away what this run has created, as far as that is possible: it is of no use, and on a full disk
    /// it would be in the way.
    fn discard(&self) {
        let Ok(created) = self.created.lock() else {
            return;
        };
        self.store.block_on(async {
            for name in created.iter() {
                self.store.discard(name).await;
            }
        });
    }
}
