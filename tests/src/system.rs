//! The system around the program: signals, small disks, other users.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{env, iter, thread};

use crate::{Ran, binary, sealnet};

/// The built `sealnet` as [`sealnet()`] makes it, with the signals as a terminal has them, whatever the test
/// itself was started with.
pub fn heeding(home: &Path) -> Command {
    through(home, "--default-signal=HUP,INT,TERM")
}

/// The same under `nohup`.
pub fn unhanged(home: &Path) -> Command {
    through(home, "--ignore-signal=HUP")
}

fn through(home: &Path, signals: &str) -> Command {
    let plain = sealnet(home);
    let mut command = Command::new("env");
    command.arg(signals).arg(plain.get_program());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(home);
    command
}

/// Sends a signal, by its name without `SIG`. The process may have ended.
pub fn send(signal: &str, child: &Child) {
    let kill = Command::new("kill")
        .args(["-s", signal, &child.id().to_string()])
        .output();
    kill.expect("kill starts");
}

/// What lies in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("it is listed").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// What lies in a folder under a temporary name.
pub fn staged(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
    names
        .filter(|path| path.extension().is_some_and(|ending| ending == "part"))
        .collect()
}

/// The permission bits of a file or folder.
pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o777
}

/// Sets the permission bits of a file or folder.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

/// A user whom permissions stop: nobody when the test runs as root, else who runs it.
pub struct User {
    folder: PathBuf,
    program: PathBuf,
    is_root: bool,
}

impl User {
    /// With the program and a home of its own in `folder`.
    pub fn in_folder(folder: &Path) -> User {
        set_mode(folder, 0o755);
        let program = folder.join("sealnet");
        // Another process writes it: were it open here, a test that forks meanwhile would keep it busy.
        let copied = Command::new("cp")
            .arg(binary("sealnet"))
            .arg(&program)
            .status();
        assert!(copied.is_ok_and(|status| status.success()));
        set_mode(&program, 0o755);
        let user = User {
            is_root: fs::metadata(folder).expect("it is there").uid() == 0,
            folder: folder.to_owned(),
            program,
        };
        fs::create_dir(folder.join("home")).expect("the folder is new");
        user.owns(&folder.join("home"));
        user
    }

    /// Gives the user a file or folder and what is in it.
    pub fn owns(&self, path: &Path) {
        if self.is_root {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        if path.is_dir() {
            for entry in fs::read_dir(path).expect("it is a folder") {
                self.owns(&entry.expect("it is listed").path());
            }
        }
    }

    /// Runs the program as this user, in the folder.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("HOME", self.folder.join("home"))
            .env("SEALNET_STATE_DIR", self.folder.join("home/state"))
            .env("NO_COLOR", "1");
        if self.is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        Ran::new(&mut command)
    }
}

/// A `PATH` with a `qemu-system-arm` in `folder` that runs this piece of shell, and then becomes the real one with
/// the arguments that it leaves.
pub fn qemu_after(folder: &Path, script: &str) -> OsString {
    let path = env::var_os("PATH").expect("there is a PATH");
    let name = "qemu-system-arm";
    let real = env::split_paths(&path).map(|folder| folder.join(name));
    let real = real.into_iter().find(|program| program.is_file());
    let real = real.expect("QEMU is installed: `tests/run setup`");
    fs::create_dir_all(folder).expect("the folder can be made");
    let script = format!("#!/bin/sh\n{script}\nexec {} \"$@\"\n", real.display());
    // Through a shell, since another test that forks meanwhile would keep a file that is open here busy.
    let written = Command::new("sh")
        .args(["-c", r#"printf %s "$1" > "$0" && chmod 755 "$0""#])
        .arg(folder.join(name))
        .arg(script)
        .status();
    assert!(written.is_ok_and(|status| status.success()));
    let folders = iter::once(folder.to_owned()).chain(env::split_paths(&path));
    env::join_paths(folders).expect("they were joined before")
}

/// For [`qemu_after`]: the device's wire leads nowhere.
pub const DEAF: &str = r#"for argument; do
  shift
  [ "$argument" = chardev:wire ] && argument=null
  set -- "$@" "$argument"
done"#;

/// Waits until nothing in `folder` has a name with this beginning.
pub fn gone(folder: &Path, prefix: &str) {
    let begun = Instant::now();
    while names(folder).iter().any(|name| name.starts_with(prefix)) {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{prefix}* stays in {}",
            folder.display()
        );
        thread::sleep(Duration::from_millis(10));
    }
}

const NOBODY: u32 = 65_534;
