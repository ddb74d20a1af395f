//! What devices signed, kept and verified on the command line: the device's word, in exactly its bytes.

mod command;
mod forms;

use std::fs;

use base64ct::{Base64, Encoding};
use sealnet::keys;
use sealnet::receipt::check::{Expected, Trust};
use sealnet::receipt::device::{self, Kept};
use sealnet_core::protocol::{DeviceId, RECEIPT_LEN, Receipt, Verdict};
use sealnet_core::sign::{Ed25519SigningKey, HmacKey, SigningKey, sha512};
use sealnet_tests::{Ran, python, script};
use serde_json::{Value, json};

use super::workspace::Workspace;

/// What device 0001 says of an answer.
fn receipt() -> Receipt {
    let name = keys::device_name("0001").unwrap();
    Receipt {
        verdict: Verdict::Accept,
        device_id: name.id(),
        model_digest: sha512(&[b"model"]),
        firmware_version: 3,
        boot: 4,
        message: u64::MAX,
        request_digest: sha512(&[b"request"]),
        label: 7,
        logits_digest: sha512(&[b"logits"]),
        nonce: [9; 16],
    }
}

/// The key of a device in the workspace's folder.
fn device_key(workspace: &Workspace, device: &str) -> SigningKey {
    let name = keys::device_name(device).unwrap();
    workspace.keys().device(&name).unwrap().receipt
}

/// A workspace with `r.bin`, and `r.json`, of device 0001.
fn signed() -> (Workspace, [u8; RECEIPT_LEN]) {
    let workspace = Workspace::new();
    let bytes = *receipt().sign(&device_key(&workspace, "0001")).as_bytes();
    workspace.write("r.bin", &bytes);
    workspace.write("r.json", &device::to_json(&bytes).unwrap());
    (workspace, bytes)
}

fn ed25519() -> SigningKey {
    SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[5; 32]))
}

/// The public half of [`ed25519`].
const ED25519_PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAbnoc3Smwt4/ROvTFWY/v9O8qlxZuPKby5Pv8zYBQW/E=
-----END PUBLIC KEY-----
";

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

fn stranger(workspace: &Workspace, file: &str, key: &str) -> Ran {
    let mut command = python();
    command.arg(script("stranger.py")).arg("answer");
    Ran::new(command.arg(workspace.path(file)).arg(workspace.path(key)))
}

#[test]
fn infer_keeps_what_the_device_signed() {
    let workspace = Workspace::new();
    workspace.noise();
    workspace.done("train noise -o model.safetensors --epochs 1");
    workspace.done("export model.safetensors -o model.sealed");
    let infer = |file: &str, limit: u32| {
        workspace.json(&format!(
            "infer model.sealed noise --on sim --limit {limit} --receipts {file}"
        ))
    };
    let (binary, lines) = (infer("r.bin", 5), infer("r.jsonl", 5));
    infer("one.json", 1);
    assert_eq!(binary["receipts"], "r.bin");
    assert_eq!(workspace.read("r.bin").len(), 5 * RECEIPT_LEN);
    for (file, inferred) in [("r.bin", &binary), ("r.jsonl", &lines)] {
        let digest = inferred["model_digest"].as_str().unwrap();
        for model in ["model.sealed", digest] {
            let verified = workspace.json(&format!(
                "receipt verify {file} --model {model} --device 0001"
            ));
            assert_eq!(
                (&verified["verified"], &verified["failed"]),
                (&5.into(), &0.into())
            );
            let receipts = verified["files"][0]["receipts"].as_array().unwrap();
            let labels: Value = receipts.iter().map(|r| r["label"].clone()).collect();
            assert_eq!(labels, inferred["predictions"]);
            for (message, said) in receipts.iter().enumerate() {
                assert_eq!(said["model_sha512"], digest);
                assert_eq!(
                    said["message"],
                    receipts[0]["message"].as_u64().unwrap() + message as u64
                );
                // What the file says besides is told apart from what the receipt binds.
                let named = said["model_file"]["provenance"].as_str();
                let expected = (model != digest).then_some("trained on unsealed data");
                assert_eq!(named, expected);
                assert!(said.get("provenance").is_none() && said.get("security_counter").is_none());
            }
        }
        // Another model, genuine too.
        workspace.done("export model.safetensors -o other.sealed --reply logits");
        let other = format!("receipt verify {file} --model other.sealed");
        workspace.refused(&other, 1, "5 of 5 receipts are refused");
        workspace.touch("other.sealed");
        workspace.refused(&other, 1, "other.sealed is refused");
    }
    // The same body under another counter: the receipt holds, and the counter is the file's word alone.
    workspace.done("export model.safetensors -o recounted.sealed --counter 90");
    for (file, counter) in [("model.sealed", 1), ("recounted.sealed", 90)] {
        let verify = format!("receipt verify one.json --model {file}");
        let said = workspace.json(&verify);
        let word = &said["files"][0]["receipts"][0]["model_file"]["security_counter"];
        assert_eq!(word, counter);
        let said = workspace.done(&verify).stdout;
        let (bound, word) = said.split_once(&format!("{file}: ")).unwrap();
        assert!(
            bound.contains("\n  model sha512     ") && !bound.contains("counter"),
            "{said}"
        );
        let (first, word) = word.split_once('\n').unwrap();
        assert!(
            first.ends_with("its publisher's word, which no receipt binds"),
            "{said}"
        );
        assert!(
            word.contains(&format!("\n  security counter {counter}\n")),
            "{said}"
        );
    }

    let said = stranger(&workspace, "one.json", "keys/device-0001/receipt.key").json();
    assert_eq!(said["device"], "0001");
    assert_eq!(said["model_sha512"], binary["model_digest"]);
    assert_ne!(
        stranger(&workspace, "one.json", "keys/device-0002/receipt.key").code,
        0
    );

    for (options, words) in [
        ("--receipts x", "--on host asks none"),
        ("--on sim --receipts model.sealed", "would be overwritten"),
        ("--on sim --receipts keys/r.bin", "would lie in keys"),
        ("--on sim --receipts noise/r.bin", "would lie in noise"),
        ("--on sim --receipts nowhere/r.bin", "nowhere"),
    ] {
        workspace.refused(&format!("infer model.sealed noise {options}"), 2, words);
    }
    assert!(!workspace.path("x").exists());
}

