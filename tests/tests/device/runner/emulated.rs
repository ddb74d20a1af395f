//! The same device as a Cortex-M image in QEMU, behind the same pipe.

use sealnet_firmware::qemu::{Board, Mode, build};
use sealnet_tests::system::{DEAF, gone, mode, names, qemu_after};

use super::*;

/// A desk whose device runs in QEMU. What QEMU needs for a run lies in the desk too.
fn emulated(desk: &Desk) -> Command {
    // In time: a test that waits for an answer should not wait for a compiler.
    build(Board::CortexM4, Mode::Confidential)
        .unwrap_or_else(|error| panic!("{error}\n{}", error.hint()));
    let mut command = desk.command("run --flash flash.bin --on qemu");
    command.env("TMPDIR", desk.root.path());
    command
}

const LEFT: &str = "flash.bin: the device was cut off in QEMU; its flash is as that left it\n";

#[test]
fn counters_never_go_back_whoever_is_killed() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let mut client = Client::new(&desk.identity);
    let features = [9; 784];
    let logits = network(1).oracle(&features);

    let mut device = Process::start(&mut emulated(&desk));
    let answer = client.infer(&mut device, &features).unwrap();
    assert!(answer.computed(&logits));
    let replayed = client.seal(&features).unwrap();
    let response = device.exchange(&replayed.frame).unwrap();
    client.open(&replayed, &response).unwrap();
    assert_eq!(mode(&desk.path("flash.bin.running")), 0o600);
    for command in [
        "info --flash flash.bin",
        "run --flash flash.bin",
        "run --flash flash.bin --on qemu",
    ] {
        let in_use = desk.ran(command);
        assert_eq!(
            (in_use.code, in_use.stderr.as_str()),
            (2, "error: flash.bin is in use by another firmware-sim\n")
        );
    }
    assert_eq!(device.end(), 0);
    assert!(!desk.path("flash.bin.running").exists());
    assert!(counters(&desk).contains("counters   1 boots, security counter 3"));

    // Killed in QEMU, then opened by each of those who open a flash image.
    let mut boot = 1;
    for (next, boots) in [
        ("run --flash flash.bin --on qemu", 1),
        ("run --flash flash.bin", 1),
        (
            "provision --keys keys/device-0001 --model model.sealed --flash flash.bin --force",
            0,
        ),
    ] {
        let mut device = Process::start(&mut emulated(&desk));
        boot += 1;
        assert_eq!(client.status(&mut device).unwrap().boot, boot);
        assert_eq!(refused(&mut device, &replayed.frame), RefusalCode::Replay);
        let answer = client.infer(&mut device, &features).unwrap();
        assert_eq!(answer.receipt.boot, boot);
        device.kill();
        let kept =
            || ["flash.bin", "flash.bin.running"].map(|name| fs::read(desk.path(name)).unwrap());
        let left = kept();
        let ran = desk.ran("info --flash flash.bin --json");
        assert_eq!((ran.code, ran.stderr.as_str()), (0, LEFT));
        assert_eq!(ran.json()["counters"]["boots"], boot);
        assert!(kept() == left, "info only reads");
        let ran = desk.ran(next);
        boot += boots;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stderr.contains(LEFT), "{}", ran.stderr);
        assert_eq!(mode(&desk.path("flash.bin")), 0o600);
        assert!(!desk.path("flash.bin.running").exists());
        let counted = counters(&desk);
        assert!(counted.contains(&format!(" {boot} boots,")), "{counted}");
        // QEMU ended with the runner, and with it went what it had in the folder for temporary files.
        gone(desk.root.path(), "sealnet-qemu-");
    }
}

#[test]
fn what_is_left_of_another_device_is_not_taken() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let mut device = Process::start(&mut emulated(&desk));
    Client::new(&desk.identity).status(&mut device).unwrap();
    device.kill();
    gone(desk.root.path(), "sealnet-qemu-");
    fs::remove_file(desk.path("flash.bin")).unwrap();
    let orphan = desk.provision("model.sealed", "");
    assert_eq!(orphan.code, 2, "{}", orphan.stderr);
    let elsewhere =
        desk.ran("provision --keys keys/device-0001 --model model.sealed --flash other.bin");
    assert_eq!(elsewhere.code, 0, "{}", elsewhere.stderr);
    fs::rename(desk.path("other.bin"), desk.path("flash.bin")).unwrap();
    let before = fs::read(desk.path("flash.bin")).unwrap();
    let made = Command::new("mkfifo").arg(desk.path("pipe")).status();
    assert!(made.unwrap().success());
    for left in [None, Some(&before)] {
        if let Some(bytes) = left {
            desk.write("flash.bin.running", bytes);
        }
        let ran = desk.ran("info --flash flash.bin");
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(
            ran.stderr.contains(
                "flash.bin.running is not what a run of flash.bin left behind\n  hint: if no device of yours"
            ),
            "{}",
            ran.stderr
        );
        assert!(fs::read(desk.path("flash.bin")).unwrap() == before);
    }
    // A pipe there is not waited at.
    fs::rename(desk.path("pipe"), desk.path("flash.bin.running")).unwrap();
    let ran = desk.ran("info --flash flash.bin");
    assert!(
        ran.stderr.contains("is not what a run of"),
        "{}",
        ran.stderr
    );
    fs::remove_file(desk.path("flash.bin.running")).unwrap();
    assert_eq!(desk.ran("info --flash flash.bin").code, 0);
}

