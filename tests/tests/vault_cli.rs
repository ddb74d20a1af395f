//! `sealnet seal` and `sealnet open` as a user meets them: output, exit codes, interruption.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use sealnet::dataset::{Dataset, Part, idx};
use sealnet_tests::{Ran, sealnet};
use serde_json::Value;

/// A home with keys and 100 records in `data`.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        Home::with(100, 6)
    }

    fn with(count: usize, width: usize) -> Home {
        let home = Home(tempfile::tempdir().unwrap());
        let made = home.run(&["keygen", "keys"]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        let data = Dataset {
            name: "data".into(),
            shape: vec![width, 1],
            classes: 5,
            features: (0..count * width)
                .map(|i| (i * 37 + i / 11) as u8)
                .collect(),
            labels: (0..count).map(|i| (i % 5) as u16).collect(),
            parts: vec![Part {
                name: "train".into(),
                start: 0,
                len: count as u64,
            }],
            scaling: None,
            class_names: None,
            headings: None,
        };
        fs::create_dir(home.path("data")).unwrap();
        idx::write_folder(&home.path("data"), &data.checked().unwrap()).unwrap();
        home
    }

    fn sealed() -> Home {
        let home = Home::new();
        let sealed = home.run(&[
            "seal",
            "data",
            "vault",
            "--keys",
            "keys",
            "--shard-records",
            "16",
        ]);
        assert_eq!(sealed.code, 0, "{}", sealed.stderr);
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::new(sealnet(self.0.path()).args(arguments))
    }

    fn open(&self, more: &[&str]) -> Ran {
        let all = [&["open", "vault", "--keys", "keys"], more].concat();
        self.run(&all)
    }

    /// The tokens of the shard that sorts first by name.
    fn some_shard(&self) -> PathBuf {
        let mut names: Vec<_> = fs::read_dir(self.path("vault/shards"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "fernet"))
            .collect();
        names.sort();
        names.swap_remove(0)
    }

    fn flip(&self, path: &Path, byte: usize) {
        let mut bytes = fs::read(path).unwrap();
        bytes[byte] ^= 1;
        fs::write(path, bytes).unwrap();
    }
}

fn document(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).expect("one JSON document")
}

#[test]
fn json_carries_what_was_promised() {
    let home = Home::new();
    let sealed = home
        .run(&["--json", "seal", "data", "vault", "--keys", "keys"])
        .json();
    assert_eq!(sealed["records"], 100);
    assert_eq!(sealed["serial"], 1);
    assert_eq!(sealed["profile"], "default");
    assert!(sealed["seconds"].is_f64() && sealed["bytes"].is_u64() && sealed["shards"] == 1);
    assert_eq!(sealed["manifest_digest"].as_str().unwrap().len(), 128);
    assert_eq!(sealed["dataset_id"].as_str().unwrap().len(), 32);

    let opened = home.open(&["--json", "out"]).json();
    assert_eq!(
        (&opened["records"], &opened["failed"]),
        (&100.into(), &0.into())
    );
    assert_eq!(opened["manifest_digest"], sealed["manifest_digest"]);
    assert_eq!(opened["first_contact"], false);
    assert_eq!(opened["quarantined"], Value::Array(vec![]));
    let file = "train-images-idx3-ubyte";
    let read = |folder: &str| fs::read(home.path(folder).join(file)).unwrap();
    assert_eq!(read("data"), read("out"));
}

#[test]
fn a_refusal_names_the_record_on_both_channels() {
    let home = Home::sealed();
    home.flip(&home.some_shard(), 205 * 3 + 40);
    let refused = home.open(&["out", "--json"]);
    assert_eq!(refused.code, 1);
    let said = document(&refused);
    assert_eq!(
        (&said["records"], &said["failed"]),
        (&100.into(), &1.into())
    );
    let failure = &said["failures"][0];
    assert_eq!(failure["kind"], "decrypt");
    let index = failure["index"].as_u64().unwrap();
    assert_eq!(index % 16, 3);
    assert_eq!(failure["shard"].as_u64().unwrap(), index / 16);
    assert_eq!(said["error"]["kind"], "verification");
    assert!(
        refused
            .stderr
            .contains(&format!("record {index} (shard {}): decrypt", index / 16))
    );
    assert!(!home.path("out").exists(), "nothing appears");

    let allowed = home.open(&["out", "--json", "--max-tampered", "1%"]);
    assert_eq!(document(&allowed)["quarantined"][0]["index"], index);
    assert!(
        allowed.stderr.contains("1 record set aside:\n  record "),
        "{}",
        allowed.stderr
    );
    assert_eq!(document(&allowed)["failed"], 1);
    assert_eq!(allowed.code, 0);
}

