//! The bound that the documentation of `sealnet::vault` states, held by the built program.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use sealnet_tests::{Ran, binary, python, script, sealnet};

/// Features a record.
const WIDTH: u32 = 64;

/// Two cores and two shards more, each with 4 MiB of text and as much of leaves and records.
const BOUND: u64 = 32 << 20;

/// The program itself: its code, its threads, what the allocator keeps.
const PROGRAM: u64 = 16 << 20;

/// How much more five times the records may take: the manifest's entries and luck.
const MARGIN: u64 = 6 << 20;

/// A folder of IDX files, written without holding it.
fn records(folder: &Path, count: u32) {
    std::fs::create_dir(folder).unwrap();
    let file = |name: &str| BufWriter::new(File::create(folder.join(name)).unwrap());
    let mut images = file("train-images-idx3-ubyte");
    let mut labels = file("train-labels-idx1-ubyte");
    for word in [0x0803, count, WIDTH, 1] {
        images.write_all(&u32::to_be_bytes(word)).unwrap();
    }
    for word in [0x0801, count] {
        labels.write_all(&u32::to_be_bytes(word)).unwrap();
    }
    for record in 0..count {
        let row: Vec<u8> = (0..WIDTH).map(|i| (record * 31 + i * 7) as u8).collect();
        images.write_all(&row).unwrap();
        labels.write_all(&[(record % 10) as u8]).unwrap();
    }
    images.flush().unwrap();
    labels.flush().unwrap();
}

/// The most memory that `sealnet` held while it did this.
///
/// The GNU allocator keeps what was freed for each thread apart, so that its peak rises for a while as threads
/// take turns. With one arena for all the figure is what sealnet holds.
fn peak(home: &Path, arenas: Arenas, arguments: &[&str]) -> u64 {
    let mut command = python();
    command
        .arg(script("peak_memory.py"))
        .arg(binary("sealnet"))
        .args(arguments)
        .current_dir(home)
        .env("SEALNET_STATE_DIR", home.join("state"))
        .env("HOME", home)
        .env_remove("SEALNET_KEYS")
        // As many cores as the bound is reckoned with.
        .env("RAYON_NUM_THREADS", "2");
    if arenas == Arenas::One {
        command.env("MALLOC_ARENA_MAX", "1");
    }
    let ran = Ran::new(&mut command);
    assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
    ran.stdout.trim().parse().expect("a number of bytes")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Arenas {
    One,
    AsEver,
}

/// Peaks of sealing, of opening, and of opening into files.
fn peaks(home: &Path, arenas: Arenas, count: u32) -> [(&'static str, u64); 3] {
    let scratch = tempfile::tempdir_in(home).unwrap();
    let folder = scratch.path();
    records(&folder.join("data"), count);
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let [data, vault, out] = ["data", "vault", "out"].map(at);
    let keys = ["--keys", "keys"];
    let peak = |arguments: &[&str]| peak(home, arenas, &[arguments, &keys].concat());
    let measured = [
        ("seal", peak(&["seal", &data, &vault])),
        ("open", peak(&["open", &vault])),
        ("open to files", peak(&["open", &vault, &out])),
    ];
    let images = |folder| std::fs::read(Path::new(folder).join("train-images-idx3-ubyte")).unwrap();
    assert!(
        images(&data) == images(&out),
        "what came out is what went in"
    );
    measured
}

#[test]
fn memory_is_bounded_and_does_not_grow_with_the_records() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let made = Ran::new(sealnet(home).args(["keygen", "keys"]));
    assert_eq!(made.code, 0, "{}", made.stderr);
    for (what, held) in peaks(home, Arenas::AsEver, 300_000) {
        eprintln!("{what}: {held} bytes");
        assert!(held < BOUND + PROGRAM, "{what} held {held} bytes");
    }
    let few = peaks(home, Arenas::One, 60_000);
    let many = peaks(home, Arenas::One, 300_000);
    for ((what, few), (_, many)) in few.into_iter().zip(many) {
        eprintln!("{what}: {few} bytes for 60,000 records, {many} for 300,000");
        assert!(
            many < few + MARGIN,
            "{what} held {few} bytes for 60,000 records and {many} for 300,000"
        );
    }
}
