//! The runner `firmware-sim`: the device as a process, its flash as a file.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use sealnet::keys::{DeviceSet, KeyFolder, generate};
use sealnet_core::mlp::Granularity;
use sealnet_core::protocol::{Kind, Refusal, RefusalCode};
use sealnet_firmware::client::{Client, ClientError, Link};
use sealnet_firmware::identity::{DeviceName, Identity};
use sealnet_firmware::journal::REQUEST_BLOCK;
use sealnet_firmware::layout::{FLASH_LEN, IDENTITY, JOURNAL};
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
        let names = [DeviceName::new("0001").unwrap()];
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
        let mut child = self
            .command("run --flash flash.bin")
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
}

/// A device in another process.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
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

#[test]
fn provision_run_and_info() {
    let desk = Desk::new();
    let made = desk.provision("model.sealed", " --min-counter 2");
    assert_eq!(
        (made.code, made.stdout.as_str()),
        (0, ""),
        "{}",
        made.stderr
    );
    assert_eq!(
        made.stderr,
        format!("device 0001: flash.bin provisioned, {FLASH_LEN} bytes\n")
    );
    let mode = fs::metadata(desk.path("flash.bin"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut client = Client::new(&desk.identity);
    let mut device = desk.boot();
    let features = [9; 784];
    let logits = network(1).oracle(&features);
    assert!(
        client
            .infer(&mut device, &features)
            .unwrap()
            .computed(&logits)
    );
    assert_eq!(client.status(&mut device).unwrap().boot, 1);
    let replayed = client.seal(&features).unwrap();
    let response = device.exchange(&replayed.frame).unwrap();
    client.open(&replayed, &response).unwrap();
    let in_use = desk.ran("info --flash flash.bin");
    assert_eq!(
        (in_use.code, in_use.stderr.as_str()),
        (2, "error: flash.bin is in use by another firmware-sim\n")
    );
    assert_eq!(device.end(), 0);

    let info = desk.ran("info --flash flash.bin");
    assert_eq!(info.code, 0, "{}", info.stderr);
    for line in [
        "firmware   0.1.0, built for 784-64-64-10\n",
        "device     0001\n",
        "slot A     claims: 784-64-64-10 \"test\", security counter 3, signed by ed25519 ",
        "slot B     blank\n",
        &format!("counters   1 boots, security counter 3, no request up to {REQUEST_BLOCK}\n"),
    ] {
        assert!(
            info.stdout.contains(line),
            "{line} is not in\n{}",
            info.stdout
        );
    }

    // Killed: a power cut at any moment. The counters go on and the replay stays one.
    for boot in 2..6 {
        let mut device = desk.boot();
        let status = client.status(&mut device).unwrap();
        assert_eq!(status.boot, boot);
        match frames(&device.exchange(&replayed.frame).unwrap()).as_slice() {
            [(Kind::Refused, payload)] => {
                assert_eq!(Refusal::parse(payload).unwrap().code, RefusalCode::Replay);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(
            client.infer(&mut device, &features).unwrap().receipt.boot,
            boot
        );
        device.kill();
    }
}

#[test]
fn a_model_that_does_not_boot_is_not_provisioned_unless_asked_for() {
    let desk = Desk::new();
    let mut forged = fs::read(desk.path("model.sealed")).unwrap();
    forged[1000] ^= 1;
    desk.write("forged.sealed", &forged);
    desk.write(
        "other.sealed",
        &desk.model(
            &Model::random([784, 32, 32, 10], Granularity::PerOutput, 1),
            3,
        ),
    );
    desk.write(
        "large.sealed",
        &desk.model(
            &Model::random([784, 128, 128, 10], Granularity::PerOutput, 1),
            3,
        ),
    );
    let cases = [
        (
            "forged.sealed",
            "",
            1,
            "error: the device serves no model: the signature does not verify",
        ),
        (
            "model.sealed",
            " --min-counter 4",
            1,
            "error: the device serves no model: ",
        ),
        (
            "other.sealed",
            "",
            2,
            "rebuild it with SEALNET_SHAPE=784-32-32-10 cargo build --release\n",
        ),
        (
            "large.sealed",
            "",
            2,
            "  hint: rebuild it for the model: SEALNET_SHAPE=784-128-128-10 cargo build --release\n",
        ),
        (
            "missing.sealed",
            "",
            2,
            "error: cannot read missing.sealed: No such file or directory",
        ),
    ];
    for (model, more, code, text) in cases {
        let ran = desk.provision(model, more);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (code, ""),
            "{model}: {}",
            ran.stderr
        );
        assert!(ran.stderr.contains(text), "{model}: {}", ran.stderr);
        assert!(!desk.path("flash.bin").exists(), "{model}");
    }
    assert_eq!(desk.provision("forged.sealed", " --no-check").code, 0);
    let mut device = desk.boot();
    let error = Client::new(&desk.identity)
        .infer(&mut device, &[0; 784])
        .unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::Refused(Refusal {
                code: RefusalCode::NotReady,
                ..
            })
        ),
        "{error}"
    );
    assert_eq!(device.end(), 1);
}

fn counters(desk: &Desk) -> String {
    let info = desk.ran("info --flash flash.bin").stdout;
    info.lines().last().unwrap().to_owned()
}

#[test]
fn provisioning_again_goes_on_from_the_counters_that_were_there() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let mut client = Client::new(&desk.identity);
    let mut device = desk.boot();
    let request = client.seal(&[9; 784]).unwrap();
    let response = device.exchange(&request.frame).unwrap();
    client.open(&request, &response).unwrap();
    // Not while the device is running.
    let in_use = desk.provision("model.sealed", " --force");
    assert_eq!(in_use.code, 2, "{}", in_use.stderr);
    assert!(in_use.stderr.contains("in use"), "{}", in_use.stderr);
    assert_eq!(device.end(), 0);

    let again = desk.provision("model.sealed", " --force --min-counter 2");
    assert_eq!(again.code, 0, "{}", again.stderr);
    let went_on = format!("1 boots, security counter 3, no request up to {REQUEST_BLOCK}");
    assert_eq!(
        again.stderr,
        format!(
            "the counters of flash.bin go on: {went_on}\n\
             device 0001: flash.bin provisioned, {FLASH_LEN} bytes\n"
        )
    );
    assert_eq!(counters(&desk), format!("counters   {went_on}"));
    let mut device = desk.boot();
    match frames(&device.exchange(&request.frame).unwrap()).as_slice() {
        [(Kind::Refused, payload)] => {
            assert_eq!(Refusal::parse(payload).unwrap().code, RefusalCode::Replay);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(client.status(&mut device).unwrap().boot, 2);
    let response = client.seal(&[9; 784]).unwrap();
    let second = device.exchange(&response.frame).unwrap();
    client.open(&response, &second).unwrap();
    assert_eq!(device.end(), 0);

    desk.write("older.sealed", &desk.model(&network(1), 2));
    let older = desk.provision("older.sealed", " --force");
    assert_eq!(older.code, 1, "{}", older.stderr);
    let raised = desk.provision("model.sealed", " --force --min-counter 4 --no-check");
    assert_eq!(raised.code, 0, "{}", raised.stderr);
    assert!(
        counters(&desk).contains("security counter 4"),
        "{}",
        counters(&desk)
    );

    // Whose counters cannot be read stays as it is.
    let mut bytes = fs::read(desk.path("flash.bin")).unwrap();
    bytes[JOURNAL..].fill(0);
    desk.write("flash.bin", &bytes);
    let refused = desk.provision("model.sealed", " --force");
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("cannot be read") && refused.stderr.contains("  hint: make new"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read(desk.path("flash.bin")).unwrap(), bytes);
}

#[test]
fn update_takes_a_newer_model_that_boots_and_nothing_else() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let mut device = desk.boot();
    let mut client = Client::new(&desk.identity);
    client.infer(&mut device, &[9; 784]).unwrap();
    let in_use = desk.ran("update --flash flash.bin --model model.sealed");
    assert_eq!(in_use.code, 2, "{}", in_use.stderr);
    assert_eq!(device.end(), 0);

    let newer = network(2);
    let mut broken = desk.model(&newer, 9);
    let golden = broken.len() - 256 - 64 - 32 - 16;
    let publisher = KeyFolder::open(&desk.path("keys")).unwrap();
    let publisher = publisher.publisher_signing().unwrap();
    change_and_sign(&mut broken, golden, &publisher);
    desk.write("broken.sealed", &broken);
    let mut forged = desk.model(&newer, 9);
    forged[1000] ^= 1;
    desk.write("forged.sealed", &forged);
    desk.write("older.sealed", &desk.model(&newer, 2));
    desk.write("equal.sealed", &desk.model(&newer, 3));
    let other = Model::random([784, 32, 32, 10], Granularity::PerOutput, 1);
    desk.write("other.sealed", &desk.model(&other, 9));
    desk.write("long.sealed", &[0; 65_537]);
    let before = fs::read(desk.path("flash.bin")).unwrap();
    let cases = [
        ("broken.sealed", 1, "golden"),
        ("forged.sealed", 1, "the signature does not verify"),
        ("older.sealed", 1, "counter 2"),
        (
            "equal.sealed",
            1,
            "  hint: export it with a higher one: sealnet export --counter 4\n",
        ),
        ("other.sealed", 2, "SEALNET_SHAPE=784-32-32-10"),
        ("long.sealed", 2, "65537 bytes long"),
        ("none.sealed", 2, "cannot read none.sealed"),
    ];
    for (model, code, text) in cases {
        let ran = desk.ran(&format!("update --flash flash.bin --model {model}"));
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (code, ""),
            "{}",
            ran.stderr
        );
        assert!(ran.stderr.contains(text), "{model}: {}", ran.stderr);
        assert!(
            fs::read(desk.path("flash.bin")).unwrap() == before,
            "{model} changed the flash"
        );
    }

    desk.write("newer.sealed", &desk.model(&newer, 4));
    let ran = desk.ran("update --flash flash.bin --model newer.sealed");
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            0,
            "flash.bin: the model is replaced; security counter 3 -> 4\n"
        )
    );
    let mode = fs::metadata(desk.path("flash.bin"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(counters(&desk).contains("2 boots, security counter 4"));
    let mut device = desk.boot();
    client.status(&mut device).unwrap();
    let answer = client.infer(&mut device, &[9; 784]).unwrap();
    assert!(answer.computed(&newer.oracle(&[9; 784])));
    assert_eq!(device.end(), 0);
}

/// What is said about a hostile image or a strange file name commands no terminal.
#[test]
fn hostile_text_is_shown_without_control_characters() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", " --no-check").code, 0);
    let good = fs::read(desk.path("flash.bin")).unwrap();
    for text in ["\x1b[31mred", "a\rb", "a\u{9b}1mb", "a\u{202e}b", "a\0b"] {
        for (offset, len) in [(200, 32), (IDENTITY + 16, 16)] {
            let mut bytes = good.clone();
            bytes[offset..offset + len].fill(0);
            bytes[offset..offset + text.len()].copy_from_slice(text.as_bytes());
            desk.write("flash.bin", &bytes);
            for command in ["info", "run"] {
                let ran = desk.ran(&format!("{command} --flash flash.bin"));
                let shown = ran.stdout + &ran.stderr;
                let hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
                assert!(!shown.is_empty() && !shown.contains(hostile), "{shown:?}");
            }
        }
    }
    let mut command = desk.command("info --flash");
    let ran = Ran::new(command.arg("no\x1b[2Jthing").stdin(Stdio::null()));
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr
            .starts_with("error: cannot open no\\u{1b}[2Jthing"),
        "{}",
        ran.stderr
    );
}