#[test]
fn many_failures_are_summed_up_for_people_and_listed_for_programs() {
    let home = Home::new();
    home.run(&[
        "seal",
        "data",
        "vault",
        "--keys",
        "keys",
        "--profile",
        "paper",
    ]);
    home.run(&["keygen", "others"]);
    let wrong = home.run(&[
        "open",
        "vault",
        "--keys",
        "others",
        "--profile",
        "paper",
        "--json",
    ]);
    assert_eq!(wrong.code, 1);
    assert_eq!(document(&wrong)["failures"].as_array().unwrap().len(), 100);
    assert!(wrong.stderr.contains("100 decrypt"), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("and 80 more"), "{}", wrong.stderr);
    assert!(wrong.stderr.lines().count() < 30);
}

#[test]
fn wrong_keys_are_one_line() {
    let home = Home::sealed();
    home.run(&["keygen", "others"]);
    for file in ["sign.pub.pem", "vault.key", "record-tag.key"] {
        let mine = fs::read(home.path("keys/owner").join(file)).unwrap();
        let other = fs::read(home.path("others/owner").join(file)).unwrap();
        fs::write(home.path("keys/owner").join(file), other).unwrap();
        let refused = home.open(&[]);
        assert_eq!(refused.code, 1, "{file}");
        assert!(refused.stderr.lines().count() < 5, "{}", refused.stderr);
        fs::write(home.path("keys/owner").join(file), mine).unwrap();
    }
    assert_eq!(home.open(&[]).code, 0);
}

