//! `sealnet attack` as a user meets it: figures, files and errors.

use std::path::{Path, PathBuf};

use sealnet::dataset::{fetch, idx};
use sealnet::progress::Silent;
use sealnet_tests::{Ran, sealnet};
use serde_json::Value;

/// A folder with keys, weights of one epoch, and the sealed model made of them.
struct Home {
    folder: tempfile::TempDir,
    mnist: PathBuf,
}

impl Home {
    fn new() -> Home {
        let mnist = fetch::mnist(None, None, &Silent).expect("MNIST is cached or can be fetched");
        let home = Home {
            folder: tempfile::tempdir().unwrap(),
            mnist: mnist.folder,
        };
        home.done("keygen keys");
        home.done("train DATA -o model.safetensors --keys keys --epochs 1");
        home.done("export model.safetensors -o model.sealed --keys keys --data DATA");
        home
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, line: &str) -> Ran {
        let words = line.split(' ').map(|word| match word {
            "DATA" => self.mnist.to_str().unwrap(),
            word => word,
        });
        Ran::new(sealnet(self.path()).arg("--json").args(words))
    }

    fn done(&self, line: &str) -> Value {
        let ran = self.run(line);
        assert_eq!(ran.code, 0, "{line}: {}", ran.stderr);
        ran.json()
    }

    fn refused(&self, line: &str, with: &str) {
        let ran = self.run(line);
        assert_eq!(ran.code, 2, "{line}: {}", ran.stderr);
        assert!(ran.stderr.contains(with), "{line}: {}", ran.stderr);
    }
}

#[test]
fn attacks_from_the_command_line() {
    let home = Home::new();
    let share = |said: &Value, key: &str| said[key].as_f64().unwrap();

    // What is said of an attack is what its records show.
    let fgsm = "attack fgsm model.safetensors DATA --epsilon 0.2 --limit 500";
    let said = home.done(&format!("{fgsm} -o adversarial"));
    assert_eq!(said["attack"]["epsilon"], 51.0 / 255.0);
    assert_eq!(said["records"], 500);
    assert!(share(&said, "accuracy") > 0.8 && share(&said, "attacked_accuracy") < 0.4);
    assert_eq!(said["moved"]["largest"], 51);
    let clean = idx::read_mnist(&home.mnist).unwrap();
    let attacked = idx::read_folder(&home.path().join("adversarial")).unwrap();
    assert_eq!(attacked.labels, clean.labels[60_000..60_500]);
    let again = home.done("attack fgsm model.safetensors adversarial --epsilon 0");
    assert_eq!(again["accuracy"], said["attacked_accuracy"]);
    assert_eq!(again["moved"]["records"], 0);
    assert_eq!(again["success"], 0.0);

    // The same by one thread and without an instruction that not every processor has.
    home.done(&format!("{fgsm} --threads 1 --backend portable -o other"));
    let other = idx::read_folder(&home.path().join("other")).unwrap();
    assert_eq!(other.features, attacked.features);

    // Black stays black.
    home.done(&format!("{fgsm} --keep-background -o kept"));
    let kept = idx::read_folder(&home.path().join("kept")).unwrap();
    let painted = kept.features.iter().zip(&clean.features[60_000 * 784..]);
    assert!(
        painted
            .clone()
            .all(|(&now, &before)| before != 0 || now == 0)
    );
    assert!(painted.into_iter().any(|(now, before)| now != before));

    // A sealed model is attacked through the real network, and judged by its integers.
    let sealed = home.done("attack pgd model.sealed DATA --keys keys --steps 10 --limit 300");
    assert_eq!(sealed["network"], "int8");
    for of in [&sealed, &sealed["surrogate"]] {
        assert!(share(of, "accuracy") > 0.8, "{sealed}");
        assert!(
            share(of, "attacked_accuracy") < share(&said, "accuracy") - 0.3,
            "{sealed}"
        );
    }
    let jsma = home.done("attack jsma model.safetensors DATA --limit 100 --target next");
    assert_eq!(jsma["attack"]["target"], "next");
    assert!(jsma["targets_reached"].as_u64() > Some(50), "{jsma}");
    assert!(
        share(&jsma["moved"], "features") < 0.145 * 784.0 + 2.0,
        "{jsma}"
    );

    home.refused("attack fgsm model.sealed DATA", "there are no keys");
    home.refused(&format!("{fgsm} -o adversarial"), "exists already");
    home.refused(
        "attack fgsm model.safetensors DATA --epsilon 2",
        "a share from 0 to 1",
    );
    home.refused(
        "attack jsma model.safetensors DATA --theta 0",
        "moves nothing",
    );
    home.refused(
        "attack jsma model.safetensors DATA --class 3",
        "--target class",
    );
    home.refused(
        "attack jsma model.safetensors DATA --target class --class 12",
        "there is no class 12",
    );
    home.refused("attack fgsm model.safetensors keys", "holds no IDX files");
    home.refused(
        "attack pgd model.safetensors DATA --step 0.001",
        "move nothing",
    );
    home.refused(
        "attack fgsm model.sealed DATA --keys keys --input u/255",
        "leave --input out",
    );
    // Whatever cannot be written is found before the attack.
    home.refused(&format!("{fgsm} -o nowhere/x.csv"), "nowhere");
    home.refused(
        "attack fgsm model.sealed DATA --keys keys -o keys/owner/x",
        "would lie in",
    );
    home.done("seal DATA vault --keys keys");
    home.refused("attack fgsm model.safetensors vault", "say --keys");
    home.refused("attack poison vault -o p --kind flip", "open it first");
}

