//! `infer --on qemu`: Cortex-M boards answer, and nothing of them stays behind.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sealnet_tests::system::{DEAF, gone, heeding, names, qemu_after, send};
use sealnet_tests::{Ran, sealnet};

use super::workspace::Workspace;

/// A workspace with `noise` and an encrypted and a clear model of it.
fn workspace() -> Workspace {
    let workspace = Workspace::new();
    workspace.noise();
    workspace.done("train noise -o model.safetensors --epochs 2");
    workspace.done("export model.safetensors -o model.sealed");
    workspace.done("export model.safetensors -o clear.sealed --clear --reply logits");
    std::fs::create_dir(workspace.path("tmp")).unwrap();
    std::fs::create_dir(workspace.path("empty")).unwrap();
    workspace
}

/// A command line whose temporary files lie in the workspace.
fn command(workspace: &Workspace, line: &str) -> Command {
    prepared(heeding(&workspace.path("")), workspace, line)
}

fn prepared(mut command: Command, workspace: &Workspace, line: &str) -> Command {
    command
        .args(line.split(' '))
        .env("SEALNET_KEYS", "keys")
        .env("TMPDIR", workspace.path("tmp"));
    command
}

fn refused(workspace: &Workspace, set: (&str, &OsStr), line: &str) -> String {
    let command = sealnet(&workspace.path(""));
    let ran = Ran::new(prepared(command, workspace, line).env(set.0, set.1));
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
    gone(&workspace.path("tmp"), "sealnet-qemu-");
    ran.stderr
}

#[test]
fn boards_compute_the_hosts_logits() {
    let workspace = workspace();
    for (model, options, board) in [
        ("model.sealed", "", "cortex-m4"),
        ("model.sealed", " --streamed", "cortex-m4"),
        ("clear.sealed", " --board cortex-m3", "cortex-m3"),
        ("clear.sealed", " --board cortex-m33", "cortex-m33"),
    ] {
        let host = workspace.json(&format!("infer {model} noise --on host"));
        let qemu = workspace.json(&format!(
            "infer {model} noise --on qemu{options} --receipts r.bin"
        ));
        assert_eq!(
            (&qemu["on"], &qemu["board"]),
            (&"qemu".into(), &board.into())
        );
        assert_eq!((&qemu["agree"], &qemu["records"]), (&30.into(), &30.into()));
        assert_eq!(qemu["predictions"], host["predictions"]);
        assert!(host["board"].is_null());
        assert_eq!(workspace.read("r.bin").len(), 30 * 320);
        workspace.done(&format!("receipt verify r.bin --model {model}"));
    }

    let quiet = workspace.done("infer clear.sealed noise --on qemu --limit 3");
    assert_eq!(quiet.stdout.lines().count(), 3);
    assert!(!quiet.stderr.contains("Booting"), "{}", quiet.stderr);
    let told = workspace.done("infer clear.sealed noise --on qemu --limit 3 --device-log");
    for line in [
        "device 1: info  Booting { boot: 1 }\n",
        "device 2: info  Answered { message: 1 }\n",
    ] {
        assert!(told.stderr.contains(line), "{}", told.stderr);
    }
    assert!(
        told.stderr
            .contains("3 of 3 records have the host's logits, bit for bit"),
        "{}",
        told.stderr
    );
}

#[test]
fn what_is_missing_and_what_hangs_is_said() {
    let workspace = workspace();
    let line = "infer model.sealed noise --on qemu --timeout 5";
    workspace.done("infer model.sealed noise --on qemu --limit 1");
    let empty = workspace.path("empty");

    let said = refused(&workspace, ("PATH", empty.as_os_str()), line);
    assert!(said.contains("cannot run qemu-system-arm"), "{said}");
    assert!(said.contains("apt-get install qemu-system-arm"), "{said}");

    let said = refused(&workspace, ("SEALNET_SOURCES", empty.as_os_str()), line);
    assert!(said.contains("the firmware's sources are not at"), "{said}");

    let path = qemu_after(&workspace.path("deaf"), DEAF);
    let said = refused(&workspace, ("PATH", &path), line);
    assert!(said.contains("Booting {"), "{said}");
    assert!(said.contains("gave no answer within 5 s"), "{said}");
    assert!(said.contains("hint: the device's last words"), "{said}");

    let path = qemu_after(&workspace.path("refusing"), "set -- -no-such-option");
    let said = refused(&workspace, ("PATH", &path), line);
    assert!(said.contains("no-such-option"), "{said}");
}

/// Starts over all records and waits until boards are running.
fn started(workspace: &Workspace) -> Child {
    let mut child = command(
        workspace,
        "infer model.sealed noise --on qemu --part all --device-log",
    )
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    let begun = Instant::now();
    let running = || {
        let folders = names(&workspace.path("tmp"));
        folders
            .iter()
            .any(|folder| workspace.path("tmp").join(folder).join("wire").exists())
    };
    while !running() {
        assert!(child.try_wait().unwrap().is_none(), "it was quicker");
        assert!(begun.elapsed() < Duration::from_secs(60), "no board runs");
        thread::sleep(Duration::from_micros(200));
    }
    child
}

#[test]
fn told_to_stop_or_killed_it_leaves_no_board_running() {
    let workspace = workspace();
    workspace.done("infer model.sealed noise --on qemu --limit 1");
    for (signal, code) in [("INT", Some(130)), ("TERM", Some(143)), ("KILL", None)] {
        let mut child = started(&workspace);
        send(signal, &child);
        assert_eq!(child.wait().unwrap().code(), code);
        gone(&workspace.path("tmp"), "sealnet-qemu-");
    }
}