#[test]
fn what_is_missing_or_unsupported_is_exit_code_2() {
    let home = Home::sealed();
    fs::create_dir(home.path("empty")).unwrap();
    fs::write(home.path("file"), "x").unwrap();
    let keys = ["--keys", "keys"];
    for (arguments, says) in [
        (["open", "nowhere"], "no such file or folder"),
        (["open", "empty"], "holds no vault"),
        (["open", "file"], "is a file, not a folder"),
        (["open", "s3://bucket/vault"], "s3:// is not supported"),
    ] {
        let ran = home.run(&[&arguments[..], &keys].concat());
        assert_eq!(ran.code, 2, "{arguments:?}");
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    for (arguments, says) in [
        (["seal", "nowhere", "vault"], "no such file or folder"),
        (["seal", "empty", "vault"], "holds no IDX files"),
        (["seal", "data", "file"], "is a file, not a folder"),
        (
            ["seal", "data", "s3://bucket/vault"],
            "s3:// is not supported",
        ),
    ] {
        let ran = home.run(&[&arguments[..], &keys].concat());
        assert_eq!(ran.code, 2, "{arguments:?}");
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    assert_eq!(home.open(&["--serial", "7"]).code, 2);
    let url = format!("file://{}", home.path("vault").display());
    assert_eq!(home.run(&["open", &url, "--keys", "keys"]).code, 0);
}

#[test]
fn first_contact_and_replay_are_said() {
    let home = Home::sealed();
    fs::remove_dir_all(home.path("state")).unwrap();
    let first = home.open(&["--json"]);
    assert_eq!(document(&first)["first_contact"], true);
    assert!(first.stderr.contains("cannot be known"), "{}", first.stderr);
    home.run(&["seal", "data", "vault", "--keys", "keys"]);
    fs::remove_file(home.path("vault/manifest-00000002.json")).unwrap();
    let replayed = home.open(&["--json"]);
    assert_eq!(replayed.code, 1);
    assert_eq!(document(&replayed)["failures"][0]["kind"], "serial");
    assert_eq!(home.open(&["--min-serial", "2"]).code, 1);
}

#[test]
fn profile_paper_says_what_it_is() {
    let home = Home::new();
    let sealed = home.run(&[
        "seal",
        "data",
        "vault",
        "--keys",
        "keys",
        "--profile",
        "paper",
    ]);
    assert!(sealed.stderr.contains("profile paper"), "{}", sealed.stderr);
    let plain = home.open(&[]);
    assert_eq!(plain.code, 2);
    assert!(plain.stderr.contains("--profile paper"), "{}", plain.stderr);
    let asked = home.open(&["--profile", "paper", "--json"]);
    assert!(asked.stderr.contains("profile paper"), "{}", asked.stderr);
    assert_eq!(document(&asked)["profile"], "paper");
    assert_eq!(document(&asked)["serial"], Value::Null);
}

#[test]
fn a_data_set_is_continued_where_it_is_known_and_that_is_said() {
    let home = Home::sealed();
    let again = home.run(&["seal", "data", "vault", "--keys", "keys"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let line = again
        .stdout
        .lines()
        .find(|line| line.starts_with("continues data set "));
    assert!(line.unwrap().ends_with(" at serial 2"), "{}", again.stdout);
    fs::remove_dir_all(home.path("state")).unwrap();
    let unknown = home.run(&["seal", "data", "vault", "--keys", "keys"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stdout);
    let hint = unknown
        .stderr
        .split("--dataset-id ")
        .nth(1)
        .expect("how to go on");
    let id = &hint[..32];
    let named = home.run(&[
        "--json",
        "seal",
        "data",
        "vault",
        "--keys",
        "keys",
        "--dataset-id",
        id,
    ]);
    let document = named.json();
    assert_eq!(
        (&document["serial"], &document["continues"]),
        (&3.into(), &true.into())
    );
    // To pin it when opening is the same option.
    assert_eq!(home.open(&["--dataset-id", id]).code, 0);
    let other = home.open(&["--json", "--dataset-id", &"0".repeat(32)]);
    assert_eq!(other.code, 1, "{}", other.stderr);
    let plain = [
        "train",
        "data",
        "-o",
        "m.safetensors",
        "--keys",
        "keys",
        "--dataset-id",
        id,
    ];
    assert_eq!(home.run(&plain).code, 2, "only a vault has an id");
}

#[test]
fn records_in_clear_and_the_vault_keep_apart() {
    let home = Home::sealed();
    let keys = ["--keys", "keys"];
    let before = fs::read_dir(home.path("vault")).unwrap().count();
    for (arguments, says) in [
        (["open", "vault", "vault/out"], "lies in the vault"),
        (["open", "vault", "vault"], "lies in the vault"),
        (
            ["open", "vault/", "vault/../vault/new/out.csv"],
            "lies in the vault",
        ),
        (["seal", "data", "data"], "would lie in the data"),
        (["seal", "data/", "./data/vault"], "would lie in the data"),
        (["seal", "vault/data", "vault"], "lies in the vault"),
    ] {
        let ran = home.run(&[&arguments[..], &keys].concat());
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(fs::read_dir(home.path("vault")).unwrap().count(), before);
    assert_eq!(fs::read_dir(home.path("data")).unwrap().count(), 2);
}

#[test]
fn a_slash_at_the_end_of_a_folder_changes_nothing() {
    let home = Home::new();
    let run = |arguments: &[&str]| home.run(&[arguments, &["--keys", "keys"]].concat());
    let sealed = run(&["seal", "data/", "vault/"]);
    assert_eq!(sealed.code, 0, "{}", sealed.stderr);
    assert_eq!(run(&["seal", "data", "vault"]).code, 0, "the same place");
    let opened = run(&["open", "vault/", "out/"]);
    assert_eq!(opened.code, 0, "{}", opened.stderr);
    assert_eq!(fs::read_dir(home.path("out")).unwrap().count(), 2);
    // A table becomes a file, and a file's name has none.
    fs::write(home.path("table.csv"), "label,a,b\n0,1,2\n1,3,4\n").unwrap();
    assert_eq!(run(&["seal", "table.csv", "tables"]).code, 0);
    let file = run(&["open", "tables", "out.csv/"]);
    assert_eq!(file.code, 2);
    assert!(file.stderr.contains("leave the slash"), "{}", file.stderr);
    assert_eq!(run(&["open", "tables", "out.csv"]).code, 0);
}

/// Killed at many moments: either there is no vault or there is a whole one, and sealing again works.
#[cfg(unix)]
#[test]
fn a_killed_seal_leaves_no_half_vault() {
    let home = Home::with(20_000, 400);
    let start = Instant::now();
    let whole = home.run(&["seal", "data", "whole", "--keys", "keys"]);
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    let takes = start.elapsed();
    let mut without = 0;
    for tenth in 0..10 {
        let mut child = sealnet(home.0.path())
            .args([
                "seal",
                "data",
                "vault",
                "--keys",
                "keys",
                "--shard-records",
                "64",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(takes * tenth / 10 + Duration::from_millis(1));
        child.kill().unwrap();
        child.wait().unwrap();
        let vault = home.path("vault");
        let manifest = vault.join("manifest-00000001.json").exists();
        let opened = match vault.exists() {
            true => home.open(&[]),
            false => continue,
        };
        assert_eq!(
            opened.code,
            if manifest { 0 } else { 2 },
            "{}",
            opened.stderr
        );
        if manifest {
            fs::remove_dir_all(&vault).unwrap();
        } else {
            without += 1;
        }
    }
    assert!(without > 0, "it was never killed midway");
    let again = home.run(&["seal", "data", "vault", "--keys", "keys"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(home.open(&[]).code, 0);
}
