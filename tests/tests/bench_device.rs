//! `sealnet bench device` in small: twenty of MNIST's test images on boards in QEMU.
#![cfg(unix)]

use sealnet::dataset::fetch;
use sealnet::progress::Silent;
use sealnet_tests::{Ran, sealnet};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn figures_are_whole_and_within_their_bounds() {
    let home = TempDir::new().unwrap();
    let mnist = fetch::mnist(None, None, &Silent).expect("MNIST is cached or can be fetched");
    let mut command = sealnet(home.path());
    command.args([
        "--json", "--quiet", "bench", "device", "--images", "20", "--from",
    ]);
    let figures = Ran::new(command.arg(&mnist.folder)).json();
    assert_eq!(
        (&figures["images"], &figures["mismatches"]),
        (&20.into(), &0.into())
    );

    let number = |value: &Value| value.as_f64().unwrap();
    let kernels = &figures["kernels"];
    let of = |spread: &Value| ["mean", "min", "max"].map(|name| number(&spread[name]));
    let [dense, skip, portable] = ["dense", "skip", "portable"].map(|name| of(&kernels[name]));
    // What does not look at the image takes the same for each.
    for [mean, min, max] in [dense, portable, of(&figures["plain_loop"])] {
        assert!(mean == min && min == max, "{mean} {min} {max}");
    }
    let [mean, min, max] = skip;
    assert!(min < mean && mean < max, "{min} {mean} {max}");
    // A product takes an instruction at least, and less than it takes CMSIS-NN: 110,361, and 191,200 without DSP
    // instructions, of which a compiler takes some where the core has them.
    let products = (784 * 64 + 64 * 64 + 64 * 10) as f64;
    let [plain_loop, _, _] = of(&figures["plain_loop"]);
    let [portable_m3, _, _] = of(&figures["portable_cortex_m3"]);
    assert!(products < dense[0] && dense[0] < 110_361.0, "{dense:?}");
    assert!(5_000.0 < min && max < dense[0], "{skip:?}");
    assert!(
        dense[0] < portable[0] && portable[0] <= 150_000.0,
        "{portable:?}"
    );
    assert!(
        portable[0] <= portable_m3 && portable_m3 < 191_200.0,
        "{portable_m3}"
    );
    assert!(portable_m3 < plain_loop, "{plain_loop}");
    let modes = &figures["modes"];
    assert_eq!(of(&modes["clear"]["dense"]), dense);
    let confidential = of(&modes["confidential"]["skip"]);
    assert!(
        (confidential[0] / mean - 1.0).abs() < 0.02,
        "{confidential:?}"
    );
    assert!(number(&modes["streamed"]["dense"]["mean"]) > 100.0 * dense[0]);
    for (name, most) in [("code_bytes", 4096.0), ("portable_code_bytes", 4096.0)] {
        let bytes = number(&figures[name]);
        assert!(1000.0 < bytes && bytes <= most, "{name} {bytes}");
    }

    // With int4 weights: half of each word is not there.
    let int4 = &figures["other"];
    assert_eq!(
        (&figures["weights"], &int4["weights"]),
        (&"int8".into(), &"int4".into())
    );
    let [int4_dense, int4_skip] = ["dense", "skip"].map(|name| of(&int4[name]));
    let [mean, min, max] = int4_dense;
    assert!(
        mean == min && min == max && products < mean && mean < 110_361.0,
        "{int4_dense:?}"
    );
    let [mean, min, max] = int4_skip;
    assert!(
        min < mean && mean < max && max < int4_dense[0],
        "{int4_skip:?}"
    );
    let bytes = number(&int4["code_bytes"]);
    assert!(1000.0 < bytes && bytes <= 4096.0, "{bytes}");
    let [all, half] = [&figures, int4].map(|figures| number(&figures["artefact_bytes"]));
    // Outputs are filled up to a multiple of four.
    assert_eq!(all - half, (784 * 64 + 64 * 64 + 64 * 12) as f64 / 2.0);
    let loads = |traced: &Value| number(&traced["whole"]["loads"]);
    assert!(loads(&int4["traced_dense"]) < loads(&figures["traced"]["dense"]));

    // The trace tells of the same runs as the timer does.
    let traces = &figures["traced"];
    for (name, [mean, _, _], traced, most) in [
        ("dense", dense, &traces["dense"], 4.0),
        ("skip", skip, &traces["skip"], 4.0),
        ("portable", portable, &traces["portable"], 4.0),
        (
            "plain_loop",
            of(&figures["plain_loop"]),
            &traces["plain_loop"],
            4.0,
        ),
        ("dense", int4_dense, &int4["traced_dense"], 8.0),
        ("skip", int4_skip, &int4["traced_skip"], 8.0),
    ] {
        let whole = &traced["whole"];
        let executed = number(&whole["instructions"]);
        assert!(
            (0.0..300.0).contains(&(mean - executed)),
            "{name} {mean} {executed}"
        );
        let loads = number(&whole["loads"]);
        assert!((number(&whole["cycles"]) - executed - loads).abs() < 0.01);
        // No weight is used that was not loaded, four a word at best, or eight.
        assert!(
            loads
                > if name == "skip" {
                    2_000.0
                } else {
                    products / most
                },
            "{name} {loads}"
        );
        let layers = traced["layers"].as_array().unwrap();
        let sum: f64 = layers
            .iter()
            .map(|layer| number(&layer["instructions"]))
            .sum();
        assert!(
            layers.len() == 3 && (sum - executed).abs() < 0.01,
            "{name} {sum}"
        );
        let shares: Vec<f64> = layers
            .iter()
            .map(|layer| number(&layer["instructions"]))
            .collect();
        assert!(
            shares[0] > shares[1] && shares[1] > shares[2],
            "{name} {shares:?}"
        );
    }
}
