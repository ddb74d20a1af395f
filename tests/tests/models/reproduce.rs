//! `reproduce`: the same bits from what a receipt says, and every other outcome told.

use std::fs;

use base64ct::{Base64, Encoding};
use sealnet::{dsse, receipt};
use sealnet_core::sign::{Domain, sha512};
use serde_json::Value;

use super::workspace::Workspace;

const RECEIPT: &str = "model.safetensors.receipt.json";

#[test]
fn the_same_bits_come_out_from_the_vault_and_from_the_records_alone() {
    let workspace = Workspace::new();
    workspace.done("seal data.csv vault");
    workspace.done("train vault -o model.safetensors --hidden 9,7 --seed 3 --split-seed 5");
    let weights = workspace.read("model.safetensors");
    let digest = hex::encode(sha512(&[&weights]));
    let again = workspace.json(&format!("reproduce {RECEIPT} -o again.safetensors"));
    assert_eq!(again["reproduced"], true);
    assert_eq!(
        (&again["recipe"], &again["seed"]),
        (&"paper".into(), &3.into())
    );
    for member in ["weights_sha512", "recorded_weights_sha512"] {
        assert_eq!(again[member], digest);
    }
    assert_eq!(workspace.read("again.safetensors"), weights);

    // A stranger has the owner's public key and the records, and no key that opens a vault.
    fs::copy(
        workspace.path("keys/owner/sign.pub.pem"),
        workspace.path("owner.pem"),
    )
    .unwrap();
    fs::remove_dir_all(workspace.path("vault")).unwrap();
    let line =
        format!("reproduce {RECEIPT} --key owner.pem --data data.csv --weights model.safetensors");
    let ran = workspace.done(&line);
    assert!(
        ran.stdout.contains("reproduced to the bit"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr
            .contains("note: the same records, which are unsealed data here"),
        "{}",
        ran.stderr
    );
    assert_eq!(workspace.json(&line)["distance"]["differing"], 0);
    workspace.refused(&format!("reproduce {RECEIPT}"), 1, "now holds none");
    workspace.refused(
        &format!("reproduce {RECEIPT} -o {RECEIPT} --data data.csv"),
        2,
        RECEIPT,
    );
}

#[test]
fn an_older_manifest_is_the_one_that_the_receipt_names() {
    let workspace = Workspace::new();
    workspace.done("seal data.csv vault");
    workspace.done("train vault -o model.safetensors --hidden 9,7");
    let text = String::from_utf8(workspace.read("data.csv")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let last = lines.len() - 1;
    lines.swap(1, last);
    workspace.write("data.csv", lines.join("\n").as_bytes());
    workspace.done("seal data.csv vault");
    workspace.done("open vault");
    let again = workspace.json(&format!("reproduce {RECEIPT}"));
    assert_eq!(again["data"]["origin"]["manifest"]["serial"], 1);
    // Nothing was forgotten by that.
    workspace.refused(
        "open vault --serial 1",
        1,
        "serial 2 of this data set was seen before",
    );
    let line = format!("reproduce {RECEIPT} --serial 2");
    workspace.refused(&line, 1, "is not the data that the training receipt names");
}

#[test]
fn a_changed_receipt_other_data_and_other_owners_are_refused() {
    let workspace = Workspace::new().trained();
    workspace.csv("other.csv", 2);
    workspace.done("keygen others");
    let line = format!("reproduce {RECEIPT}");
    workspace.refused(
        &format!("{line} --keys others"),
        1,
        "not by the trusted key",
    );
    workspace.refused(
        &format!("{line} --data other.csv"),
        1,
        "180 records there, 180 here",
    );
    workspace.refused(&format!("{line} --data missing.csv"), 2, "missing.csv");
    fs::rename(workspace.path("data.csv"), workspace.path("moved.csv")).unwrap();
    workspace.refused(&line, 2, "says that the data is data.csv");
    workspace.done(&format!("{line} --data moved.csv"));
    let mut changed = workspace.read(RECEIPT);
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    workspace.write("changed.json", &changed);
    workspace.refused(
        "reproduce changed.json",
        1,
        "changed.json: the training receipt is refused",
    );
}

#[test]
fn what_did_not_come_out_is_named() {
    let workspace = Workspace::new().trained();
    let owner = workspace.keys().owner_signing().unwrap();
    let envelope: Value = serde_json::from_slice(&workspace.read(RECEIPT)).unwrap();
    let payload = Base64::decode_vec(envelope["payload"].as_str().unwrap()).unwrap();
    let original: Value = serde_json::from_slice(&payload).unwrap();
    // What the owner signs without it being so.
    let signed = |change: &dyn Fn(&mut Value)| {
        let mut statement = original.clone();
        change(&mut statement);
        let payload = serde_json::to_vec(&statement).unwrap();
        let bytes = dsse::sign_json(
            receipt::PAYLOAD_TYPE,
            &payload,
            &owner,
            Domain::TrainingReceipt,
        );
        workspace.write("signed.json", &bytes);
    };
    let failures = |arguments: &str, code: i32| -> Vec<(String, String, String)> {
        let ran = workspace.run(&format!("reproduce signed.json --json{arguments}"));
        assert_eq!(ran.code, code, "{}", ran.stderr);
        let said: Value = serde_json::from_str(&ran.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let failures = said["error"]["failures"].as_array().unwrap();
        failures
            .iter()
            .map(|one| {
                (
                    text(&one["place"]),
                    text(&one["check"]),
                    text(&one["cause"]),
                )
            })
            .collect()
    };
    signed(&|_| ());
    workspace.done("reproduce signed.json");

    // Other weights under the same words.
    workspace.done("train data.csv -o other.safetensors --hidden 9,7 --epochs 30 --seed 2");
    let other = hex::encode(sha512(&[&workspace.read("other.safetensors")]));
    signed(&|s| s["subject"][0]["digest"]["sha512"] = other.clone().into());
    let found = failures(" --weights other.safetensors", 1);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0].1, "weights");
    assert!(found[0].2.contains(&other[..16]), "{found:?}");
    assert_eq!(found[1].1, "distance");
    // 6 to 9 to 7 to 3, with biases.
    assert!(found[1].2.contains("of 157 numbers differ"), "{found:?}");

    // A better history than it was.
    signed(&|s| s["predicate"]["epochs"][2]["validation"]["accuracy"] = 1.5.into());
    let found = failures("", 1);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&*found[0].0, &*found[0].1), ("epoch 3", "epochs"));
    signed(&|s| s["predicate"]["test"]["loss"] = 0.0.into());
    let found = failures("", 1);
    assert_eq!((found.len(), &*found[0].0), (1, "test"), "{found:?}");
    signed(&|s| {
        s["predicate"]["epochs"]
            .as_array_mut()
            .unwrap()
            .truncate(29);
    });
    assert!(
        failures("", 1)[0]
            .2
            .contains("29 epochs in the receipt, 30 here")
    );

    // Another seed, another recipe: everything comes out otherwise, from the first epoch.
    signed(&|s| s["predicate"]["seed"] = 9.into());
    let found = failures("", 1);
    let places: Vec<&str> = found.iter().map(|one| &*one.0).collect();
    assert_eq!(
        places,
        ["model.safetensors", "epoch 1", "validation", "test"]
    );

    // What says nothing of the weights changes nothing.
    signed(&|s| s["predicate"]["run"]["threads"] = 64.into());
    workspace.done("reproduce signed.json");

    // A genuine receipt, and weights that it does not name.
    signed(&|_| ());
    let found = failures(" --weights other.safetensors", 1);
    assert_eq!(found.len(), 2, "{found:?}");
    let line = "reproduce signed.json --weights other.safetensors";
    workspace.refused(
        line,
        1,
        "is reproduced, and the weights in question are others",
    );

    // Bits that this program does not compute.
    signed(&|s| s["predicate"]["numerics"]["version"] = 999.into());
    workspace.refused("reproduce signed.json", 2, "of numerics 999");
}
