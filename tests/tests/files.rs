//! Files appear whole or not at all, and secrets stay secret.
#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use sealnet::files::{self, AtomicFile, StagedDir, StagedParts};
use sealnet_tests::system::{User, mode, names, set_mode, staged};
use sealnet_tests::{Ran, sealnet};

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
fn what_is_staged_is_private_and_what_appears_follows_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    // The umask, by what it does.
    let plain = dir.path().join("plain");
    fs::write(&plain, "").unwrap();
    let [file_mode, folder_mode] = [mode(&plain), mode(&plain) | (mode(&plain) & 0o444) >> 2];

    let path = dir.path().join("file");
    let file = AtomicFile::create(&path).unwrap();
    assert_eq!(staged(dir.path()).len(), 1);
    assert_eq!(mode(&staged(dir.path())[0]), 0o600);
    file.commit().unwrap();
    assert_eq!(mode(&path), file_mode);
    // What is replaced keeps its permissions.
    set_mode(&path, 0o640);
    files::write_atomic(&path, b"new").unwrap();
    assert_eq!(mode(&path), 0o640);
    let public = dir.path().join("public");
    files::write_public_new(&public, b"key").unwrap();
    assert_eq!(mode(&public), 0o644 & file_mode);

    let path = dir.path().join("folder");
    let folder = StagedDir::create(&path).unwrap();
    assert_eq!(mode(folder.path()), 0o700);
    folder.commit().unwrap();
    assert_eq!(mode(&path), folder_mode);
    set_mode(&path, 0o750);
    StagedDir::create(&path).unwrap().commit().unwrap();
    assert_eq!(mode(&path), 0o750);
    let path = dir.path().join("private");
    StagedDir::create_private(&path).unwrap().commit().unwrap();
    assert_eq!(mode(&path), 0o700);
}

#[test]
fn what_the_dead_left_is_swept_and_what_the_living_hold_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let part = |name: &str| dir.path().join(format!(".sealnet-{name}.part"));
    let living = AtomicFile::create(&dir.path().join("living")).unwrap();
    let also = StagedDir::create(&dir.path().join("also")).unwrap();
    let before = staged(dir.path());
    fs::write(part("abc123"), "half").unwrap();
    fs::create_dir(part("Folder")).unwrap();
    fs::write(part("Folder").join("plaintext"), "half").unwrap();
    // Neither a link, nor what it names, nor another program's file.
    fs::write(dir.path().join("kept"), "whole").unwrap();
    symlink(dir.path().join("kept"), part("link")).unwrap();
    fs::write(dir.path().join(".other-abc123.part"), "whole").unwrap();
    fs::write(dir.path().join(".sealnet-a b.part"), "whole").unwrap();

    files::write_atomic(&dir.path().join("next"), b"x").unwrap();
    assert!(!part("abc123").exists() && !part("Folder").exists());
    assert!(before.iter().all(|path| path.exists()));
    assert!(part("link").symlink_metadata().is_ok());
    for kept in ["kept", ".other-abc123.part", ".sealnet-a b.part"] {
        assert_eq!(fs::read(dir.path().join(kept)).unwrap(), b"whole");
    }
    living.commit().unwrap();
    also.commit().unwrap();
}

#[test]
fn several_parts_appear_together_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let parts = |names: &[&str]| -> Vec<_> { names.iter().map(Into::into).collect() };
    let fill = |staged: &StagedParts| {
        fs::create_dir(staged.path().join("device")).unwrap();
        fs::write(staged.path().join("device/key"), "1").unwrap();
        fs::write(staged.path().join("file"), "2").unwrap();
    };
    fs::write(dir.path().join("file"), "old").unwrap();
    let staged = StagedParts::create(dir.path()).unwrap();
    fill(&staged);
    let error = staged.commit(&parts(&["device", "file"])).unwrap_err();
    assert!(error.to_string().contains("it exists already"), "{error}");
    assert_eq!(names(dir.path()), ["file"]);
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"old");
    fs::remove_file(dir.path().join("file")).unwrap();
    let staged = StagedParts::create(dir.path()).unwrap();
    fill(&staged);
    staged.commit(&parts(&["device", "file"])).unwrap();
    assert_eq!(names(dir.path()), ["device", "file"]);
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for path in [pipe.as_path(), Path::new("/dev/zero")] {
        let error = files::read_secret(path, 100).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(
            error.to_string().contains("is a pipe or a device"),
            "{error}"
        );
    }
    let home = dir.path();
    fs::create_dir(home.join("folder")).unwrap();
    fs::create_dir(home.join("odd")).unwrap();
    fs::rename(&pipe, home.join("odd/train-images-idx3-ubyte")).unwrap();
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for place in ["pipe", "folder", "/dev/zero", "odd"] {
        for arguments in [
            &["fernet", "encrypt", "--key-file", place][..],
            &["fernet", "inspect", "--key-file", place],
            &["fetch", "mnist", "--from", place],
            &["fetch", "mnist", "--to", place, "--from", "odd"],
            &["inspect", place],
            &["seal", place, "vault", "--keys", "folder"],
        ] {
            let ran = Ran::new(sealnet(home).args(arguments).stdin(Stdio::null()));
            assert_eq!(ran.code, 2, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
            assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
        }
    }
    for place in ["folder", "/dev/zero"] {
        let stdin = fs::File::open(home.join(place)).unwrap();
        let ran = Ran::new(sealnet(home).args(["fernet", "inspect"]).stdin(stdin));
        assert_eq!(ran.code, 2, "{place}: {}", ran.stderr);
    }
}

/// As root, permissions stop nobody; so this runs the program as another user.
#[test]
fn what_a_user_may_not_read_or_write_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let user = User::in_folder(dir.path());
    let key = dir.path().join("k.key");
    fs::write(&key, "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=\n").unwrap();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    set_mode(&closed, 0o500);
    set_mode(&key, 0o000);
    let refused = |arguments: &[&str], why: &str| {
        let ran = user.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stdout);
        assert!(ran.stderr.contains(why), "{arguments:?}: {}", ran.stderr);
    };
    let inspect = ["fernet", "encrypt", "--key-file", "k.key"];
    refused(&inspect, "cannot read k.key: permission denied");
    refused(&["keygen", "closed/keys"], "permission denied");
    set_mode(&closed, 0o700);
    user.owns(&key);
    set_mode(&key, 0o644);
    refused(
        &inspect,
        "k.key is a secret that others can reach (mode 0644)",
    );
    set_mode(&key, 0o600);
    let ran = user.run(&inspect);
    assert_eq!(ran.code, 0, "{}", ran.stderr);

    let made = user.run(&["keygen", "home/keys"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    fs::write(dir.path().join("data.csv"), "0,1,2\n1,3,4\n").unwrap();
    let seal = ["seal", "data.csv", "home/vault", "--keys", "home/keys"];
    assert_eq!(user.run(&seal).code, 0);
    let vault = dir.path().join("home/keys/owner/vault.key");
    set_mode(&vault, 0o000);
    refused(&seal, "permission denied");
    set_mode(&vault, 0o604);
    refused(&seal, "others can reach");
    set_mode(&vault, 0o600);
    assert_eq!(user.run(&seal).code, 0);
}
