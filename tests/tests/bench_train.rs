//! `sealnet bench train` in small: alone, and beside JAX, the peer that the tests have.

use std::ffi::OsString;
use std::fmt::Write;
use std::process::Command;

use sealnet_tests::{Ran, python, sealnet};
use serde_json::Value;
use tempfile::TempDir;

/// A home with a table that is easy to learn: the class is where the large features are.
fn home() -> TempDir {
    let home = TempDir::new().unwrap();
    let mut text = String::new();
    // A sixth of 1,500 tests and a sixth validates: 1,000 are left, and the last batch is a short one.
    for at in 0..1500_u32 {
        let class = at % 3;
        let _ = write!(text, "{class}");
        for column in 0..12 {
            let large = if column / 4 == class { 150 } else { 0 };
            let _ = write!(text, ",{}", large + (at * 37 + column * 101) % 100);
        }
        text.push('\n');
    }
    std::fs::write(home.path().join("data.csv"), text).unwrap();
    home
}

fn bench(home: &TempDir) -> Command {
    let mut command = sealnet(home.path());
    command.args(["bench", "train", "--data", "data.csv", "--rounds", "5"]);
    command
}

/// The medians by one thread and, on a machine with two cores, by two.
fn medians(of: &Value) -> (f64, Option<f64>) {
    for threads in ["one_thread", "two_threads"] {
        if let [Some(least), Some(median), Some(most)] =
            ["least", "median", "most"].map(|key| of[threads][key].as_f64())
        {
            assert!(least <= median && median <= most, "{of}");
        }
    }
    let median = |threads: &str| of[threads]["median"].as_f64();
    (median("one_thread").unwrap(), median("two_threads"))
}

#[test]
fn alone_it_tells_its_own_times() {
    let home = home();
    let found = Ran::new(bench(&home).args(["--alone", "--json"])).json();
    assert_eq!(found["network"], "12-64-64-3");
    assert_eq!(
        (&found["records"], &found["rounds"]),
        (&1000.into(), &5.into())
    );
    let (one, two) = medians(&found["seconds"]["sealnet"]);
    assert!(one > 0.0);
    let cores = found["machine"]["cores"].as_u64().unwrap();
    assert_eq!(two.is_some(), cores > 1);
    assert_eq!(medians(&found["accuracy"]["sealnet"]).0, 1.0);
    assert_eq!(found["weights_differing"], 0);
    assert!(found["ratio_to_jax"].is_null());
    assert_eq!(found["seconds"].as_object().unwrap().len(), 1);
}

#[test]
fn jax_trains_the_same_beside() {
    let home = home();
    let python = python().get_program().to_owned();
    let mut command = bench(&home);
    command.args(["--json", "--peers", "jax", "--python"]);
    let found = Ran::new(command.arg(python)).json();
    let (one, two) = medians(&found["seconds"]["sealnet"]);
    let (jax_one, jax_two) = medians(&found["seconds"]["jax"]);
    let ratio = &found["ratio_to_jax"];
    assert_eq!(ratio["one_thread"].as_f64(), Some(one / jax_one));
    let best = jax_two.map_or(jax_one, |two| two.min(jax_one));
    assert_eq!(ratio["two_threads"].as_f64(), two.map(|two| two / best));
    assert_eq!(medians(&found["accuracy"]["jax"]).0, 1.0);
    assert!(
        found["compile_seconds"]["jax"]["one_thread"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    for package in ["jax", "jaxlib", "python"] {
        assert!(found["versions"]["jax"][package].is_string(), "{package}");
    }
    assert!(found["forms"]["jax"].as_str().unwrap().contains("scan"));
}

#[test]
fn who_does_not_learn_is_refused() {
    let home = home();
    // Labels that nothing tells.
    let text = std::fs::read_to_string(home.path().join("data.csv")).unwrap();
    let shifted = text.lines().enumerate().map(|(at, line)| {
        let (_, features) = line.split_once(',').unwrap();
        format!("{},{features}\n", at * at / 7 % 3)
    });
    let shifted: String = shifted.collect();
    std::fs::write(home.path().join("data.csv"), shifted).unwrap();
    let ran = Ran::new(bench(&home).args(["--alone"]));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let said = "of the test records, less than 94 %: its times count for nothing";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    let ran = Ran::new(bench(&home).args(["--alone", "--least-accuracy", "0"]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn an_interpreter_without_the_peer_is_said() {
    let home = home();
    let mut asked: Vec<OsString> = ["--peers", "keras", "--python"].map(OsString::from).into();
    // It has no Keras.
    asked.push(python().get_program().to_owned());
    let ran = Ran::new(bench(&home).args(asked));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("Keras gave no answer: ModuleNotFound"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("--peers"), "{}", ran.stderr);
}

/// The signal goes to the program alone: what it started must notice by itself.
#[cfg(target_os = "linux")]
#[test]
fn stopped_it_leaves_neither_folder_nor_process() {
    use std::time::{Duration, Instant};

    use sealnet_tests::system::{heeding, names, send};

    let home = home();
    let temporary = home.path().join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let peers = || -> usize {
        let all = std::fs::read_dir("/proc").unwrap();
        let commands =
            all.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
        let folder = temporary.to_str().unwrap();
        let of_ours = |command: &Vec<u8>| String::from_utf8_lossy(command).contains(folder);
        commands.filter(of_ours).count()
    };
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(120), "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let mut command = heeding(home.path());
    command.args(["bench", "train", "--data", "data.csv", "--rounds", "1000"]);
    command.args(["--peers", "jax", "--python"]);
    command
        .arg(python().get_program())
        .env("TMPDIR", &temporary);
    let mut child = command.spawn().unwrap();
    until("no peer starts", &|| peers() > 0);
    send("INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(names(&temporary), <[&str; 0]>::default());
    until("a peer goes on", &|| peers() == 0);
}
