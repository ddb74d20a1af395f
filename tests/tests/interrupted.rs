//! Told to stop, or killed: outputs are whole or absent, nothing half-written lies beside them, and nobody
//! else could read it while it did.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sealnet::dataset::fetch;
use sealnet::progress::Silent;
use sealnet_tests::system::{heeding, mode, names, send, staged, unhanged};
use sealnet_tests::{Ran, sealnet};
use tempfile::TempDir;

const SIGNALS: [(&str, i32); 3] = [("HUP", 1), ("INT", 2), ("TERM", 15)];

/// A home with keys and a sealed table that takes a while to open.
fn sealed() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let rows = (0..20_000).map(|row: usize| {
        let cells = (0..200).map(|column| format!(",{}", (row * 31 + column * 7) % 256));
        format!("{}{}\n", row % 4, cells.collect::<String>())
    });
    fs::write(home.path().join("data.csv"), rows.collect::<String>()).unwrap();
    for arguments in [
        &["keygen", "keys"][..],
        &["seal", "data.csv", "vault", "--keys", "keys"],
    ] {
        let ran = Ran::new(sealnet(home.path()).args(arguments));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    home
}

fn mnist() -> String {
    let fetched = fetch::mnist(None, None, &Silent).expect("MNIST is cached or can be fetched");
    fetched.folder.display().to_string()
}

/// Starts the command and waits until it has something under a temporary name in `folder`; `None` when it
/// was quicker.
fn caught(command: &mut Command, folder: &Path) -> Option<Child> {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        if !staged(folder).is_empty() {
            return Some(child);
        }
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("it neither writes nor ends");
}

/// Sends the signal amid the work, again until it comes amid it, and checks how the program ends.
fn stopped(signal: (&str, i32), folder: &Path, mut command: impl FnMut() -> Command) {
    for _ in 0..ATTEMPTS {
        let Some(child) = caught(&mut command(), folder) else {
            continue;
        };
        send(signal.0, &child);
        let ended = child.wait_with_output().unwrap();
        if ended.status.code() == Some(0) {
            continue;
        }
        assert_eq!(ended.status.code(), Some(128 + signal.1), "SIG{}", signal.0);
        let said = String::from_utf8(ended.stderr).unwrap();
        let last = said.lines().last().unwrap_or_default();
        assert_eq!(
            last,
            format!(
                "error: stopped by SIG{}; every output is whole or absent",
                signal.0
            )
        );
        assert_eq!(staged(folder), <[&Path; 0]>::default());
        return;
    }
    panic!("the signal never came amid the work");
}

#[test]
fn a_stopped_open_leaves_nothing() {
    let home = sealed();
    let folder = home.path();
    let before = names(folder);
    for signal in SIGNALS {
        stopped(signal, folder, || {
            // When the signal came too late the output is whole.
            let _ = fs::remove_file(folder.join("out.csv"));
            let mut command = heeding(folder);
            command.args(["open", "vault", "out.csv", "--keys", "keys"]);
            command
        });
        assert_eq!(names(folder), before);
    }
}

/// A folder is entered by its owner alone until it has its name, whatever the umask.
#[test]
fn what_is_half_written_is_private() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    let data = mnist();
    for arguments in [
        &["keygen", "keys"][..],
        &["seal", &data, "vault", "--keys", "keys"],
    ] {
        let ran = Ran::new(sealnet(folder).args(arguments));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    let before = names(folder);
    let open = || {
        let mut command = heeding(folder);
        command.args(["open", "vault", "out", "--keys", "keys"]);
        command
    };
    let child = caught(&mut open(), folder).expect("opening MNIST takes a while");
    let [part] = &staged(folder)[..] else {
        panic!("one folder is staged");
    };
    assert_eq!(mode(part), 0o700);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    fs::remove_dir_all(folder.join("out")).unwrap();
    stopped(("TERM", 15), folder, || {
        let _ = fs::remove_dir_all(folder.join("out"));
        open()
    });
    assert_eq!(names(folder), before);
}

#[test]
fn a_stopped_seal_leaves_the_old_vault() {
    let home = sealed();
    let folder = home.path();
    for (signal, number) in SIGNALS {
        let mut child = heeding(folder)
            .args(["seal", "data.csv", "vault", "--keys", "keys"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(60));
        send(signal, &child);
        let code = child.wait().unwrap().code();
        assert!(code == Some(128 + number) || code == Some(0), "{code:?}");
        for place in [
            folder.to_owned(),
            folder.join("vault"),
            folder.join("state"),
        ] {
            assert_eq!(staged(&place), <[&Path; 0]>::default());
        }
        let opened = Ran::new(sealnet(folder).args(["open", "vault", "--keys", "keys"]));
        assert_eq!(opened.code, 0, "{}", opened.stderr);
    }
}

#[test]
fn a_stopped_fetch_leaves_old_files_or_whole_ones() {
    let home = tempfile::tempdir().unwrap();
    let to = home.path().join("to");
    fs::create_dir(&to).unwrap();
    let from = mnist();
    let old = || {
        for file in fetch::MNIST_FILES {
            fs::write(to.join(file.name), "old").unwrap();
        }
    };
    let fetching = || {
        old();
        let mut command = heeding(home.path());
        command.args(["fetch", "mnist", "--from", &from, "--to", "to"]);
        command
    };
    let check = || {
        for file in fetch::MNIST_FILES {
            let read = fs::read(to.join(file.name)).unwrap();
            let new = fs::read(Path::new(&from).join(file.name)).unwrap();
            assert!(read == b"old" || read == new, "{}", file.name);
        }
    };
    for signal in SIGNALS {
        stopped(signal, &to, fetching);
        check();
    }
    // Killed, it can remove nothing: the next run does.
    let mut left = false;
    for _ in 0..ATTEMPTS {
        if let Some(mut child) = caught(&mut fetching(), &to) {
            child.kill().unwrap();
            child.wait().unwrap();
            check();
            left |= !staged(&to).is_empty();
        }
        if left {
            break;
        }
    }
    assert!(left, "it was never killed amid the work");
    let whole = Ran::new(&mut fetching());
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    assert!(fetch::has_mnist(&to));
    assert_eq!(names(&to).len(), fetch::MNIST_FILES.len());
}

#[test]
fn what_nohup_ignores_stays_ignored() {
    let home = sealed();
    let folder = home.path();
    let mut command = unhanged(folder);
    command.args(["open", "vault", "out.csv", "--keys", "keys"]);
    let child = caught(&mut command, folder).expect("opening takes a while");
    send("HUP", &child);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert!(folder.join("out.csv").exists());
}

const ATTEMPTS: usize = 30;