/// Counters never go back: a flash that went on meanwhile is not replaced by what an older run left behind.
#[test]
fn what_an_older_run_left_behind_is_not_taken() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let mut device = Process::start(&mut emulated(&desk));
    Client::new(&desk.identity).status(&mut device).unwrap();
    let left = fs::read(desk.path("flash.bin.running")).unwrap();
    device.kill();
    gone(desk.root.path(), "sealnet-qemu-");
    // Its state is taken, and three boots go by.
    for _ in 0..3 {
        assert_eq!(desk.ran("run --flash flash.bin").code, 0);
    }
    let newer = fs::read(desk.path("flash.bin")).unwrap();
    desk.write("flash.bin.running", &left);
    let running = desk.path("flash.bin.running");
    fs::set_permissions(running, fs::Permissions::from_mode(0o600)).unwrap();
    let ran = desk.ran("info --flash flash.bin");
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("its counters are higher\n  hint: if flash.bin"),
        "{}",
        ran.stderr
    );
    assert!(fs::read(desk.path("flash.bin")).unwrap() == newer);
}

/// What came in before the input ended is answered, and a frame that it broke off is one that the device refuses.
#[test]
fn answers_are_counted_whenever_they_come() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    let mut command = emulated(&desk);
    command.args(["--timeout", "20"]);
    let mut device = Process::start(&mut command);
    let mut client = Client::new(&desk.identity);
    for _ in 0..20 {
        client.status(&mut device).unwrap();
    }
    device
        .input
        .as_mut()
        .unwrap()
        .write_all(&[5, 1, 2])
        .unwrap();
    assert_eq!(device.end(), 0);
}

