//! A stranger's reader, in Python with `cryptography` alone, opens what Sealnet wrote from the documented
//! formats: vault, training receipt, sealed model, encrypted and in clear.

use std::path::Path;

use sealnet_tests::{Ran, python, script, sealnet};
use serde_json::Value;
use sha2::{Digest, Sha512};
use tempfile::TempDir;

#[test]
fn a_stranger_opens_vault_receipt_and_model() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let csv = clusters(300);
    std::fs::write(home.join("data.csv"), &csv).unwrap();
    run(home, &["keygen", "keys"]);
    let sealed = run(
        home,
        &[
            "seal",
            "data.csv",
            "vault",
            "--keys",
            "keys",
            "--shard-records",
            "64",
        ],
    );

    let vault = stranger("vault", &home.join("vault"), &home.join("keys"));
    assert_eq!(vault["records"], 300);
    assert_eq!(vault["serial"], 1);
    assert_eq!(vault["manifest_sha512"], sealed["manifest_digest"]);
    let (features, labels) = features_and_labels(&csv);
    assert_eq!(vault["features_sha512"], sha512(&features));
    assert_eq!(vault["labels_sha512"], sha512(&labels));

    run(
        home,
        &[
            "train",
            "vault",
            "-o",
            "m.safetensors",
            "--keys",
            "keys",
            "--hidden",
            "8,6",
            "--epochs",
            "3",
        ],
    );
    let receipt = stranger(
        "receipt",
        &home.join("m.safetensors.receipt.json"),
        &home.join("keys"),
    );
    let weights = std::fs::read(home.join("m.safetensors")).unwrap();
    assert_eq!(receipt["subject"][0]["name"], "m.safetensors");
    assert_eq!(receipt["subject"][0]["digest"]["sha512"], sha512(&weights));
    let data = &receipt["predicate"]["data"];
    let manifest = &data["origin"]["manifest"]["manifest"];
    assert_eq!(manifest["name"], vault["manifest_name"]);
    assert_eq!(manifest["digest"]["sha512"], vault["manifest_sha512"]);
    assert_eq!(data["records_sha512"], vault["records_sha512"]);

    let models = [
        ("model.sealed", false, "int8", "per-channel"),
        ("clear.sealed", true, "int8", "per-channel"),
        ("int4.sealed", false, "int4", "per-channel"),
        ("clear4.sealed", true, "int4", "per-tensor"),
    ];
    for ((output, clear, weights, granularity), counter) in models.into_iter().zip(7..) {
        let number = counter.to_string();
        let mut export = vec![
            "export",
            "m.safetensors",
            "-o",
            output,
            "--keys",
            "keys",
            "--data",
            "vault",
            "--counter",
            &number,
            "--max-loss",
            "100",
            "--reply",
            "logits",
            "--weights",
            weights,
            "--granularity",
            granularity,
        ];
        if clear {
            export.extend(["--clear", "--kernel", "skip"]);
        }
        run(home, &export);
        let model = stranger("model", &home.join(output), &home.join("keys"));
        assert_eq!(model["shape"], serde_json::json!([4, 8, 6, 3]));
        assert_eq!(model["counter"], counter);
        assert_eq!(model["weights"], weights);
        assert_eq!(model["provenance"], 1);
        assert_eq!(model["reply_policy"], 3);
        assert_eq!(model["kernel"], u8::from(clear));
        assert!(!model["golden"].as_array().unwrap().is_empty());
    }
}

/// Three clusters of whole numbers, label first: a data set that any network learns.
fn clusters(records: usize) -> String {
    (0..records)
        .map(|i| {
            let label = i % 3;
            let noise = i * 7 % 23;
            let feature = |f: usize| (label * (f + 1) * 20 + noise + f) % 256;
            format!(
                "{label},{},{},{},{}\n",
                feature(0),
                feature(1),
                feature(2),
                feature(3)
            )
        })
        .collect()
}

/// All features as bytes, and all labels as little-endian u16, in the order of the lines.
fn features_and_labels(csv: &str) -> (Vec<u8>, Vec<u8>) {
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    for line in csv.lines() {
        let mut numbers = line.split(',').map(|n| n.parse::<u16>().unwrap());
        labels.extend(numbers.next().unwrap().to_le_bytes());
        features.extend(numbers.map(|n| u8::try_from(n).unwrap()));
    }
    (features, labels)
}

fn run(home: &Path, arguments: &[&str]) -> Value {
    Ran::new(sealnet(home).arg("--json").args(arguments)).json()
}

fn stranger(what: &str, path: &Path, keys: &Path) -> Value {
    let ran = Ran::new(
        python()
            .arg(script("stranger.py"))
            .arg(what)
            .arg(path)
            .arg(keys),
    );
    ran.json()
}

fn sha512(bytes: &[u8]) -> String {
    hex::encode(Sha512::digest(bytes))
}
