//! A training that is stopped goes on to the same bits, wherever it was stopped and whatever computes the rest.

use std::fs;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::process::{Child, Command, Stdio};

use base64ct::{Base64, Encoding};
use sealnet::progress::Silent;
use sealnet::receipt::Split;
use sealnet::train::checkpoint::{Checkpoint, Identity};
use sealnet::train::numerics::Numerics;
use sealnet::train::snapshot::Stage;
use sealnet::train::{self, Backend, EpochDone, Plan, Recipe, Sitting, Snapshot, Trained};
use sealnet_core::sign::{Ed25519SigningKey, SigningKey};
use sealnet_tests::bars::{self, SIDE, attacked, images, plan, taught};
use sealnet_tests::network::Batch;
use sealnet_tests::{Ran, sealnet};
use serde_json::Value;
use tempfile::TempDir;

/// Trains on from `from`; also gives every snapshot that was taken.
fn sitting(plan: &Plan<'_>, from: Option<Snapshot>) -> (Trained, Vec<Snapshot>) {
    let mut taken = Vec::new();
    let sitting = Sitting {
        from,
        progress: &Silent,
        watch: &mut |_, _| (),
        keep: &mut |snapshot| taken.push(snapshot),
    };
    let trained = train::train_on(plan, sitting).unwrap();
    (trained, taken)
}

/// How long epochs took is all that may differ.
fn timeless(snapshots: &[Snapshot]) -> Vec<Snapshot> {
    let timeless = |done: &mut EpochDone| done.seconds = 0.0;
    let mut snapshots = snapshots.to_vec();
    for snapshot in &mut snapshots {
        let epochs = snapshot.teacher.iter_mut().chain(&mut snapshot.history);
        epochs.for_each(timeless);
    }
    snapshots
}

/// Through a file's bytes and back.
fn filed(snapshot: &Snapshot, plan: &Plan<'_>) -> Snapshot {
    let owner = SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[1; 32]));
    let checkpoint = Checkpoint {
        identity: Identity {
            records_sha512: String::new(),
            split: Split {
                seed: None,
                training: plan.training.len() as u64,
                validation: plan.validation.len() as u64,
                test: 0,
            },
            network: plan.shape.into(),
            recipe: plan.recipe.clone(),
            seed: plan.seed,
            numerics: Numerics::this(),
        },
        seconds: 1.0,
        snapshot: snapshot.clone(),
    };
    let bytes = checkpoint.to_bytes(&owner);
    Checkpoint::from_bytes(&bytes, &owner.trusted())
        .unwrap()
        .snapshot
}

#[test]
fn from_every_snapshot_the_same_bits() {
    let images = images(150);
    let all = images.all();
    let smoothed = Recipe {
        teacher: None,
        distillation: None,
        finish: None,
        label_smoothing: 0.1,
        ..taught()
    };
    // Epochs of the teacher, rounds of its answers, and epochs of the network but the last.
    let recipes = [
        ("taught", taught(), 2 + 2 + 3),
        ("attacked", attacked(), 1),
        ("changed", smoothed, 3),
        ("paper", Recipe::paper(), 4),
    ];
    let backends = Backend::available();
    for (name, recipe, points) in &recipes {
        let one = plan(&images, &all, recipe, 1, Backend::detect(), 1);
        let (whole, snapshots) = sitting(&one, None);
        assert_eq!(snapshots.len(), *points, "{name}");
        assert_eq!(train::train(&one, &Silent).unwrap(), whole, "{name}");
        for (point, snapshot) in snapshots.iter().enumerate() {
            let backend = backends[point % backends.len()];
            let other = plan(&images, &all, recipe, 1, backend, 1 + (point + 1) % 3);
            let (resumed, taken) = sitting(&other, Some(filed(snapshot, &one)));
            assert_eq!(resumed, whole, "{name}, from snapshot {point}");
            assert_eq!(timeless(&taken), timeless(&snapshots[point + 1..]));
        }
        // Stopped after every epoch.
        let (mut from, mut last) = (None, None);
        for _ in 0..=*points {
            let (trained, taken) = sitting(&one, from);
            from = taken.into_iter().next();
            last = Some(trained);
        }
        assert_eq!(last, Some(whole), "{name}");
    }
}

