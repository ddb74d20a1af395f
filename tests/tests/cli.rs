//! The command line: help, results, error messages and exit codes, as snapshots in `tests/snapshots`.
//!
//! `UPDATE_EXPECT=1 cargo test -p sealnet-tests --test cli` writes them anew; read the difference.

use std::path::Path;
use std::process::{Command, Stdio};

use expect_test::expect_file;
use sealnet_tests::{Ran, repository, sealnet};
use tempfile::TempDir;

#[test]
fn help_of_every_command() {
    let home = TempDir::new().unwrap();
    let mut text = String::new();
    for command in COMMANDS {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let ran = Ran::new(sealnet(home.path()).args(&arguments));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{command}");
        text += &format!("$ sealnet {}\n{}\n", arguments.join(" "), ran.stdout);
    }
    snapshot("help.txt", &text);
}

#[test]
fn usage_errors() {
    let home = TempDir::new().unwrap();
    let cases = [
        vec![],
        vec!["frobnicate"],
        vec!["seal"],
        vec!["seal", "mnist", "vault"],
        vec![
            "seal",
            "mnist",
            "vault",
            "--keys",
            "k",
            "--shard-records",
            "100",
        ],
        vec!["open", "vault", "--keys", "k", "--max-tampered", "200%"],
        vec!["open", "vault", "--keys", "k", "--manifest-digest", "abcd"],
        vec![
            "train", "mnist", "-o", "m", "--keys", "k", "--hidden", "0,64",
        ],
        vec!["infer", "m.sealed", "mnist", "--keys", "k", "--on", "moon"],
        vec!["onnx", "m.safetensors", "-o", "m.onnx", "--input", "u/0"],
        vec!["fernet"],
        vec!["receipt"],
        vec!["receipt", "verify", "x"],
        vec!["receipt", "verify", "--keys", "k"],
        vec!["receipt", "verify", "x", "--keys", "k", "--label", "seven"],
    ];
    snapshot("usage.txt", &transcript(home.path(), &cases));
}

#[test]
fn input_errors() {
    let home = prepared();
    let home = home.path();
    std::fs::write(home.join("empty.csv"), "").unwrap();
    std::fs::write(home.join("ragged.csv"), "0,1,2\n1,2\n").unwrap();
    std::fs::write(home.join("words.csv"), "label,a,b\n0,1,2\n1,x,3\n").unwrap();
    std::fs::write(home.join("noise"), [0_u8; 300]).unwrap();
    let paper = Ran::new(sealnet(home).args(["recipe", "paper"])).stdout;
    for (name, from, to) in [
        ("own.toml", "batch = 32", "batch = 64"),
        ("wrong.toml", "batch = 32", "batches = 32"),
        ("low.toml", "beta_1 = 0.9", "beta_1 = 1.5"),
    ] {
        std::fs::write(home.join(name), paper.replace(from, to)).unwrap();
    }
    std::fs::create_dir(home.join("hollow")).unwrap();
    let cases = [
        vec!["keygen", "keys"],
        vec!["keygen", "k2", "--device", "no such name!"],
        vec!["seal", "missing", "v", "--keys", "keys"],
        vec!["seal", "empty.csv", "v", "--keys", "keys"],
        vec!["seal", "ragged.csv", "v", "--keys", "keys"],
        vec!["seal", "words.csv", "v", "--keys", "keys"],
        vec![
            "seal", "data.csv", "v", "--keys", "keys", "--label", "species",
        ],
        vec!["seal", "hollow", "v", "--keys", "keys"],
        vec!["seal", "data.csv", "s3://bucket/v", "--keys", "keys"],
        vec!["seal", "data.csv", "v", "--keys", "nowhere"],
        vec!["open", "missing", "--keys", "keys"],
        vec!["open", "hollow", "--keys", "keys"],
        vec!["open", "data.csv", "--keys", "keys"],
        vec!["train", "missing", "-o", "m", "--keys", "keys"],
        vec![
            "train", "data.csv", "-o", "m", "--keys", "keys", "--recipe", "miracle",
        ],
        vec![
            "train", "data.csv", "-o", "m", "--keys", "keys", "--recipe", "own.toml",
        ],
        vec!["recipe", "miracle"],
        vec!["recipe", "wrong.toml"],
        vec!["recipe", "low.toml"],
        vec!["recipe", "./missing"],
        vec!["export", "missing", "-o", "m", "--keys", "keys"],
        vec![
            "export", "noise", "-o", "m", "--keys", "keys", "--data", "data.csv",
        ],
        vec!["export", "noise", "-o", "m.onnx", "--keys", "keys"],
        vec!["onnx", "missing", "-o", "m.onnx"],
        vec!["onnx", "noise", "-o", "m.onnx"],
        vec!["onnx", "noise", "-o", "noise"],
        vec!["inspect", "missing"],
        vec!["infer", "missing", "data.csv", "--keys", "keys"],
        vec!["fernet", "decrypt", "--key-file", "missing"],
        vec!["receipt", "verify", "missing", "--keys", "keys"],
        vec!["reproduce", "missing", "--keys", "keys"],
        vec!["receipt", "verify", "noise", "--keys", "nowhere"],
        vec!["receipt", "verify", "noise", "--key", "data.csv"],
        vec![
            "receipt",
            "verify",
            "missing",
            "data.csv",
            "hollow",
            "--keys",
            "keys",
            "--request",
            "data.csv",
        ],
        vec![
            "infer",
            "missing",
            "data.csv",
            "--keys",
            "keys",
            "--receipts",
            "r.bin",
        ],
        vec!["fetch", "mnist", "--from", "hollow"],
    ];
    snapshot("input.txt", &transcript(home, &cases));
}

