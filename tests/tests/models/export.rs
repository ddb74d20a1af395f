//! `export`: what it makes, and that it makes nothing of weights that nobody vouches for, that are not
//! those vouched for, or that integers cannot hold.

use sealnet::train::{Network, Recipe, Shape};
use sealnet::weights;
use sealnet_core::artefact::{BodyEncoding, Header, Provenance, Sealed};
use sealnet_core::mlp::{Granularity, Quantisation, WeightType};
use sealnet_core::sign::{Scheme, sha512};

use super::workspace::Workspace;

fn header(workspace: &Workspace, name: &str) -> Header {
    *Sealed::parse(&workspace.read(name))
        .unwrap()
        .untrusted_header()
}

#[test]
fn the_header_says_what_was_asked_for() {
    let workspace = Workspace::new().trained();
    let result = workspace.json("export model.safetensors -o model.sealed");
    let made = header(&workspace, "model.sealed");
    let receipt = sha512(&[&workspace.read("model.safetensors.receipt.json")]);
    assert_eq!(made.provenance, Provenance::UnsealedData(receipt));
    assert_eq!((made.security_counter, made.scheme), (1, Scheme::Ed25519));
    assert!(matches!(made.encoding, BodyEncoding::Fernet { .. }));
    assert_eq!(made.quantisation, Quantisation::default());
    assert_eq!(made.name.as_str(), "model");
    assert_eq!(made.shape.widths(), [6, 9, 7, 3]);
    let bytes = workspace.read("model.sealed");
    assert_eq!(result["artefact_bytes"], bytes.len());
    assert_eq!(result["artefact_sha512"], hex::encode(sha512(&[&bytes])));
    for key in [
        "test_accuracy",
        "f32_test_accuracy",
        "validation_loss_points",
        "changed_predictions",
    ] {
        assert!(result[key].is_number(), "{key}");
    }

    workspace.done(
        "export model.safetensors -o other.sealed --clear --scheme hmac --device 0002 --counter 9 \
         --granularity per-tensor --name other --reply logits",
    );
    let made = header(&workspace, "other.sealed");
    assert_eq!(
        (made.security_counter, made.scheme),
        (9, Scheme::HmacSha512)
    );
    assert_eq!(made.encoding, BodyEncoding::Clear);
    assert_eq!(made.quantisation.granularity, Granularity::PerTensor);
    assert_eq!(made.quantisation.weights, WeightType::Int8);
    assert_eq!(made.name.as_str(), "other");
}

/// Half the bytes, and all that reads a model reads it.
#[test]
fn int4_weights_make_a_smaller_model_that_answers() {
    let workspace = Workspace::new();
    workspace.noise();
    workspace.done("train noise -o model.safetensors --epochs 2");
    let export = |name: &str, options: &str| {
        // Of noise nothing is learned: what integers lose of that is no measure.
        workspace.json(&format!(
            "export model.safetensors -o {name} --max-loss 100 --reply logits{options}"
        ))
    };
    for (encryption, beside) in [(" --clear", 0), ("", 4)] {
        let int8 = export("int8.sealed", encryption);
        let int4 = export("int4.sealed", &format!(" --weights int4{encryption}"));
        assert_eq!(
            (&int8["weights"], &int4["weights"]),
            (&"int8".into(), &"int4".into())
        );
        // Of 784-64-64-10 the weights, and what is not halved: header and signature, biases and factors, golden logits.
        let weights = (784 * 64 + 64 * 64 + 64 * 12) as u64;
        let [large, small] =
            [&int8, &int4].map(|result| result["artefact_bytes"].as_u64().unwrap());
        assert_eq!(large - small, weights / 2);
        assert!(small <= weights / 2 + 2560 + beside, "{small}");
        assert!(small <= large / 2 + 1280, "{small} of {large}");
        let made = header(&workspace, "int4.sealed");
        assert_eq!(made.quantisation.weights, WeightType::Int4);

        let inspected = workspace.done("inspect int4.sealed");
        let inspected = inspected.stdout.replace(' ', "");
        assert!(
            inspected.contains("weights") && inspected.contains("int4"),
            "{inspected}"
        );
        // The library, the device in this process and the line that says what was made.
        let host = workspace.json("infer int4.sealed noise --on host");
        let sim = workspace.json("infer int4.sealed noise --on sim");
        assert_eq!((&sim["agree"], &sim["records"]), (&30.into(), &30.into()));
        assert_eq!(host["predictions"], sim["predictions"]);
        let ran = workspace.done(&format!(
            "export model.safetensors -o again.sealed --max-loss 100 --weights int4{encryption}"
        ));
        assert!(ran.stdout.contains(" bytes, int4, "), "{}", ran.stdout);
    }
}

