//! Where results go, and which data they are of: nothing is written into a vault or among keys, and a receipt
//! holds for the records and the parts that it names.

use std::fs;

use sealnet::dataset::{self, Dataset, Part, idx};
use sealnet::progress::Silent;
use sealnet::receipt::{self, Split};

use super::workspace::Workspace;

#[test]
fn nothing_is_written_into_a_vault_or_among_keys() {
    let workspace = Workspace::new().trained();
    workspace.done("seal data.csv vault");
    let url = format!("file://{}", workspace.path("vault").display());
    let before = names(&workspace, "vault");
    for output in [
        "vault/w.safetensors",
        "vault/manifest-00000099.json",
        "vault/shards/w.safetensors",
        "keys/../vault/w.safetensors",
        "keys/w.safetensors",
        "keys/owner/w.safetensors",
    ] {
        let refused = |line: &str| workspace.refused(line, 2, "which is an input");
        refused(&format!("train vault -o {output}"));
        refused(&format!("train {url} -o {output}"));
        refused(&format!("train vault -o w.safetensors --receipt {output}"));
        refused(&format!(
            "export model.safetensors -o {output} --data vault --unverified-weights"
        ));
        assert!(!workspace.path("w.safetensors").exists());
        assert!(!workspace.path(output).exists(), "{output}");
    }
    workspace.refused("open vault keys/records", 2, "which is an input");
    workspace.refused("open vault vault/records", 2, "lies in the vault");
    workspace.refused("seal data.csv keys/vault", 2, "one in the other");
    workspace.refused("seal data.csv .", 2, "lies in the vault");
    fs::create_dir(workspace.path("plain")).unwrap();
    fs::rename(workspace.path("data.csv"), workspace.path("plain/data.csv")).unwrap();
    fs::create_dir(workspace.path("cloud")).unwrap();
    fs::rename(workspace.path("keys"), workspace.path("cloud/keys")).unwrap();
    workspace.refused(
        "seal plain/data.csv cloud --keys cloud/keys",
        2,
        "one in the other",
    );
    assert_eq!(names(&workspace, "vault"), before);
    workspace.done("open vault --keys cloud/keys");
}

fn names(workspace: &Workspace, folder: &str) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(workspace.path(folder)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// The records of `data.csv` in a folder of IDX files, of which the first `train` are training records.
fn divided(workspace: &Workspace, folder: &str, train: u64) {
    let place = workspace.path("data.csv");
    let place = place.to_str().unwrap();
    let data = dataset::load(place, &dataset::LoadOptions::default(), &Silent).unwrap();
    let parts = [("train", 0, train), ("test", train, 180 - train)];
    let parts = parts.map(|(name, start, len)| Part {
        name: name.into(),
        start,
        len,
    });
    let data = Dataset {
        parts: parts.to_vec(),
        class_names: None,
        headings: None,
        ..data
    };
    let folder = workspace.path(folder);
    fs::create_dir_all(&folder).unwrap();
    idx::write_folder(&folder, &data.checked().unwrap()).unwrap();
}

#[test]
fn a_moved_boundary_between_training_and_test_is_other_data() {
    for (seal, options) in [
        ("", ""),
        ("seal idx vault --profile paper", " --profile paper"),
    ] {
        let workspace = Workspace::new();
        divided(&workspace, "idx", 120);
        let data = if seal.is_empty() { "idx" } else { "vault" };
        let sealed = || {
            if !seal.is_empty() {
                workspace.done(seal);
            }
        };
        sealed();
        workspace.done(&format!("train {data} -o model.safetensors{options}"));
        let export = format!("export model.safetensors -o model.sealed{options}");
        workspace.done(&export);
        // The same records, of which some that trained now test.
        divided(&workspace, "idx", 90);
        if !seal.is_empty() {
            // An insider leaves the tokens and their data set as they are, and edits the index.
            let index = workspace.path("vault/paper/index.json");
            let text = fs::read_to_string(&index).unwrap();
            let edited = text
                .replacen("\"records\": 120", "\"records\": 90", 1)
                .replacen("\"records\": 60", "\"records\": 90", 1);
            assert_ne!(text, edited);
            fs::write(&index, edited).unwrap();
        }
        workspace.refused(&export, 1, "with other content, parts or form");
    }
}

#[test]
fn a_receipt_with_another_split_is_refused() {
    let workspace = Workspace::new().trained();
    let weights = workspace.read("model.safetensors");
    let keys = workspace.keys();
    let path = workspace.path("model.safetensors.receipt.json");
    let genuine = receipt::read(&path, &weights, &keys.owner_public().unwrap()).unwrap();
    let mut training = genuine.training().clone();
    training.split = Split {
        training: training.split.training + 1,
        test: training.split.test - 1,
        ..training.split
    };
    let signed = receipt::sign(
        &training,
        "model.safetensors",
        &weights,
        &keys.owner_signing().unwrap(),
    );
    fs::write(&path, signed).unwrap();
    workspace.refused(
        "export model.safetensors -o model.sealed",
        1,
        "split otherwise than the training receipt says: 121 training",
    );
}

/// As a newer vault: not understood is not the same as wrong.
#[test]
fn a_newer_model_is_an_environment_error() {
    let workspace = Workspace::new().trained().exported();
    let mut bytes = workspace.read("model.sealed");
    for (version, code, words) in [(2, 2, "a newer sealnet, in version 2"), (0, 1, "version 0")] {
        bytes[8] = version;
        workspace.write("model.sealed", &bytes);
        workspace.refused("infer model.sealed data.csv", code, words);
    }
}