#[test]
fn what_is_of_another_training_is_an_error() {
    let images = images(60);
    let all = images.all();
    let recipe = taught();
    let plan = plan(&images, &all, &recipe, 1, Backend::detect(), 1);
    let (_, snapshots) = sitting(&plan, None);
    let mut kinds = 0;
    for snapshot in &snapshots {
        let mut broken = snapshot.clone();
        match &mut broken.stage {
            Stage::Teacher(state) => drop(state.square.pop()),
            Stage::Answers { pool, .. } => pool[0] = vec![0.0].into(),
            Stage::Training { pool, .. } => drop(pool.pop()),
        }
        let sitting = Sitting {
            from: Some(broken),
            progress: &Silent,
            watch: &mut |_, _| (),
            keep: &mut |_| (),
        };
        let error = train::train_on(&plan, sitting).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.hint().contains("another training"), "{error}");
        kinds += 1;
    }
    assert_eq!(kinds, 7);
}

/// A teacher whose answers are all another class makes a network that says so, whatever the labels.
#[test]
fn it_is_the_answers_that_are_learnt() {
    let mut images = images(600);
    let all = images.all();
    let recipe = Recipe {
        epochs: 20,
        finish: None,
        ..taught()
    };
    let wrong = |label: u16| (label + 1) % 3;
    let one = plan(&images, &all, &recipe, 3, Backend::detect(), 2);
    let (honest, snapshots) = sitting(&one, None);
    let asked = snapshots
        .into_iter()
        .filter(|snapshot| matches!(snapshot.stage, Stage::Answers { .. }));
    let mut asked = asked.last().unwrap();
    let Stage::Answers { pool, .. } = &mut asked.stage else {
        unreachable!();
    };
    let answers: Vec<f32> = one
        .training
        .iter()
        .flat_map(|&index| {
            let says = wrong(images.labels[index as usize]);
            (0..3).map(move |class| f32::from(class == says))
        })
        .collect();
    assert_eq!(pool[0].len(), answers.len());
    pool.fill(answers.into());
    let (misled, _) = sitting(&one, Some(asked));
    let validation = one.validation.to_vec();
    let says = |images: &Batch, trained: &Trained| {
        let records = images.records();
        let found = train::evaluate(&trained.network, records, &validation, Backend::detect());
        found.unwrap().accuracy()
    };
    let on_labels = [says(&images, &honest), says(&images, &misled)];
    for label in &mut images.labels {
        *label = wrong(*label);
    }
    let on_answers = [says(&images, &honest), says(&images, &misled)];
    assert!(
        on_labels[0] > 0.9 && on_labels[1] < 0.1,
        "honest, misled: {on_labels:?}"
    );
    assert!(
        on_answers[0] < 0.1 && on_answers[1] > 0.9,
        "honest, misled: {on_answers:?}"
    );
}

/// A home with keys, images in IDX files, and a recipe with everything that takes some seconds.
fn home(epochs: u32) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    fs::create_dir(folder.join("bars")).unwrap();
    for (part, count) in [("train", 1000), ("t10k", 100)] {
        let Batch {
            features, labels, ..
        } = images(count);
        let labels: Vec<u8> = labels.iter().map(|&label| label as u8).collect();
        let file = |name: &str| folder.join("bars").join(format!("{part}-{name}-ubyte"));
        let sizes = [count, SIDE, SIDE];
        sealnet::dataset::idx::write(&file("images-idx3"), &sizes, &features).unwrap();
        sealnet::dataset::idx::write(&file("labels-idx1"), &[count], &labels).unwrap();
    }
    let recipe = bars::TAUGHT.replacen("epochs = 4", &format!("epochs = {epochs}"), 1);
    fs::write(folder.join("small.toml"), recipe).unwrap();
    let ran = Ran::new(sealnet(folder).args(["keygen", "keys"]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    home
}

fn arguments<'a>(output: &'a str, log: &'a str) -> [&'a str; 12] {
    [
        "train",
        "bars",
        "-o",
        output,
        "--keys",
        "keys",
        "--recipe",
        "small.toml",
        "--hidden",
        "17,10",
        "--log",
        log,
    ]
}

