//! A peer in Python: its packages in an environment of their own, and a process that is asked line by line.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::dataset::fetch;
use crate::error::{Error, Result};
use crate::files;
use crate::progress::Progress;

/// A peer, and how to come by it.
#[derive(Debug)]
pub(super) struct Package {
    /// What it is called.
    pub(super) name: &'static str,
    /// Where it lies in the cache.
    pub(super) folder: &'static str,
    /// What pip is told to install.
    pub(super) requirements: &'static [&'static str],
    /// What an interpreter must have, in words.
    pub(super) modules: &'static str,
    /// How to do without it: in words, and by which option.
    pub(super) without: [&'static str; 2],
}

impl Package {
    /// A Python interpreter that has it: in an environment in the cache, which is made when it is not there.
    ///
    /// # Errors
    /// [`Error::Input`] when Python is missing or its package index does not answer.
    pub(super) fn interpreter(&self, progress: &dyn Progress) -> Result<PathBuf> {
        let folder = fetch::cache_dir()?.join("bench").join(self.folder);
        let python = folder.join("bin/python");
        // Written last: what is half-installed has none.
        let mark = folder.join("installed");
        let wanted = self.requirements.join("\n");
        if fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
            return Ok(python);
        }
        progress.note(&format!(
            "installing {} into {}, once",
            self.name,
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
        self.run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        self.run(Command::new(&python).args(pip).args(self.requirements))?;
        fs::write(&mark, wanted).map_err(Error::io("write", &mark))?;
        Ok(python)
    }

    fn run(&self, command: &mut Command) -> Result<()> {
        let ran = command.stdin(Stdio::null()).output();
        let why = match ran {
            Ok(ran) if ran.status.success() => return Ok(()),
            Ok(ran) => {
                let said = [ran.stderr, ran.stdout].concat();
                let said = String::from_utf8_lossy(&said).into_owned();
                last_line(&said).unwrap_or("it says nothing").to_owned()
            }
            Err(e) => format!(
                "{}: {}",
                command.get_program().display(),
                crate::error::reason(&e)
            ),
        };
        let [without, option] = self.without;
        Err(Error::input(
            format!("{} cannot be installed: {why}", self.name),
            format!(
                "install Python with venv and pip, name an interpreter that has {} (--python), or {without} ({option})",
                self.modules
            ),
        ))
    }
}

/// A peer at work. Ends when dropped.
#[derive(Debug)]
pub(super) struct Process {
    package: &'static Package,
    child: Child,
    questions: ChildStdin,
    answers: Receiver<String>,
    errors: PathBuf,
    /// How long it may take to an answer: what takes longer on any machine hangs.
    patience: Duration,
}

impl Process {
    /// Starts `command`, whose standard error goes to the file `errors`. Its answers may take [`LIMIT`], and `more`.
    ///
    /// # Errors
    /// [`Error::Io`] when the command or the file cannot be had.
    pub(super) fn start(
        package: &'static Package,
        command: &mut Command,
        errors: PathBuf,
        more: Duration,
    ) -> Result<Process> {
        let file = File::create(&errors).map_err(Error::io("write", &errors))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .map_err(Error::io("run", command.get_program()))?;
        let (Some(questions), Some(lines)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::input(
                format!("{} cannot be talked to", package.name),
                "",
            ));
        };
        // It reads until the peer ends or nobody listens.
        let (said, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(lines).lines() {
                let Ok(line) = line else { break };
                if said.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Process {
            package,
            child,
            questions,
            answers,
            errors,
            patience: LIMIT + more,
        })
    }

    /// The answer to one line of JSON.
    ///
    /// # Errors
    /// Those of [`answer`](Self::answer).
    pub(super) fn ask<T: DeserializeOwned>(&mut self, question: &Value) -> Result<T> {
        // What went wrong is in what it does not answer.
        let _ = writeln!(self.questions, "{question}").and_then(|()| self.questions.flush());
        self.answer()
    }

    /// The next line that it says.
    ///
    /// # Errors
    /// [`Error::Input`] with its last words when it says nothing, or nothing for too long.
    pub(super) fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let said = self.answers.recv_timeout(self.patience);
        if let Some(answer) = said
            .as_ref()
            .ok()
            .and_then(|line| serde_json::from_str(line).ok())
        {
            return Ok(answer);
        }
        let errors = fs::read_to_string(&self.errors).unwrap_or_default();
        let why = match said {
            Err(RecvTimeoutError::Timeout) => {
                format!("{} seconds have passed", self.patience.as_secs())
            }
            _ => last_line(&errors)
                .unwrap_or("it ended without a word")
                .to_owned(),
        };
        let [without, option] = self.package.without;
        Err(Error::input(
            format!("{} gave no answer: {why}", self.package.name),
            format!(
                "see that the interpreter has {}, or {without}: {option}",
                self.package.modules
            ),
        ))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().rev().find(|line| !line.trim().is_empty())
}

/// For an answer that takes no work to speak of.
const LIMIT: Duration = Duration::from_secs(600);
