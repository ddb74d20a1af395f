//! What the tests share: the Python peers, the command line under test, small data sets.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

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
