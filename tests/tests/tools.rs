//! `sealnet fernet` and `sealnet doctor` as a user meets them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use sealnet_tests::{Ran, python, sealnet};
use tempfile::TempDir;

const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
const OTHER: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const TIME: u64 = 1_700_000_000;

/// A home with `one.key`, `other.key`, and `both.key`, whose first is the other.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("one.key", format!("# the key\n\n{KEY}\n")),
        ("other.key", format!("{OTHER}\r\n")),
        ("both.key", format!("{OTHER}\n# retired\n{KEY}")),
    ] {
        let path = home.path().join(name);
        fs::write(&path, text).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    home
}

fn output(home: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = sealnet(home)
        .arg("fernet")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end before it has read all, when a key is refused.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn fernet(home: &Path, arguments: &[&str], input: &[u8]) -> Ran {
    let output = output(home, arguments, input);
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn any_bytes_come_back_through_a_pipe() {
    let home = home();
    let all: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for plaintext in [&b""[..], b"x", b"a line\n", &all] {
        let token = fernet(
            home.path(),
            &["encrypt", "--key-file", "one.key"],
            plaintext,
        );
        assert_eq!((token.code, token.stderr.as_str()), (0, ""));
        assert!(token.stdout.starts_with("gAAAA") && token.stdout.ends_with('\n'));
        // With and without the line's end; a file with several keys tries each.
        for text in [token.stdout.as_str(), token.stdout.trim_end()] {
            for keys in ["one.key", "both.key"] {
                let arguments = ["decrypt", "--key-file", keys];
                let opened = output(home.path(), &arguments, text.as_bytes());
                assert_eq!(opened.status.code(), Some(0));
                assert_eq!(opened.stdout, plaintext);
            }
        }
    }
}

#[test]
fn python_reads_our_tokens_and_we_read_its() {
    let home = home();
    let code = "import sys; from cryptography.fernet import Fernet; f = Fernet(sys.argv[1]); \
                t = sys.stdin.buffer.read(); \
                sys.stdout.buffer.write(f.decrypt(t.strip()) + b'|' + f.encrypt(b'back'))";
    let token = fernet(home.path(), &["encrypt", "--key-file", "one.key"], b"there");
    let mut child = python()
        .args(["-c", code, KEY])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(token.stdout.as_bytes()).unwrap();
    drop(stdin);
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let (there, back) = said.split_once('|').unwrap();
    assert_eq!(there, "there");
    let opened = fernet(
        home.path(),
        &["decrypt", "--key-file", "one.key"],
        back.as_bytes(),
    );
    assert_eq!(opened.stdout, "back");
}

#[test]
fn what_does_not_verify_is_exit_code_1_and_gives_nothing() {
    let home = home();
    let token = fernet(
        home.path(),
        &["encrypt", "--key-file", "one.key"],
        b"secret",
    )
    .stdout;
    let mut touched = token.clone().into_bytes();
    touched[60] ^= 1;
    let refused = |keys: &str, input: &[u8]| {
        let ran = fernet(home.path(), &["decrypt", "--key-file", keys], input);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains("does not verify"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("secret"));
    };
    refused("other.key", token.as_bytes());
    for input in [&touched[..], b"", b"gAAAAA", &token.as_bytes()[..40]] {
        refused("one.key", input);
    }
    for (keys, holds) in [("one.key", true), ("both.key", true), ("other.key", false)] {
        let arguments = ["inspect", "--key-file", keys];
        let ran = fernet(home.path(), &arguments, token.as_bytes());
        assert_eq!(ran.code, i32::from(!holds));
        let says = if holds {
            "holds under key"
        } else {
            "does not hold"
        };
        assert!(ran.stdout.contains(says), "{}", ran.stdout);
    }
    let garbage = fernet(home.path(), &["inspect"], b"no token\n");
    assert_eq!(garbage.code, 1);
    assert!(
        garbage.stderr.contains("not a Fernet token"),
        "{}",
        garbage.stderr
    );
}

#[test]
fn age_is_judged_only_when_asked_for() {
    let home = home();
    let made = ["encrypt", "--key-file", "one.key", "--now", "1700000000"];
    let token = fernet(home.path(), &made, b"x").stdout;
    let at = |now: u64, ttl: &str| {
        let now = now.to_string();
        let arguments = [
            "decrypt",
            "--key-file",
            "one.key",
            "--ttl",
            ttl,
            "--now",
            &now,
        ];
        fernet(home.path(), &arguments, token.as_bytes()).code
    };
    assert_eq!(at(TIME + 10, "10"), 0);
    assert_eq!(at(TIME + 11, "10"), 1);
    assert_eq!(at(TIME - 60, "10"), 0);
    assert_eq!(at(TIME - 61, "10"), 1);
    let plain = ["decrypt", "--key-file", "one.key"];
    assert_eq!(fernet(home.path(), &plain, token.as_bytes()).code, 0);
    let today = ["decrypt", "--key-file", "one.key", "--ttl", "1000000000000"];
    assert_eq!(fernet(home.path(), &today, token.as_bytes()).code, 0);
}

#[test]
fn tokens_as_json() {
    let home = home();
    let made = [
        "encrypt",
        "--json",
        "--key-file",
        "both.key",
        "--now",
        "1700000000",
    ];
    let made = fernet(home.path(), &made, "grün".as_bytes()).json();
    assert_eq!(made["time"], TIME);
    let token = made["token"].as_str().unwrap();
    let opened = ["decrypt", "--json", "--key-file", "other.key"];
    let opened = fernet(home.path(), &opened, token.as_bytes()).json();
    assert_eq!(
        (&opened["plaintext"], &opened["time"]),
        (&"grün".into(), &TIME.into())
    );
    let seen = fernet(home.path(), &["inspect", "--json"], token.as_bytes()).json();
    assert_eq!(seen["time"], TIME);
    assert!(seen["mac_holds"].is_null() && seen["key_id"].is_null());
    let seen = ["inspect", "--json", "--key-file", "both.key"];
    let seen = fernet(home.path(), &seen, token.as_bytes()).json();
    assert_eq!(
        (&seen["mac_holds"], &seen["key_id"]),
        (&true.into(), &made["key_id"])
    );
    let bytes = fernet(home.path(), &["encrypt", "--key-file", "one.key"], &[0xFF]).stdout;
    let opened = ["decrypt", "--json", "--key-file", "one.key"];
    let refused = fernet(home.path(), &opened, bytes.as_bytes());
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("not UTF-8"), "{}", refused.stderr);
}

#[test]
fn key_files_are_named_when_they_are_wrong() {
    let home = home();
    for (text, why) in [
        ("", "it holds no Fernet key"),
        ("# nothing\n", "it holds no Fernet key"),
        (&KEY[..43], "line 1 is not a Fernet key"),
        ("\nAAAA\n", "line 2 is not a Fernet key"),
    ] {
        fs::write(home.path().join("one.key"), text).unwrap();
        let ran = fernet(home.path(), &["encrypt", "--key-file", "one.key"], b"x");
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
        assert!(
            ran.stderr.contains(&format!("one.key: {why}")),
            "{}",
            ran.stderr
        );
        // What is nearly a key is not repeated.
        assert!(!ran.stderr.contains(&KEY[..20]), "{}", ran.stderr);
    }
}

/// `doctor` where there is nothing but what the program itself brings.
fn doctor(home: &Path, set: impl Fn(&mut Command)) -> [Ran; 2] {
    [&["doctor"][..], &["doctor", "--json"]].map(|arguments| {
        let mut command = sealnet(home);
        set(command.args(arguments));
        Ran::new(&mut command)
    })
}

fn check(document: &serde_json::Value, name: &str) -> serde_json::Value {
    let checks = document["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    found
        .unwrap_or_else(|| panic!("{name} is not checked"))
        .clone()
}

#[test]
fn doctor_names_the_tools_that_are_missing() {
    let home = tempfile::tempdir().unwrap();
    let empty = home.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let [people, programs] = doctor(home.path(), |command| {
        command.env("PATH", &empty);
    });
    let document = programs.json();
    assert_eq!(people.code, 0, "tools are good to know, not needed");
    assert_eq!(document["ready"], true);
    for tool in [
        "npm",
        "python3",
        "openssl",
        "qemu-system-arm",
        "cortex-m target",
    ] {
        let check = check(&document, tool);
        assert_eq!(
            (&check["status"], &check["found"]),
            (&"note".into(), &"not found".into())
        );
        let advice = check["advice"].as_str().unwrap();
        assert!(advice.starts_with("only "), "{advice}");
        let line = people.stdout.lines().find(|line| line.contains(tool));
        assert!(line.unwrap().starts_with("note"), "{}", people.stdout);
        assert!(people.stdout.contains(advice));
    }
    assert_eq!(check(&document, "mnist")["status"], "note");

    // Installed without its sources.
    let [people, programs] = doctor(home.path(), |command| {
        command.env("SEALNET_SOURCES", &empty);
    });
    assert_eq!(people.code, 0);
    let image = check(&programs.json(), "firmware image");
    assert_eq!(image["status"], "note");
    let advice = image["advice"].as_str().unwrap();
    assert!(advice.contains("SEALNET_SOURCES="), "{advice}");
    let qemu = check(&programs.json(), "qemu-system-arm");
    assert_eq!(qemu["status"], "ok");
    assert!(
        qemu["found"]
            .as_str()
            .unwrap()
            .starts_with("QEMU emulator version ")
    );
    assert_eq!(check(&programs.json(), "cortex-m target")["status"], "ok");
    assert!(people.stdout.ends_with("the demo can run: sealnet demo\n"));
}

#[test]
fn doctor_says_what_keeps_the_demo_from_running() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("file"), "").unwrap();
    let [people, programs] = doctor(home.path(), |command| {
        command.env("TMPDIR", "/proc/nowhere");
    });
    assert_eq!((people.code, programs.code), (2, 2));
    let document: serde_json::Value = serde_json::from_str(&programs.stdout).unwrap();
    assert_eq!(document["ready"], false);
    let work = check(&document, "work");
    assert_eq!(work["status"], "missing");
    assert!(
        work["advice"].as_str().unwrap().contains("TMPDIR"),
        "{work}"
    );
    assert!(people.stdout.contains("missing  work"), "{}", people.stdout);
    assert!(people.stdout.contains("the demo cannot run yet"));
    // Nothing was made to find that out.
    assert!(!home.path().join("cache").exists() && !home.path().join("state").exists());
}
