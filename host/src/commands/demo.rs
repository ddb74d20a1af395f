//! `sealnet demo`: the whole story.

use std::path::{Path, PathBuf};
use std::time::Instant;

use sealnet::dataset::{fetch, idx};
use sealnet::demo::{Demo, Report, run as tell};
use sealnet::error::{Error, Result};
use sealnet::files;

use super::Outcome;
use crate::cli::DemoArgs;
use crate::ui::Ui;

pub(crate) fn run(args: &DemoArgs, ui: &Ui) -> Result<Outcome> {
    let started = Instant::now();
    let folder = folder(args.dir.as_deref())?;
    let fetched = fetch::mnist(args.from.as_deref(), None, ui.progress())?;
    let data = idx::read_folder(&fetched.folder)?;
    let demo = Demo {
        data: &data,
        folder: &folder,
        seed: args.seed,
    };
    let report = tell(&demo, ui.progress())?;
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
            format!(
                "{} of {} images, bit for bit ({})",
                device.agree, device.images, device.on
            ),
        ),
        ("whole story", format!("{seconds:.1} s")),
    ];
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

/// The folder for what is made: the one named, which must be new or empty, or a fresh temporary one that
/// stays.
fn folder(named: Option<&Path>) -> Result<PathBuf> {
    let Some(named) = named else {
        return tempfile::Builder::new()
            .prefix("sealnet-demo-")
            .tempdir()
            .map(tempfile::TempDir::keep)
            .map_err(Error::io("create a folder in", std::env::temp_dir()));
    };
    files::create_dir_all(named)?;
    let mut entries = std::fs::read_dir(named).map_err(Error::io("read", named))?;
    match entries.next() {
        None => Ok(named.to_owned()),
        Some(_) => Err(Error::input(
            format!("{} is not empty", named.display()),
            "name a new folder; the demo overwrites nothing",
        )),
    }
}
