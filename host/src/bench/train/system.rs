//! The systems that train beside: where each comes from, and a process that trains when asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Options;
use crate::bench::python::{Package, Process};
use crate::error::{Error, Result};
use crate::files::Scratch;
use crate::progress::Progress;
use crate::train::recipe::Optimizer;

/// Another system that trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// JAX.
    Jax,
    /// PyTorch.
    PyTorch,
    /// scikit-learn.
    ScikitLearn,
    /// Keras on TensorFlow.
    Keras,
}

impl System {
    /// All of them.
    pub const ALL: [System; 4] = [
        System::Jax,
        System::PyTorch,
        System::ScikitLearn,
        System::Keras,
    ];

    /// Its name in options and documents.
    #[must_use]
    pub fn key(self) -> &'static str {
        self.package().folder
    }

    /// Its name as it writes it itself.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.package().name
    }

    fn package(self) -> &'static Package {
        match self {
            System::Jax => &JAX,
            System::PyTorch => &PYTORCH,
            System::ScikitLearn => &SCIKIT_LEARN,
            System::Keras => &KERAS,
        }
    }
}

/// What a peer says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// How it trains.
    pub form: String,
    /// Of Python and its packages, by name.
    pub versions: BTreeMap<String, Option<String>>,
    /// Until the first step is done; `None` where nothing is compiled.
    pub compile_seconds: Option<f64>,
}

/// One training.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Training {
    /// Of the training alone.
    pub(super) seconds: f64,
    /// On the test records, 0 to 1.
    pub(super) accuracy: f64,
}

/// The records and the recipe as the peers read them.
#[derive(Debug)]
pub(super) struct Folder {
    place: Scratch,
    /// Records that a training learns from, epochs together.
    steps: u64,
}

impl Folder {
    pub(super) fn write(options: &Options<'_>) -> Result<Folder> {
        let folder = Scratch::create("sealnet-bench-")?;
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).map_err(Error::io("write", path))
        };
        let records = options.records;
        for (which, prefix) in [(options.training, ""), (options.test, "test_")] {
            let features = which.iter().map(|&index| records.features_of(index));
            put(
                &format!("{prefix}features"),
                &features.collect::<Vec<_>>().concat(),
            )?;
            let labels = which.iter().map(|&index| records.labels[index as usize]);
            put(
                &format!("{prefix}labels"),
                &labels.flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
            )?;
        }
        let Optimizer::Adam(adam) = options.recipe.optimizer;
        let plan = json!({
            "widths": options.shape.widths(),
            "batch": options.recipe.batch,
            "epochs": options.recipe.epochs,
            "learning_rate": adam.learning_rate,
            "beta_1": adam.beta_1,
            "beta_2": adam.beta_2,
            "epsilon": adam.epsilon,
        });
        put("plan.json", plan.to_string().as_bytes())?;
        put(SCRIPT, include_bytes!("peer.py"))?;
        let steps = options.training.len() as u64 * u64::from(options.recipe.epochs);
        Ok(Folder {
            place: folder,
            steps,
        })
    }
}

/// A process that trains by so many threads.
#[derive(Debug)]
pub(super) struct Peer {
    process: Process,
    pub(super) about: About,
}

impl Peer {
    /// Starts it, and waits until it has compiled and trained for an epoch.
    pub(super) fn start(
        system: System,
        python: &Path,
        folder: &Folder,
        threads: usize,
    ) -> Result<Peer> {
        // Twenty times what the slowest takes to learn from a record.
        let more = Duration::from_millis(folder.steps);
        let folder = folder.place.path();
        let mut command = Command::new(python);
        command.arg("-B").arg(folder.join(SCRIPT));
        command.arg(system.key()).arg(folder);
        command.arg(threads.to_string());
        let errors = folder.join(format!("errors-{}-{threads}", system.key()));
        let mut process = Process::start(system.package(), &mut command, errors, more)?;
        let about = process.answer()?;
        Ok(Peer { process, about })
    }

    /// Trains once.
    pub(super) fn train(&mut self, seed: u64) -> Result<Training> {
        self.process.ask(&json!({ "seed": seed }))
    }
}

/// An interpreter that has the system, from the cache.
///
/// # Errors
/// [`Error::Input`] when it cannot be installed.
pub(super) fn interpreter(system: System, progress: &dyn Progress) -> Result<std::path::PathBuf> {
    system.package().interpreter(progress)
}

const SCRIPT: &str = "peer.py";
const WITHOUT: [&str; 2] = ["leave it out", "--peers"];

const JAX: Package = Package {
    name: "JAX",
    folder: "jax",
    requirements: &["jax>=0.6", "numpy>=2.0"],
    modules: "jax",
    without: WITHOUT,
};
const PYTORCH: Package = Package {
    name: "PyTorch",
    folder: "pytorch",
    requirements: &["torch>=2.6", "numpy>=2.0"],
    modules: "torch and numpy",
    without: WITHOUT,
};
const SCIKIT_LEARN: Package = Package {
    name: "scikit-learn",
    folder: "scikit-learn",
    requirements: &["scikit-learn>=1.6", "numpy>=2.0"],
    modules: "scikit-learn",
    without: WITHOUT,
};
// Of TensorFlow there is a smaller package for processors alone, on x86-64.
const KERAS: Package = Package {
    name: "Keras",
    folder: "keras",
    requirements: &[
        "keras>=3.8",
        "tensorflow-cpu>=2.18; sys_platform == 'linux' and platform_machine == 'x86_64'",
        "tensorflow>=2.18; sys_platform != 'linux' or platform_machine != 'x86_64'",
    ],
    modules: "keras and tensorflow",
    without: WITHOUT,
};