#[test]
fn poisoned_records_from_the_command_line() {
    let home = Home::new();
    let clean = idx::read_mnist(&home.mnist).unwrap();
    let poisons = [
        "--kind flip --rate 0.01",
        "--kind fgsm --model model.safetensors --rate 0.01",
        "--kind backdoor --class 7 --rate 0.01",
    ];
    for (number, poison) in poisons.iter().enumerate() {
        let said = home.done(&format!("attack poison DATA -o poisoned{number} {poison}"));
        let poisoned = idx::read_folder(&home.path().join(format!("poisoned{number}"))).unwrap();
        let changed: Vec<u64> = (0..70_000)
            .filter(|&at| clean.labels[at] != poisoned.labels[at])
            .map(|at| at as u64)
            .collect();
        // Of the training records alone, which seal and train as the clean ones do.
        assert_eq!(said["part"], "train");
        assert_eq!(said["poisoned"], 600);
        assert_eq!(said["records"], serde_json::json!(changed));
        assert!(changed.last() < Some(&60_000));
        assert_eq!(poisoned.parts, clean.parts);
    }
    home.refused("attack poison DATA -o p --kind fgsm", "say --model");
    home.refused(
        "attack poison DATA -o p --kind flip --input u/255",
        "--kind fgsm",
    );
    home.refused(
        "attack poison DATA -o p --kind backdoor --side 100 --rate 0",
        "does not fit",
    );
    home.refused(
        "attack poison DATA -o p --kind flip --class 3",
        "--kind backdoor",
    );
    home.refused(
        "attack poison DATA -o p --kind backdoor --class 12",
        "no class 12",
    );
    home.refused(
        "attack poison DATA -o p --kind backdoor --rate 1",
        "a lower rate",
    );
    assert!(!home.path().join("p").exists());
}

#[test]
fn tampering_is_refused_for_the_right_reason() {
    let folder = tempfile::tempdir().unwrap();
    let tamper = |line: &str| {
        let words = line.split(' ');
        Ran::new(
            sealnet(folder.path())
                .args(["--json", "attack", "tamper"])
                .args(words),
        )
    };
    let ran = tamper("--trials 1140 --clean 100 --seed 7");
    let said = ran.json();
    assert_eq!(ran.code, 0, "{said}");
    assert_eq!(
        (&said["trials"], &said["detected"]),
        (&1140.into(), &1140.into())
    );
    assert_eq!(
        (&said["clean"], &said["false_alarms"]),
        (&130.into(), &0.into())
    );
    // Whoever can meet something tampered with does, as often as any other.
    let kinds = said["kinds"].as_array().unwrap();
    for met_by in ["open", "export", "boot", "device", "client"] {
        assert!(
            kinds.iter().any(|kind| kind["met_by"] == met_by),
            "{met_by}"
        );
    }
    for kind in kinds {
        assert_eq!(kind["trials"], 30, "{kind}");
        assert_eq!(kind["detected"], 30, "{kind}");
    }
    assert_eq!(said["bound"], 3.0 / 1140.0);
    let refused = tamper("nowhere");
    assert_eq!(refused.code, 2, "{}", refused.stderr);
}
