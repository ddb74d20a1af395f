//! `train`: what it writes, what it says, and what it refuses.

use std::fs;

use sealnet::weights;
use sealnet_core::sign::sha512;

use super::workspace::Workspace;

#[test]
fn the_result_is_said_and_lies_beside() {
    let workspace = Workspace::new();
    let result = workspace.json("train data.csv -o model.safetensors --hidden 9,7 --seed 5");
    let bytes = workspace.read("model.safetensors");
    assert_eq!(result["weights_sha512"], hex::encode(sha512(&[&bytes])));
    assert_eq!(
        (&result["recipe"], &result["seed"]),
        (&"paper".into(), &5.into())
    );
    assert_eq!(result["epochs"], 5);
    assert_eq!(result["history"].as_array().unwrap().len(), 5);
    assert_eq!(result["data"]["origin"], "unsealed");
    assert_eq!(result["split"]["training"], 120);
    assert!(result["test_accuracy"].as_f64().unwrap() <= 1.0);
    let network = weights::from_safetensors(&bytes).unwrap();
    assert_eq!(network.shape().widths(), [6, 9, 7, 3]);
    assert!(workspace.path("model.safetensors.receipt.json").is_file());
}

#[test]
fn a_seed_gives_the_same_file_sealed_or_not() {
    let workspace = Workspace::new();
    let digest = |line: &str| workspace.json(line)["weights_sha512"].clone();
    let one = digest("train data.csv -o 1.safetensors --seed 4");
    assert_eq!(one, digest("train data.csv -o 2.safetensors --seed 4"));
    assert_ne!(one, digest("train data.csv -o 3.safetensors --seed 5"));
    assert_ne!(
        one,
        digest("train data.csv -o 4.safetensors --seed 4 --split-seed 9")
    );
    assert_eq!(
        workspace.read("1.safetensors"),
        workspace.read("2.safetensors")
    );
    workspace.done("seal data.csv vault");
    assert_eq!(one, digest("train vault -o 5.safetensors --seed 4"));
}

/// The paper's figure 2, where its pipeline loses accuracy: here the records that come out of the vault are
/// those that went in, and so are the weights.
#[test]
fn a_folder_of_images_gives_the_same_weights_sealed_or_not() {
    let workspace = Workspace::new();
    workspace.noise();
    workspace.done("seal noise vault");
    let train = |source: &str, output: &str| {
        workspace.json(&format!("train {source} -o {output} --epochs 2"))
    };
    let plain = train("noise", "plain.safetensors");
    let sealed = train("vault", "sealed.safetensors");
    assert_eq!(plain["weights_sha512"], sealed["weights_sha512"]);
    assert_eq!(plain["test_accuracy"], sealed["test_accuracy"]);
    assert_eq!(
        plain["data"]["records_sha512"],
        sealed["data"]["records_sha512"]
    );
    assert_eq!(plain["history"], sealed["history"]);
    assert_eq!(
        workspace.read("plain.safetensors"),
        workspace.read("sealed.safetensors")
    );
}

#[test]
fn a_recipe_may_be_a_file() {
    let workspace = Workspace::new();
    let paper = workspace.done("recipe paper").stdout;
    let digest = |line: &str| workspace.json(line)["weights_sha512"].clone();
    let built_in = digest("train data.csv -o 1.safetensors");
    // The same under another name trains the same numbers, in a file that says another name.
    workspace.write("paper.toml", paper.as_bytes());
    let file = digest("train data.csv -o 2.safetensors --recipe paper.toml");
    assert_eq!(built_in, file);
    let own = paper.replace("\"paper\"", "\"own\"");
    workspace.write(
        "own.toml",
        own.replace("batch = 32", "batch = 16").as_bytes(),
    );
    let trained = workspace.json("train data.csv -o 3.safetensors --recipe own.toml");
    assert_eq!(trained["recipe"], "own");
    assert_ne!(trained["weights_sha512"], built_in);
    let shorter = workspace.json("train data.csv -o 4.safetensors --recipe own.toml --epochs 2");
    assert_eq!(shorter["recipe"], "own, 2 epochs");
    assert_eq!(shorter["epochs"], 2);
    workspace.refused(
        "train data.csv -o own.toml --recipe own.toml",
        2,
        "own.toml",
    );
    let again = workspace.json("reproduce 4.safetensors.receipt.json");
    assert_eq!(again["weights_sha512"], shorter["weights_sha512"]);
}

