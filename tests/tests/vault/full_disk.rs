//! Disks that fill up while something is written to them.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;

use sealnet::dataset::{Column, Dataset};
use sealnet::error::{Error, Result};
use sealnet::progress::Silent;
use sealnet::store::Store;
use sealnet::vault::{DatasetSource, FileSink, OpenOptions, SealOptions, open, seal};
use sealnet_tests::disk::SmallDisk;

use crate::fixture::*;
use crate::writers::objects_below;

/// Some 200 KB of records.
fn many() -> Dataset {
    let mut data = records();
    data.features = (0..30_000 * 6).map(|i| i as u8).collect();
    data.labels = (0..30_000).map(|i| i % 5).collect();
    data.parts.truncate(1);
    data.parts[0].len = 30_000;
    data
}

#[track_caller]
fn says_it_is_full(error: &Error) {
    assert_eq!(error.exit_code(), 2, "{error}");
    assert!(
        error.to_string().contains("no space left on the disk"),
        "{error}"
    );
}

#[test]
fn sealing_takes_away_what_it_wrote() {
    let world = World::new();
    let disk = SmallDisk::mounted_in(world.folder.path());
    let data = many();
    let store = Store::create(disk.path("vault").to_str().unwrap()).unwrap();
    let source = DatasetSource::new(&data);
    let options = SealOptions {
        shard_records: Some(SHARD),
        ..SealOptions::default()
    };
    let keys = world.owner.seal_keys();
    let outcome = seal(&source, &store, keys, &options, &world.memory(), &Silent);
    says_it_is_full(&outcome.map(drop).unwrap_err());
    assert_eq!(objects_below(&disk.path("")), 0);
}

#[test]
fn a_memory_on_a_full_disk_is_known_before_sealing() {
    let world = World::new();
    let disk = SmallDisk::mounted_in(world.folder.path());
    let memory = sealnet::state::SerialMemory::at(disk.path("state"));
    fs::create_dir(disk.path("state")).unwrap();
    fs::write(disk.path("state/serials.lock"), "").unwrap();
    let _ = fs::write(disk.path("ballast"), vec![1; 64 << 10]);
    let data = records();
    let store = world.store();
    let (source, keys) = (DatasetSource::new(&data), world.owner.seal_keys());
    let options = SealOptions::default();
    let outcome = seal(&source, &store, keys, &options, &memory, &Silent);
    says_it_is_full(&outcome.map(drop).unwrap_err());
    assert_eq!(objects_below(&world.vault()), 0);
}

/// Opens the world's vault into `output`.
fn open_to(world: &World, output: &Path) -> Result<()> {
    let (store, keys) = (world.store(), world.owner.open_keys());
    let options = OpenOptions::default();
    let mut sink = FileSink::new(output);
    open(&store, keys, &options, &world.memory(), &mut sink, &Silent).map(drop)
}

#[test]
fn opening_leaves_nothing_and_harms_nothing() {
    let mut table = many();
    table.shape = vec![6];
    let column = |n| Column {
        name: format!("c{n}"),
        offset: 0.5,
        scale: 1.0 / 3.0,
    };
    table.scaling = Some((0..6).map(column).collect());
    for (data, name) in [(many(), "images"), (table, "table.csv")] {
        let world = World::new();
        world.seal_with(&data, &SealOptions::default()).unwrap();
        let disk = SmallDisk::mounted_in(world.folder.path());
        fs::write(disk.path("older"), "what was there").unwrap();
        let error = open_to(&world, &disk.path(name)).unwrap_err();
        says_it_is_full(&error);
        // The error is about the name that was asked for, not about the temporary one.
        assert!(error.to_string().contains(name), "{error}");
        assert!(!error.to_string().contains(".part"), "{error}");
        assert_eq!(disk.names(), ["older"], "no output and no temporary");
        assert_eq!(fs::read(disk.path("older")).unwrap(), b"what was there");
        // The vault is what it was, and with space it opens.
        open_to(&world, &world.folder.path().join(name)).unwrap();
    }
}