/// In the library each by itself, in binary and in JSON; on the command line all in one file, and some alone.
#[test]
fn no_bit_of_a_receipt_can_change() {
    let (workspace, hmac) = signed();
    let public = ed25519();
    let ed = *receipt().sign(&public).as_bytes();
    workspace.write("ed.pem", ED25519_PEM.as_bytes());
    let keys = workspace.path("keys");
    let by_folder = Trust::new(Some(&keys), None).unwrap();
    let by_key = Trust::new(None, Some(&workspace.path("ed.pem"))).unwrap();
    let expected = Expected::default();
    for (mut trust, bytes) in [(by_folder, hmac), (by_key, ed)] {
        assert!(trust.device(&Kept::new(&bytes), &expected).is_ok());
        let mut all = Vec::new();
        for bit in 0..8 * RECEIPT_LEN {
            let changed = flipped(&bytes, bit).try_into().unwrap();
            let error = trust.device(&Kept::new(&changed), &expected).unwrap_err();
            assert!(error.at(String::new()).is_ok(), "bit {bit}: a failed check");
            // And where the JSON says what the changed bytes say.
            if let Ok(json) = device::to_json(&changed) {
                let kept = Kept::from_json(&json).unwrap();
                assert!(kept.agrees().is_ok());
                assert!(trust.device(&kept, &expected).is_err(), "bit {bit}");
            }
            all.extend(changed);
        }
        workspace.write("all.bin", &all);
        let key = if bytes == ed {
            "--key ed.pem"
        } else {
            "--keys keys"
        };
        let ran = workspace.run(&format!("receipt verify all.bin {key} --json"));
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(
            (&document["verified"], &document["failed"]),
            (&0.into(), &2560.into())
        );
        assert_eq!(document["error"]["kind"], "verification");
        for bit in (0..64).chain((64..2560).step_by(97)) {
            workspace.write("one.bin", &flipped(&bytes, bit));
            workspace.refused(
                &format!("receipt verify one.bin {key}"),
                1,
                "one.bin is refused",
            );
        }
    }
}

