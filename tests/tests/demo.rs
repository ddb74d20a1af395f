//! The demo on real MNIST: one document, every tampering refused, and the device agrees on every image.

use sealnet::dataset::fetch;
use sealnet_tests::{Ran, sealnet};
use tempfile::TempDir;

#[test]
fn the_whole_story_on_mnist() {
    let home = TempDir::new().unwrap();
    let mnist = fetch::mnist(None, None, &sealnet::progress::Silent).unwrap();
    let story = home.path().join("story");
    let ran = Ran::new(
        sealnet(home.path())
            .args(["--json", "demo", "--dir"])
            .arg(&story)
            .arg("--from")
            .arg(&mnist.folder),
    );
    let report = ran.json();

    assert_eq!(report["data"]["name"], "mnist");
    assert_eq!(report["data"]["records"], 70_000);
    assert_eq!(report["seal"]["records"], 70_000);
    assert_eq!(report["open"]["records"], 70_000);
    assert_eq!(report["open"]["failed"], 0);

    let tamper = &report["tamper"];
    assert!(tamper["trials"].as_u64().unwrap() >= 7);
    assert_eq!(tamper["detected"], tamper["trials"]);
    assert_eq!(tamper["false_alarms"], 0);
    assert!(tamper["clean"].as_u64().unwrap() >= 7);
    assert_eq!(report["paper_profile_accepts_insider"], true);
    // The check that was meant to notice it is the one that did.
    let checks = [
        "decrypt:",
        "count:",
        "index:",
        "root:",
        "serial:",
        "signature does not verify",
    ];
    for (trial, check) in tamper["list"].as_array().unwrap().iter().zip(checks) {
        let reason = trial["reason"].as_str().unwrap();
        assert!(reason.contains(check), "{trial}");
    }

    assert_eq!(report["train"]["recipe"], "paper");
    assert_eq!(report["train"]["epochs"], 5);
    assert!(report["train"]["test_accuracy"].as_f64().unwrap() > 0.95);
    let weights = std::fs::read(story.join("model.safetensors")).unwrap();
    let digest = hex::encode(sealnet_core::sign::sha512(&[&weights]));
    assert_eq!(report["train"]["weights_sha512"], digest);

    let model = std::fs::read(story.join("model.sealed")).unwrap();
    assert_eq!(report["export"]["artefact_bytes"], model.len());
    // Images have no names to carry: nothing but the network, and 32 logits.
    assert!(model.len() <= 56_953, "{}", model.len());
    assert_eq!(report["device"]["images"], 10_000);
    assert_eq!(report["device"]["agree"], 10_000);
    let qemu = &report["device"]["qemu"];
    assert_eq!(qemu["board"], "cortex-m4");
    assert_eq!(
        (&qemu["images"], &qemu["agree"]),
        (&500.into(), &500.into())
    );
    assert!(report["device"]["qemu_missing"].is_null());

    // Without QEMU the story is told all the same, and says so in a line.
    let empty = home.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let without = Ran::new(
        sealnet(home.path())
            .args(["demo", "--dir", "without", "--from"])
            .arg(&mnist.folder)
            .env("PATH", &empty),
    );
    assert_eq!(without.code, 0, "{}", without.stderr);
    let said = without
        .stderr
        .lines()
        .filter(|line| line.contains("QEMU") || line.contains("qemu"));
    let said: Vec<_> = said.collect();
    assert!(
        matches!(said.as_slice(), [line] if line.contains("in process only") && line.contains("doctor")),
        "{said:?}"
    );
    assert!(
        without
            .stdout
            .contains("10000 of 10000 images, bit for bit, in process only"),
        "{}",
        without.stdout
    );

    // It overwrites nothing: a second story needs another folder.
    let again = Ran::new(sealnet(home.path()).args(["demo", "--dir"]).arg(&story));
    assert_eq!(again.code, 2, "{}", again.stderr);
}
