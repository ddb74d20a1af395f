//! One command for several files and for both kinds of receipt.

use super::*;

#[test]
fn every_file_is_checked_and_the_worst_decides() {
    let (workspace, bytes) = signed();
    workspace.write("bad.bin", &flipped(&bytes, 1400));
    workspace.write("three.bin", &[bytes, bytes, bytes].concat());
    let mut half = [bytes, bytes, bytes].concat();
    half[RECEIPT_LEN + 200] ^= 1;
    workspace.write("half.bin", &half);
    let lines = workspace.read("r.json");
    workspace.write("lines.jsonl", &lines.repeat(4));
    let all = workspace.done("receipt verify r.bin three.bin lines.jsonl r.json");
    assert_eq!(all.stdout.matches("three.bin, receipt ").count(), 3);
    assert_eq!(all.stdout.matches("lines.jsonl, receipt ").count(), 4);

    // All are the same one, in whichever form, and it is counted once.
    let note = "note: a receipt is counted once, and 8 of 9 were there before: three.bin, receipt 1 is r.bin; \
                three.bin, receipt 2 is r.bin; three.bin, receipt 3 is r.bin; lines.jsonl, receipt 1 is r.bin; \
                lines.jsonl, receipt 2 is r.bin; and 3 more (--json names them)\n";
    assert!(all.stderr.starts_with(note), "{}", all.stderr);
    let all = workspace.json("receipt verify three.bin r.json");
    assert_eq!(
        (&all["verified"], &all["duplicates"]),
        (&1.into(), &3.into())
    );
    let first = |file: usize, at: usize| &all["files"][file]["receipts"][at]["duplicate_of"];
    assert_eq!(first(0, 0), &Value::Null);
    for (file, at) in [(0, 1), (0, 2), (1, 0)] {
        assert_eq!(first(file, at), "three.bin, receipt 1");
    }

    for (line, code, verified, duplicates, failed) in [
        ("r.bin bad.bin three.bin", 1, 1, 3, 1),
        ("bad.bin r.bin half.bin", 1, 1, 2, 2),
        ("missing r.bin", 2, 1, 0, 0),
        ("bad.bin missing r.bin", 2, 1, 0, 1),
        ("missing bad.bin other r.bin half.bin", 2, 1, 2, 2),
        ("missing other", 2, 0, 0, 0),
    ] {
        let ran = workspace.run(&format!("receipt verify {line}"));
        assert_eq!(ran.code, code, "{line}: {}", ran.stderr);
        for file in line
            .split(' ')
            .filter(|file| !["r.bin", "three.bin"].contains(file))
        {
            assert!(
                ran.stderr.contains(file),
                "{line}: {file} in {}",
                ran.stderr
            );
        }
        let ran = workspace.run(&format!("receipt verify {line} --json"));
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(
            ["verified", "duplicates", "failed"].map(|member| &document[member]),
            [verified, duplicates, failed],
            "{line}"
        );
        assert_eq!(
            document["files"].as_array().unwrap().len(),
            line.split(' ').count()
        );
        assert!(document["error"]["message"].is_string());
    }
    let ran = workspace.run("receipt verify half.bin");
    assert!(ran.stderr.contains("half.bin, receipt 2"), "{}", ran.stderr);
}

#[test]
fn a_training_receipt_is_verified_by_the_same_command() {
    let workspace = Workspace::new().trained();
    let file = "model.safetensors.receipt.json";
    let said = workspace.json(&format!(
        "receipt verify {file} --weights model.safetensors"
    ));
    let said = &said["files"][0];
    assert_eq!(said["kind"], "training-receipt");
    assert_eq!(said["receipts"][0]["origin"], "unsealed data");
    let weights = hex::encode(sha512(&[&workspace.read("model.safetensors")]));
    assert_eq!(said["receipts"][0]["weights_sha512"], weights.as_str());
    let alone = workspace.done(&format!(
        "receipt verify {file} --key keys/owner/sign.pub.pem"
    ));
    assert!(
        alone.stderr.contains("any weights were taken"),
        "{}",
        alone.stderr
    );
    workspace.done("keygen strangers");
    workspace.write("other", b"weights");
    for (options, code, words) in [
        ("--weights other", 1, "it is about other weights"),
        ("--weights missing", 2, "missing"),
        ("--keys strangers", 1, "not by the trusted key"),
        (
            "--key keys/publisher/sign.pub.pem",
            1,
            "not by the trusted key",
        ),
        (
            "--key keys/device-0001/receipt.key",
            1,
            "not by the trusted key",
        ),
        ("--label 7", 2, "--label is for those of devices"),
        ("--model 00", 2, "00"),
    ] {
        workspace.refused(&format!("receipt verify {file} {options}"), code, words);
    }
    let good = workspace.read(file);
    for bit in (0..8 * good.len()).step_by(997) {
        workspace.write(file, &flipped(&good, bit));
        workspace.refused(&format!("receipt verify {file}"), 1, file);
    }
}

#[test]
fn inspect_says_what_they_claim() {
    let (workspace, bytes) = signed();
    workspace.write("two.bin", &[bytes, bytes].concat());
    workspace.write("two.jsonl", &workspace.read("r.json").repeat(2));
    for (file, receipts) in [
        ("r.bin", 1),
        ("r.json", 1),
        ("two.bin", 2),
        ("two.jsonl", 2),
    ] {
        let said = workspace.json(&format!("inspect {file}"));
        assert_eq!(
            (&said["kind"], &said["verified"]),
            (&"device-receipts".into(), &false.into())
        );
        assert_eq!(
            (&said["receipts"], &said["label"]),
            (&receipts.into(), &7.into())
        );
        assert_eq!(
            (&said["device"], &said["scheme"]),
            (&"0001".into(), &"hmac-sha512".into())
        );
    }
    workspace.write("short", &bytes[..100]);
    workspace.refused("inspect short", 2, "begins as a device's receipts");
    let text = String::from_utf8(workspace.read("r.json")).unwrap();
    workspace.write(
        "r.json",
        text.replace("\"label\":7", "\"label\":1").as_bytes(),
    );
    workspace.refused("inspect r.json", 2, "its member label is 1");
}