#[test]
fn another_key_device_model_request_or_label_is_refused() {
    let (workspace, bytes) = signed();
    workspace.write("token", &[b"\x80", &[0; 72][..]].concat());
    let token = workspace.read("token");
    let answered = Receipt {
        request_digest: sha512(&[&token]),
        ..receipt()
    };
    let key = device_key(&workspace, "0001");
    workspace.write("r.bin", answered.sign(&key).as_bytes());
    let text = base64ct::Base64Url::encode_string(&token);
    workspace.write("token.text", format!("{text}\n").as_bytes());
    let model = hex::encode(sha512(&[b"model"]));
    for options in [
        "",
        "--device 0001",
        "--label 7",
        "--request token",
        "--request token.text",
        &format!("--model {model}"),
        "--key keys/device-0001/receipt.key",
        &format!("--device 0001 --label 7 --request token --model {model}"),
    ] {
        workspace.done(format!("receipt verify r.bin {options}").trim_end());
    }
    workspace.done("keygen strangers");
    workspace.write("ed.pem", ED25519_PEM.as_bytes());
    let other = hex::encode(sha512(&[b"another"]));
    for (options, words) in [
        ("--device 0002", "it is of device 0001, and not 0002"),
        ("--label 8", "its label is 7, and not 8"),
        (&format!("--model {other}"), "it is for model"),
        ("--keys strangers", "signature does not verify"),
        ("--key ed.pem", "signature does not verify"),
        (
            "--key keys/device-0002/receipt.key",
            "signature does not verify",
        ),
    ] {
        workspace.refused(&format!("receipt verify r.bin {options}"), 1, words);
    }
    workspace.write("r.bin", &bytes);
    workspace.refused(
        "receipt verify r.bin --request token",
        1,
        "it answers request",
    );
    // Signed with another device's key, and for one that nobody knows, in either spelling.
    let forged = *receipt().sign(&device_key(&workspace, "0002")).as_bytes();
    workspace.write("r.bin", &forged);
    workspace.refused("receipt verify r.bin", 1, "signature does not verify");
    for (id, words) in [
        (
            *b"0009\0\0\0\0\0\0\0\0\0\0\0\0",
            "it names device 0009, for which keys holds no keys",
        ),
        ([0xFF; 16], "it names device ffffffff"),
        (
            *b"../owner\0\0\0\0\0\0\0\0",
            "it names device 2e2e2f6f776e6572",
        ),
    ] {
        let device_id = DeviceId::from_bytes(id);
        let unknown = Receipt {
            device_id,
            ..receipt()
        };
        workspace.write("r.bin", unknown.sign(&key).as_bytes());
        workspace.refused("receipt verify r.bin", 1, words);
    }
    // What is no key, no request, no model.
    for (options, words) in [
        ("--key data.csv", "data.csv"),
        ("--key missing", "missing"),
        ("--request data.csv", "holds no request"),
        ("--model missing", "missing"),
        ("--device not/one", "is not a device's name"),
    ] {
        workspace.refused(&format!("receipt verify r.bin {options}"), 2, words);
    }
    workspace.write("r.bin", &bytes);
    workspace.refused(
        "receipt verify r.bin --weights data.csv",
        2,
        "--weights is for those",
    );
}

#[test]
fn an_ed25519_receipt_is_anyones_to_verify() {
    let (workspace, _) = signed();
    let bytes = *receipt().sign(&ed25519()).as_bytes();
    workspace.write("ed.bin", &bytes);
    workspace.write("ed.json", &device::to_json(&bytes).unwrap());
    workspace.write("ed.pem", ED25519_PEM.as_bytes());
    for file in ["ed.bin", "ed.json"] {
        let ran = workspace.done(&format!("receipt verify {file} --key ed.pem"));
        assert!(ran.stdout.contains("ed25519") && !ran.stderr.contains("HMAC"));
        workspace.refused(
            &format!("receipt verify {file}"),
            1,
            "signature does not verify",
        );
    }
    let said = stranger(&workspace, "ed.json", "ed.pem").json();
    assert_eq!(
        (&said["label"], &said["message"]),
        (&7.into(), &u64::MAX.into())
    );
    // An HMAC under the public key's own bytes is no signature: the key fixes the scheme.
    let mut confused = [0; 64];
    confused[..32].copy_from_slice(&Ed25519SigningKey::from_seed(&[5; 32]).public().to_bytes());
    let confused = receipt().sign(&SigningKey::Hmac(HmacKey::from_bytes(confused)));
    workspace.write("ed.bin", confused.as_bytes());
    workspace.refused(
        "receipt verify ed.bin --key ed.pem",
        1,
        "signature does not verify",
    );
}