#[test]
fn verification_errors() {
    let home = prepared();
    let home = home.path();
    let run = |arguments: &[&str]| {
        let ran = Ran::new(sealnet(home).args(arguments));
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
    };
    run(&["keygen", "others"]);
    run(&[
        "seal",
        "data.csv",
        "vault",
        "--keys",
        "keys",
        "--dataset-id",
        ID,
    ]);
    run(&[
        "train",
        "vault",
        "-o",
        "m.safetensors",
        "--keys",
        "keys",
        "--hidden",
        "8,6",
    ]);
    run(&[
        "export",
        "m.safetensors",
        "-o",
        "m.sealed",
        "--keys",
        "keys",
        "--data",
        "vault",
        "--max-loss",
        "100",
    ]);

    let weights = std::fs::read(home.join("m.safetensors")).unwrap();
    let mut touched = weights.clone();
    *touched.last_mut().unwrap() ^= 1;
    std::fs::write(home.join("touched.safetensors"), touched).unwrap();
    std::fs::copy(
        home.join("m.safetensors.receipt.json"),
        home.join("touched.safetensors.receipt.json"),
    )
    .unwrap();
    std::fs::write(home.join("alone.safetensors"), weights).unwrap();
    let sealed = std::fs::read(home.join("m.sealed")).unwrap();
    let mut touched = sealed.clone();
    touched[400] ^= 1;
    std::fs::write(home.join("touched.sealed"), touched).unwrap();
    std::fs::write(home.join("short.sealed"), &sealed[..500]).unwrap();

    let cases = [
        vec![
            "export",
            "touched.safetensors",
            "-o",
            "x",
            "--keys",
            "keys",
            "--data",
            "vault",
        ],
        vec![
            "export",
            "alone.safetensors",
            "-o",
            "x",
            "--keys",
            "keys",
            "--data",
            "vault",
        ],
        vec![
            "export",
            "m.safetensors",
            "-o",
            "x",
            "--keys",
            "keys",
            "--data",
            "data.csv",
        ],
        vec!["infer", "touched.sealed", "vault", "--keys", "keys"],
        vec!["infer", "short.sealed", "vault", "--keys", "keys"],
        vec![
            "infer",
            "m.sealed",
            "vault",
            "--keys",
            "keys",
            "--min-counter",
            "9",
        ],
        vec![
            "infer", "m.sealed", "vault", "--keys", "keys", "--on", "sim",
        ],
        vec!["open", "vault", "--keys", "others"],
        vec!["open", "vault", "--keys", "keys", "--min-serial", "9"],
        vec![
            "receipt",
            "verify",
            "m.safetensors.receipt.json",
            "--keys",
            "others",
        ],
        vec![
            "receipt",
            "verify",
            "m.safetensors.receipt.json",
            "--keys",
            "keys",
            "--weights",
            "touched.safetensors",
        ],
        vec!["receipt", "verify", "m.sealed", "--keys", "keys"],
        vec![
            "receipt", "verify", "m.sealed", "data.csv", "missing", "--keys", "keys",
        ],
    ];
    let text = transcript(home, &cases);
    snapshot("verification.txt", &text);

    // Nothing was harmed, and nothing half-made was left.
    assert!(!home.join("x").exists());
    assert_eq!(std::fs::read(home.join("m.sealed")).unwrap(), sealed);
}

