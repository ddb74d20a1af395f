//! A folder with keys and a small data set, and commands that run in it.

use std::fs;
use std::path::PathBuf;

use sealnet::dataset::{Dataset, Part, idx};
use sealnet::keys::KeyFolder;
use sealnet::random::{Random, Stream};
use sealnet_tests::{Ran, sealnet};
use serde_json::Value;

/// A home of one test's own. Holds `keys` (devices 0001 and 0002, the latter with an HMAC key) and
/// `data.csv`: 180 records of 6 features in 3 classes.
pub(crate) struct Workspace(tempfile::TempDir);

impl Workspace {
    pub(crate) fn new() -> Workspace {
        let workspace = Workspace(tempfile::tempdir().unwrap());
        workspace.done("keygen keys");
        workspace.done("keygen keys --device 0002 --hmac --add");
        workspace.csv("data.csv", 1);
        workspace
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn keys(&self) -> KeyFolder {
        KeyFolder::open(&self.path("keys")).unwrap()
    }

    /// Runs a command line, split at spaces.
    pub(crate) fn run(&self, line: &str) -> Ran {
        let mut command = sealnet(self.0.path());
        command.env("SEALNET_KEYS", "keys").args(line.split(' '));
        Ran::new(&mut command)
    }

    /// Runs a command line that must succeed.
    pub(crate) fn done(&self, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, 0, "{line}: {}", ran.stderr);
        ran
    }

    /// Runs a command line that must succeed, for its JSON document.
    pub(crate) fn json(&self, line: &str) -> Value {
        self.run(&format!("{line} --json")).json()
    }

    /// Runs a command line that must be refused with this exit code and a message that has these words.
    #[track_caller]
    pub(crate) fn refused(&self, line: &str, code: i32, words: &str) {
        let ran = self.run(line);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (code, ""),
            "{line}: {}",
            ran.stderr
        );
        assert!(
            ran.stderr.contains(words),
            "{line}: {words:?} in\n{}",
            ran.stderr
        );
        assert!(
            ran.stderr.contains("hint:"),
            "{line}: no hint in\n{}",
            ran.stderr
        );
    }

    /// Trains `model.safetensors` on `data.csv`.
    pub(crate) fn trained(self) -> Workspace {
        self.done("train data.csv -o model.safetensors --hidden 9,7 --epochs 30");
        self
    }

    /// Exports `model.sealed` from `model.safetensors`.
    pub(crate) fn exported(self) -> Workspace {
        self.done("export model.safetensors -o model.sealed --counter 3");
        self
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Flips a bit in the middle of a file.
    pub(crate) fn touch(&self, name: &str) {
        let mut bytes = self.read(name);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.write(name, &bytes);
    }

    /// Writes 180 records around three centres.
    pub(crate) fn csv(&self, name: &str, seed: u64) {
        let mut random = Random::new(seed, Stream::Split);
        let mut text = "label,a,b,c,d,e,f\n".to_owned();
        for _ in 0..180 {
            let label = random.below(3);
            text += &label.to_string();
            for feature in 0..6 {
                let centre = [20, 120, 220][((label + feature) % 3) as usize];
                text += &format!(",{}", centre + random.below(60));
            }
            text.push('\n');
        }
        self.write(name, text.as_bytes());
    }

    /// Writes `noise`: 120 records in the simulated device's dimensions, the last 30 for the test.
    pub(crate) fn noise(&self) {
        let mut random = Random::new(1, Stream::Split);
        let data = Dataset {
            name: "noise".into(),
            shape: vec![28, 28],
            classes: 10,
            features: (0..120 * 784).map(|_| random.below(256) as u8).collect(),
            labels: (0..120).map(|index| index % 10).collect(),
            parts: [("train", 0, 90), ("test", 90, 30)]
                .map(|(name, start, len)| Part {
                    name: name.into(),
                    start,
                    len,
                })
                .into(),
            scaling: None,
            class_names: None,
            headings: None,
        };
        fs::create_dir(self.path("noise")).unwrap();
        idx::write_folder(&self.path("noise"), &data).unwrap();
    }
}
