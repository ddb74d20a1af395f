//! The runner `firmware-sim`: the device as a process, its flash as a file.

mod campaigns;
mod emulated;
mod files;
mod lives;
mod provision;
mod weights;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use sealnet::keys::{DeviceSet, KeyFolder, generate};
use sealnet_core::mlp::Granularity;
use sealnet_core::protocol::{Kind, Refusal, RefusalCode, UpdateStep};
use sealnet_firmware::client::{Client, ClientError, Link};
use sealnet_firmware::identity::{DeviceName, Identity};
use sealnet_firmware::journal::REQUEST_BLOCK;
use sealnet_firmware::layout::{FLASH_LEN, IDENTITY, JOURNAL, SLOT_LEN};
use sealnet_firmware::provision::load_keys;
use sealnet_tests::{Ran, binary};

use super::support::*;
use crate::model_fixture::Model;

/// Keys as `keygen` makes them, a model for them, and a place for flash images.
struct Desk {
    root: tempfile::TempDir,
    identity: Identity,
}

impl Desk {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let keys = root.path().join("keys");
        let names = ["0001", "0002"].map(|name| DeviceName::new(name).unwrap());
        let devices = DeviceSet {
            names: &names,
            clear_only: false,
            hmac: false,
        };
        generate(&keys, devices, false).unwrap();
        let identity = load_keys(&keys.join("device-0001")).unwrap();
        let desk = Self { root, identity };
        desk.write("model.sealed", &desk.model(&network(1), 3));
        desk
    }

    fn model(&self, model: &Model, counter: u32) -> Vec<u8> {
        let signing = KeyFolder::open(&self.path("keys"))
            .unwrap()
            .publisher_signing()
            .unwrap();
        Export {
            signing,
            encrypted: false,
            counter,
            ..Export::default()
        }
        .seal(model)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(binary("firmware-sim"));
        command
            .args(arguments.split(' '))
            .current_dir(self.root.path());
        command
    }

    fn ran(&self, arguments: &str) -> Ran {
        Ran::new(self.command(arguments).stdin(Stdio::null()))
    }

    fn provision(&self, model: &str, more: &str) -> Ran {
        self.ran(&format!(
            "provision --keys keys/device-0001 --model {model} --flash flash.bin{more}"
        ))
    }

    fn boot(&self) -> Process {
        Process::start(&mut self.command("run --flash flash.bin"))
    }
}

/// A device in another process.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Process {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Closes its input and waits for its exit code.
    fn end(mut self) -> i32 {
        drop(self.input.take());
        self.child.wait().unwrap().code().unwrap()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Link for Process {
    fn exchange(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.input.as_mut().unwrap().write_all(bytes)?;
        let mut frame = Vec::new();
        self.output.read_until(0, &mut frame)?;
        Ok(frame)
    }
}

/// The code of the one refusal that a device sends.
fn refused(device: &mut Process, frame: &[u8]) -> RefusalCode {
    match frames(&device.exchange(frame).unwrap()).as_slice() {
        [(Kind::Refused, payload)] => Refusal::parse(payload).unwrap().code,
        other => panic!("no single refusal: {other:?}"),
    }
}

/// The document that a command printed, whatever came of it.
fn document(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.stdout).expect("standard output is one JSON document")
}

fn counters(desk: &Desk) -> String {
    let info = desk.ran("info --flash flash.bin").stdout;
    info.lines().last().unwrap().to_owned()
}
