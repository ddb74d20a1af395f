//! What a file says about itself reaches the terminal as text: escape sequences, overrides of the writing
//! direction and characters without a shape are shown, not obeyed.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Stdio;

use base64ct::{Base64, Encoding};
use sealnet_tests::{Ran, sealnet};
use tempfile::TempDir;

/// Clears the screen, turns the rest of the line round, hides what follows, and forges a line.
const EVIL: &str = "e\u{1b}[2J\u{202e}v\u{200b}\u{9b}1m\u{7f}il\r\nerror: no";

/// A part of it as it is to be seen. A reader of tables takes the controls away itself.
const SHOWN: &str = r"[2J\u{202e}v\u{200b}";

fn is_hostile(c: char) -> bool {
    c.is_control() && c != '\n'
        || ('\u{200b}'..='\u{200f}').contains(&c)
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

/// Runs the command for people and for programs; what it prints is harmless. Gives what people see.
fn shown(home: &Path, arguments: &[&str]) -> String {
    let people = Ran::new(sealnet(home).args(arguments).stdin(Stdio::null()));
    let programs = Ran::new(
        sealnet(home)
            .arg("--json")
            .args(arguments)
            .stdin(Stdio::null()),
    );
    for text in [
        &people.stdout,
        &people.stderr,
        &programs.stdout,
        &programs.stderr,
    ] {
        let found = text.find(is_hostile);
        assert_eq!(found, None, "{arguments:?}: {text:?}");
        assert!(!text.contains("\nerror: no"), "a forged line: {text}");
    }
    serde_json::from_str::<serde_json::Value>(&programs.stdout).expect("one JSON document");
    people.stdout + &people.stderr
}

/// The same, and the hostile text was there to be shown.
fn told(home: &Path, arguments: &[&str]) {
    let text = shown(home, arguments);
    assert!(text.contains(SHOWN), "{arguments:?}: {text}");
}

fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let made = Ran::new(sealnet(home.path()).args(["keygen", "keys"]));
    assert_eq!(made.code, 0, "{}", made.stderr);
    home
}

#[test]
fn names_of_files_are_shown() {
    let home = home();
    let home = home.path();
    told(home, &["inspect", EVIL]);
    told(home, &["seal", EVIL, "vault", "--keys", "keys"]);
    told(home, &["open", EVIL, "--keys", "keys"]);
    told(home, &["open", "vault", "--keys", EVIL]);
    told(home, &["fetch", "mnist", "--from", EVIL]);
    told(home, &["keygen", EVIL]);
    told(home, &["receipt", "verify", EVIL, "--keys", "keys"]);
    let statement =
        serde_json::json!({"_type": EVIL, "predicateType": "urn:sealnet:device-receipt:v1"});
    fs::write(home.join("r.json"), statement.to_string()).unwrap();
    told(home, &["receipt", "verify", "r.json", "--keys", "keys"]);
    told(home, &["inspect", "r.json"]);
    // The program's own reading of its arguments repeats them.
    shown(home, &["frobnicate", EVIL]);
    told(home, &["keygen", "k", "--device", EVIL]);
    told(home, &["seal", "a", "b", EVIL, "--keys", "keys"]);
    let table = format!("{EVIL}.csv");
    fs::write(home.join(&table), "0,1\n1,x\n").unwrap();
    told(home, &["seal", &table, "vault", "--keys", "keys"]);
    told(home, &["inspect", &table]);
}

#[test]
fn columns_and_classes_of_a_table_are_shown() {
    let home = home();
    let home = home.path();
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let evil = quoted(EVIL);
    fs::write(home.join("column.csv"), format!("label,{evil}\n0,1\n1,x\n")).unwrap();
    shown(home, &["seal", "column.csv", "vault", "--keys", "keys"]);
    fs::write(home.join("cell.csv"), format!("0,1\n1,{evil}\n")).unwrap();
    told(home, &["seal", "cell.csv", "vault", "--keys", "keys"]);
    fs::write(home.join("label.csv"), "label,a\n0,1\n1,2\n").unwrap();
    let other = [
        "seal",
        "label.csv",
        "vault",
        "--keys",
        "keys",
        "--label",
        EVIL,
    ];
    told(home, &other);
    let rows = (0..60).map(|i| format!("{evil},{i},{}\nother,{},7\n", i * 2, 255 - i));
    fs::write(
        home.join("class.csv"),
        format!("label,a,b\n{}", rows.collect::<String>()),
    )
    .unwrap();
    shown(home, &["inspect", "class.csv"]);
    shown(home, &["seal", "class.csv", "vault", "--keys", "keys"]);
    shown(home, &["open", "vault", "--keys", "keys"]);
    shown(home, &["inspect", "vault/manifest-00000001.json"]);
    let train = [
        "train",
        "vault",
        "-o",
        "m.safetensors",
        "--keys",
        "keys",
        "--hidden",
        "8,6",
    ];
    shown(home, &train);
    shown(home, &["inspect", "m.safetensors.receipt.json"]);
}

#[test]
fn documents_are_shown() {
    let home = home();
    let home = home.path();
    fs::write(home.join("data.csv"), "0,1\n1,2\n".repeat(30)).unwrap();
    let json = |text: &str| serde_json::to_string(text).unwrap();
    // Manifests and receipts whose words, names and values are hostile, at each depth a parser meets them.
    let inner = format!("{{{}: {}}}", json(EVIL), json(EVIL));
    let payload = Base64::encode_string(inner.as_bytes());
    let envelopes = [
        format!("{{{}: 1}}", json(EVIL)),
        format!(
            r#"{{"payload":"","payloadType":{},"signatures":[]}}"#,
            json(EVIL)
        ),
        format!(
            r#"{{"payload":"{payload}","payloadType":{},"signatures":[{{"keyid":{},"sig":""}}]}}"#,
            json("application/vnd.sealnet.manifest+json"),
            json(EVIL)
        ),
        format!(
            r#"{{"payload":"{payload}","payloadType":{},"signatures":[{{"keyid":"0011223344556677","sig":"{}"}}]}}"#,
            json(EVIL),
            Base64::encode_string(&[0; 64])
        ),
    ];
    let mut met = 0;
    for envelope in &envelopes {
        fs::create_dir_all(home.join("vault/shards")).unwrap();
        fs::write(home.join("vault/manifest-00000001.json"), envelope).unwrap();
        fs::write(home.join("m.safetensors.receipt.json"), envelope).unwrap();
        fs::write(home.join("m.safetensors"), tensors(EVIL)).unwrap();
        let mut export = vec![
            "export",
            "m.safetensors",
            "-o",
            "m.sealed",
            "--keys",
            "keys",
        ];
        export.extend(["--data", "data.csv"]);
        for arguments in [
            &["inspect", "m.safetensors.receipt.json"][..],
            &["inspect", "vault/manifest-00000001.json"],
            &["open", "vault", "--keys", "keys"],
            &export,
        ] {
            met += usize::from(shown(home, arguments).contains(SHOWN));
        }
    }
    assert!(
        met >= envelopes.len(),
        "only {met} commands repeat anything"
    );
    let ran = shown(home, &["inspect", "m.safetensors"]);
    assert!(ran.contains(r"\u{1b}"), "{ran}");
}

/// A weight file whose metadata and tensor are called so.
fn tensors(name: &str) -> Vec<u8> {
    let mut header = serde_json::json!({
        "__metadata__": {name: name},
        name: {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
    })
    .to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.into_bytes());
    file.push(0);
    file
}
