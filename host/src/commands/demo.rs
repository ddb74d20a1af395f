//! `sealnet demo`: the whole story.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sealnet::dataset::{fetch, idx};
use sealnet::demo::{Demo, Report, SPACE, Trial, run as tell};
use sealnet::error::{Error, Result};
use sealnet::files::{self, Scratch};

use super::Outcome;
use crate::cli::DemoArgs;
use crate::ui::Ui;

pub(crate) fn run(args: &DemoArgs, ui: &Ui) -> Result<Outcome> {
    let started = Instant::now();
    let folder = Folder::of(args.dir.as_deref())?;
    let fetched = fetch::mnist(args.from.as_deref(), None, ui.progress())?;
    let data = idx::read_folder(&fetched.folder)?;
    let demo = Demo {
        data: &data,
        folder: folder.path(),
        seed: args.seed,
    };
    let report = tell(&demo, ui.progress()).map_err(|e| stopped(e, &folder))?;
    folder.keep();
    table(&report, started.elapsed().as_secs_f64(), ui)?;
    ui.document(&report)?;
    Ok(if whole(&report) {
        Outcome::Done
    } else {
        Outcome::Refused
    })
}

/// Whether every tampering was noticed, nothing whole was refused, and the device agrees with the host.
fn whole(report: &Report) -> bool {
    let tamper = &report.tamper;
    tamper.detected == tamper.trials
        && tamper.false_alarms == 0
        && report.device.agree == report.device.images
        && report
            .device
            .qemu
            .as_ref()
            .is_none_or(|qemu| qemu.agree == qemu.images)
}

fn table(report: &Report, seconds: f64, ui: &Ui) -> Result<()> {
    let (tamper, device) = (&report.tamper, &report.device);
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let rows = [
        (
            "sealed and opened",
            format!(
                "{} records in {:.2} s and {:.2} s",
                report.seal.records, report.seal.seconds, report.open.seconds
            ),
        ),
        (
            "tampering refused",
            format!(
                "{} of {}, with {} false alarms",
                tamper.detected, tamper.trials, tamper.false_alarms
            ),
        ),
        (
            "test accuracy, trained",
            percent(report.train.test_accuracy),
        ),
        ("test accuracy, int8", percent(report.export.test_accuracy)),
        (
            "predictions changed",
            report.export.changed_predictions.to_string(),
        ),
        (
            "sealed model",
            format!("{} bytes", report.export.artefact_bytes),
        ),
        (
            "device equals host",
            match &device.qemu {
                Some(qemu) => format!(
                    "{} of {} images on a Cortex-M4 in QEMU, {} of {} in process, bit for bit",
                    qemu.agree, qemu.images, device.agree, device.images
                ),
                None => format!(
                    "{} of {} images, bit for bit, in process only",
                    device.agree, device.images
                ),
            },
        ),
        ("whole story", format!("{seconds:.1} s")),
    ];
    ui.line("")?;
    for trial in &tamper.list {
        ui.line(row(trial))?;
    }
    ui.line("")?;
    for (name, value) in rows {
        ui.line(format!("{name:<24} {value}"))?;
    }
    let files = &report.files;
    ui.line("")?;
    for (name, path) in [
        ("keys", &files.keys),
        ("vault", &files.vault),
        ("weights", &files.weights),
        ("receipt", &files.receipt),
        ("sealed model", &files.model),
    ] {
        ui.line(format!("{name:<24} {}", path.display()))?;
    }
    Ok(())
}

/// One trial: what was done, how it ended, who noticed, and why.
fn row(trial: &Trial) -> String {
    let outcome = match trial.detected {
        true => "refused by",
        false => "MISSED by",
    };
    format!(
        "{:<30} {outcome:<10} {:<6}  {}",
        trial.tampering,
        trial.refused_by,
        shortened(&trial.reason)
    )
}

/// The start of a reason, as many words as fit the line.
fn shortened(reason: &str) -> String {
    let Some((end, _)) = reason.char_indices().nth(REASON_SHOWN) else {
        return reason.to_owned();
    };
    let start = &reason[..end];
    let words = start.rfind(' ').map_or(start, |space| &start[..space]);
    format!("{}…", words.trim_end_matches([':', ',']))
}

/// A full disk, said with the place and the space that a story takes; other errors as they are.
fn stopped(error: Error, folder: &Folder) -> Error {
    let Error::Io { source, .. } = &error else {
        return error;
    };
    if !matches!(
        source.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    ) {
        return error;
    }
    let space = SPACE / 1_000_000;
    let hint = match folder {
        Folder::Temporary(_) => format!(
            "about {space} MB are needed: name a folder on another disk with --dir; what was begun was \
             removed"
        ),
        Folder::Named(named) => format!(
            "about {space} MB are needed: remove {} and name a folder on another disk with --dir",
            named.display()
        ),
    };
    Error::input(error.to_string(), hint)
}

/// Where what is made goes.
enum Folder {
    /// A fresh folder, gone unless the story comes to its end.
    Temporary(Scratch),
    /// The one that the user has named.
    Named(PathBuf),
}

impl Folder {
    /// The folder named, which must be new or empty, or a fresh temporary one.
    fn of(named: Option<&Path>) -> Result<Folder> {
        let Some(named) = named else {
            return Ok(Folder::Temporary(Scratch::create("sealnet-demo-")?));
        };
        files::create_dir_all(named)?;
        let mut entries = std::fs::read_dir(named).map_err(Error::io("read", named))?;
        match entries.next() {
            None => Ok(Folder::Named(named.to_owned())),
            Some(_) => Err(Error::input(
                format!("{} is not empty", named.display()),
                "name a new folder; the demo overwrites nothing",
            )),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Folder::Temporary(fresh) => fresh.path(),
            Folder::Named(named) => named,
        }
    }

    /// What is in it stays.
    fn keep(self) {
        if let Folder::Temporary(fresh) = self {
            fresh.keep();
        }
    }
}

/// Characters of a reason that fit a line.
const REASON_SHOWN: usize = 76;
