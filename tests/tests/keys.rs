//! Key folders: made whole, private, and refused when others could have changed them.
#![cfg(unix)]

use std::fs;
use std::path::Path;

use sealnet::keys::{self, DeviceSet, KeyFolder};
use sealnet_firmware::identity::DeviceName;
use sealnet_tests::disk::SmallDisk;
use sealnet_tests::system::{mode, names, set_mode};
use sealnet_tests::{Ran, sealnet};

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

/// Whoever can write a public key, or its folder, says who is trusted.
#[test]
fn trusted_keys_that_others_can_write_are_refused() {
    let home = made();
    let root = home.path().join("keys");
    let device = keys::device_name("0001").unwrap();
    let all = || -> Result<(), sealnet::error::Error> {
        let keys = KeyFolder::open(&root)?;
        keys.owner_public()?;
        keys.publisher_public()?;
        keys.owner_signing()?;
        keys.publisher_signing()?;
        keys.device(&device).map(drop)
    };
    all().unwrap();
    for name in [
        "",
        "owner",
        "owner/sign.pub.pem",
        "publisher",
        "publisher/sign.pub.pem",
        "device-0001",
        "device-0001/publisher.pub.pem",
    ] {
        let path = root.join(name);
        let before = mode(&path);
        for open in [0o020, 0o002, 0o022] {
            set_mode(&path, before | open);
            let error = all().expect_err(name);
            assert_eq!(error.exit_code(), 2);
            assert!(
                error.to_string().contains("others can change it"),
                "{error}"
            );
            assert!(error.hint().contains("chmod go-w"), "{}", error.hint());
        }
        set_mode(&path, before);
        all().unwrap();
    }
    // Others may read a public key.
    assert_eq!(mode(&root.join("owner/sign.pub.pem")) & 0o133, 0);
}

/// The advice to guard a file is for keys alone.
#[test]
fn what_is_no_key_is_told_so_whoever_can_read_it() {
    let home = made();
    let root = home.path().join("keys");
    let letter = home.path().join("letter");
    fs::write(&letter, "dear").unwrap();
    fs::write(home.path().join("large"), vec![b'x'; 70_000]).unwrap();
    let ask = |file: &str| {
        let encrypt = Ran::new(
            sealnet(home.path())
                .args(["fernet", "encrypt", "--key-file", file])
                .stdin(std::process::Stdio::null()),
        );
        let verify = ["receipt", "verify", "letter", "--key", file];
        [encrypt, Ran::new(sealnet(home.path()).args(verify))]
    };
    for open in [0o600, 0o644] {
        set_mode(&letter, open);
        set_mode(&home.path().join("large"), open);
        for (file, words) in [
            (
                "letter",
                [
                    "is not a Fernet key",
                    "is not 64 bytes in one line of base64",
                ],
            ),
            ("large", ["large", "large"]),
            (
                "/dev/zero",
                ["is a pipe or a device", "is a pipe or a device"],
            ),
        ] {
            for (ran, words) in ask(file).into_iter().zip(words) {
                assert_eq!(ran.code, 2, "{}", ran.stderr);
                assert!(ran.stderr.contains(words), "{}", ran.stderr);
                assert!(!ran.stderr.contains("chmod"), "{}", ran.stderr);
            }
        }
    }
    // A key is refused as before.
    for (name, at) in [("device-0001/wire.key", 0), ("device-0001/receipt.key", 1)] {
        let path = root.join(name);
        set_mode(&path, 0o644);
        let ran = &ask(&format!("keys/{name}"))[at];
        assert_eq!(ran.code, 2);
        assert!(
            ran.stderr.contains("is a secret that others can reach"),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains("chmod 600"), "{}", ran.stderr);
    }
}

