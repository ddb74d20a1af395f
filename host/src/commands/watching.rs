//! What `sealnet train` shows of a run beside its result: a log to follow, and a report.

use std::path::{Path, PathBuf};

use sealnet::dataset::Dataset;
use sealnet::error::{Error, Result};
use sealnet::files::{self, AtomicFile};
use sealnet::train::Compute;
use sealnet::train::log::{EpochLog, Row};
use sealnet::train::report::{self, Judgement, NAMES};
use sealnet::train::session::Finished;
use serde_json::{Value, json};

use crate::cli::TrainArgs;
use crate::ui::Ui;

/// Where log and report go, known to be writable.
pub(super) struct Watching {
    report: Option<PathBuf>,
    log: Option<PathBuf>,
}

/// What came of it.
pub(super) struct Watched {
    judgement: Judgement,
    /// The names of the files that the report has.
    files: Vec<&'static str>,
}

impl Watching {
    /// Makes the report's folder. `outputs` are what else the command writes.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Input`] when a file cannot be written where it is to go, would lie in one of
    /// the `inputs`, or is another output too: better known before the work than after it.
    pub(super) fn prepare(
        args: &TrainArgs,
        inputs: &[&Path],
        outputs: &[&Path],
    ) -> Result<Watching> {
        let watching = Watching {
            report: args.report.clone(),
            log: args.log.clone(),
        };
        let report = watching.report.iter();
        let files: Vec<PathBuf> = report
            .flat_map(|folder| NAMES.map(|name| folder.join(name)))
            .collect();
        if let Some(folder) = &watching.report {
            files::refuse_overwriting(folder, inputs)?;
            files::create_dir_all(folder)?;
            for file in &files {
                distinct(file, outputs)?;
                drop(AtomicFile::create(file)?);
            }
        }
        if let Some(log) = &watching.log {
            files::refuse_overwriting(log, inputs)?;
            files::refuse_other_names(log)?;
            distinct(log, outputs)?;
            // The report's own log has the same rows, so that it can be followed there.
            let others = files.iter().filter(|file| !file.ends_with(report::LOG));
            distinct(log, &others.map(PathBuf::as_path).collect::<Vec<_>>())?;
            drop(AtomicFile::create(log)?);
        }
        Ok(watching)
    }

    /// Begins the log with the rows of earlier sittings.
    pub(super) fn log(&self, rows: Vec<Row>) -> Result<EpochLog> {
        EpochLog::start(self.log.as_deref(), rows)
    }

    /// Judges the network and writes the report.
    ///
    /// # Errors
    /// [`Error::Io`] when log or report could not be written.
    pub(super) fn finish(
        &self,
        log: EpochLog,
        finished: &Finished,
        data: &Dataset,
        compute: Compute,
    ) -> Result<Watched> {
        let judgement = report::judge(finished, data, compute)?;
        let mut names = Vec::new();
        if let Some(folder) = &self.report {
            let report = report::files(log.rows(), &judgement, data)?;
            report::write(folder, &report)?;
            let there = report.iter().filter(|file| file.bytes.is_some());
            names = there.map(|file| file.name).collect();
        }
        log.finish()?;
        Ok(Watched {
            judgement,
            files: names,
        })
    }

    /// Says where log and report are.
    pub(super) fn tell(&self, watched: &Watched, ui: &Ui) -> Result<()> {
        if let Some(log) = &self.log {
            ui.line(format!("log: {}", log.display()))?;
        }
        if let Some(folder) = &self.report {
            let files = watched.files.join(", ");
            ui.line(format!("report: {}: {files}", folder.display()))?;
        }
        Ok(())
    }

    /// Adds to the result's document what the report shows.
    pub(super) fn describe(&self, watched: &Watched, document: &mut Value) {
        let judgement = &watched.judgement;
        let confusion = &judgement.confusion;
        document["macro_precision"] = json!(confusion.macro_precision());
        document["classes"] = json!(confusion.per_class());
        document["confusion"] = json!(confusion.matrix());
        document["hardest"] = json!(judgement.hardest);
        if let Some(log) = &self.log {
            document["log"] = json!(log);
        }
        if let Some(folder) = &self.report {
            document["report"] = json!({ "folder": folder, "files": watched.files });
        }
    }
}

/// Refuses two outputs in one place.
pub(super) fn distinct(output: &Path, taken: &[&Path]) -> Result<()> {
    let same = |other: &&&Path| files::lies_in(output, other) || files::lies_in(other, output);
    match taken.iter().find(same) {
        Some(other) => Err(Error::input(
            format!(
                "{} and {} cannot be written in one place",
                output.display(),
                other.display()
            ),
            "name another file or folder for one of them",
        )),
        None => Ok(()),
    }
}
