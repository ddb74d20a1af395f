//! Bit-exactness on the real instruction set: MNIST's test images through Cortex-M boards in QEMU, every logit
//! equal to the host's. A target of its own: it takes minutes and both cores, so nothing runs beside it.
#![cfg(unix)]

use sealnet::dataset::fetch;
use sealnet::progress::Silent;
use sealnet_tests::{Ran, sealnet};
use tempfile::TempDir;

/// Model, options, images, and which of the two kernels for DSP instructions answers.
const CASES: [(&str, &str, u64, Option<&str>); 14] = [
    // The default mode on the default core: every test image.
    ("clear.sealed", "--board cortex-m4", 10_000, Some("dense")),
    // Decrypted into RAM.
    ("model.sealed", "--board cortex-m4", 1_000, Some("dense")),
    // Left encrypted in flash.
    ("model.sealed", "--board cortex-m4 --streamed", 1_000, None),
    // The kernel without the DSP extension.
    ("clear.sealed", "--board cortex-m3", 1_000, None),
    ("clear.sealed", "--board cortex-m33", 1_000, Some("dense")),
    // The kernel that leaves out what is zero.
    ("skip.sealed", "--board cortex-m4", 10_000, Some("skip")),
    ("skip.sealed", "--board cortex-m3", 200, None),
    ("skip.sealed", "--board cortex-m33", 1_000, Some("skip")),
    // The same of int4 weights.
    ("int4.sealed", "--board cortex-m4", 10_000, Some("dense")),
    ("int4-model.sealed", "--board cortex-m4", 500, Some("dense")),
    (
        "int4-model.sealed",
        "--board cortex-m4 --streamed",
        100,
        None,
    ),
    ("int4.sealed", "--board cortex-m3", 100, None),
    ("int4.sealed", "--board cortex-m33", 500, Some("dense")),
    ("int4-skip.sealed", "--board cortex-m4", 2_000, Some("skip")),
];

#[test]
fn every_logit_is_the_hosts_on_every_board_and_in_every_mode() {
    let home = TempDir::new().unwrap();
    let mnist = fetch::mnist(None, None, &Silent).expect("MNIST is cached or can be fetched");
    let mnist = mnist.folder.to_str().unwrap();
    let run = |line: &str| {
        let words = line.split(' ').map(|word| match word {
            "DATA" => mnist,
            word => word,
        });
        let mut command = sealnet(home.path());
        Ran::new(
            command
                .env("SEALNET_KEYS", "keys")
                .arg("--json")
                .args(words),
        )
        .json()
    };
    run("keygen keys");
    run("train DATA -o model.safetensors --epochs 1");
    // The device gives nothing away but the label; its receipt has the digest of all logits.
    run("export model.safetensors -o model.sealed --data DATA");
    run("export model.safetensors -o clear.sealed --data DATA --clear");
    run("export model.safetensors -o skip.sealed --data DATA --clear --kernel skip");
    let int4 = "--data DATA --weights int4 --max-loss 3";
    run(&format!(
        "export model.safetensors -o int4-model.sealed {int4}"
    ));
    run(&format!(
        "export model.safetensors -o int4.sealed {int4} --clear"
    ));
    run(&format!(
        "export model.safetensors -o int4-skip.sealed {int4} --clear --kernel skip"
    ));
    for (model, options, images, kernel) in CASES {
        let line = format!("infer {model} DATA --part test --limit {images} --min-counter 1");
        let host = run(&line);
        let qemu = run(&format!("{line} --on qemu {options}"));
        println!(
            "{model} {options}: {} of {images} images, {} s",
            qemu["agree"], qemu["seconds"]
        );
        assert_eq!(
            (&qemu["records"], &qemu["agree"]),
            (&images.into(), &images.into())
        );
        assert_eq!(qemu["kernel"].as_str(), kernel);
        assert_eq!(qemu["predictions"], host["predictions"]);
        assert!(
            host["accuracy"].as_f64().unwrap() > 0.9,
            "the network knows nothing"
        );
    }
}
