//! `sealnet bench host` without its peer, which comes from a package index: that every logit is compared, and what is told.

use std::fmt::Write;

use sealnet_core::mlp::HostKernel;
use sealnet_tests::{Ran, sealnet};
use tempfile::TempDir;

fn ran(home: &TempDir, more: &[&str]) -> Ran {
    let mut text = String::new();
    for at in 0..120_u32 {
        let _ = write!(text, "{}", at % 3);
        // Not a multiple of four.
        for column in 0..7 {
            let _ = write!(text, ",{}", (at * 37 + column * 101 + at % 3 * 80) % 256);
        }
        text.push('\n');
    }
    std::fs::write(home.path().join("data.csv"), text).unwrap();
    let command = ["bench", "host", "--data", "data.csv", "--rounds", "5"];
    Ran::new(sealnet(home.path()).args(command).args(more))
}

#[test]
fn every_logit_is_compared_and_the_figures_are_there() {
    let home = TempDir::new().unwrap();
    let found = ran(&home, &["--alone", "--json"]).json();
    assert_eq!(found["mismatches"], 0);
    assert!(found["compared"].as_u64().unwrap() >= 120 / 6 * 3 * 2);
    assert_eq!(found["kernel"], HostKernel::fastest().name());
    assert_eq!(
        (&found["images"], &found["rounds"]),
        (&20.into(), &5.into())
    );
    assert!(found["int8_images_per_second"].as_f64().unwrap() > 0.0);
    assert!(found["ratio"].is_null() && found["onnxruntime_int8_images_per_second"].is_null());
    let [skip, dense] = ["skip", "dense"].map(|mode| &found["cores"][0][mode]);
    for rates in [skip, dense] {
        let [least, median, most] =
            ["least", "median", "most"].map(|rate| rates[rate].as_f64().unwrap());
        assert!(least <= median && median <= most, "{rates}");
    }
}

#[test]
fn a_kernel_is_used_or_said_to_be_missing() {
    let home = TempDir::new().unwrap();
    for kernel in HostKernel::ALL {
        let ran = ran(&home, &["--alone", "--json", "--kernel", kernel.name()]);
        if kernel.is_available() {
            assert_eq!(ran.json()["kernel"], kernel.name());
        } else {
            assert_eq!(ran.code, 2);
            let said = format!("this machine lacks the kernel {kernel}");
            assert!(ran.stderr.contains(&said), "{}", ran.stderr);
        }
    }
}

#[test]
fn an_interpreter_without_the_peer_is_said() {
    let home = TempDir::new().unwrap();
    let ran = ran(&home, &["--python", "/bin/false"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("ONNX Runtime gave no answer"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("--alone"), "{}", ran.stderr);
}
