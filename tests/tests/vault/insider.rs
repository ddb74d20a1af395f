//! An insider of the storage who holds the Fernet key, but neither the tag key nor the signing key.
//!
//! Forging means: decrypt a record, change it, give it a fresh plain SHA-512 hash, encrypt it again. The
//! paper's scheme cannot see that. The keyed tag sees it alone, and so does the signed manifest.

use std::fs;
use std::path::{Path, PathBuf};

use sealnet::error::Result;
use sealnet::progress::Silent;
use sealnet::store::Store;
use sealnet::vault::{NullSink, OpenOptions, Profile, SealOptions, open};
use sealnet_core::fernet::{Iv, Keyring, binary_len, encode_text};
use sealnet_core::record::merkle::{leaf_hash, root_of};
use sealnet_core::record::{DatasetId, Record, Tagger, decode, encode};

use crate::fixture::*;

/// The forged record's index, shard and line.
const VICTIM: (u64, usize, usize) = (36, 2, 4);

/// Replaces the victim by a record with another label and the hash that goes with it.
fn forge(world: &World, tokens: &Path, dataset_id: &DatasetId) {
    let keyring = Keyring::new(&world.owner.vault).unwrap();
    edit_lines(tokens, |lines| {
        let mut line = lines[VICTIM.2].clone().into_bytes();
        let opened = keyring.decrypt_text_in_place(&mut line, None).unwrap();
        let (record, _) = decode(opened.plaintext()).unwrap();
        let forged = Record {
            label: (record.label + 1) % 5,
            ..record
        };
        let mut plaintext = [0; 80];
        let tag = Tagger::Sha512.tag(dataset_id, &forged);
        encode(&forged, &tag, &mut plaintext).unwrap();
        let mut token = vec![0; binary_len(80)];
        let iv = Iv::from_bytes([9; 16]);
        keyring
            .encrypt(opened.timestamp(), iv, &plaintext, &mut token)
            .unwrap();
        let mut text = vec![0; lines[VICTIM.2].len()];
        encode_text(&token, &mut text).unwrap();
        lines[VICTIM.2] = String::from_utf8(text).unwrap();
    });
}

/// A world sealed as `profile` in which the insider has forged a record; and the shard's tokens.
fn forged(profile: Profile) -> (World, PathBuf) {
    let world = World::new();
    let sealed = world.seal_as(&records(), profile).unwrap();
    let name = &sealed.manifest.shards[VICTIM.1].name;
    let folder = if profile.signed_manifest {
        "shards"
    } else {
        "paper"
    };
    let tokens = world.path(&format!("{folder}/{name}.fernet"));
    forge(&world, &tokens, &sealed.manifest.dataset_id);
    (world, tokens)
}

fn verdict(world: &World, profile: Profile) -> Result<()> {
    world.open_as(profile).map(drop)
}

#[test]
fn the_papers_scheme_misses_it() {
    let (world, _) = forged(Profile::PAPER);
    let (data, opened) = world.open_as(Profile::PAPER).expect("nothing is noticed");
    assert!(opened.quarantined.is_empty());
    let victim = VICTIM.0 as usize;
    assert_eq!(data.labels[victim], (records().labels[victim] + 1) % 5);
}

#[test]
fn the_papers_scheme_sees_a_forger_without_the_key() {
    let world = World::sealed_as(Profile::PAPER);
    let shard = world.index_shards()[VICTIM.1].clone();
    flip(
        &world.path(&format!("paper/{shard}.fernet")),
        3 * 205 + 30,
        2,
    );
    refused(verdict(&world, Profile::PAPER), &[("decrypt", Some(35))]);
}

#[test]
fn keyed_tags_alone_catch_it() {
    let (world, _) = forged(KEYED_ONLY);
    refused(verdict(&world, KEYED_ONLY), &[("tag", Some(VICTIM.0))]);
}

#[test]
fn the_signed_manifest_alone_catches_it() {
    let (world, _) = forged(SIGNED_ONLY);
    refused(verdict(&world, SIGNED_ONLY), &[("root", Some(VICTIM.0))]);
}

#[test]
fn the_default_profile_catches_it() {
    let (world, _) = forged(Profile::DEFAULT);
    refused(
        verdict(&world, Profile::DEFAULT),
        &[("tag", Some(VICTIM.0))],
    );
}