#[test]
fn a_device_that_serves_no_model_says_why() {
    let desk = Desk::new();
    let mut forged = desk.model(&network(1), 9);
    forged[1000] ^= 1;
    desk.write("forged.sealed", &forged);
    assert_eq!(desk.provision("forged.sealed", " --no-check").code, 0);
    let in_process = desk.ran("run --flash flash.bin");
    let ran = Ran::new(emulated(&desk).stdin(Stdio::null()));
    assert_eq!((in_process.code, ran.code), (1, 1), "{}", ran.stderr);
    let said = ran.stderr.find("error: ").unwrap();
    assert!(in_process.stderr.ends_with(&ran.stderr[said..]));
    assert!(
        ran.stderr.contains("warn  NoModel(Model(Signature))\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_board_takes_a_newer_model_over_its_wire_and_nothing_else() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    emulated(&desk);
    let newer = network(2);
    let mut forged = desk.model(&newer, 9);
    forged[1000] ^= 1;
    desk.write("forged.sealed", &forged);
    desk.write("equal.sealed", &desk.model(&newer, 3));
    desk.write("newer.sealed", &desk.model(&newer, 4));
    desk.write("newest.sealed", &desk.model(&network(1), 5));
    let update = |model: &str| format!("update --flash flash.bin --model {model}");

    for model in ["forged.sealed", "equal.sealed"] {
        let in_process = desk.ran(&update(model));
        let ran = desk.ran(&(update(model) + " --on qemu"));
        assert_eq!((in_process.code, ran.code), (1, 1), "{}", ran.stderr);
        let said = ran.stderr.find("error: ").unwrap();
        assert_eq!(in_process.stderr, ran.stderr[said..]);
        assert!(counters(&desk).contains("security counter 3"), "{model}");
    }

    let ran = desk.ran(&(update("newer.sealed") + " --on qemu --json"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let expected =
        serde_json::json!({"device": "0001", "security_counter": {"before": 3, "after": 4}});
    assert_eq!(said, expected);
    assert!(ran.stderr.contains("Confirmed"), "{}", ran.stderr);
    assert!(!desk.path("flash.bin.running").exists());
    assert_eq!(mode(&desk.path("flash.bin")), 0o600);
    let info = desk.ran("info --flash flash.bin").stdout;
    let state = "active     slot B; no trial; the last update that was tried is confirmed\n";
    assert!(info.contains(state), "{info}");
    let mut device = desk.boot();
    let answer = Client::new(&desk.identity).infer(&mut device, &[9; 784]);
    assert!(answer.unwrap().computed(&newer.oracle(&[9; 784])));
    assert_eq!(device.end(), 0);

    // A board that ends on the way keeps what it had.
    let path = qemu_after(&desk.path("dying"), "(sleep 1; kill -9 $$) &");
    let mut dying = desk.command(&(update("newest.sealed") + " --on qemu"));
    let ran = Ran::new(dying.env("PATH", path));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("error: QEMU failed: "),
        "{}",
        ran.stderr
    );
    assert!(counters(&desk).contains("security counter 4"));
    let ran = desk.ran(&(update("newest.sealed") + " --on qemu --streamed"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let said = "flash.bin: the model is replaced; security counter 4 -> 5\n";
    assert!(ran.stderr.ends_with(said), "{}", ran.stderr);
}

/// Runs with a changed environment and one request that is never answered; exit code 2, and what it says.
fn fails(desk: &Desk, command: &mut Command) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // Who fails before it reads does not hear it.
    let _ = input.write_all(&frame(Kind::StatusQuery, &[]));
    // The input stays open: it is not its end that ends the run.
    let output = child.wait_with_output().unwrap();
    drop(input);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(!desk.path("flash.bin.running").exists());
    let left = names(desk.root.path());
    assert!(
        !left.iter().any(|name| name.starts_with("sealnet-qemu-")),
        "{left:?}"
    );
    said
}

#[test]
fn what_is_missing_and_what_hangs_is_said() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    fs::create_dir(desk.path("empty")).unwrap();

    let said = fails(&desk, emulated(&desk).env("PATH", desk.path("empty")));
    assert!(said.contains("error: cannot run qemu-system-arm"), "{said}");
    assert!(said.contains("hint: install QEMU for Arm"), "{said}");

    let sources = desk.path("empty");
    let said = fails(&desk, emulated(&desk).env("SEALNET_SOURCES", sources));
    assert!(said.contains("the firmware's sources are not at"), "{said}");
    assert!(said.contains("hint: say where a clone"), "{said}");

    let path = qemu_after(&desk.path("deaf"), DEAF);
    let mut command = emulated(&desk);
    let said = fails(&desk, command.args(["--timeout", "5"]).env("PATH", path));
    assert!(said.contains("Booting"), "{said}");
    assert!(
        said.contains("error: the device in QEMU gave no answer within 5 s\n"),
        "{said}"
    );

    let path = qemu_after(&desk.path("dying"), "(sleep 2; kill -9 $$) &");
    let mut command = emulated(&desk);
    let mut device = Process::start(command.env("PATH", path));
    Client::new(&desk.identity).status(&mut device).unwrap();
    assert_eq!(device.child.wait().unwrap().code(), Some(2));
    // And its flash is as QEMU's end left it.
    assert!(!desk.path("flash.bin.running").exists());
    assert!(counters(&desk).contains("boots, security counter 3"));

    let path = qemu_after(&desk.path("refusing"), "set -- -no-such-option");
    let said = fails(&desk, emulated(&desk).env("PATH", path));
    assert!(said.contains("no-such-option"), "{said}");
}

/// What is installed on the machine is not installed without a word.
#[test]
fn the_installation_of_a_target_is_said() {
    let desk = Desk::new();
    assert_eq!(desk.provision("model.sealed", "").code, 0);
    fs::create_dir(desk.path("bin")).unwrap();
    for (name, script) in [
        ("qemu-system-arm", "exit 0"),
        ("rustup", "case \"$*\" in 'target add '*) exit 1;; esac"),
    ] {
        let path = desk.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = desk.command("run --flash flash.bin --on qemu --board cortex-m3");
    command.env("PATH", desk.path("bin"));
    // Where nothing was built yet.
    command.env("CARGO_TARGET_DIR", desk.path("built"));
    let ran = Ran::new(command.stdin(Stdio::null()));
    let said = "installing the Rust target thumbv7m-none-eabi: rustup target add thumbv7m-none-eabi\n\
                error: no Rust toolchain here builds for thumbv7m-none-eabi\n  hint: rustup target add";
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.starts_with(said), "{}", ran.stderr);
}
