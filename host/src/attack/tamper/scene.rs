//! What trials are made with: small vaults, a network, a model, and a device.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use sealnet_core::artefact::{Name, ReplyPolicy};
use sealnet_core::fernet::FernetKey;
use sealnet_core::mlp::{Kernel, Quantisation};
use sealnet_core::record::TagKey;
use sealnet_core::sign::{Ed25519SigningKey, SigningKey, TrustedKey};
use sealnet_firmware::identity::Identity;

use super::campaign::RECORDS;
use crate::dataset::split::{Split, split};
use crate::dataset::{Dataset, LoadOptions, Part};
use crate::error::{Error, Result};
use crate::export::{self, Prepared};
use crate::files;
use crate::keys::{self, DeviceSet, KeyFolder};
use crate::progress::Silent;
use crate::receipt::Verified;
use crate::state::SerialMemory;
use crate::store::Store;
use crate::train::init::glorot_uniform;
use crate::train::recipe::PAPER_HIDDEN;
use crate::train::session::{self, SessionOptions, now};
use crate::train::{Backend, Network, Recipe, Shape};
use crate::vault::manifest::Manifest;
use crate::vault::{
    self, DatasetSource, OpenKeys, OpenOptions, SealKeys, SealOptions, Sealed, SourceOptions,
    load_source, manifest_name,
};
use crate::weights;

/// What trials are made with.
pub(super) struct Scene {
    folder: PathBuf,
    pub(super) keys: Keys,
    /// Two serials of one data set, and another data set.
    pub(super) older: Image,
    pub(super) newest: Image,
    pub(super) other: Image,
    /// Another vault that the owner has sealed under the newest one's serial.
    pub(super) twin: Image,
    pub(super) data: Dataset,
    pub(super) split: Split,
    pub(super) weights: Vec<u8>,
    pub(super) receipt: Vec<u8>,
    /// The encrypted model under [`COUNTER`], an older one, and another network under the same counter.
    pub(super) model: Vec<u8>,
    pub(super) older_model: Vec<u8>,
    pub(super) other_model: Vec<u8>,
    /// The model, signed by a stranger.
    pub(super) strange_model: Vec<u8>,
    pub(super) device: Identity,
    pub(super) other_device: Identity,
    benches: AtomicUsize,
}

/// Who is who.
pub(super) struct Keys {
    pub(super) vault: Vec<FernetKey>,
    tag: TagKey,
    owner: SigningKey,
    pub(super) owner_public: TrustedKey,
    pub(super) stranger: SigningKey,
    publisher: SigningKey,
    model: FernetKey,
}

/// A vault's objects in memory.
pub(super) struct Image {
    pub(super) manifest: Manifest,
    /// By name, the newest manifest among them.
    pub(super) objects: BTreeMap<String, Vec<u8>>,
}

/// The model's security counter.
pub(super) const COUNTER: u32 = 2;

/// Records of a shard: half of them all.
pub(super) const SHARD: usize = RECORDS / 2;

