//! What was sealed is what is opened, in every form.

use std::fs;

use sealnet::dataset::{self, Column, Dataset, LoadOptions};
use sealnet::progress::Silent;
use sealnet::state::Contact;
use sealnet::vault::{
    FileSink, FolderSource, NullSink, OpenOptions, Profile, SealOptions, open, seal,
};
use sealnet_core::fernet::Keyring;
use sealnet_core::record;

use crate::fixture::*;

#[test]
fn every_profile_gives_back_what_was_sealed() {
    for profile in [Profile::DEFAULT, SIGNED_ONLY, KEYED_ONLY, Profile::PAPER] {
        let world = World::sealed_as(profile);
        let (data, opened) = world.open_as(profile).unwrap();
        assert_eq!(data, records(), "{}", profile.name());
        assert_eq!(opened.manifest.profile, profile);
        assert_eq!(opened.manifest_digest.is_some(), profile.signed_manifest);
        assert!(opened.quarantined.is_empty() && opened.warnings.is_empty());
    }
}

#[test]
fn shards_of_every_size_give_back_what_was_sealed() {
    for shard_records in [1, 2, 64, 128, 1024] {
        let world = World::new();
        let options = SealOptions {
            shard_records: Some(shard_records),
            hide_counts: shard_records == 2,
            ..SealOptions::default()
        };
        let sealed = world.seal_with(&records(), &options).unwrap();
        let expected = 100_usize.div_ceil(shard_records as usize);
        assert_eq!(sealed.manifest.shards.len(), expected);
        assert_eq!(sealed.manifest.class_counts.is_none(), options.hide_counts);
        assert_eq!(world.open().unwrap().0, records());
    }
    let world = World::new();
    let options = SealOptions {
        shard_records: Some(3),
        ..SealOptions::default()
    };
    let error = world.seal_with(&records(), &options).unwrap_err();
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn scaling_and_class_names_travel_along() {
    let mut data = records();
    data.class_names = Some((0..5).map(|n| format!("class {n}")).collect());
    data.scaling = Some(
        (0..6)
            .map(|n| Column {
                name: format!("c{n}"),
                offset: -0.1 * f64::from(n),
                scale: 1.0 / 3.0,
            })
            .collect(),
    );
    let world = World::new();
    world.seal(&data).unwrap();
    assert_eq!(world.open().unwrap().0, data);
}

#[test]
fn lines_are_standard_tokens_of_the_documented_record() {
    let world = World::sealed();
    let keyring = Keyring::new(&world.owner.vault).unwrap();
    let data = records();
    let mut index = 0;
    for shard in world.shards(1) {
        for line in lines(&world.tokens(&shard)) {
            let mut line = line.into_bytes();
            let opened = keyring.decrypt_text_in_place(&mut line, None).unwrap();
            let (record, _) = record::decode(opened.plaintext()).unwrap();
            assert_eq!(record.index, index);
            assert_eq!(record.label, data.labels[index as usize]);
            assert_eq!(record.features, data.features_of(index as usize));
            index += 1;
        }
    }
    assert_eq!(index, 100);
}

#[test]
fn first_contact_is_said_and_then_known() {
    let world = World::sealed();
    let contact = |world: &World| world.open().unwrap().1.contact;
    assert_eq!(contact(&world), Some(Contact::Known), "sealing remembers");
    fs::remove_dir_all(world.folder.path().join("state")).unwrap();
    assert_eq!(contact(&world), Some(Contact::First));
    assert_eq!(contact(&world), Some(Contact::Known));
}

#[test]
fn any_of_several_vault_keys_opens() {
    let mut world = World::sealed();
    let newer = Owner::new(9).vault.remove(0);
    world.owner.vault.insert(0, newer);
    world.open().unwrap();
    world.seal(&records()).unwrap();
    world.open().unwrap();
    world.owner.vault.pop();
    world
        .open()
        .expect("serial 2 is sealed under the newer key");
}

#[test]
fn files_come_out_as_they_went_in() {
    let world = World::new();
    let input = world.folder.path().join("small");
    fs::create_dir(&input).unwrap();
    dataset::idx::write_folder(&input, &records()).unwrap();
    let source = FolderSource::new(dataset::idx::IdxFolder::open(&input).unwrap());
    let options = SealOptions {
        shard_records: Some(SHARD),
        ..SealOptions::default()
    };
    let keys = world.owner.seal_keys();
    seal(
        &source,
        &world.store(),
        keys,
        &options,
        &world.memory(),
        &Silent,
    )
    .unwrap();

    let output = world.folder.path().join("opened");
    open_to(&world, &output).unwrap();
    let names = |folder| {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&input), names(&output));
    for name in names(&input) {
        let (a, b) = (fs::read(input.join(&name)), fs::read(output.join(&name)));
        assert_eq!(a.unwrap(), b.unwrap(), "{name:?}");
    }
    let again = open_to(&world, &output).unwrap_err();
    assert_eq!(again.exit_code(), 2, "nothing is overwritten: {again}");
}

#[test]
fn reals_come_out_as_a_csv_that_reads_back_to_the_same_records() {
    let mut data = records();
    data.name = "flowers".into();
    data.shape = vec![6];
    data.parts = vec![dataset::Part {
        name: "all".into(),
        start: 0,
        len: 100,
    }];
    // Every column spans 0 to 255, as reading a CSV file makes it.
    data.features[..6].fill(0);
    data.features[6..12].fill(255);
    data.scaling = Some(
        (0..6)
            .map(|n| Column {
                name: format!("petal {n}"),
                offset: 0.1 + f64::from(n),
                scale: 0.3 / 7.0,
            })
            .collect(),
    );
    data.class_names = Some((0..5).map(|n| format!("Iris {n}")).collect());
    let world = World::new();
    world.seal(&data).unwrap();
    let output = world.folder.path().join("flowers.csv");
    open_to(&world, &output).unwrap();
    let text = fs::read_to_string(&output).unwrap();
    assert!(text.starts_with("label,petal 0,petal 1"), "{text}");
    let back = dataset::load(output.to_str().unwrap(), &LoadOptions::default(), &Silent).unwrap();
    assert_eq!(labels_by_name(&back), labels_by_name(&data));
    assert_eq!(back.features, data.features);
}

fn labels_by_name(data: &Dataset) -> Vec<&str> {
    let names = data.class_names.as_ref().unwrap();
    data.labels
        .iter()
        .map(|label| names[usize::from(*label)].as_str())
        .collect()
}

fn open_to(world: &World, output: &std::path::Path) -> sealnet::error::Result<()> {
    open(
        &world.store(),
        world.owner.open_keys(),
        &OpenOptions::default(),
        &world.memory(),
        &mut FileSink::new(output),
        &Silent,
    )
    .map(drop)
}

#[test]
fn nothing_appears_when_something_fails() {
    let world = World::sealed();
    let shard = &world.shards(1)[6];
    flip(&world.tokens(shard), 40, 0);
    let output = world.folder.path().join("opened");
    assert_eq!(open_to(&world, &output).unwrap_err().exit_code(), 1);
    let left: Vec<_> = fs::read_dir(world.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "the vault and the state: {left:?}");
    // Verifying alone gives the same verdict.
    let keys = world.owner.open_keys();
    let options = OpenOptions::default();
    let store = world.store();
    let verdict = open(
        &store,
        keys,
        &options,
        &world.memory(),
        &mut NullSink,
        &Silent,
    );
    refused(verdict.map(drop), &[("decrypt", Some(96))]);
}
