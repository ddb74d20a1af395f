//! Full disks, kills, and inputs that are no files: the old output stays whole, and nothing hangs.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sealnet_tests::disk::SmallDisk;
use sealnet_tests::sealnet;

use super::workspace::Workspace;

#[test]
fn a_full_disk_leaves_the_old_weights_and_their_receipt() {
    let workspace = Workspace::new();
    let disk = SmallDisk::mounted_in(&workspace.path(""));
    fs::write(disk.path("m.safetensors"), "old weights").unwrap();
    fs::write(disk.path("m.safetensors.receipt.json"), "old receipt").unwrap();
    // First no room for the weights, then one page, which they fit and the receipt does not find. The checkpoint finds it.
    for (line, ballast, kept) in [
        (
            "train data.csv -o disk/m.safetensors --hidden 200,200",
            0,
            None,
        ),
        (
            "train data.csv -o disk/m.safetensors --hidden 9,7",
            13 * 4096,
            Some("m.safetensors.checkpoint"),
        ),
    ] {
        fs::write(disk.path("ballast"), vec![1; ballast]).unwrap();
        workspace.refused(line, 2, "no space left on the disk");
        let mut names = vec!["ballast", "m.safetensors", "m.safetensors.receipt.json"];
        names.splice(2..2, kept);
        assert_eq!(disk.names(), names, "nothing half-written");
        let read = |name: &str| fs::read_to_string(disk.path(name)).unwrap();
        assert_eq!(read("m.safetensors"), "old weights", "{line}");
        assert_eq!(read("m.safetensors.receipt.json"), "old receipt", "{line}");
    }
    fs::remove_file(disk.path("ballast")).unwrap();
    let done = workspace.done("train data.csv -o disk/m.safetensors --hidden 9,7");
    assert!(done.stderr.contains("goes on from"), "{}", done.stderr);
    assert!(!disk.names().iter().any(|name| name.ends_with("checkpoint")));
    workspace.done("export disk/m.safetensors -o m.sealed --max-loss 100");
}

#[test]
fn a_full_disk_leaves_the_old_model() {
    let workspace = Workspace::new().trained();
    let disk = SmallDisk::mounted_in(&workspace.path(""));
    fs::write(disk.path("m.sealed"), "old model").unwrap();
    fs::write(disk.path("ballast"), vec![1; 15 * 4096]).unwrap();
    let export = "export model.safetensors -o disk/m.sealed";
    workspace.refused(export, 2, "no space left on the disk");
    assert_eq!(disk.names(), ["ballast", "m.sealed"]);
    assert_eq!(fs::read(disk.path("m.sealed")).unwrap(), b"old model");
    fs::remove_file(disk.path("ballast")).unwrap();
    workspace.done(export);
    workspace.done("infer disk/m.sealed data.csv");
}

/// A counter that cannot be remembered is not used.
#[test]
fn a_full_disk_for_the_state_leaves_the_old_model() {
    let workspace = Workspace::new().trained().exported();
    let before = workspace.read("model.sealed");
    let disk = SmallDisk::mounted_in(&workspace.path(""));
    fs::write(disk.path("ballast"), vec![1; 16 * 4096]).unwrap();
    let mut command = sealnet(&workspace.path(""));
    command
        .args([
            "export",
            "model.safetensors",
            "-o",
            "model.sealed",
            "--keys",
            "keys",
        ])
        .env("SEALNET_STATE_DIR", disk.path("state"));
    let ran = sealnet_tests::Ran::new(&mut command);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("no space left"), "{}", ran.stderr);
    assert_eq!(workspace.read("model.sealed"), before);
}

/// Killed at many moments: the output is the old model or a new one, and both answer.
#[test]
fn a_killed_export_leaves_a_whole_model() {
    let workspace = Workspace::new().trained().exported();
    let export = [
        "export",
        "model.safetensors",
        "-o",
        "model.sealed",
        "--keys",
        "keys",
    ];
    let started = Instant::now();
    workspace.done("export model.safetensors -o model.sealed");
    let takes = started.elapsed();
    let mut interrupted = 0;
    for moment in 0..16 {
        let before = workspace.read("model.sealed");
        let mut child = sealnet(&workspace.path(""))
            .args(export)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(takes * moment / 12 + Duration::from_micros(500));
        child.kill().unwrap();
        child.wait().unwrap();
        interrupted += u32::from(workspace.read("model.sealed") == before);
        workspace.done("infer model.sealed data.csv --limit 3");
    }
    assert!(interrupted > 0, "it was never killed midway");
    workspace.done("export model.safetensors -o model.sealed");
    workspace.done("infer model.sealed data.csv --limit 3");
}

