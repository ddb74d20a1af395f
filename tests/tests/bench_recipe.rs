//! `sealnet bench recipe` in small: its figures are those of `sealnet train` and `sealnet export`.

use std::fmt::Write;
use std::process::Command;

use sealnet_tests::{Ran, sealnet};
use tempfile::TempDir;

/// A home with keys and a table that is easy to learn, but for some noise: the class is where the large features are.
fn home() -> TempDir {
    let home = TempDir::new().unwrap();
    let mut text = String::new();
    for at in 0..900_u32 {
        let class = at % 3;
        let told = if at % 17 == 0 { (class + 1) % 3 } else { class };
        let _ = write!(text, "{told}");
        for column in 0..12 {
            let large = if column / 4 == class { 90 } else { 0 };
            let _ = write!(text, ",{}", large + (at * 37 + column * 101) % 160);
        }
        text.push('\n');
    }
    std::fs::write(home.path().join("data.csv"), text).unwrap();
    Ran::new(sealnet(home.path()).args(["keygen", "keys"]));
    home
}

fn run(home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = sealnet(home.path());
    command.args(arguments).arg("--json");
    command
}

#[test]
fn its_figures_are_those_of_training_and_export() {
    let home = home();
    // Trained together, the second from where the first was before its finish.
    let bench = [
        "bench",
        "recipe",
        "paper",
        "--seeds",
        "2",
        "--data",
        "data.csv",
        "--weights",
        "int8,int4",
    ];
    let all = Ran::new(&mut run(&home, &bench)).json();
    for (found, (weights, recipe)) in (all["results"].as_array().unwrap().iter())
        .zip([("int8", "paper"), ("int4", "paper, int4")])
    {
        assert_eq!(
            (&found["recipe"], &found["weights"]),
            (&recipe.into(), &weights.into())
        );
        let of = |seed: usize, key: &str| found["seeds"][seed][key].as_f64().unwrap();
        for (key, tells) in [
            ("least", f64::min as fn(f64, f64) -> f64),
            ("most", f64::max),
        ] {
            let expected = tells(of(0, "test_accuracy"), of(1, "test_accuracy"));
            assert_eq!(found[key]["test_accuracy"].as_f64(), Some(expected));
        }
        let mean = (of(0, "changed_predictions") + of(1, "changed_predictions")) / 2.0;
        assert_eq!(found["mean"]["changed_predictions"].as_f64(), Some(mean));

        let train = [
            "train",
            "data.csv",
            "-o",
            "m.safetensors",
            "--keys",
            "keys",
            "--seed",
            "2",
        ];
        let mut train = run(&home, &train);
        if weights == "int4" {
            train.args(["--weights", "int4"]);
        }
        let trained = Ran::new(&mut train).json();
        assert_eq!(trained["recipe"], recipe);
        let export = [
            "export",
            "m.safetensors",
            "-o",
            "m.sealed",
            "--keys",
            "keys",
            "--data",
            "data.csv",
        ];
        let mut export = run(&home, &export);
        export.args(["--weights", weights, "--max-loss", "100"]);
        let exported = Ran::new(&mut export).json();
        for key in ["f32_test_accuracy", "test_accuracy", "changed_predictions"] {
            assert_eq!(exported[key].as_f64(), Some(of(1, key)), "{weights} {key}");
        }
        assert_eq!(
            trained["test_accuracy"].as_f64(),
            Some(of(1, "f32_test_accuracy"))
        );
    }
}

#[test]
fn what_it_cannot_do_it_says() {
    let home = home();
    let refused = |arguments: &[&str], tells: &str| {
        let output = run(&home, arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(tells), "{told}");
    };
    refused(&["bench", "recipe", "miracle"], "there is no recipe");
    refused(
        &["bench", "recipe", "quick", "--data", "data.csv"],
        "changes images",
    );
    let robust = [
        "train",
        "data.csv",
        "-o",
        "m.safetensors",
        "--keys",
        "keys",
        "--recipe",
        "robust",
    ];
    refused(
        &[&robust[..], &["--weights", "int4"]].concat(),
        "--weights does not go with recipe robust",
    );
}