#[test]
fn a_signing_key_and_its_public_half_belong_together() {
    let home = made();
    let run = |arguments: &[&str]| Ran::new(sealnet(home.path()).args(arguments));
    fs::write(home.path().join("data.csv"), csv()).unwrap();
    let seal = ["seal", "data.csv", "vault", "--keys", "keys"];
    let train = [
        "train", "vault", "-o", "m", "--keys", "keys", "--hidden", "8,6",
    ];
    let mut export = vec!["export", "m", "-o", "m.sealed", "--keys", "keys"];
    export.extend(["--data", "vault", "--max-loss", "100"]);
    for arguments in [&seal[..], &train, &export] {
        let ran = run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(run(&["keygen", "others"]).code, 0);
    for (role, commands) in [
        ("owner", &[&seal[..], &train][..]),
        ("publisher", &[&export]),
    ] {
        let public = home.path().join(format!("keys/{role}/sign.pub.pem"));
        let mine = fs::read(&public).unwrap();
        fs::copy(
            home.path().join(format!("others/{role}/sign.pub.pem")),
            &public,
        )
        .unwrap();
        for arguments in commands {
            let ran = run(arguments);
            assert_eq!(ran.code, 2, "{arguments:?}");
            assert!(
                ran.stderr.contains("is not the public half of"),
                "{}",
                ran.stderr
            );
            assert!(ran.stderr.contains(&format!("keys/{role}/sign.pub.pem")));
        }
        fs::write(&public, mine).unwrap();
    }
    for arguments in [&seal[..], &train, &export] {
        assert_eq!(run(arguments).code, 0, "{arguments:?}");
    }
}

#[test]
fn devices_are_added_whole_or_not_at_all() {
    let home = made();
    let root = home.path().join("keys");
    let names_of = |names: &[&str]| -> Vec<DeviceName> {
        let names = names.iter().map(|name| keys::device_name(name).unwrap());
        names.collect()
    };
    let before = tree(&root);
    let devices = names_of(&["0002", "0003"]);
    let set = DeviceSet {
        names: &devices,
        clear_only: false,
        hmac: true,
    };
    // The last of the names is taken.
    let publisher = root.join("publisher");
    fs::write(publisher.join("model-hmac-0003.key"), "mine").unwrap();
    assert!(keys::generate(&root, set, true).is_err());
    fs::remove_file(publisher.join("model-hmac-0003.key")).unwrap();
    assert_eq!(tree(&root), before);
    let made = keys::generate(&root, set, true).unwrap();
    let mut after = before;
    after.extend(made.files.iter().map(|file| file.display().to_string()));
    after.sort();
    assert_eq!(tree(&root), after);
    for device in &devices {
        KeyFolder::open(&root).unwrap().device(device).unwrap();
        assert_eq!(mode(&root.join(format!("device-{device}"))), 0o700);
    }
}

#[test]
fn a_full_disk_leaves_no_part_of_a_key_folder() {
    let dir = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::of_size(dir.path(), 64);
    let home = &dir.path().join("disk");
    let full = |arguments: &[&str]| {
        let ran = Ran::new(sealnet(home).args(arguments));
        assert_eq!(ran.code, 2, "{}", ran.stdout);
        assert!(
            ran.stderr.contains("no space left on the disk"),
            "{}",
            ran.stderr
        );
        // Named as the user knows it, not by its temporary name.
        assert!(!ran.stderr.contains(".part"), "{}", ran.stderr);
    };
    fill(home, "first", 4);
    full(&["keygen", "keys"]);
    assert_eq!(names(home), ["first"]);
    fs::remove_file(home.join("first")).unwrap();
    fs::create_dir(home.join("around")).unwrap();
    let made = Ran::new(sealnet(home).args(["keygen", "around/keys", "--device", "1"]));
    assert_eq!(made.code, 0, "{}", made.stderr);
    let before = tree(home);
    fill(home, "second", 2);
    full(&["keygen", "around/keys", "--device", "2", "--add", "--hmac"]);
    fs::remove_file(home.join("second")).unwrap();
    assert_eq!(tree(home), before);
}

/// Fills a disk but for so many pages.
fn fill(folder: &Path, name: &str, pages: usize) {
    let path = folder.join(name);
    let mut size = 0;
    while fs::write(&path, vec![1; size + PAGE]).is_ok() {
        size += PAGE;
    }
    fs::write(&path, vec![1; size.saturating_sub(pages * PAGE)]).unwrap();
}

/// A home with keys.
fn made() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let ran = Ran::new(sealnet(home.path()).args(["keygen", "keys"]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    home
}

fn csv() -> String {
    let lines = (0..120).map(|i| format!("{},{},{}\n", i % 3, i % 3 * 90, i % 7));
    lines.collect()
}

/// The files below a folder by their paths in it.
fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

const PAGE: usize = 4096;
