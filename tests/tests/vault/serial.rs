//! Old vaults, other manifests, pins.

use std::fs;

use sealnet::state::Contact;
use sealnet::vault::{OpenOptions, Opened, Profile, SealOptions, manifest_name};

use crate::fixture::*;

fn pinned(options: impl FnOnce(&mut OpenOptions)) -> OpenOptions {
    let mut all = OpenOptions::default();
    options(&mut all);
    all
}

/// Serial 2 was seen, and the whole vault of serial 1 is put in its place.
fn replayed() -> World {
    let world = World::sealed();
    let old = world.folder.path().join("old");
    copy_folder(&world.vault(), &old);
    world.seal(&records()).unwrap();
    fs::remove_dir_all(world.vault()).unwrap();
    fs::rename(old, world.vault()).unwrap();
    world
}

#[test]
fn each_sealing_takes_the_next_serial() {
    let world = World::sealed();
    let opened = |world: &World| -> Opened { world.open().unwrap().1 };
    let first = opened(&world);
    world.seal(&records()).unwrap();
    let second = opened(&world);
    let serial = |opened: &Opened| opened.manifest.seal.as_ref().unwrap().serial;
    assert_eq!((serial(&first), serial(&second)), (1, 2));
    assert_eq!(first.manifest.dataset_id, second.manifest.dataset_id);
    let error = world
        .seal_with(
            &records(),
            &SealOptions {
                serial: Some(2),
                ..SealOptions::default()
            },
        )
        .map(drop)
        .unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
}

#[test]
fn a_replayed_old_vault_is_refused() {
    let world = replayed();
    world.refuses(&[("serial", None)]);
    // Sealing goes on above what was seen, not above what is there.
    world.seal(&records()).unwrap();
    let (_, opened) = world.open().unwrap();
    assert_eq!(opened.manifest.seal.unwrap().serial, 3);
}

#[test]
fn asking_for_the_old_serial_does_not_help() {
    let world = World::sealed();
    world.seal(&records()).unwrap();
    let verdict = world.open_with(&pinned(|o| o.serial = Some(1)));
    refused(verdict.map(drop), &[("serial", None)]);
}

#[test]
fn first_contact_cannot_know_but_can_be_told() {
    let world = replayed();
    fs::remove_dir_all(world.folder.path().join("state")).unwrap();
    let verdict = world.open_with(&pinned(|o| o.min_serial = Some(2)));
    refused(verdict.map(drop), &[("serial", None)]);
    let verdict = world.open_with(&pinned(|o| o.manifest_digest = Some([7; 64])));
    refused(verdict.map(drop), &[("serial", None)]);
    let (_, opened) = world
        .open_with(&pinned(|o| o.min_serial = Some(1)))
        .unwrap();
    assert_eq!(opened.contact, Some(Contact::First));
    let digest = opened.manifest_digest;
    world
        .open_with(&pinned(|o| o.manifest_digest = digest))
        .unwrap();
}

#[test]
fn another_data_set_than_the_one_asked_for_is_refused() {
    let world = World::sealed();
    let id = world.open().unwrap().1.manifest.dataset_id;
    let other = sealnet_core::record::DatasetId::from_bytes([1; 16]);
    let asked = |id| pinned(|o| o.dataset_id = Some(id));
    world.open_with(&asked(id)).unwrap();
    refused(
        world.open_with(&asked(other)).map(drop),
        &[("serial", None)],
    );
    // With an unsigned index too, for what its word is worth.
    let paper = World::new();
    let sealed = paper.seal_as(&records(), Profile::PAPER).unwrap();
    let asked = |id| OpenOptions {
        profile: Profile::PAPER,
        ..pinned(|o| o.dataset_id = Some(id))
    };
    paper.open_with(&asked(sealed.manifest.dataset_id)).unwrap();
    refused(
        paper.open_with(&asked(other)).map(drop),
        &[("serial", None)],
    );
}

#[test]
fn a_failed_opening_is_not_remembered() {
    let world = replayed();
    fs::remove_dir_all(world.folder.path().join("state")).unwrap();
    let shard = world.tokens(&world.shards(1)[0]);
    flip(&shard, 30, 0);
    world.refuses(&[("decrypt", Some(0))]);
    flip(&shard, 30, 0);
    assert_eq!(world.open().unwrap().1.contact, Some(Contact::First));
}

#[test]
fn an_old_manifest_under_a_new_name_is_refused() {
    let world = World::sealed();
    fs::copy(world.path(&manifest_name(1)), world.path(&manifest_name(2))).unwrap();
    world.refuses(&[("serial", None)]);
}

#[test]
fn one_serial_cannot_have_two_manifests() {
    // The owner's machine sealed serial 1; another machine of the owner, without that memory, seals the same
    // data set as serial 1 too.
    let world = World::sealed();
    let (_, opened) = world.open().unwrap();
    let elsewhere = World::new();
    elsewhere
        .seal_with(
            &records(),
            &SealOptions {
                dataset_id: Some(opened.manifest.dataset_id),
                ..SealOptions::default()
            },
        )
        .unwrap();
    fs::remove_dir_all(world.vault()).unwrap();
    copy_folder(&elsewhere.vault(), &world.vault());
    world.refuses(&[("serial", None)]);
}

#[test]
fn another_data_set_does_not_go_into_the_same_vault() {
    let world = World::sealed();
    let mut other = records();
    other.shape = vec![6];
    assert_eq!(world.seal(&other).map(drop).unwrap_err().exit_code(), 2);
    let options = SealOptions {
        dataset_id: Some(sealnet_core::record::DatasetId::from_bytes([1; 16])),
        ..SealOptions::default()
    };
    let error = world.seal_with(&records(), &options).map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
    assert_eq!(fs::read_dir(world.vault()).unwrap().count(), 2);
}
