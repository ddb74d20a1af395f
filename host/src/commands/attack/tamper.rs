//! Tampering with what is sealed.

use sealnet::attack::tamper::{self, Campaign, KindReport, Report};
use sealnet::dataset;
use sealnet::error::Result;
use sealnet::files::Scratch;

use super::super::{Outcome, source};
use crate::cli::TamperArgs;
use crate::ui::Ui;

pub(super) fn run(args: &TamperArgs, ui: &Ui) -> Result<Outcome> {
    let options = source::load_options(&args.data_options);
    let data = dataset::load(&args.data, &options, ui.progress())?;
    let folder = Scratch::create("sealnet-tamper-")?;
    let campaign = Campaign {
        data: &data,
        trials: args.trials,
        clean: args.clean,
        seed: args.seed,
        folder: folder.path(),
    };
    let report = tamper::run(&campaign, ui.progress())?;
    tell(&report, ui)?;
    ui.document(&report)?;
    let whole = report.detected == report.trials && report.false_alarms == 0;
    Ok(if whole {
        Outcome::Done
    } else {
        Outcome::Refused
    })
}

fn tell(report: &Report, ui: &Ui) -> Result<()> {
    let name = |kind: &KindReport| kind.tampering.chars().count();
    let width = report.kinds.iter().map(name).max().unwrap_or(0);
    ui.line(format!(
        "{:<7} {:<width$} {:>8} {:>8}  reason",
        "met by", "tampering", "trials", "detected"
    ))?;
    for kind in &report.kinds {
        ui.line(format!(
            "{:<7} {:<width$} {:>8} {:>8}  {}",
            kind.met_by, kind.tampering, kind.trials, kind.detected, kind.reason
        ))?;
        if let Some(example) = &kind.example {
            ui.line(format!(
                "        not detected: {} refused for another reason, {} accepted; the first: {example}",
                kind.other_reason, kind.missed
            ))?;
        }
    }
    ui.line("")?;
    ui.line(format!(
        "detected      {} of {}{}, in {:.0} s",
        report.detected,
        report.trials,
        bound(report.bound, "go unnoticed"),
        report.seconds,
    ))?;
    ui.line(format!(
        "false alarms  {} of {} untouched{}",
        report.false_alarms,
        report.clean,
        bound(report.false_alarm_bound, "are refused"),
    ))
}

fn bound(bound: Option<f64>, what: &str) -> String {
    bound.map_or_else(String::new, |share| {
        format!(" (95 % sure: less than {:.4} % {what})", 100.0 * share)
    })
}