#[test]
fn bad_flash_files_are_refused_and_left_alone() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let before = fs::read(desk.path("flash.bin")).unwrap();
    let again = desk.provision("model.sealed", "");
    assert_eq!(again.code, 2);
    assert!(
        again
            .stderr
            .starts_with("error: flash.bin exists\n  hint: "),
        "{}",
        again.stderr
    );
    assert_eq!(fs::read(desk.path("flash.bin")).unwrap(), before);
    assert_eq!(desk.provision("model.sealed", " --force").code, 0);

    let refused = |text: &str| {
        for command in ["run", "info"] {
            let ran = desk.ran(&format!("{command} --flash flash.bin"));
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
            assert!(ran.stderr.contains(text), "{}", ran.stderr);
        }
    };
    let set_mode = |mode| {
        fs::set_permissions(desk.path("flash.bin"), fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(0o640);
    refused("error: flash.bin is open to other users\n  hint: ");
    set_mode(0o600);
    desk.write("flash.bin", &before[1..]);
    refused("error: flash.bin is no flash image of this firmware");
    fs::remove_file(desk.path("flash.bin")).unwrap();
    refused("error: cannot open flash.bin: No such file or directory");

    // A journal without a record: the device reports and refuses, and the exit code says that it is no attack.
    let mut blank = before;
    blank[JOURNAL..].fill(0xFF);
    desk.write("flash.bin", &blank);
    set_mode(0o600);
    let ran = desk.ran("run --flash flash.bin");
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("the journal holds no valid record"),
        "{}",
        ran.stderr
    );
    assert_eq!(desk.ran("info --flash flash.bin").code, 0);
}

#[test]
fn usage_errors_have_code_2() {
    let desk = Desk::new();
    for arguments in [
        "",
        "run",
        "provision --keys keys/device-0001",
        "boot",
        "run --flash",
    ] {
        let mut command = desk.command("");
        command = Command::new(command.get_program());
        command.args(arguments.split(' ').filter(|argument| !argument.is_empty()));
        assert_eq!(Ran::new(&mut command).code, 2, "{arguments}");
    }
    assert_eq!(desk.ran("--help").code, 0);
    let missing = desk.ran("provision --keys nowhere --model model.sealed --flash flash.bin");
    assert_eq!(missing.code, 2);
    assert!(
        missing.stderr.contains("  hint: name a device's folder"),
        "{}",
        missing.stderr
    );
    assert!(!desk.path("flash.bin").exists());
}
