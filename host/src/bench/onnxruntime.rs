//! ONNX Runtime as a peer: its Python package in an environment of its own, and a process that is asked for times.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::python::{Package, Process};
use crate::error::{Error, Result};
use crate::files::Scratch;
use crate::progress::Progress;
use crate::train::{Network, Records};

/// What the peer says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Of ONNX Runtime.
    pub version: String,
    /// On the records measured, 0 to 1, in reals.
    pub f32_accuracy: f64,
    /// By number of threads: the fastest int8 form that its own tools make of the network.
    pub int8: BTreeMap<String, Fastest>,
}

/// An int8 form, chosen by time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fastest {
    /// What it is.
    pub form: String,
    /// On the records measured, 0 to 1.
    pub accuracy: f64,
    /// Every form's images a second in the trial that chose.
    pub tried: BTreeMap<String, u64>,
}

/// A process that runs the network.
pub(super) struct Peer {
    // Ends before its folder goes.
    process: Process,
    said: Said,
    _folder: Scratch,
}

impl Peer {
    /// Starts it: over those of `records` that `which` names, calibrated on those that `calibration` names, ready for each of
    /// these numbers of threads.
    pub(super) fn start(
        python: &Path,
        network: &Network,
        records: Records<'_>,
        which: &[u32],
        calibration: &[u32],
        threads: &[usize],
    ) -> Result<Peer> {
        let folder = Scratch::create("sealnet-bench-")?;
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).map_err(Error::io("write", path))
        };
        let of = |which: &[u32]| -> Vec<u8> {
            let features = which.iter().map(|&index| records.features_of(index));
            features.collect::<Vec<_>>().concat()
        };
        let labels = which.iter().map(|&index| records.labels[index as usize]);
        put("features", &of(which))?;
        put("calibration", &of(calibration))?;
        put(
            "labels",
            &labels.flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
        )?;
        put("weights", &over_bytes(network))?;
        let widths = network.shape().widths();
        let described = json!({ "widths": widths, "threads": threads }).to_string();
        put("network.json", described.as_bytes())?;
        put("peer.py", SCRIPT.as_bytes())?;
        let mut command = Command::new(python);
        let script = folder.path().join("peer.py");
        command.arg("-B").arg(script).arg(folder.path());
        let errors = folder.path().join("errors");
        let mut process = Process::start(&PACKAGE, &mut command, errors, Duration::ZERO)?;
        let said = process.answer()?;
        Ok(Peer {
            process,
            said,
            _folder: folder,
        })
    }

    /// What it says of itself.
    pub(super) fn said(&self) -> &Said {
        &self.said
    }

    /// The seconds that the fastest of so many batches of all records takes in `int8` or `f32`.
    pub(super) fn seconds(&mut self, what: &str, threads: usize, batches: u32) -> Result<f64> {
        self.process
            .ask(&json!({ "what": what, "threads": threads, "batches": batches }))
    }
}

/// Of each layer `[inputs][outputs]` weights, then `[outputs]` biases, f32, little-endian; the first one's for features from 0
/// to 255 instead of -0.5 to 0.5.
fn over_bytes(network: &Network) -> Vec<u8> {
    let mut numbers: Vec<f32> = Vec::new();
    for (layer, number) in network.layers.iter().zip(0..) {
        let scale = if number == 0 { 255.0 } else { 1.0 };
        numbers.extend(layer.weights.iter().map(|weight| weight / scale));
        for (output, bias) in layer.bias.iter().enumerate() {
            let column = layer.weights.iter().skip(output).step_by(layer.outputs);
            let sum: f64 = column.map(|&weight| f64::from(weight)).sum();
            let shift = if number == 0 { sum / 2.0 } else { 0.0 };
            numbers.push((f64::from(*bias) - shift) as f32);
        }
    }
    numbers.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// A Python interpreter that has ONNX Runtime: in an environment in the cache, which is made when it is not there.
///
/// # Errors
/// [`Error::Input`] when Python is missing or its package index does not answer.
pub(super) fn interpreter(progress: &dyn Progress) -> Result<PathBuf> {
    PACKAGE.interpreter(progress)
}

const SCRIPT: &str = include_str!("onnxruntime_peer.py");
const PACKAGE: Package = Package {
    name: "ONNX Runtime",
    folder: "onnxruntime",
    requirements: &["numpy>=2.0", "onnx>=1.16", "onnxruntime>=1.20"],
    modules: "onnxruntime and onnx",
    without: ["measure without it", "--alone"],
};
