//! What the tests share: the Python peers, the command line under test, small data sets.

pub mod bars;
pub mod disk;
pub mod network;
#[cfg(unix)]
pub mod system;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the repository")
}

/// The Python interpreter that has the peers, as `tests/run setup` makes it.
///
/// A missing peer fails the test: a check that skips itself proves nothing.
pub fn python() -> Command {
    let interpreter = std::env::var_os("SEALNET_TEST_PYTHON").map_or_else(
        || repository().join("target/test-python/bin/python"),
        PathBuf::from,
    );
    assert!(
        interpreter.exists(),
        "no Python environment at {}: run `tests/run setup`",
        interpreter.display()
    );
    Command::new(interpreter)
}

/// A script of `tests/python`.
pub fn script(name: &str) -> PathBuf {
    repository().join("tests/python").join(name)
}

/// A Python peer that answers one JSON line with one JSON line.
pub struct Peer {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts `tests/python/NAME`.
    pub fn start(name: &str) -> Self {
        let mut child = python()
            .arg(script(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self {
            child,
            requests,
            answers,
        }
    }

    /// Asks one question.
    pub fn ask(&mut self, request: &serde_json::Value) -> serde_json::Value {
        let requests = self.requests.as_mut().expect("open until dropped");
        writeln!(requests, "{request}").expect("the peer listens");
        requests.flush().expect("the peer listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the peer answers");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: the peer said {line:?}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}

/// The built `sealnet`, with a cache, state and home of its own: tests neither see nor touch the user's.
pub fn sealnet(home: &Path) -> Command {
    let mut command = Command::new(binary("sealnet"));
    command
        .env_remove("SEALNET_KEYS")
        .env("HOME", home)
        .env("SEALNET_STATE_DIR", home.join("state"))
        .env("SEALNET_CACHE_DIR", home.join("cache"))
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .current_dir(home);
    command
}

/// A binary of the workspace, built from the present sources in the profile the tests run in.
pub fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("a test knows its path");
        let folder = test
            .ancestors()
            .nth(2)
            .expect("target/PROFILE/deps/test")
            .to_owned();
        // The same selection as `tests/run` builds: another one would turn on other features of the
        // dependencies and compile them all again.
        let mut build = Command::new(env!("CARGO"));
        build
            .current_dir(repository())
            .args(["build", "--quiet", "--workspace", "--all-targets"]);
        // The folder is called as the profile is, but for `dev`.
        match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => {}
            Some(profile) => drop(build.args(["--profile", profile])),
        }
        // What cargo tells this test of its package would make ring's build script, which looks at
        // CARGO_MANIFEST_DIR, and all that hangs on it build anew, here and again at the next test.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name == "CARGO_MANIFEST_DIR" || name.starts_with("CARGO_PKG_") {
                build.env_remove(&*name);
            }
        }
        let built = build.status().expect("cargo starts");
        assert!(built.success(), "the binaries do not build");
        folder
    });
    folder.join(name)
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Runs a command to its end.
    pub fn new(command: &mut Command) -> Self {
        let output = command.output().expect("the command starts");
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }

    /// Standard output as the one JSON document that it must be, after a success.
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).expect("stdout is one JSON document")
    }
}