#[test]
fn sealed_data_shows_in_the_provenance_and_must_be_the_same() {
    let workspace = Workspace::new();
    workspace.done("seal data.csv vault");
    workspace.done("train vault -o model.safetensors");
    workspace.done("export model.safetensors -o model.sealed");
    assert!(matches!(
        header(&workspace, "model.sealed").provenance,
        Provenance::SealedData(_)
    ));
    workspace.refused(
        "export model.safetensors -o x.sealed --data data.csv",
        1,
        "not the data that the training receipt names",
    );
    // The next serial holds the same records: still not what the receipt names.
    workspace.done("seal data.csv vault");
    workspace.refused("export model.safetensors -o x.sealed", 1, "manifest 1");
}

/// Without a signed manifest nothing vouches for the records, and the model does not claim that it does.
#[test]
fn profile_paper_does_not_count_as_sealed_data() {
    let workspace = Workspace::new();
    workspace.done("seal data.csv vault --profile paper");
    let result = workspace.json("train vault -o model.safetensors --profile paper");
    assert_eq!(
        result["data"]["origin"]["unsigned-vault"]["profile"],
        "paper"
    );
    workspace.done("export model.safetensors -o model.sealed --profile paper");
    let provenance = header(&workspace, "model.sealed").provenance;
    assert!(matches!(provenance, Provenance::UnsealedData(_)));
}

#[test]
fn weights_without_a_matching_receipt_are_refused() {
    let workspace = Workspace::new().trained();
    let export = "export model.safetensors -o model.sealed";
    let (weights, receipt) = (
        workspace.read("model.safetensors"),
        workspace.read("model.safetensors.receipt.json"),
    );
    workspace.write("model.sealed", b"old");
    let refused = |line: &str, code, words| {
        workspace.refused(line, code, words);
        assert_eq!(workspace.read("model.sealed"), b"old", "{line}");
    };

    workspace.touch("model.safetensors");
    refused(export, 1, "other weights");
    workspace.write("model.safetensors", &weights);
    workspace.touch("model.safetensors.receipt.json");
    refused(export, 1, "model.safetensors.receipt.json");
    std::fs::remove_file(workspace.path("model.safetensors.receipt.json")).unwrap();
    refused(export, 1, "no training receipt");
    workspace.write("model.safetensors.receipt.json", &receipt);

    // Another run's weights and receipt under the same owner.
    workspace.done("train data.csv -o swapped.safetensors --seed 2 --hidden 9,7");
    workspace.write("model.safetensors", &workspace.read("swapped.safetensors"));
    refused(export, 1, "other weights");
    workspace.write("model.safetensors", &weights);

    // Another owner.
    workspace.done("keygen stranger");
    refused(
        &format!("{export} --keys stranger"),
        1,
        "not by the trusted key",
    );

    // Data that is no longer there, and other data.
    std::fs::rename(workspace.path("data.csv"), workspace.path("moved.csv")).unwrap();
    refused(export, 2, "the receipt says that the data is data.csv");
    std::fs::rename(workspace.path("moved.csv"), workspace.path("data.csv")).unwrap();
    workspace.csv("other.csv", 2);
    refused(
        &format!("{export} --data other.csv"),
        1,
        "other.csv is not the data",
    );

    workspace.done(export);
    assert_ne!(workspace.read("model.sealed"), b"old");
}

