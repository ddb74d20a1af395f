//! Files appear whole or not at all, and secrets stay secret.
#![cfg(unix)]

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use sealnet::files::{self, AtomicFile, StagedDir};
use sealnet::keys::{self, DeviceSet, KeyFolder};
use sealnet_tests::{Ran, binary};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_abandoned_file_leaves_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model");
    files::write_atomic(&path, b"old").unwrap();
    let mut file = AtomicFile::create(&path).unwrap();
    file.write_all(b"half of the ne").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    drop(file);
    assert_eq!(names(dir.path()), ["model"]);
    files::write_atomic(&path, b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(mode(&path) & 0o600, 0o600);
    assert!(files::write_new(&path, b"other").is_err());
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[test]
fn two_writers_cannot_both_create() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manifest");
    let mut one = AtomicFile::create(&path).unwrap();
    let mut other = AtomicFile::create(&path).unwrap();
    one.write_all(b"one").unwrap();
    other.write_all(b"other").unwrap();
    other.commit_new().unwrap();
    assert!(one.commit_new().is_err());
    assert_eq!(fs::read(&path).unwrap(), b"other");
    assert_eq!(names(dir.path()), ["manifest"]);
}

#[test]
fn only_regular_files_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    fs::write(&target, "old").unwrap();
    let link = dir.path().join("link");
    symlink(&target, &link).unwrap();
    files::write_atomic(&link, b"new").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"new");
    assert!(link.symlink_metadata().unwrap().is_symlink());

    for (path, why) in [
        (Path::new("/dev/null"), "not a regular file"),
        (dir.path(), "it is a folder"),
        (&dir.path().join("absent/x"), "no such file or folder"),
        (&target.join("x"), "is a file, not a folder"),
    ] {
        let error = files::write_atomic(path, b"x").unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_folder_appears_by_rename() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let staged = StagedDir::create(&path).unwrap();
    fs::write(staged.path().join("a"), "1").unwrap();
    assert!(!path.exists());
    drop(staged);
    assert!(names(dir.path()).is_empty());

    fs::create_dir(&path).unwrap();
    let staged = StagedDir::create(&path).unwrap();
    fs::write(staged.path().join("a"), "1").unwrap();
    staged.commit().unwrap();
    assert_eq!(names(&path), ["a"]);
    assert!(StagedDir::create(&path).is_err(), "it is not empty");
    assert!(StagedDir::create(&path.join("a")).is_err(), "it is a file");

    let late = dir.path().join("late");
    let staged = StagedDir::create(&late).unwrap();
    fs::create_dir(&late).unwrap();
    fs::write(late.join("b"), "2").unwrap();
    assert!(staged.commit().is_err(), "another took the name");
    assert_eq!(names(dir.path()), ["late", "out"]);
    assert_eq!(names(&late), ["b"]);
}

#[test]
fn sizes_are_limited() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    fs::write(&path, [0; 10]).unwrap();
    assert_eq!(files::read_limited(&path, 10).unwrap().len(), 10);
    let error = files::read_limited(&path, 9).unwrap_err();
    assert!(error.to_string().contains("larger than 9 bytes"), "{error}");
    // A file without an end.
    assert!(files::read_limited(Path::new("/dev/zero"), 1 << 16).is_err());
    let error = files::read_limited(dir.path(), 9).unwrap_err();
    assert!(error.to_string().contains("it is a folder"), "{error}");
}

#[test]
fn secrets_are_private_from_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    files::write_secret_new(&path, b"secret").unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(
        files::read_secret(&path, 100).unwrap().as_slice(),
        b"secret"
    );
    assert!(files::write_secret_new(&path, b"other").is_err());
    for open in [0o640, 0o604, 0o644, 0o620, 0o602, 0o601, 0o610, 0o777] {
        set_mode(&path, open);
        let error = files::read_secret(&path, 100).unwrap_err();
        assert!(error.hint().contains("chmod 600"), "{open:o}: {error}");
        assert_eq!(error.exit_code(), 2);
        assert!(!error.to_string().contains("secret\n"));
    }
    for private in [0o600, 0o400, 0o700] {
        set_mode(&path, private);
        files::read_secret(&path, 100).unwrap();
    }
}

#[test]
fn every_secret_of_a_key_folder_is_guarded() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("keys");
    let device = keys::device_name("0001").unwrap();
    let set = DeviceSet {
        names: &[device],
        clear_only: false,
        hmac: true,
    };
    let made = keys::generate(&root, set, false).unwrap();
    assert_eq!(mode(&root), 0o700);
    assert_eq!(names(dir.path()), ["keys"]);
    let load_all = || -> Result<(), sealnet::error::Error> {
        let keys = KeyFolder::open(&root)?;
        keys.vault_keys()?;
        keys.record_tag_key()?;
        keys.owner_signing()?;
        keys.publisher_signing()?;
        keys.model_keys()?;
        keys.publisher_hmac(&device)?;
        keys.device(&device).map(drop)
    };
    load_all().unwrap();
    for file in &made.files {
        let path = root.join(file);
        let public = path.extension().is_some_and(|e| e == "pem") && file.ends_with("sign.pub.pem")
            || file.ends_with("publisher.pub.pem");
        if public {
            continue;
        }
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        set_mode(&path, 0o644);
        let error = load_all().expect_err(&path.display().to_string());
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
        set_mode(&path, 0o600);

        let whole = fs::read(&path).unwrap();
        for bad in [
            &b""[..],
            b"\n",
            b"\xFF\xFE",
            b"-----BEGIN PRIVATE KEY-----\n",
            &[b'A'; 70_000],
        ] {
            fs::write(&path, bad).unwrap();
            assert!(load_all().is_err(), "{}", path.display());
        }
        fs::write(&path, whole).unwrap();
        load_all().unwrap();
    }
}

/// As root, permissions stop nobody; so this runs the program as another user.
#[test]
fn what_a_user_may_not_read_or_write_is_said() {
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o755);
    let program = dir.path().join("sealnet");
    fs::copy(binary("sealnet"), &program).unwrap();
    set_mode(&program, 0o755);
    let key = dir.path().join("k.key");
    fs::write(&key, "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=\n").unwrap();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    let as_root = fs::metadata(dir.path()).unwrap().uid() == 0;
    set_mode(&key, if as_root { 0o600 } else { 0o000 });
    set_mode(&closed, 0o500);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .current_dir(dir.path())
            .env("NO_COLOR", "1");
        if as_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        Ran::new(&mut command)
    };
    let read = run(&["fernet", "inspect", "--key-file", "k.key"]);
    assert_eq!(read.code, 2);
    assert!(
        read.stderr.contains("cannot read k.key: permission denied"),
        "{}",
        read.stderr
    );
    let write = run(&["keygen", "closed/keys"]);
    assert_eq!(write.code, 2);
    assert!(
        write.stderr.contains("permission denied"),
        "{}",
        write.stderr
    );
    set_mode(&closed, 0o700);
}

const NOBODY: u32 = 65_534;