/// A pipe that nobody writes to would be waited for without end.
#[test]
fn what_is_no_file_is_refused_at_once() {
    let workspace = Workspace::new().trained().exported();
    fs::create_dir(workspace.path("folder")).unwrap();
    fs::create_dir(workspace.path("images")).unwrap();
    for pipe in ["pipe", "images/train-images-idx3-ubyte"] {
        let made = Command::new("mkfifo").arg(workspace.path(pipe)).status();
        assert!(made.unwrap().success());
    }
    workspace.write(
        "images/train-labels-idx1-ubyte",
        &[0, 0, 8, 1, 0, 0, 0, 1, 0],
    );
    for (place, words) in [
        ("pipe", "is a pipe or a device"),
        ("/dev/zero", "is a pipe or a device"),
        ("images", "is a pipe or a device"),
        ("folder", "folder"),
    ] {
        workspace.refused(&format!("train {place} -o x.safetensors"), 2, words);
        workspace.refused(&format!("seal {place} x"), 2, words);
        workspace.refused(&format!("infer model.sealed {place}"), 2, words);
        workspace.refused(
            &format!("export model.safetensors -o x --data {place}"),
            2,
            words,
        );
    }
    for place in ["pipe", "/dev/zero", "folder"] {
        let words = if place == "folder" {
            "it is a folder"
        } else {
            "is a pipe or a device"
        };
        workspace.refused(&format!("infer {place} data.csv"), 2, words);
        workspace.refused(&format!("export {place} -o x"), 2, words);
        workspace.refused(
            &format!("export model.safetensors -o x --receipt {place}"),
            2,
            words,
        );
    }
}

/// Headers that promise more than there is memory for, in files that are nearly all holes.
#[test]
fn huge_sizes_are_refused_before_memory_is_taken() {
    let workspace = Workspace::new().trained();
    fs::create_dir(workspace.path("images")).unwrap();
    let sparse = |name: &str, start: &[u8], length: u64| {
        fs::write(workspace.path(name), start).unwrap();
        let file = fs::OpenOptions::new()
            .write(true)
            .open(workspace.path(name))
            .unwrap();
        file.set_len(length).unwrap();
    };
    // 2^32 - 1 records of 255 bytes: 1 TiB.
    let many = [0xFF; 4];
    let images = [&[0, 0, 8, 2][..], &many, &[0, 0, 0, 255]].concat();
    let labels = [&[0, 0, 8, 1][..], &many].concat();
    let records = u64::from(u32::MAX);
    sparse(
        "images/train-images-idx2-ubyte",
        &images,
        12 + 255 * records,
    );
    // Its labels are not there: the sizes alone must not be believed.
    workspace.write("images/train-labels-idx1-ubyte", &labels);
    workspace.refused("train images -o x.safetensors", 2, "more than it can hold");
    fs::write(
        workspace.path("images/train-labels-idx1-ubyte"),
        [0, 0, 8, 1, 0, 0, 0, 1, 0],
    )
    .unwrap();
    workspace.refused("train images -o x.safetensors", 2, "labels");

    // A checkpoint of 60 GB.
    sparse("y.safetensors.checkpoint", b"SEALNETC", 60 << 30);
    workspace.refused("train data.csv -o y.safetensors", 2, "larger than");

    // Weights whose header is said to be 2^63 bytes long, and a header that promises a tensor of 1 TiB.
    workspace.write("huge.safetensors", &[0, 0, 0, 0, 0, 0, 0, 0x80, b'{', b'}']);
    workspace.refused(
        "export huge.safetensors -o x --unverified-weights --data data.csv",
        2,
        "safetensors",
    );
    let header = br#"{"fc1.weight":{"dtype":"F32","shape":[524288,524288],"data_offsets":[0,1099511627776]}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 64]].concat();
    workspace.write("huge.safetensors", &file);
    workspace.refused(
        "export huge.safetensors -o x --unverified-weights --data data.csv",
        2,
        "safetensors",
    );
}
