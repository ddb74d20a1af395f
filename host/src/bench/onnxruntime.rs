//! ONNX Runtime as a peer: its Python package in an environment of its own, and a process that is asked for times.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::dataset::fetch;
use crate::error::{Error, Result};
use crate::files::{self, Scratch};
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
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    folder: Scratch,
    said: Said,
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
        let errors = folder.path().join("errors");
        let errors = File::create(&errors).map_err(Error::io("write", errors))?;
        let mut child = Command::new(python)
            .arg("-B")
            .arg(folder.path().join("peer.py"))
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(Error::io("run", python))?;
        let (Some(questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::input("ONNX Runtime cannot be talked to", ""));
        };
        let mut peer = Peer {
            child,
            questions,
            answers: BufReader::new(answers),
            folder,
            said: Said {
                version: String::new(),
                f32_accuracy: 0.0,
                int8: BTreeMap::new(),
            },
        };
        peer.said = peer.answer()?;
        Ok(peer)
    }

    /// What it says of itself.
    pub(super) fn said(&self) -> &Said {
        &self.said
    }

    /// The seconds that the fastest of so many batches of all records takes in `int8` or `f32`.
    pub(super) fn seconds(&mut self, what: &str, threads: usize, batches: u32) -> Result<f64> {
        let asked = json!({ "what": what, "threads": threads, "batches": batches });
        // What went wrong is in what it does not answer.
        let _ = writeln!(self.questions, "{asked}").and_then(|()| self.questions.flush());
        self.answer()
    }

    fn answer<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        if let Some(answer) = read.ok().and_then(|_| serde_json::from_str(&line).ok()) {
            return Ok(answer);
        }
        let errors = fs::read_to_string(self.folder.path().join("errors")).unwrap_or_default();
        let last = errors.lines().rev().find(|line| !line.trim().is_empty());
        Err(Error::input(
            format!(
                "ONNX Runtime gave no answer: {}",
                last.unwrap_or("it ended without a word")
            ),
            "see that the interpreter has onnxruntime and onnx, or measure without it: --alone",
        ))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    let folder = fetch::cache_dir()?.join("bench/onnxruntime");
    let python = folder.join("bin/python");
    // Written last: what is half-installed has none.
    let mark = folder.join("installed");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    progress.note(&format!(
        "installing ONNX Runtime into {}, once",
        folder.display()
    ));
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))?;
    }
    files::create_dir_all(files::parent(&folder))?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python).args(pip).args(PACKAGES))?;
    fs::write(&mark, wanted).map_err(Error::io("write", &mark))?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<()> {
    let ran = command.stdin(Stdio::null()).output();
    let why = match ran {
        Ok(ran) if ran.status.success() => return Ok(()),
        Ok(ran) => {
            let said = [ran.stderr, ran.stdout].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            let last = said.lines().rev().find(|line| !line.trim().is_empty());
            last.unwrap_or("it says nothing").to_owned()
        }
        Err(e) => format!(
            "{}: {}",
            command.get_program().display(),
            crate::error::reason(&e)
        ),
    };
    Err(Error::input(
        format!("ONNX Runtime cannot be installed: {why}"),
        "install Python with venv and pip, name an interpreter that has onnxruntime and onnx (--python), or \
         measure without it (--alone)",
    ))
}

const SCRIPT: &str = include_str!("onnxruntime_peer.py");
const PACKAGES: [&str; 3] = ["numpy>=2.0", "onnx>=1.16", "onnxruntime>=1.20"];
