//! Which data set is continued, and what must be the same in it.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use sealnet::dataset::{Column, Dataset, Headings};
use sealnet::error::Result;
use sealnet::progress::Silent;
use sealnet::vault::{
    About, Chunk, DatasetSource, OpenOptions, Profile, RecordSource, SealOptions, Sealed,
    manifest_name, seal,
};
use sealnet_core::record::DatasetId;

use crate::fixture::*;
use crate::writers::objects_below;

fn serial(sealed: &Sealed) -> u64 {
    sealed.manifest.seal.as_ref().unwrap().serial
}

fn continuing(id: DatasetId) -> SealOptions {
    SealOptions {
        dataset_id: Some(id),
        shard_records: Some(SHARD),
        ..SealOptions::default()
    }
}

#[test]
fn a_planted_data_set_of_the_same_owner_is_not_continued() {
    // The storage has an old manifest of another data set, and puts it where a new one is to be sealed.
    let other = World::sealed();
    let planted = manifest_of(&fs::read(other.path(&manifest_name(1))).unwrap());
    let world = World::new();
    fs::create_dir(world.vault()).unwrap();
    let name = manifest_name(1);
    fs::copy(other.path(&name), world.path(&name)).unwrap();
    let error = world.seal(&records()).map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
    let id = planted.dataset_id.to_string();
    assert!(error.to_string().contains(&id), "{error}");
    assert!(
        error.hint().contains(&format!("--dataset-id {id}")),
        "{error}"
    );
    assert_eq!(objects_below(&world.vault()), 1, "nothing was written");
    // The user's word counts, or what this machine knows.
    let sealed = world
        .seal_with(&records(), &continuing(planted.dataset_id))
        .unwrap();
    assert!(sealed.continues);
    assert_eq!(
        (sealed.manifest.dataset_id, serial(&sealed)),
        (planted.dataset_id, 2)
    );
    let again = world.seal(&records()).unwrap();
    assert_eq!(
        (again.manifest.dataset_id, serial(&again)),
        (planted.dataset_id, 3)
    );
}

#[test]
fn a_data_set_put_in_anothers_place_is_not_continued() {
    let (world, other) = (World::sealed(), World::sealed());
    let mine = world.open().unwrap().1.manifest.dataset_id;
    fs::remove_dir_all(world.vault()).unwrap();
    copy_folder(&other.vault(), &world.vault());
    refused(world.seal(&records()).map(drop), &[("serial", None)]);
    assert_eq!(
        world
            .seal_with(&records(), &continuing(mine))
            .map(drop)
            .unwrap_err()
            .exit_code(),
        2
    );
    // Where its manifest is gone, the old data set can be continued by name, and another begun.
    fs::remove_dir_all(world.vault()).unwrap();
    let begun = world.seal(&records()).unwrap();
    assert!(!begun.continues && begun.manifest.dataset_id != mine);
    assert!(
        begun.warnings[0].contains(&format!("--dataset-id {mine}")),
        "{:?}",
        begun.warnings
    );
    fs::remove_dir_all(world.vault()).unwrap();
    let continued = world.seal_with(&records(), &continuing(mine)).unwrap();
    assert!(continued.continues);
    assert_eq!(serial(&continued), 2);
}

#[test]
fn what_opens_here_is_known_here() {
    let other = World::sealed();
    let world = World::new();
    copy_folder(&other.vault(), &world.vault());
    world.open().unwrap();
    assert_eq!(serial(&world.seal(&records()).unwrap()), 2);
}

#[test]
fn what_differs_from_the_former_serial_is_named() {
    let column = |n: u8| Column {
        name: format!("c{n}"),
        offset: f64::from(n),
        scale: 0.5,
    };
    let mut data = records();
    data.class_names = Some((0..5).map(|n| format!("class {n}")).collect());
    data.scaling = Some((0..6).map(column).collect());
    data.headings = Some(Headings {
        label: "species".into(),
        features: (0..6).map(|n| format!("c{n}")).collect(),
    });
    type Edit = fn(&mut Dataset);
    let edits: [(&str, Edit); 12] = [
        ("name is \"small\"", |d| d.name = "large".into()),
        ("shape is [2, 3]", |d| d.shape = vec![3, 2]),
        ("number of classes is 5", |d| {
            d.classes = 6;
            d.class_names.as_mut().unwrap().push("class 5".into());
        }),
        ("having class names is true", |d| d.class_names = None),
        ("name of class 3 is \"class 3\"", |d| {
            d.class_names.as_mut().unwrap()[3] = "other".into();
        }),
        ("having headings is true", |d| d.headings = None),
        ("heading species is \"species\"", |d| {
            d.headings.as_mut().unwrap().label = "kind".into();
        }),
        ("heading c3 is \"c3\"", |d| {
            d.headings.as_mut().unwrap().features[3] = "x".into();
        }),
        ("having scaled columns is true", |d| d.scaling = None),
        ("name of column 2 is \"c2\"", |d| {
            d.scaling.as_mut().unwrap()[2].name = "x".into();
        }),
        ("offset of column c4 is 4.0", |d| {
            d.scaling.as_mut().unwrap()[4].offset = 4.5;
        }),
        ("scale of column c5 is 0.5", |d| {
            d.scaling.as_mut().unwrap()[5].scale = 0.25;
        }),
    ];
    let world = World::new();
    let first = world.seal(&data).unwrap();
    let before = objects_below(&world.vault());
    for (says, edit) in edits {
        let mut other = data.clone();
        edit(&mut other);
        for options in [
            SealOptions::default(),
            continuing(first.manifest.dataset_id),
        ] {
            let error = world.seal_with(&other, &options).map(drop).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
            assert!(error.to_string().contains(says), "{says}: {error}");
        }
    }
    assert_eq!(objects_below(&world.vault()), before);
    // Other records, more of them, in other parts: that is what a next serial is for.
    let mut more = data.clone();
    more.features.extend([9; 6]);
    more.labels.push(0);
    more.parts[1].len += 1;
    assert_eq!(serial(&world.seal(&more).unwrap()), 2);
    assert_eq!(world.open().unwrap().0, more);
}

