//! A network that Keras trained, on the device: imported, quantised, sealed, and as right as Keras said.
#![cfg(unix)]

use std::path::Path;

use sealnet::dataset::split::split;
use sealnet::dataset::{fetch, idx};
use sealnet::progress::Silent;
use sealnet::train::{self, Backend, Records};
use sealnet::weights;
use sealnet_tests::network::{Folder, logits_differ};
use sealnet_tests::{Ran, python, script, sealnet};

/// Boards in QEMU are slow.
const ON_QEMU: u64 = 300;
const POINTS: f64 = 0.2;

#[test]
fn a_keras_network_keeps_its_accuracy_down_to_the_device() {
    let folder = Folder::default();
    let home = folder.path("");
    let mnist = fetch::mnist(None, None, &Silent).expect("MNIST is cached or can be fetched");
    let mnist = mnist.folder;
    let keras = Ran::new(python().arg(script("keras_mlp.py")).args([
        &mnist,
        &folder.path("keras.safetensors"),
        &folder.path("logits"),
    ]));
    let keras = keras.json()["test_accuracy"].as_f64().unwrap();
    assert!(keras > 0.95, "Keras's network has learned nothing: {keras}");

    reads_as_keras_does(&folder, &mnist);

    let run = |line: &str| {
        let words = line.split(' ').map(|word| match word {
            "DATA" => mnist.to_str().unwrap(),
            word => word,
        });
        let mut command = sealnet(&home);
        Ran::new(command.env("SEALNET_KEYS", "keys").args(words))
    };
    run("keygen keys --json").json();
    let export = "export keras.safetensors -o keras.sealed --data DATA";
    // Nobody vouches for it, and nobody said over what it was trained: both are refused with what to do.
    for (options, code, hint) in [
        ("", 1, "--unverified-weights"),
        (" --unverified-weights", 2, "--input \"u/255\""),
    ] {
        let ran = run(&format!("{export}{options}"));
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(ran.stderr.contains(hint), "{}", ran.stderr);
        assert!(!home.join("keras.sealed").exists());
    }
    let made = run(&format!(
        "{export} --unverified-weights --input u/255 --json"
    ))
    .json();
    let real = made["f32_test_accuracy"].as_f64().unwrap();
    // The same network: a record in ten thousand may lie between two classes.
    assert!((real - keras).abs() < 1.5e-4, "Keras {keras}, read {real}");

    let host = run("infer keras.sealed DATA --part test --json").json();
    let int8 = host["accuracy"].as_f64().unwrap();
    println!("Keras {keras}, f32 {real}, int8 {int8}");
    assert_eq!(host["records"], 10_000);
    assert_eq!(made["test_accuracy"], host["accuracy"]);
    assert!(
        (int8 - keras).abs() <= POINTS / 100.0,
        "Keras {keras}, int8 {int8}"
    );

    let line = format!("infer keras.sealed DATA --part test --limit {ON_QEMU} --json");
    let host = run(&line).json();
    let device = run(&format!("{line} --on qemu")).json();
    // Logits, which is more than the same labels.
    assert_eq!(
        (&device["records"], &device["agree"]),
        (&ON_QEMU.into(), &ON_QEMU.into())
    );
    assert_eq!(device["predictions"], host["predictions"]);
}

/// Every logit of every test image is Keras's, but for the order in which sums are taken.
fn reads_as_keras_does(folder: &Folder, mnist: &Path) {
    let input = Some("u/255".parse().unwrap());
    let (_, imported) = weights::read_as(&folder.path("keras.safetensors"), input).unwrap();
    let data = idx::read_mnist(mnist).unwrap();
    let test = split(&data, None).unwrap().test;
    let ours = train::logits(
        &imported.network,
        Records::from(&data),
        &test,
        Backend::detect(),
    );
    let keras = folder.read("logits").f32("logits");
    assert_eq!(keras.len(), 10_000 * 10);
    let differ = logits_differ(&ours.unwrap(), &keras, 10, 1e-4);
    assert_eq!(differ, Vec::<usize>::new(), "records with other logits");
}