#[test]
fn unverified_weights_are_marked() {
    let workspace = Workspace::new().trained();
    std::fs::remove_file(workspace.path("model.safetensors.receipt.json")).unwrap();
    let export = "export model.safetensors -o model.sealed --unverified-weights";
    workspace.refused(export, 2, "no data to calibrate");
    let ran = workspace.done(&format!("{export} --data data.csv"));
    assert!(ran.stderr.contains("warning:"), "{}", ran.stderr);
    assert_eq!(
        header(&workspace, "model.sealed").provenance,
        Provenance::Unverified
    );
}

/// Writes `thin.csv` and `thin.safetensors`: all that decides is a weight of 1 beside one of `large` on a feature that is
/// always zero.
fn thin(workspace: &Workspace, large: f32) {
    let mut text = "label,zero,a\n".to_owned();
    for index in 0..240 {
        let label = index % 2;
        text += &format!(
            "{label},0,{}\n",
            if label == 0 {
                10 + index % 5
            } else {
                240 - index % 5
            }
        );
    }
    workspace.write("thin.csv", text.as_bytes());
    let shape = Shape::new(2, [1, 1], 2).unwrap();
    let mut network = Network::zeros(&shape);
    let [first, second, last] = &mut network.layers;
    first.weights = vec![-large, 1.0];
    first.bias = vec![-0.5 * large];
    second.weights = vec![1.0];
    last.weights = vec![-1.0, 1.0];
    workspace.write(
        "thin.safetensors",
        &weights::to_safetensors(&network, &Recipe::paper()),
    );
}

#[test]
fn what_integers_cannot_hold_is_refused() {
    let workspace = Workspace::new();
    let export = "export thin.safetensors -o thin.sealed --unverified-weights --data thin.csv";
    // A millionth is nothing to integers of any size, a fiftieth to those of four bits.
    thin(&workspace, 50.0);
    let result = workspace.json(export);
    assert_eq!(result["validation_loss_points"], 0.0);
    std::fs::remove_file(workspace.path("thin.sealed")).unwrap();
    for (large, weights) in [(1.0e6, "int8"), (1.0e6, "int4"), (50.0, "int4")] {
        thin(&workspace, large);
        let export = format!("{export} --weights {weights}");
        workspace.refused(&export, 1, "points on validation");
        assert!(!workspace.path("thin.sealed").exists());
        let result = workspace.json(&format!("{export} --max-loss 100"));
        assert!(result["validation_loss_points"].as_f64().unwrap() > 10.0);
        std::fs::remove_file(workspace.path("thin.sealed")).unwrap();
    }
}

#[test]
fn bad_requests_are_errors_of_use() {
    let workspace = Workspace::new().trained();
    workspace.write("not.safetensors", b"not weights");
    for input in [
        "data.csv",
        "model.safetensors",
        "model.safetensors.receipt.json",
        "keys/owner/sign.pem",
    ] {
        let before = workspace.read(input);
        workspace.refused(
            &format!("export model.safetensors -o {input}"),
            2,
            "overwritten",
        );
        assert_eq!(workspace.read(input), before);
    }
    for (arguments, words) in [
        ("missing.safetensors -o x.sealed", "missing.safetensors"),
        ("not.safetensors -o x.sealed", "not a safetensors file"),
        ("model.safetensors -o missing/x.sealed", "missing/x.sealed"),
        (
            "model.safetensors -o x.sealed --scheme hmac",
            "none is named",
        ),
        (
            "model.safetensors -o x.sealed --scheme hmac --device 0001",
            "0001 has no HMAC key",
        ),
        (
            "model.safetensors -o x.sealed --device 0001",
            "--scheme hmac",
        ),
        (
            "model.safetensors -o x.sealed --data missing.csv",
            "missing.csv",
        ),
        (
            "model.safetensors -o x.sealed --name 123456789012345678901234567890123",
            "a model's name",
        ),
    ] {
        workspace.refused(&format!("export {arguments}"), 2, words);
    }
    for loss in ["-1", "101", "NaN"] {
        let ran = workspace.run(&format!(
            "export model.safetensors -o x.sealed --max-loss {loss}"
        ));
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        let words = "percentage points from 0 to 100";
        assert!(ran.stderr.contains(words), "{loss}: {}", ran.stderr);
    }
    assert!(!workspace.path("x.sealed").exists());
}
