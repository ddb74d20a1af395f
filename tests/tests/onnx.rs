//! ONNX files, by ONNX's own checker and ONNX Runtime: the logits are Sealnet's.

use sealnet::dataset::split::split;
use sealnet::dataset::{fetch, idx};
use sealnet::onnx::{self, Origin};
use sealnet::progress::Silent;
use sealnet::train::init::glorot_uniform;
use sealnet::train::{self, Backend, Network, Shape, metrics};
use sealnet::weights;
use sealnet_core::sign::sha512;
use sealnet_tests::network::{Batch, Folder, logits_differ};
use sealnet_tests::{Peer, Ran, sealnet};
use serde_json::{Value, json};

/// Of the largest logit of a record: what the order of sums in f32 may change.
const PART: f32 = 1e-4;

/// Both sides' logits of `batch`, and what ONNX Runtime says of the file.
fn both(
    network: &Network,
    batch: &Batch,
    folder: &Folder,
    peer: &mut Peer,
) -> ([Vec<f32>; 2], Value) {
    let said = peer.ask(&json!({
        "model": folder.path("model.onnx"),
        "batch": folder.batch(batch),
        "answer": folder.path("answer"),
    }));
    let ours = train::logits(network, batch.records(), &batch.all(), Backend::detect()).unwrap();
    ([folder.read("answer").f32("logits"), ours], said)
}

#[test]
fn onnx_runtime_answers_every_mnist_test_image_as_sealnet_does() {
    let folder = Folder::default();
    let mnist = fetch::mnist(None, None, &Silent).expect("MNIST is cached or can be fetched");
    let run = |line: &str| {
        let mut command = sealnet(&folder.path(""));
        let words = line.split(' ').map(|word| match word {
            "DATA" => mnist.folder.to_str().unwrap(),
            word => word,
        });
        Ran::new(command.arg("--json").args(words))
    };
    run("keygen keys").json();
    run("train DATA -o model.safetensors --keys keys --epochs 1").json();
    let made = run("onnx model.safetensors -o model.onnx").json();

    let data = idx::read_mnist(&mnist.folder).unwrap();
    let test = split(&data, None).unwrap().test;
    let batch = Batch {
        features: test
            .iter()
            .flat_map(|&at| data.features_of(at as usize))
            .copied()
            .collect(),
        width: 784,
        labels: test.iter().map(|&at| data.labels[at as usize]).collect(),
    };
    let (bytes, network) = weights::read(&folder.path("model.safetensors")).unwrap();
    let ([theirs, ours], said) = both(&network, &batch, &folder, &mut Peer::start("onnx_peer.py"));
    assert_eq!(ours.len(), 10_000 * 10);
    assert_eq!(logits_differ(&theirs, &ours, 10, PART), Vec::<usize>::new());
    let labels =
        |logits: &[f32]| -> Vec<usize> { logits.chunks(10).map(metrics::argmax).collect() };
    let (theirs, ours) = (labels(&theirs), labels(&ours));
    assert_eq!(theirs, ours);
    let right = ours
        .iter()
        .zip(&batch.labels)
        .filter(|(got, label)| **got == usize::from(**label));
    assert!(right.count() > 9_000, "the network knows nothing");

    // What the file says of itself, to whom it is given.
    let receipt = std::fs::read(folder.path("model.safetensors.receipt.json")).unwrap();
    let expected = json!({
        "sealnet.input": "u/255-0.5",
        "sealnet.network": "784-64-64-10",
        "sealnet.recipe": "paper, 1 epochs",
        "sealnet.weights_sha512": hex::encode(sha512(&[&bytes])),
        "sealnet.receipt_sha512": hex::encode(sha512(&[&receipt])),
    });
    assert_eq!(said["metadata"], expected);
    assert_eq!(made["receipt_sha512"], expected["sealnet.receipt_sha512"]);
    let doc = said["doc"].as_str().unwrap();
    assert!(
        doc.contains("u/255-0.5") && doc.contains("not signed"),
        "{doc}"
    );
    assert_eq!(
        said["inputs"],
        json!(["features", "tensor(uint8)", ["records", 784]])
    );
    assert_eq!(
        said["outputs"],
        json!(["logits", "tensor(float)", ["records", 10]])
    );
    // Features that somebody has scaled already are not taken.
    let refused = said["refused"]
        .as_str()
        .unwrap_or("nothing: it answers reals");
    assert!(refused.contains("uint8"), "{refused}");

    let seen = run("inspect model.onnx").json();
    assert_eq!(seen["kind"], "onnx");
    assert_eq!(seen["inputs"], json!(["features uint8 [records, 784]"]));
    assert_eq!(seen["metadata"][1], "sealnet.network=784-64-64-10");
    std::fs::write(folder.path("no.onnx"), b"no graph").unwrap();
    assert_eq!(run("inspect no.onnx").code, 2);

    // The same again, and another's receipt is none.
    run("onnx model.safetensors -o again.onnx").json();
    let [once, again] = ["model.onnx", "again.onnx"].map(|name| std::fs::read(folder.path(name)));
    assert_eq!(once.unwrap(), again.unwrap());
    run("train DATA -o other.safetensors --keys keys --epochs 1 --seed 2").json();
    let line = "onnx other.safetensors -o other.onnx --receipt model.safetensors.receipt.json";
    assert_eq!(run(line).code, 1);
    assert!(!folder.path("other.onnx").exists());
    std::fs::remove_file(folder.path("other.safetensors.receipt.json")).unwrap();
    let alone = run("onnx other.safetensors -o other.onnx").json();
    assert!(alone["receipt_sha512"].is_null());
}

#[test]
fn networks_of_other_shapes_are_the_same_in_onnx() {
    let mut peer = Peer::start("onnx_peer.py");
    for (seed, [inputs, first, second, classes]) in [[1, 1, 1, 2], [4, 8, 8, 3], [130, 3, 70, 11]]
        .into_iter()
        .enumerate()
    {
        let shape = Shape::new(inputs, [first, second], classes).unwrap();
        let network = glorot_uniform(&shape, seed as u64);
        let batch = Batch::random(&shape, 257, seed as u64);
        let folder = Folder::default();
        let origin = Origin {
            weights: [7; 64],
            recipe: None,
            receipt: None,
        };
        let bytes = onnx::to_onnx(&network, &origin);
        std::fs::write(folder.path("model.onnx"), bytes).unwrap();
        let ([theirs, ours], said) = both(&network, &batch, &folder, &mut peer);
        assert_eq!(
            logits_differ(&theirs, &ours, classes, PART),
            Vec::<usize>::new(),
            "{shape}"
        );
        assert_eq!(said["metadata"]["sealnet.network"], shape.to_string());
        assert_eq!(said["metadata"].as_object().unwrap().len(), 3);
    }
}