impl Scene {
    pub(super) fn set(data: &Dataset, folder: &Path, seed: u64) -> Result<Scene> {
        let data = small(data)?;
        let names = [keys::device_name("0001")?, keys::device_name("0002")?];
        let devices = DeviceSet {
            names: &names,
            clear_only: false,
            hmac: false,
        };
        let key_folder = folder.join("keys");
        keys::generate(&key_folder, devices, false)?;
        let key_folder = KeyFolder::open(&key_folder)?;
        let model_keys = key_folder.model_keys()?;
        let keys = Keys {
            vault: key_folder.vault_keys()?,
            tag: key_folder.record_tag_key()?,
            owner: key_folder.owner_signing()?,
            owner_public: key_folder.owner_public()?,
            stranger: SigningKey::Ed25519(Ed25519SigningKey::from_seed(&random_seed()?)),
            publisher: key_folder.publisher_signing()?,
            model: { model_keys }
                .into_iter()
                .next()
                .ok_or_else(|| Error::input("there is no model key", ""))?,
        };
        let memory = SerialMemory::at(folder.join("state"));
        let place = |name: &str| folder.join(name);
        let seal = |name: &str, memory: &SerialMemory, options: &SealOptions| {
            let options = SealOptions {
                shard_records: Some(SHARD as u32),
                ..options.clone()
            };
            let store = Store::create(&place(name).display().to_string())?;
            let source = DatasetSource::new(&data);
            vault::seal(&source, &store, keys.seal(), &options, memory, &Silent)
        };
        let older = seal("vault", &memory, &SealOptions::default())?;
        let older = Image::read(&place("vault"), older)?;
        let newest = seal("vault", &memory, &SealOptions::default())?;
        let serial = newest.manifest.seal.as_ref().map(|seal| seal.serial);
        let newest = Image::read(&place("vault"), newest)?;
        let other = seal("other", &memory, &SealOptions::default())?;
        let other = Image::read(&place("other"), other)?;
        // Someone with the same keys, who does not know of the first.
        let elsewhere = SerialMemory::at(folder.join("elsewhere"));
        let options = SealOptions {
            dataset_id: Some(newest.manifest.dataset_id),
            serial,
            ..SealOptions::default()
        };
        let twin = seal("twin", &elsewhere, &options)?;
        let twin = Image::read(&place("twin"), twin)?;

        let options = SourceOptions {
            keys: Some(keys.open()),
            open: OpenOptions::default(),
            must_be_vault: true,
            load: LoadOptions::default(),
            memory,
        };
        let location = place("vault").display().to_string();
        let source = load_source(&location, &options, &Silent)?;
        let options = SessionOptions {
            recipe: Recipe::paper(),
            hidden: PAPER_HIDDEN,
            seed,
            split_seed: None,
            backend: Backend::detect(),
            threads: 1,
        };
        let finished = session::run(&location, &source, &options, &Silent)?;
        let receipt = finished.receipt(WEIGHTS, &keys.owner);
        let split = split(&source.dataset, None)?;
        let verified = crate::receipt::verify(&receipt, &finished.weights, &keys.owner_public)?;
        let network = weights::from_safetensors(&finished.weights);
        let network = network.map_err(|e| Error::input(e, ""))?;
        let prepared = prepare(&network, &data, &split)?;
        let other_network = glorot_uniform(&Shape::new(WIDTH, PAPER_HIDDEN, 10)?, seed + 1);
        let other_prepared = prepare(&other_network, &data, &split)?;
        let sign = |prepared: &Prepared, signing: &SigningKey, counter| {
            seal_model(
                prepared,
                &finished.weights,
                &verified,
                (signing, &keys.model),
                counter,
            )
        };
        Ok(Scene {
            model: sign(&prepared, &keys.publisher, COUNTER)?,
            older_model: sign(&prepared, &keys.publisher, COUNTER - 1)?,
            other_model: sign(&other_prepared, &keys.publisher, COUNTER)?,
            strange_model: sign(&prepared, &keys.stranger, COUNTER)?,
            device: key_folder.device(&names[0])?,
            other_device: key_folder.device(&names[1])?,
            folder: folder.to_owned(),
            older,
            newest,
            other,
            twin,
            split,
            receipt,
            keys,
            weights: finished.weights.clone(),
            data,
            benches: AtomicUsize::new(0),
        })
    }

    /// A place of one's own to make trials in.
    pub(super) fn bench(&self) -> Result<Bench<'_>> {
        let number = self.benches.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.join(format!("bench-{number}"));
        files::create_dir_all(&folder.join("vault/shards"))?;
        for (name, bytes) in &self.newest.objects {
            write(&folder.join("vault").join(name), Some(bytes))?;
        }
        let store = Store::open(&folder.join("vault").display().to_string())?;
        let bench = Bench {
            memory: SerialMemory::at(folder.join("state")),
            folder,
            store,
            scene: self,
        };
        // From here on its serial is known there.
        bench.open(&[])??;
        Ok(bench)
    }
}

impl Keys {
    fn seal(&self) -> SealKeys<'_> {
        SealKeys {
            vault: &self.vault,
            tag: &self.tag,
            signer: &self.owner,
        }
    }

    pub(super) fn open(&self) -> OpenKeys<'_> {
        OpenKeys {
            vault: &self.vault,
            tag: &self.tag,
            signer: &self.owner_public,
        }
    }
}

impl Image {
    /// The objects of a vault that has just been sealed.
    fn read(folder: &Path, sealed: Sealed) -> Result<Image> {
        let Sealed { manifest, .. } = sealed;
        let serial = manifest.seal.as_ref().map_or(0, |seal| seal.serial);
        let mut objects = BTreeMap::new();
        let shards = manifest.shards.iter().flat_map(|shard| {
            ["fernet", "leaves"].map(|end| format!("shards/{}.{end}", shard.name))
        });
        for name in shards.chain([manifest_name(serial)]) {
            let path = folder.join(&name);
            let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
            objects.insert(name, bytes);
        }
        Ok(Image { manifest, objects })
    }

    /// The name of its manifest.
    pub(super) fn manifest_name(&self) -> String {
        manifest_name(self.manifest.seal.as_ref().map_or(0, |seal| seal.serial))
    }