/// The receipt without what had no influence on the weights.
fn receipt(folder: &Path, weights: &str) -> Value {
    let bytes = fs::read(folder.join(format!("{weights}.receipt.json"))).unwrap();
    let envelope: Value = serde_json::from_slice(&bytes).unwrap();
    let payload = Base64::decode_vec(envelope["payload"].as_str().unwrap()).unwrap();
    let mut statement: Value = serde_json::from_slice(&payload).unwrap();
    statement["subject"][0]["name"] = Value::Null;
    statement["predicate"]["run"] = Value::Null;
    statement
}

/// A log's rows without the seconds.
fn rows(folder: &Path, log: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.join(log)).unwrap_or_default();
    let row = |line: &str| Some(line.rsplit_once(',')?.0.to_owned());
    text.lines().filter_map(row).collect()
}

/// Starts the command and sends it SIGINT once its log has `wanted` rows below the heading; how it ended.
#[cfg(target_os = "linux")]
fn interrupted(folder: &Path, log: &str, wanted: usize, command: &mut Command) -> Ran {
    let child: Child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    while rows(folder, log).len() < wanted + 1 {
        assert!(begun.elapsed().as_secs() < 300, "no row {wanted}");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    sealnet_tests::system::send("INT", &child);
    let ended = child.wait_with_output().unwrap();
    Ran {
        code: ended.status.code().unwrap_or(-1),
        stdout: String::from_utf8(ended.stdout).unwrap(),
        stderr: String::from_utf8(ended.stderr).unwrap(),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_leaves_a_checkpoint_and_the_same_command_goes_on() {
    use sealnet_tests::system::{heeding, mode, staged};
    let home = home(400);
    let folder = home.path();
    let ran = Ran::new(sealnet(folder).args(arguments("whole", "whole.csv")));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!folder.join("whole.checkpoint").exists());

    // In the teacher's epochs, then amid the network's, each time with something else that computes.
    let checkpoint = folder.join("model.checkpoint");
    let computes = [
        ["--threads", "1"],
        ["--threads", "3"],
        ["--backend", "portable"],
    ];
    let stops = [(1, "the teacher's epoch"), (9, "epoch"), (100, "epoch")];
    for ((wanted, place), compute) in stops.into_iter().zip(computes) {
        let mut command = heeding(folder);
        command.args(arguments("model", "model.csv")).args(compute);
        let ended = interrupted(folder, "model.csv", wanted, &mut command);
        assert_eq!(ended.code, 130, "{}", ended.stderr);
        let last = ended.stderr.lines().last().unwrap();
        let begins = format!("error: stopped by SIGINT; the training so far ({place} ");
        assert!(last.starts_with(&begins), "{last}");
        assert!(
            last.ends_with(") is in model.checkpoint: the same command goes on"),
            "{last}"
        );
        assert_eq!(mode(&checkpoint), 0o600);
        assert_eq!(staged(folder), <[&Path; 0]>::default());
        assert!(!folder.join("model").exists());
    }

    refusals(folder, &checkpoint);

    let arguments = arguments("model", "model.csv");
    let resumed = Ran::new(sealnet(folder).args(arguments).arg("--json"));
    let said = resumed.json();
    assert!(
        resumed
            .stderr
            .contains("goes on from model.checkpoint: epoch ")
    );
    assert_eq!(said["resumed_from_phase"], "training");
    assert!(said["resumed_from_epoch"].as_u64().unwrap() >= 98, "{said}");
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    assert_eq!(read("model"), read("whole"));
    assert_eq!(receipt(folder, "model"), receipt(folder, "whole"));
    assert_eq!(rows(folder, "model.csv"), rows(folder, "whole.csv"));
    assert!(!checkpoint.exists());
}

/// What is not this training's checkpoint is refused, and nothing is changed; an older one is as good.
#[cfg(target_os = "linux")]
fn refusals(folder: &Path, checkpoint: &Path) {
    let arguments = arguments("model", "model.csv");
    let good = fs::read(checkpoint).unwrap();
    let refused = |more: &[&str], code: i32, says: &str| {
        let before = fs::read(checkpoint).unwrap();
        let log = fs::read(folder.join("model.csv")).unwrap();
        let ran = Ran::new(sealnet(folder).args(arguments).args(more));
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        assert!(ran.stderr.contains("--fresh"), "{}", ran.stderr);
        assert_eq!(fs::read(checkpoint).unwrap(), before);
        assert_eq!(fs::read(folder.join("model.csv")).unwrap(), log);
        assert!(!folder.join("model").exists());
    };
    refused(
        &["--seed", "2"],
        2,
        "model.checkpoint is of another training: seed 1 there, 2 here",
    );
    refused(
        &["--epochs", "7"],
        2,
        "recipe \"small\" there, \"small, 7 epochs\" here",
    );
    refused(&["--split-seed", "3"], 2, "split seed none there, 3 here");
    fs::write(checkpoint, &good[..good.len() / 2]).unwrap();
    refused(&[], 1, "model.checkpoint: the checkpoint is refused");
    fs::write(checkpoint, "not a checkpoint").unwrap();
    refused(&[], 1, "it is not a checkpoint");
    // The header, the recipe, the history, the weights, the signature.
    for at in [3, 40, good.len() / 4, good.len() - 70, good.len() - 1] {
        let mut changed = good.clone();
        changed[at] ^= 1;
        fs::write(checkpoint, changed).unwrap();
        refused(&[], 1, "model.checkpoint: the checkpoint is refused");
    }
    fs::write(checkpoint, good).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn fresh_begins_anew() {
    let home = home(3);
    let folder = home.path();
    let arguments = arguments("model", "model.csv");
    let checkpoint = folder.join("model.checkpoint");
    fs::write(&checkpoint, "not a checkpoint").unwrap();
    let ran = Ran::new(sealnet(folder).args(arguments));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let ran = Ran::new(sealnet(folder).args(arguments).args(["--fresh", "--json"]));
    let said = ran.json();
    assert_eq!(said["epochs"], 3);
    assert!(said["resumed_from_epoch"].is_null());
    assert!(!checkpoint.exists());
    // Nothing else that is written or read may have its name.
    let taken = ["--receipt", "model.checkpoint"];
    let ran = Ran::new(sealnet(folder).args(arguments).args(taken));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("in one place"), "{}", ran.stderr);
    fs::create_dir(&checkpoint).unwrap();
    let ran = Ran::new(sealnet(folder).args(arguments));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}

/// Whoever follows the hint is not held up by what is left of the training that came to nothing.
#[test]
fn what_diverged_leaves_nothing_to_go_on_from() {
    let home = home(4);
    let folder = home.path();
    let recipe = Ran::new(sealnet(folder).args(["recipe", "paper"])).stdout;
    let recipe = recipe.replacen("name = \"paper\"", "name = \"hot\"", 1);
    // In the third of six epochs decay begins to take more off a weight than twice what it is.
    let hot = recipe.replacen(
        "learning_rate = 0.001",
        "learning_rate = 0.06\nweight_decay = 100.0",
        1,
    ) + "\n[schedule]\nwarm_up = 1.0\ndecay = \"constant\"\n";
    fs::write(folder.join("small.toml"), hot).unwrap();
    let arguments = arguments("model", "model.csv");
    let ran = Ran::new(sealnet(folder).args(arguments).args(["--epochs", "6"]));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("no longer finite"), "{}", ran.stderr);
    assert!(ran.stderr.contains("epoch 2/6"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("goes on"), "{}", ran.stderr);
    assert!(!folder.join("model.checkpoint").exists());
    fs::write(folder.join("small.toml"), recipe).unwrap();
    let ran = Ran::new(sealnet(folder).args(arguments));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[cfg(unix)]
#[test]
fn a_log_is_written_over_nothing_that_has_another_name() {
    let home = home(4);
    let folder = home.path();
    let key = folder.join("keys/owner/vault.key");
    let before = fs::read(&key).unwrap();
    fs::hard_link(&key, folder.join("model.csv")).unwrap();
    let ran = Ran::new(sealnet(folder).args(arguments("model", "model.csv")));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("hard links"), "{}", ran.stderr);
    assert_eq!(fs::read(&key).unwrap(), before);
    assert!(!folder.join("model").exists());
}
