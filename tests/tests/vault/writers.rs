//! Writers at once, interrupted writers.

use std::fs;
use std::path::Path;
use std::sync::Barrier;

use sealnet::error::Error;
use sealnet::progress::Silent;
use sealnet::vault::{DatasetSource, SealOptions, manifest_name, seal};

use crate::fixture::*;

#[test]
fn of_two_writers_one_wins() {
    let world = World::new();
    let barrier = Barrier::new(2);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (store, data) = (world.store(), records());
                    let options = SealOptions {
                        // Both have looked at the empty store before either has written.
                        serial: Some(1),
                        dataset_id: Some(sealnet_core::record::DatasetId::from_bytes([3; 16])),
                        shard_records: Some(SHARD),
                        ..SealOptions::default()
                    };
                    let source = Gate(DatasetSource::new(&data), &barrier);
                    let keys = world.owner.seal_keys();
                    seal(&source, &store, keys, &options, &world.memory(), &Silent)
                })
            })
            .collect();
        writers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    let winner = outcomes
        .iter()
        .find_map(|o| o.as_ref().ok())
        .expect("one wins");
    let loser = outcomes
        .iter()
        .find_map(|o| o.as_ref().err())
        .expect("one loses");
    assert_eq!(loser.exit_code(), 2, "{loser}");
    let (data, opened) = world.open().unwrap();
    assert_eq!(data, records());
    assert_eq!(opened.manifest_digest, winner.manifest_digest);
    // The loser has taken its own objects away and none of the winner's.
    let objects = fs::read_dir(world.path("shards")).unwrap().count();
    assert_eq!(objects, 2 * winner.manifest.shards.len());
}

/// Lets nobody read a record before both writers have begun.
struct Gate<'a>(DatasetSource<'a>, &'a Barrier);

impl sealnet::vault::RecordSource for Gate<'_> {
    fn about(&self) -> &sealnet::vault::About {
        self.0.about()
    }

    fn read(&self, start: u64, count: usize) -> sealnet::error::Result<sealnet::vault::Chunk<'_>> {
        if start == 0 {
            self.1.wait();
        }
        self.0.read(start, count)
    }
}

#[test]
fn an_interrupted_seal_is_no_vault_and_can_be_run_again() {
    let world = World::sealed();
    // As it lies there when power fails before the manifest: shards, a staged file, no manifest, and nothing
    // remembered.
    fs::remove_dir_all(world.folder.path().join("state")).unwrap();
    fs::rename(
        world.path(&manifest_name(1)),
        world.path(&format!("{}#1", manifest_name(1))),
    )
    .unwrap();
    let shard = world.tokens(&world.shards_of_staged()[0]);
    fs::write(shard.with_extension("fernet#1"), "half a sha").unwrap();
    let error = world.open().map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("no manifest"), "{error}");
    world.seal(&records()).unwrap();
    assert_eq!(world.open().unwrap().0, records());
}

impl World {
    fn shards_of_staged(&self) -> Vec<String> {
        let staged = fs::read(self.path(&format!("{}#1", manifest_name(1)))).unwrap();
        let manifest = manifest_of(&staged);
        manifest.shards.into_iter().map(|s| s.name).collect()
    }
}

#[test]
fn a_source_that_fails_midway_leaves_nothing() {
    struct Broken<'a>(DatasetSource<'a>);
    impl sealnet::vault::RecordSource for Broken<'_> {
        fn about(&self) -> &sealnet::vault::About {
            self.0.about()
        }

        fn read(
            &self,
            start: u64,
            count: usize,
        ) -> sealnet::error::Result<sealnet::vault::Chunk<'_>> {
            if start >= 64 {
                return Err(Error::input("the disk with the data was pulled out", ""));
            }
            self.0.read(start, count)
        }
    }
    let world = World::new();
    let data = records();
    let source = Broken(DatasetSource::new(&data));
    let options = SealOptions {
        shard_records: Some(SHARD),
        ..SealOptions::default()
    };
    let store = world.store();
    let keys = world.owner.seal_keys();
    let error = seal(&source, &store, keys, &options, &world.memory(), &Silent).unwrap_err();
    assert_eq!(error.to_string(), "the disk with the data was pulled out");
    assert_eq!(objects_below(&world.vault()), 0);
}

pub(crate) fn objects_below(folder: &Path) -> usize {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            if path.is_dir() {
                objects_below(&path)
            } else {
                1
            }
        })
        .sum()
}

#[test]
fn a_label_beyond_the_classes_is_refused() {
    let world = World::new();
    let mut data = records();
    data.labels[50] = 5;
    let error = world.seal(&data).map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("record 50"), "{error}");
}