#[test]
fn a_receipt_names_manifest_and_quarantined_records() {
    let workspace = Workspace::new();
    let sealed = workspace.json("seal data.csv vault");
    let line = "train vault -o model.safetensors --max-tampered 1";
    let clean = workspace.json(line);
    let origin = &clean["data"]["origin"]["manifest"];
    assert_eq!(origin["manifest"]["name"], "manifest-00000001.json");
    assert_eq!(
        origin["manifest"]["digest"]["sha512"],
        sealed["manifest_digest"]
    );
    assert_eq!(origin["serial"], 1);
    assert_eq!(clean["data"]["quarantined"].as_array().unwrap().len(), 0);

    // One bit of the third record's ciphertext.
    let shard = fs::read_dir(workspace.path("vault/shards"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "fernet"))
        .unwrap();
    let mut text = fs::read_to_string(&shard).unwrap().into_bytes();
    let line_length = text.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let place = 2 * line_length + 60;
    text[place] = if text[place] == b'A' { b'B' } else { b'A' };
    fs::write(&shard, text).unwrap();

    workspace.refused("train vault -o other.safetensors", 1, "record 2");
    assert!(
        !workspace.path("other.safetensors").exists(),
        "nothing was learnt from it"
    );
    let quarantined = workspace.json(line);
    assert_eq!(quarantined["data"]["records"], 179);
    assert_eq!(quarantined["data"]["quarantined"][0]["record"], 2);
    assert_eq!(quarantined["data"]["quarantined"][0]["check"], "decrypt");
}

#[test]
fn bad_input_leaves_the_old_weights() {
    let workspace = Workspace::new();
    workspace.write("old.safetensors", b"old");
    workspace.write("tiny.csv", b"label,a\n0,1\n1,2\n");
    workspace.write("one.csv", b"label,a\n0,1\n0,2\n0,3\n0,4\n0,5\n0,6\n");
    fs::create_dir(workspace.path("empty")).unwrap();
    // 2^16 - 1 columns, too many for layers that wide.
    let row = |cell: &dyn Fn(usize) -> String| {
        (0..65_535).fold(String::new(), |row, column| row + "," + &cell(column))
    };
    let mut wide = format!("label{}\n", row(&|column| format!("c{column}")));
    for label in 0..12 {
        wide += &format!("{}{}\n", label % 2, row(&|column| (column % 7).to_string()));
    }
    workspace.write("wide.csv", wide.as_bytes());
    for (line, code, words) in [
        ("train missing.csv -o old.safetensors", 2, "missing.csv"),
        ("train empty -o old.safetensors", 2, "empty"),
        ("train tiny.csv -o old.safetensors", 2, "too few records"),
        ("train one.csv -o old.safetensors", 2, "1 classes"),
        (
            "train data.csv -o missing/x.safetensors",
            2,
            "missing/x.safetensors",
        ),
        ("train data.csv -o empty", 2, "empty"),
        ("train data.csv -o missing/", 2, "names a folder"),
        (
            "train data.csv -o old.safetensors --receipt missing/",
            2,
            "names a folder",
        ),
        (
            "train data.csv -o old.safetensors --receipt ./old.safetensors",
            2,
            "cannot be written in one place",
        ),
        ("train data.csv -o old.safetensors --keys none", 2, "none"),
        // A log that was there is not begun anew for a training that cannot be.
        (
            "train data.csv -o new.safetensors --recipe quick --log old.safetensors",
            2,
            "changes images",
        ),
        (
            "train wide.csv -o new.safetensors --hidden 4096,4096",
            2,
            "narrower",
        ),
        (
            "train data.csv -o old.safetensors --min-serial 1",
            2,
            "data.csv",
        ),
    ] {
        workspace.refused(line, code, words);
        assert_eq!(workspace.read("old.safetensors"), b"old", "{line}");
    }
}
