//! `sealnet bench train`: training on this machine, beside other systems.

use sealnet::bench::Spread;
use sealnet::bench::train::{self, Options, Report, System};
use sealnet::dataset;
use sealnet::dataset::split::split;
use sealnet::error::Result;
use sealnet::train::recipe::PAPER_HIDDEN;
use sealnet::train::{Backend, Recipe, Records, Shape};

use crate::cli::{BenchTrainArgs, PeerArg};
use crate::commands::{Outcome, source};
use crate::ui::Ui;

pub(crate) fn run(args: &BenchTrainArgs, ui: &Ui) -> Result<Outcome> {
    let data = dataset::load(
        &args.data,
        &source::load_options(&args.data_options),
        ui.progress(),
    )?;
    let split = split(&data, None)?;
    let options = Options {
        records: Records::from(&data),
        training: &split.train,
        test: &split.test,
        shape: Shape::new(data.feature_count(), PAPER_HIDDEN, data.classes.into())?,
        recipe: &Recipe::paper(),
        rounds: args.rounds,
        backend: Backend::detect(),
        peers: &peers(args),
        python: args.python.as_deref(),
    };
    let report = train::run(&options, ui.progress())?;
    table(&report, options.peers, ui)?;
    let least = f64::from(args.least_accuracy);
    let broken = report.broken(least / 100.0);
    for (name, accuracy) in &broken {
        ui.warn(format!(
            "{name} classifies {:.2} % of the test records, less than {least} %: its times count for nothing",
            100.0 * accuracy
        ));
    }
    ui.document(&report)?;
    Ok(match broken.is_empty() && report.weights_differing == 0 {
        true => Outcome::Done,
        false => Outcome::Refused,
    })
}

/// Each once, in the order of their documentation.
fn peers(args: &BenchTrainArgs) -> Vec<System> {
    if args.alone {
        return Vec::new();
    }
    let asked = |system: &System| {
        args.peers.contains(&match system {
            System::Jax => PeerArg::Jax,
            System::PyTorch => PeerArg::Pytorch,
            System::ScikitLearn => PeerArg::ScikitLearn,
            System::Keras => PeerArg::Keras,
        })
    };
    System::ALL.into_iter().filter(asked).collect()
}

fn table(report: &Report, peers: &[System], ui: &Ui) -> Result<()> {
    ui.line(format!(
        "{}, recipe {}, {} records; seconds of a training, median of {} rounds (least to most)",
        report.network, report.recipe, report.records, report.rounds
    ))?;
    let titles = peers.iter().map(|peer| (peer.key(), peer.title()));
    let rows: Vec<_> = [("sealnet", "Sealnet")].into_iter().chain(titles).collect();
    for (threads, heading) in [(1, "one thread"), (2, "two threads")] {
        part(report, &rows, threads, heading, ui)?;
    }
    ui.line("")?;
    if let Some(ratio) = report.ratio_to_jax {
        let two = ratio
            .two_threads
            .map(|ratio| format!(", by two threads {ratio:.3} times JAX's best of one and two"));
        ui.line(format!(
            "Sealnet by one thread takes {:.3} times JAX's seconds{}",
            ratio.one_thread,
            two.unwrap_or_default()
        ))?;
    }
    ui.line(format!(
        "weights that differ between one thread and two: {}",
        report.weights_differing
    ))?;
    for peer in peers {
        let versions = report.versions.get(peer.key()).into_iter().flatten();
        let versions = versions.map(|(package, version)| {
            format!("{package} {}", version.as_deref().unwrap_or("unknown"))
        });
        let form = report.forms.get(peer.key()).map_or("", String::as_str);
        ui.line(format!(
            "{:<13} {form} ({})",
            peer.title(),
            versions.collect::<Vec<_>>().join(", ")
        ))?;
    }
    let machine = &report.machine;
    let processor = machine.processor.as_deref().unwrap_or("a processor");
    ui.line(format!(
        "machine       {processor}, cores: {}, {}; Sealnet's vectors: {}",
        machine.cores, machine.platform, machine.backend
    ))?;
    let busy = |spread: Spread| spread.least < 0.8 * spread.most;
    let mut spreads = report.seconds.values();
    if spreads.any(|all| busy(all.one_thread) || all.two_threads.is_some_and(busy)) {
        ui.warn("the rounds are more than a fifth apart: the machine did other things beside");
    }
    Ok(())
}

/// All systems by so many threads.
fn part(
    report: &Report,
    rows: &[(&str, &str)],
    threads: usize,
    heading: &str,
    ui: &Ui,
) -> Result<()> {
    let seconds = |name| report.seconds.get(name)?.of(threads);
    let Some(ours) = seconds("sealnet") else {
        return Ok(());
    };
    ui.line("")?;
    ui.line(heading)?;
    for &(name, title) in rows {
        let accuracy = report.accuracy.get(name).and_then(|all| all.of(threads));
        let Some((seconds, accuracy)) = seconds(name).zip(accuracy) else {
            continue;
        };
        let compiled = report.compile_seconds.get(name);
        let compiled = compiled.and_then(|all| all.of(threads)).flatten();
        let compiled = compiled.map(|seconds| format!(", after {seconds:.1} s of compiling"));
        ui.line(format!(
            "  {title:<13} {:>7.3} ({:.3} to {:.3}) {:>6.2} times Sealnet's, accuracy {:.2} %{}",
            seconds.median,
            seconds.least,
            seconds.most,
            seconds.median / ours.median,
            100.0 * accuracy.median,
            compiled.unwrap_or_default()
        ))?;
    }
    Ok(())
}