/// Counts how often it is read, and does something then.
struct Watched<'a, F: Fn() + Sync> {
    inner: DatasetSource<'a>,
    reads: AtomicU64,
    then: F,
}

impl<F: Fn() + Sync> RecordSource for Watched<'_, F> {
    fn about(&self) -> &About {
        self.inner.about()
    }

    fn read(&self, start: u64, count: usize) -> Result<Chunk<'_>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        (self.then)();
        self.inner.read(start, count)
    }
}

/// Seals a watched source; how often it was read, and the outcome.
fn watched(world: &World, profile: Profile, then: impl Fn() + Sync) -> (u64, Result<Sealed>) {
    let data = records();
    let source = Watched {
        inner: DatasetSource::new(&data),
        reads: AtomicU64::new(0),
        then,
    };
    let options = SealOptions {
        profile,
        ..SealOptions::default()
    };
    let (store, keys) = (world.store(), world.owner.seal_keys());
    let outcome = seal(&source, &store, keys, &options, &world.memory(), &Silent);
    (source.reads.into_inner(), outcome)
}

#[test]
fn one_profile_is_not_sealed_over_the_other() {
    let both = [Profile::DEFAULT, Profile::PAPER];
    for (there, here) in [
        (both[0], both[1]),
        (both[1], both[0]),
        (both[1], both[1]),
        (KEYED_ONLY, both[1]),
    ] {
        let world = World::sealed_as(there);
        let before = objects_below(&world.vault());
        let (reads, outcome) = watched(&world, here, || {});
        let error = outcome.map(drop).unwrap_err();
        assert_eq!((error.exit_code(), reads), (2, 0), "{error}");
        assert!(error.hint().contains("another folder"), "{error}");
        assert_eq!(objects_below(&world.vault()), before);
        world.open_as(there).unwrap();
    }
}

#[test]
fn a_memory_that_cannot_be_written_is_known_before_sealing() {
    let world = World::new();
    fs::write(world.folder.path().join("state"), "a file").unwrap();
    let (reads, outcome) = watched(&world, Profile::DEFAULT, || {});
    let error = outcome.map(drop).unwrap_err();
    assert_eq!((error.exit_code(), reads), (2, 0), "{error}");
    assert_eq!(objects_below(&world.vault()), 0);
    // Profile `paper` remembers nothing, but must know what lay in the place.
    let (reads, outcome) = watched(&world, Profile::PAPER, || {});
    let error = outcome.map(drop).unwrap_err();
    assert_eq!((error.exit_code(), reads), (2, 0), "{error}");
}

#[test]
fn what_cannot_be_remembered_is_sealed_all_the_same_and_said() {
    let world = World::new();
    let state = world.folder.path().join("state");
    let (_, outcome) = watched(&world, Profile::DEFAULT, || {
        // While the records are read the state folder goes away, and something takes its place.
        let _ = fs::remove_dir_all(&state);
        let _ = fs::write(&state, "a file");
    });
    let error = outcome.map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let said = error.to_string();
    assert!(said.contains("IS sealed"), "{said}");
    assert!(said.contains(&manifest_name(1)), "{said}");
    let manifest = fs::read(world.path(&manifest_name(1))).unwrap();
    let digest = sealnet_core::sign::sha512(&[&manifest]);
    assert!(said.contains(&hex::encode(digest)), "{said}");
    let id = manifest_of(&manifest).dataset_id;
    assert!(
        error.hint().contains(&format!("--dataset-id {id}")),
        "{}",
        error.hint()
    );
    // What the hint says works.
    fs::remove_file(&state).unwrap();
    let options = OpenOptions {
        dataset_id: Some(id),
        manifest_digest: Some(digest),
        ..OpenOptions::default()
    };
    assert_eq!(world.open_with(&options).unwrap().0, records());
    assert_eq!(serial(&world.seal(&records()).unwrap()), 2);
}