#[test]
fn json_is_one_document_and_quiet_is_quiet() {
    let home = prepared();
    let home = home.path();
    for arguments in [
        &["seal", "data.csv", "vault", "--keys", "keys"][..],
        &["open", "vault", "--keys", "keys"],
        &[
            "train",
            "vault",
            "-o",
            "m.safetensors",
            "--keys",
            "keys",
            "--hidden",
            "8,6",
        ],
        &[
            "export",
            "m.safetensors",
            "-o",
            "m.sealed",
            "--keys",
            "keys",
            "--data",
            "vault",
            "--max-loss",
            "100",
        ],
        &[
            "infer", "m.sealed", "vault", "--keys", "keys", "--on", "host",
        ],
        &[
            "receipt",
            "verify",
            "m.safetensors.receipt.json",
            "--keys",
            "keys",
        ],
        &["inspect", "m.sealed"],
        &["inspect", "vault/manifest-00000001.json"],
        &["doctor"],
        &["keygen", "more"],
    ] {
        let ran = Ran::new(sealnet(home).args(["--json", "--quiet"]).args(arguments));
        // `doctor` may find that MNIST is not here; its document comes all the same.
        assert!(
            ran.code == 0 || arguments == ["doctor"],
            "{arguments:?}: {}",
            ran.stderr
        );
        let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert!(document.is_object(), "{arguments:?}");
        assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'));
    }
    // An error is a document too.
    let ran = Ran::new(sealnet(home).args(["--json", "open", "missing", "--keys", "keys"]));
    assert_eq!(ran.code, 2);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["error"]["kind"], "io");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = TempDir::new().unwrap();
    let mut child = sealnet(home.path())
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn completions_are_what_each_shell_takes() {
    let home = TempDir::new().unwrap();
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef sealnet"),
        ("fish", "complete -c sealnet"),
    ] {
        let ran = Ran::new(sealnet(home.path()).args(["completions", shell]));
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.contains(sign), "{shell}");
    }
    // And bash itself reads it.
    let script = Ran::new(sealnet(home.path()).args(["completions", "bash"])).stdout;
    std::fs::write(home.path().join("c.bash"), script).unwrap();
    let read = Command::new("bash")
        .arg("-n")
        .arg(home.path().join("c.bash"))
        .status()
        .unwrap();
    assert!(read.success());
}

/// A home with keys and a small data set.
fn prepared() -> TempDir {
    let home = TempDir::new().unwrap();
    let lines: String = (0..120)
        .map(|i| format!("{},{},{},{}\n", i % 3, i % 3 * 90, 255 - i % 3 * 90, i % 7))
        .collect();
    std::fs::write(home.path().join("data.csv"), lines).unwrap();
    let made = Ran::new(sealnet(home.path()).args(["keygen", "keys"]));
    assert_eq!(made.code, 0, "{}", made.stderr);
    home
}

/// Runs each, which must fail, and writes down what a user sees.
fn transcript(home: &Path, cases: &[Vec<&str>]) -> String {
    let mut text = String::new();
    for arguments in cases {
        let ran = Ran::new(sealnet(home).args(arguments).stdin(Stdio::null()));
        assert_ne!(ran.code, 0, "{arguments:?}");
        assert!(
            !ran.stderr.contains("panicked") && !ran.stderr.contains("defect"),
            "{arguments:?}: {}",
            ran.stderr
        );
        text += &format!(
            "$ sealnet {}\n{}{}exit code {}\n\n",
            arguments.join(" "),
            ran.stdout,
            ran.stderr,
            ran.code
        );
    }
    text.replace(&home.display().to_string(), "HOME")
}

/// Compares with a snapshot; what changes from run to run is blanked.
fn snapshot(name: &str, text: &str) {
    let mut blanked = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let hex = bare.len() >= 16 && bare.bytes().all(|b| b.is_ascii_hexdigit()) && bare != ID;
        blanked += &if hex {
            word.replace(bare, "HEX")
        } else {
            word.to_owned()
        };
    }
    let path = repository().join("tests/snapshots").join(name);
    expect_file![path].assert_eq(&blanked);
}

const ID: &str = "000102030405060708090a0b0c0d0e0f";

const COMMANDS: [&str; 32] = [
    "",
    "demo",
    "fetch",
    "keygen",
    "seal",
    "open",
    "train",
    "recipe",
    "reproduce",
    "export",
    "onnx",
    "infer",
    "receipt",
    "receipt verify",
    "inspect",
    "attack",
    "attack fgsm",
    "attack pgd",
    "attack jsma",
    "attack poison",
    "attack tamper",
    "bench",
    "bench device",
    "bench host",
    "bench train",
    "bench recipe",
    "fernet",
    "fernet encrypt",
    "fernet decrypt",
    "fernet inspect",
    "doctor",
    "completions",
];