    /// Its records' lines, without the LF at their ends.
    pub(super) fn lines(&self) -> Vec<Vec<u8>> {
        let shards = self.manifest.shards.iter();
        let texts = shards.filter_map(|shard| self.objects.get(&tokens_of(&shard.name)));
        let lines = texts.flat_map(|text| text.split(|byte| *byte == b'\n'));
        lines
            .filter(|line| !line.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    }
}

/// The object with a shard's tokens.
pub(super) fn tokens_of(shard: &str) -> String {
    format!("shards/{shard}.fernet")
}

/// A thread's place to make trials in: a copy of the newest vault, a machine's memory, and a device.
pub(super) struct Bench<'s> {
    pub(super) scene: &'s Scene,
    pub(super) folder: PathBuf,
    store: Store,
    memory: SerialMemory,
}

/// What becomes of an object: other bytes, or it is gone.
pub(super) type Change = (String, Option<Vec<u8>>);

impl Bench<'_> {
    /// Opens the vault with these changes, and takes them back. The outer error is the trial's own.
    pub(super) fn open(&self, changes: &[Change]) -> Result<Result<()>> {
        let root = self.folder.join("vault");
        for (name, bytes) in changes {
            write(&root.join(name), bytes.as_deref())?;
        }
        let opened = vault::open(
            &self.store,
            self.scene.keys.open(),
            &OpenOptions::default(),
            &self.memory,
            &mut vault::NullSink,
            &Silent,
        );
        for (name, _) in changes {
            let original = self.scene.newest.objects.get(name);
            write(&root.join(name), original.map(Vec::as_slice))?;
        }
        Ok(opened.map(drop))
    }

    /// Exports these weights with this receipt.
    pub(super) fn export(&self, weights: &[u8], receipt: &[u8]) -> Result<Result<Vec<u8>>> {
        let path = self.folder.join("receipt.json");
        write(&path, Some(receipt))?;
        let keys = &self.scene.keys;
        let exported = || {
            let verified = crate::receipt::read(&path, weights, &keys.owner_public)?;
            let network = weights::from_safetensors(weights).map_err(|e| Error::input(e, ""))?;
            let prepared = prepare(&network, &self.scene.data, &self.scene.split)?;
            let signing = (&keys.publisher, &keys.model);
            seal_model(&prepared, weights, &verified, signing, COUNTER)
        };
        Ok(exported())
    }
}

/// Without a sync: what is lost with the power is only a trial.
fn write(path: &Path, bytes: Option<&[u8]>) -> Result<()> {
    match bytes {
        Some(bytes) => std::fs::write(path, bytes).map_err(Error::io("write", path)),
        None => match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
            _ => Ok(()),
        },
    }
}

fn prepare(network: &Network, data: &Dataset, split: &Split) -> Result<Prepared> {
    // With a dozen records to judge by, a loss of accuracy says nothing.
    export::prepare(network, data, split, Quantisation::default(), 100.0)
}

fn seal_model(
    prepared: &Prepared,
    weights: &[u8],
    receipt: &Verified,
    (signing, encryption): (&SigningKey, &FernetKey),
    counter: u32,
) -> Result<Vec<u8>> {
    let options = export::SealOptions {
        signing,
        encryption: Some(encryption),
        counter,
        name: Name::new("trial").ok_or_else(|| Error::input("the name is too long", ""))?,
        policy: ReplyPolicy::Logits,
        kernel: Kernel::Dense,
        created: now(),
    };
    export::seal(prepared, weights, Some(receipt), &options)
}

/// The first records, as data of one part.
fn small(data: &Dataset) -> Result<Dataset> {
    let width = data.feature_count();
    if data.count() < RECORDS || width != WIDTH || data.classes != 10 {
        return Err(Error::input(
            format!(
                "{} has {} records of {width} features in {} classes",
                data.name,
                data.count(),
                data.classes
            ),
            format!(
                "trials take {RECORDS} records or more of {WIDTH} features in 10 classes: what a simulated device takes"
            ),
        ));
    }
    Ok(Dataset {
        features: data.features[..RECORDS * width].to_vec(),
        labels: data.labels[..RECORDS].to_vec(),
        parts: vec![Part {
            name: "all".into(),
            start: 0,
            len: RECORDS as u64,
        }],
        ..data.clone()
    })
}

fn random_seed() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| {
        Error::input(
            format!("the operating system gives no random bytes: {e}"),
            "",
        )
    })?;
    Ok(seed)
}

/// Features of a record that a simulated device takes.
const WIDTH: usize = 784;

const WEIGHTS: &str = "model.safetensors";
