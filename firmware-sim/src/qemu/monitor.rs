//! QEMU's machine protocol (QMP): one JSON object a line, each way.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use super::QemuError;

/// The connection to QEMU's monitor.
#[derive(Debug)]
pub(super) struct Monitor {
    lines: BufReader<UnixStream>,
    /// Names of the events that came between answers.
    events: Vec<String>,
}

impl Monitor {
    /// Shakes hands.
    pub(super) fn new(stream: UnixStream) -> Result<Self, QemuError> {
        let mut monitor = Self {
            lines: BufReader::new(stream),
            events: Vec::new(),
        };
        // The greeting.
        monitor.line()?;
        monitor.run("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Runs a command and waits for its answer.
    pub(super) fn run(&mut self, command: &str, arguments: Value) -> Result<Value, QemuError> {
        let text = json!({"execute": command, "arguments": arguments}).to_string() + "\n";
        self.lines
            .get_mut()
            .write_all(text.as_bytes())
            .map_err(QemuError::io("write to QEMU's monitor"))?;
        self.events.clear();
        loop {
            let mut answer = self.line()?;
            self.note(&answer);
            if let Some(error) = answer.get("error") {
                return Err(QemuError::Machine(format!("{command}: {error}")));
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Waits for an event after the last command.
    pub(super) fn event(&mut self, name: &str) -> Result<(), QemuError> {
        while !self.events.iter().any(|event| event == name) {
            let line = self.line()?;
            self.note(&line);
        }
        Ok(())
    }

    /// Instructions executed since power-on, by a machine that was started with [`COUNTING`].
    pub(super) fn instructions(&mut self) -> Result<u64, QemuError> {
        let replay = self.run("query-replay", json!({}))?;
        let count = replay.get("icount").and_then(Value::as_u64);
        count.ok_or_else(|| QemuError::Machine(format!("query-replay: {replay}")))
    }

    fn note(&mut self, line: &Value) {
        let event = line.get("event").and_then(Value::as_str);
        self.events.extend(event.map(str::to_owned));
    }

    fn line(&mut self) -> Result<Value, QemuError> {
        let mut line = String::new();
        let read = self
            .lines
            .read_line(&mut line)
            .map_err(QemuError::io("read from QEMU's monitor"))?;
        if read == 0 {
            return Err(QemuError::Machine("its monitor closed".into()));
        }
        serde_json::from_str(&line).map_err(|error| QemuError::Machine(error.to_string()))
    }
}

/// QEMU's arguments to count instructions: it executes one a tick.
pub(super) const COUNTING: [&str; 2] = ["-icount", "shift=0"];
