//! The log of a run: a row an epoch, kept for the report and written to a file as it happens.

use std::fs::{File, OpenOptions};
use std::io::Seek;
use std::path::{Path, PathBuf};

use super::{EpochDone, Metrics};
use crate::error::{Error, Result};

/// One epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The phase of the recipe that it belongs to.
    pub phase: String,
    /// What it gave.
    pub done: EpochDone,
}

/// The epochs of a run so far.
#[derive(Debug)]
pub struct EpochLog {
    rows: Vec<Row>,
    file: Option<(csv::Writer<File>, PathBuf)>,
    failed: Option<Error>,
}

impl EpochLog {
    /// Begins a log with the rows of earlier sittings, and with a path the file, replacing what was there: whoever
    /// follows it sees the heading now and each row as soon as its epoch is done. Where those rows are there already
    /// the file is never without them: what is written over them is the same.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn start(path: Option<&Path>, rows: Vec<Row>) -> Result<EpochLog> {
        let mut log = EpochLog {
            rows: Vec::new(),
            file: None,
            failed: None,
        };
        if let Some(path) = path {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(false);
            let file = options.open(path).map_err(Error::io("write", path))?;
            log.file = Some((csv::Writer::from_writer(file), path.to_owned()));
            log.write(&HEADING.map(String::from));
        }
        for row in rows {
            log.write(&row.fields());
            log.rows.push(row);
        }
        if let Some((writer, path)) = &log.file {
            // What an epoch left that no checkpoint kept is done again.
            let mut file = writer.get_ref();
            let cut = file.stream_position().and_then(|end| file.set_len(end));
            cut.map_err(Error::io("write", path.as_path()))?;
        }
        match log.failed.take() {
            Some(e) => Err(e),
            None => Ok(log),
        }
    }

    /// One more epoch. A file that cannot be written to stops being written: what was learnt is worth more, and
    /// [`finish`](Self::finish) tells.
    pub fn add(&mut self, phase: &str, done: &EpochDone) {
        let row = Row {
            phase: phase.to_owned(),
            done: *done,
        };
        self.write(&row.fields());
        self.rows.push(row);
    }

    /// The epochs so far, whatever became of the file.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Tells whether the file has all of them.
    ///
    /// # Errors
    /// [`Error::Io`] when it could not be written to.
    pub fn finish(self) -> Result<()> {
        match self.failed {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }

    fn write(&mut self, fields: &[String; 8]) {
        let Some((writer, path)) = &mut self.file else {
            return;
        };
        let written = writer
            .write_record(fields)
            .map_err(Into::into)
            .and_then(|()| writer.flush());
        if let Err(e) = written {
            self.failed = Some(Error::io("write", path.as_path())(e));
            self.file = None;
        }
    }
}

impl Row {
    /// As they stand below [`HEADING`]; empty what was not judged.
    fn fields(&self) -> [String; 8] {
        let done = &self.done;
        let [training, validation] = [done.result.training, done.result.validation].map(figures);
        let [training_loss, training_accuracy] = training;
        let [validation_loss, validation_accuracy] = validation;
        [
            self.phase.clone(),
            done.epoch.to_string(),
            training_loss,
            training_accuracy,
            validation_loss,
            validation_accuracy,
            done.learning_rate.to_string(),
            format!("{:.3}", done.seconds),
        ]
    }
}

fn figures(metrics: Metrics) -> [String; 2] {
    if metrics.records == 0 {
        return Default::default();
    }
    [metrics.loss().to_string(), metrics.accuracy().to_string()]
}

/// All of a log as CSV.
///
/// # Errors
/// [`Error::Input`] when there is no memory for it.
pub fn to_csv(rows: &[Row]) -> Result<Vec<u8>> {
    table(&HEADING, rows.iter().map(Row::fields))
}

/// A table as CSV.
///
/// # Errors
/// [`Error::Input`] when there is no memory for it.
pub(super) fn table<F: AsRef<[u8]>>(
    heading: &[impl AsRef<[u8]>],
    rows: impl Iterator<Item = impl AsRef<[F]>>,
) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut written = writer.write_record(heading);
    for row in rows {
        written = written.and_then(|()| writer.write_record(row.as_ref()));
    }
    let failed = |e: String| Error::input(format!("cannot write a table: {e}"), "");
    written.map_err(|e| failed(e.to_string()))?;
    writer.into_inner().map_err(|e| failed(e.to_string()))
}

/// What the columns are. Losses are mean cross-entropies, accuracies 0 to 1, seconds those of the epoch.
pub const HEADING: [&str; 8] = [
    "phase",
    "epoch",
    "training_loss",
    "training_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
    "seconds",
];