#[test]
fn fresh_leaves_do_not_help_the_insider() {
    let (world, tokens) = forged(SIGNED_ONLY);
    let leaves: Vec<[u8; 64]> = lines(&tokens)
        .into_iter()
        .map(|line| {
            let mut line = line.into_bytes();
            leaf_hash(sealnet_core::fernet::decode_text_in_place(&mut line).unwrap())
        })
        .collect();
    fs::write(tokens.with_extension("leaves"), leaves.concat()).unwrap();
    refused(verdict(&world, SIGNED_ONLY), &[("root", None)]);
    // Nor does a shard that is named by its new content.
    let name = hex::encode(&root_of(&leaves)[..16]);
    for extension in ["leaves", "fernet"] {
        let from = tokens.with_extension(extension);
        fs::rename(&from, from.with_file_name(format!("{name}.{extension}"))).unwrap();
    }
    refused(verdict(&world, SIGNED_ONLY), &[("count", None)]);
}

#[test]
fn an_unsigned_index_cannot_choose_weaker_tags() {
    let (world, _) = forged(KEYED_ONLY);
    let index = world.path("paper/index.json");
    let text = fs::read_to_string(&index).unwrap();
    let weaker = text
        .replace("hmac-sha512", "sha512")
        .replace("keyed-only", "paper");
    fs::write(&index, weaker).unwrap();
    let error = verdict(&world, KEYED_ONLY).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
}

#[test]
fn one_profile_is_never_taken_for_the_other() {
    let paper = World::sealed_as(Profile::PAPER);
    let error = paper.open().map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.hint().contains("--profile paper"), "{}", error.hint());
    let sealed = World::sealed();
    let error = verdict(&sealed, Profile::PAPER).unwrap_err();
    assert_eq!(error.exit_code(), 2);
}

/// A signed vault was opened here; then the insider puts one of profile `paper` in its place.
fn replaced(dataset_id: impl Fn(&DatasetId) -> DatasetId) -> (World, DatasetId, DatasetId) {
    let world = World::sealed();
    let signed = world.open().unwrap().1.manifest.dataset_id;
    let insider = World::new();
    let forged = dataset_id(&signed);
    let options = SealOptions {
        profile: Profile::PAPER,
        dataset_id: Some(forged),
        ..SealOptions::default()
    };
    insider.seal_with(&records(), &options).unwrap();
    fs::remove_dir_all(world.vault()).unwrap();
    fs::rename(insider.vault(), world.vault()).unwrap();
    (world, signed, forged)
}

fn open_paper(world: &World, dataset_id: Option<DatasetId>) -> Result<()> {
    let options = OpenOptions {
        profile: Profile::PAPER,
        dataset_id,
        ..OpenOptions::default()
    };
    world.open_with(&options).map(drop)
}

#[test]
fn a_signed_vault_is_not_replaced_by_an_unsigned_one() {
    let (world, signed, forged) = replaced(|_| DatasetId::from_bytes([9; 16]));
    // Nothing advises to open it.
    let error = world.open().map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 1, "{error}");
    let said = format!("{error} {}", error.hint());
    assert!(
        said.contains(&format!("held the signed data set {signed}")),
        "{said}"
    );
    assert!(!said.contains("--profile"), "{said}");
    // Who opens it all the same is refused, unless they name what lies there.
    let error = open_paper(&world, None).unwrap_err();
    assert_eq!(error.exit_code(), 1, "{error}");
    assert!(error.to_string().contains(&signed.to_string()), "{error}");
    refused(open_paper(&world, None), &[("serial", None)]);
    open_paper(&world, Some(forged)).unwrap();
    refused(open_paper(&world, Some(signed)), &[("serial", None)]);
}

#[test]
fn a_data_set_that_was_signed_is_not_taken_unsigned() {
    let (world, signed, _) = replaced(|signed| *signed);
    refused(open_paper(&world, None), &[("serial", None)]);
    refused(open_paper(&world, Some(signed)), &[("serial", None)]);
    // Nor where this machine has met no vault.
    let elsewhere = world.folder.path().join("elsewhere");
    fs::rename(world.vault(), &elsewhere).unwrap();
    let store = Store::open(elsewhere.to_str().unwrap()).unwrap();
    let options = OpenOptions {
        profile: Profile::PAPER,
        ..OpenOptions::default()
    };
    let keys = world.owner.open_keys();
    let mut sink = NullSink;
    let opened = open(&store, keys, &options, &world.memory(), &mut sink, &Silent);
    refused(opened.map(drop), &[("serial", None)]);
}

#[test]
fn a_vault_that_is_gone_is_missed() {
    let world = World::sealed();
    fs::remove_dir_all(world.vault()).unwrap();
    fs::create_dir(world.vault()).unwrap();
    let error = world.open().map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 1, "{error}");
    assert!(
        error.to_string().contains("now holds no manifest"),
        "{error}"
    );
    // Nothing unsigned is sealed there, which opening would refuse.
    let error = world
        .seal_as(&records(), Profile::PAPER)
        .map(drop)
        .unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
}
