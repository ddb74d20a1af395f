//! The training receipt: only the owner's word, about exactly these weights, in exactly this form.

use base64ct::{Base64, Encoding};
use sealnet::dsse;
use sealnet::error::Error;
use sealnet::receipt::{self, Origin};
use sealnet::train::numerics::Numerics;
use sealnet_core::sign::{Domain, Ed25519SigningKey, SigningKey, TrustedKey};
use serde_json::Value;

use super::workspace::Workspace;

struct Case {
    owner: SigningKey,
    weights: Vec<u8>,
    receipt: Vec<u8>,
}

impl Case {
    fn new() -> Case {
        let workspace = Workspace::new().trained();
        Case {
            owner: workspace.keys().owner_signing().unwrap(),
            weights: workspace.read("model.safetensors"),
            receipt: workspace.read("model.safetensors.receipt.json"),
        }
    }

    fn payload(&self) -> String {
        let envelope: Value = serde_json::from_slice(&self.receipt).unwrap();
        let payload = Base64::decode_vec(envelope["payload"].as_str().unwrap()).unwrap();
        String::from_utf8(payload).unwrap()
    }

    fn verify(&self, receipt: &[u8], weights: &[u8], owner: &TrustedKey) -> Result<(), String> {
        match receipt::verify(receipt, weights, owner) {
            Ok(_) => Ok(()),
            Err(error) => {
                assert!(matches!(error, Error::Verification { .. }));
                Err(error.to_string())
            }
        }
    }

    /// Signs another payload with the owner's own key: only its form can be wrong.
    fn signed(&self, payload: &str, kind: &str, domain: Domain) -> Result<(), String> {
        let receipt = dsse::sign_json(kind, payload.as_bytes(), &self.owner, domain);
        self.verify(&receipt, &self.weights, &self.owner.trusted())
    }
}

#[test]
fn what_train_writes_verifies_and_says_how() {
    let case = Case::new();
    let owner = case.owner.trusted();
    let verified = receipt::verify(&case.receipt, &case.weights, &owner).unwrap();
    let training = verified.training();
    assert_eq!(training.data.origin, Origin::Unsealed);
    assert_eq!((training.data.records, training.split.test), (180, 30));
    assert_eq!(training.recipe.name, "paper, 30 epochs");
    assert_eq!(training.epochs.len(), 30);
    assert!(training.run.created > 1_700_000_000);
    assert_eq!(training.software.name, "sealnet");
    assert_eq!(training.numerics, Numerics::this());
    assert!(training.run.seconds > 0.0 && training.run.threads > 0);
}

#[test]
fn other_weights_other_owners_and_every_change_are_refused() {
    let case = Case::new();
    let owner = case.owner.trusted();
    let mut weights = case.weights.clone();
    *weights.last_mut().unwrap() ^= 1;
    let reason = case.verify(&case.receipt, &weights, &owner).unwrap_err();
    assert!(reason.contains("other weights"), "{reason}");
    let stranger = SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[9; 32]));
    let reason = case
        .verify(&case.receipt, &case.weights, &stranger.trusted())
        .unwrap_err();
    assert!(reason.contains("not by the trusted key"), "{reason}");
    for place in 0..case.receipt.len() - 1 {
        let mut changed = case.receipt.clone();
        changed[place] ^= 1;
        assert!(
            case.verify(&changed, &case.weights, &owner).is_err(),
            "byte {place}"
        );
    }
    for length in [0, 1, 100, case.receipt.len() / 2] {
        assert!(
            case.verify(&case.receipt[..length], &case.weights, &owner)
                .is_err()
        );
    }
}

#[test]
fn the_form_is_strict_even_when_signed() {
    let case = Case::new();
    let payload = case.payload();
    let kind = "application/vnd.in-toto+json";
    assert_eq!(case.signed(&payload, kind, Domain::TrainingReceipt), Ok(()));
    assert!(
        case.signed(&payload, "text/plain", Domain::TrainingReceipt)
            .is_err()
    );
    // A manifest's signature is not a receipt's.
    assert!(case.signed(&payload, kind, Domain::Manifest).is_err());
    for (from, to) in [
        ("statement/v1", "Statement/v2"),
        (
            "https://in-toto.io/Statement/v1",
            "https://in-toto.io/Statement/v2",
        ),
        (
            "urn:sealnet:training-receipt:v2",
            "urn:sealnet:training-receipt:v1",
        ),
        ("\"seed\": 1,", "\"seed\": 1, \"seed\": 1,"),
        ("\"seed\": 1,", "\"seed\": 1, \"sead\": 1,"),
        ("\"seed\": 1,", ""),
        ("\"seed\": 1,", "\"seed\": -1,"),
        ("\"sha512\": \"", "\"sha256\": \""),
        ("\"origin\": \"unsealed\"", "\"origin\": \"sealed\""),
        (
            "\"subject\": [",
            "\"subject\": [{\"name\": \"x\", \"digest\": {\"sha512\": \"00\"}}, ",
        ),
        ("glorot-uniform", "zeros"),
        ("\"batch\": 32", "\"batch\": 0"),
        ("\"beta_1\": 0.9", "\"beta_1\": 1.0"),
        ("\"threads\": ", "\"cores\": "),
    ] {
        let changed = payload.replacen(from, to, 1);
        if changed == payload {
            assert_eq!(from, "statement/v1", "{from} is not in\n{payload}");
            continue;
        }
        assert!(
            case.signed(&changed, kind, Domain::TrainingReceipt)
                .is_err(),
            "{to}"
        );
    }
}

/// The largest receipt that training can make is one that export reads.
#[test]
fn the_largest_receipt_is_within_the_limit() {
    let case = Case::new();
    let verified = receipt::verify(&case.receipt, &case.weights, &case.owner.trusted()).unwrap();
    let mut training = verified.training().clone();
    let mut epoch = training.epochs[0];
    for score in [&mut epoch.training, &mut epoch.validation] {
        (score.loss, score.accuracy) = (-1.234_567_890_123_456_7e-300, 0.123_456_789_012_345_67);
    }
    training.epochs = vec![epoch; 10_000];
    training.teacher_epochs = vec![epoch; 10_000];
    let set_aside = receipt::Quarantined {
        record: u64::MAX,
        check: "decrypt".into(),
        cause: "c".repeat(200),
    };
    training.data.quarantined = vec![set_aside; receipt::MAX_QUARANTINED];
    let largest = receipt::sign(&training, "model.safetensors", &case.weights, &case.owner);
    let bytes = largest.len() as u64;
    assert!(bytes <= receipt::MAX_BYTES, "{bytes}");
    assert!(
        bytes > receipt::MAX_BYTES / 2,
        "{bytes}: the limit is not absurd"
    );
    receipt::verify(&largest, &case.weights, &case.owner.trusted()).unwrap();

    let workspace = Workspace::new().trained();
    let mut padded = workspace.read("model.safetensors.receipt.json");
    padded.resize(receipt::MAX_BYTES as usize + 1, b' ');
    workspace.write("model.safetensors.receipt.json", &padded);
    workspace.refused("export model.safetensors -o x.sealed", 2, "is larger than");
}
