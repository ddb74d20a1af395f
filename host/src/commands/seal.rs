//! `sealnet seal`: records into a vault.

use std::time::Instant;

use sealnet::error::{Error, Result};
use sealnet::files::lies_in;
use sealnet::keys::KeyFolder;
use sealnet::state::SerialMemory;
use sealnet::store::{Store, local_folder};
use sealnet::vault::{SealKeys, SealOptions, manifest_name, record_source, seal};
use sealnet_core::record::{DatasetId, TagScheme};
use serde_json::json;

use super::Outcome;
use super::source::{UNSIGNED, load_options, place, profile};
use crate::cli::{SealArgs, TagSchemeArg};
use crate::ui::Ui;

pub(crate) fn run(args: &SealArgs, ui: &Ui) -> Result<Outcome> {
    let start = Instant::now();
    let mut profile = profile(args.profile);
    if let Some(scheme) = args.tag_scheme {
        profile.tag_scheme = match scheme {
            TagSchemeArg::Sha512 => TagScheme::Sha512,
            TagSchemeArg::HmacSha512 => TagScheme::HmacSha512,
        };
    }
    if !profile.signed_manifest && args.tag_scheme == Some(TagSchemeArg::HmacSha512) {
        return Err(Error::input(
            "--profile paper has plain SHA-512 tags: with keyed ones it would not be the paper's scheme",
            "leave --tag-scheme out, or --profile paper",
        ));
    }
    let folder = KeyFolder::open(&args.keys.dir)?;
    let (vault, tag, signer) = (
        folder.vault_keys()?,
        folder.record_tag_key()?,
        folder.owner_signing()?,
    );
    let keys = SealKeys {
        vault: &vault,
        tag: &tag,
        signer: &signer,
    };
    let options = SealOptions {
        profile,
        dataset_id: args.dataset_id.map(|id| DatasetId::from_bytes(id.0)),
        serial: args.serial,
        shard_records: args.shard_records,
        hide_counts: args.hide_counts,
    };
    let memory = SerialMemory::of_this_machine()?;
    refuse_overlap(args)?;
    let source = record_source(&args.data, &load_options(&args.data_options), ui.progress())?;
    let store = Store::create(&args.store)?;
    let sealed = seal(&*source, &store, keys, &options, &memory, ui.progress())?;
    let seconds = start.elapsed().as_secs_f64();

    let manifest = &sealed.manifest;
    let serial = manifest.seal.as_ref().map(|seal| seal.serial);
    let digest = sealed.manifest_digest.map(hex::encode);
    ui.line(format!(
        "{} records of {} sealed in {} shards, {:.1} MB, in {seconds:.2} s",
        manifest.records(),
        manifest.about.name,
        manifest.shards.len(),
        sealed.bytes as f64 / 1e6,
    ))?;
    if sealed.continues
        && let Some(serial) = serial
    {
        ui.line(format!(
            "continues data set {} at serial {serial}",
            manifest.dataset_id
        ))?;
    }
    for warning in &sealed.warnings {
        ui.warn(warning);
    }
    match (serial, &digest) {
        (Some(serial), Some(digest)) => {
            ui.line(format!(
                "{} (serial {serial} of data set {})",
                store.path_of(&manifest_name(serial)).display(),
                manifest.dataset_id
            ))?;
            ui.line(format!("manifest digest {digest}"))?;
        }
        _ => ui.warn(UNSIGNED),
    }
    if profile.signed_manifest && profile.tag_scheme == TagScheme::Sha512 {
        ui.warn(
            "plain SHA-512 tags: against whoever holds the Fernet key only the manifest stands",
        );
    }
    ui.document(&json!({
        "records": manifest.records(),
        "seconds": seconds,
        "shards": manifest.shards.len(),
        "bytes": sealed.bytes,
        "name": manifest.about.name,
        "dataset_id": manifest.dataset_id.to_string(),
        "continues": sealed.continues,
        "warnings": sealed.warnings,
        "profile": profile.name(),
        "tag_scheme": profile.tag_scheme.name(),
        "serial": serial,
        "manifest_digest": digest,
    }))?;
    Ok(Outcome::Done)
}

/// Neither a vault among the files that are sealed nor records in clear or keys in what goes to the storage.
fn refuse_overlap(args: &SealArgs) -> Result<()> {
    let data = place(&args.data)?;
    let store = local_folder(&args.store)?;
    if data.is_dir() && lies_in(&store, &data) {
        return Err(Error::input(
            format!(
                "the vault {} would lie in the data, {}",
                args.store, args.data
            ),
            "name a folder outside of the data",
        ));
    }
    if lies_in(&data, &store) {
        return Err(Error::input(
            format!("the data, {}, lies in the vault {}", args.data, args.store),
            "records would lie in clear beside the sealed ones: name a folder of its own for the vault",
        ));
    }
    let keys = &args.keys.dir;
    if lies_in(&store, keys) || lies_in(keys, &store) {
        return Err(Error::input(
            format!(
                "the vault {} and the keys in {} would lie one in the other",
                args.store,
                keys.display()
            ),
            "whoever keeps the vault must not have the keys: name a folder outside of theirs",
        ));
    }
    Ok(())
}
