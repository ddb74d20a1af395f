//! Objects that are no files, or not ours.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Command;

use sealnet::vault::{Profile, manifest_name};

use crate::fixture::*;

/// Puts something else in the place of `path`, and says what sealnet should call it.
type Plant = fn(&Path) -> &'static str;

const PLANTS: [Plant; 4] = [
    |path| {
        fs::create_dir(path).unwrap();
        "a folder"
    },
    |path| {
        let made = Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
        "a pipe"
    },
    |path| {
        std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        "a device or a socket"
    },
    |path| {
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        "a device or a socket"
    },
];

fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_shard_that_is_no_file_is_tampering_and_named() {
    let world = World::sealed();
    let name = world.shards(1)[2].clone();
    let shard = world.tokens(&name);
    for plant in PLANTS {
        remove(&shard);
        let what = plant(&shard);
        let error = world.open().map(drop).unwrap_err();
        assert_eq!(error.exit_code(), 1, "{error}");
        let [failure] = error.failures() else {
            panic!("one failure: {:?}", error.failures());
        };
        assert_eq!((failure.check, failure.shard), ("count", Some(2)));
        assert_eq!(
            failure.cause,
            format!("shards/{name}.fernet is {what}, not a file")
        );
    }
    // A link that leads nowhere is no object at all.
    remove(&shard);
    std::os::unix::fs::symlink("nowhere", &shard).unwrap();
    let error = world.open().map(drop).unwrap_err();
    assert_eq!(
        error.failures()[0].cause,
        format!("shards/{name}.fernet is gone")
    );
}

#[test]
fn leaves_that_are_no_file_harm_no_record() {
    let world = World::sealed();
    let leaves = world.leaves(&world.shards(1)[2]);
    for plant in PLANTS {
        remove(&leaves);
        plant(&leaves);
        let (data, opened) = world.open().unwrap();
        assert_eq!(data, records());
        assert!(opened.warnings[0].contains("shard 2: its leaves are damaged"));
    }
}

#[test]
fn a_file_in_the_place_of_all_shards_is_tampering() {
    let world = World::sealed();
    fs::remove_dir_all(world.path("shards")).unwrap();
    fs::write(world.path("shards"), "").unwrap();
    world.refuses(&[("count", None); 7]);
}

#[test]
fn a_manifest_that_is_no_file_is_refused_and_does_not_hang() {
    let world = World::sealed();
    for plant in PLANTS {
        let path = world.path(&manifest_name(1));
        remove(&path);
        let what = plant(&path);
        let error = world.open().map(drop).unwrap_err();
        // A folder is not listed among the objects: there is no manifest then, where there was one.
        assert_eq!(error.exit_code(), 1, "{what}: {error}");
    }
    let paper = World::sealed_as(Profile::PAPER);
    for plant in PLANTS {
        let path = paper.path("paper/index.json");
        remove(&path);
        let what = plant(&path);
        let error = paper.open_as(Profile::PAPER).map(drop).unwrap_err();
        assert_eq!(error.exit_code(), 1, "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_manifest_that_is_not_ours_does_not_stop_sealing() {
    let highest = manifest_name(u64::MAX);
    let other = World::new();
    let stranger = World {
        owner: Owner::new(8),
        ..World::new()
    };
    other.seal(&records()).unwrap();
    stranger.seal(&records()).unwrap();
    let of = |world: &World| fs::read(world.path(&manifest_name(1))).unwrap();
    let plants: [&dyn Fn(&World); 6] = [
        &|world| fs::write(world.path(&highest), "").unwrap(),
        &|world| fs::write(world.path(&highest), "{\"payload\":\"\"}").unwrap(),
        // Signed by somebody else.
        &|world| fs::write(world.path(&highest), of(&stranger)).unwrap(),
        // Signed by the owner, for another serial: an old one of this vault, and one of another.
        &|world| fs::write(world.path(&highest), of(world)).unwrap(),
        &|world| fs::write(world.path(&highest), of(&other)).unwrap(),
        // As large as the disk, and nothing in it.
        &|world| {
            let file = fs::File::create(world.path(&highest)).unwrap();
            file.set_len(1 << 40).unwrap();
        },
    ];
    for (n, plant) in plants.iter().enumerate() {
        let world = World::sealed();
        plant(&world);
        let sealed = world
            .seal(&records())
            .unwrap_or_else(|e| panic!("{n}: {e}"));
        assert_eq!(sealed.manifest.seal.as_ref().unwrap().serial, 2, "{n}");
        assert!(sealed.continues);
        assert!(sealed.warnings[0].contains(&highest), "{n}");
        assert_eq!(sealed.warnings.len(), 1);
        // A reader cannot know which of the two is right, and stops.
        assert_eq!(world.open().map(drop).unwrap_err().exit_code(), 1, "{n}");
        fs::remove_file(world.path(&highest)).unwrap();
        let (data, opened) = world.open().unwrap();
        assert_eq!(data, records());
        assert_eq!(opened.manifest_digest, sealed.manifest_digest);
    }
    for plant in &PLANTS[1..] {
        let world = World::sealed();
        plant(&world.path(&highest));
        let sealed = world.seal(&records()).unwrap();
        assert!(sealed.warnings[0].contains(&highest));
    }
    // Nor does one that has the next serial.
    let world = World::sealed();
    for serial in [2, 3] {
        fs::write(world.path(&manifest_name(serial)), "").unwrap();
    }
    let sealed = world.seal(&records()).unwrap();
    assert_eq!(sealed.manifest.seal.as_ref().unwrap().serial, 4);
    assert_eq!(
        world.open().unwrap().1.manifest_digest,
        sealed.manifest_digest
    );
}
