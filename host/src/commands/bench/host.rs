//! `sealnet bench host`: batches on this machine, beside ONNX Runtime.

use sealnet::bench::host::{self, Beside, Options, Rates, Report};
use sealnet::dataset;
use sealnet::dataset::Dataset;
use sealnet::dataset::split::{Split, split};
use sealnet::error::{Error, Result};
use sealnet::quantise;
use sealnet::train::{Backend, Network, Records};
use sealnet::weights;
use sealnet_core::mlp::{HostKernel, Quantisation};

use crate::cli::{BenchHostArgs, HostKernelArg};
use crate::commands::{Outcome, source};
use crate::ui::Ui;

pub(crate) fn run(args: &BenchHostArgs, ui: &Ui) -> Result<Outcome> {
    let kernel = kernel(args)?;
    let data = dataset::load(
        &args.data,
        &source::load_options(&args.data_options),
        ui.progress(),
    )?;
    let split = split(&data, None)?;
    let network = network(args, &data, &split, ui)?;
    let records = Records::from(&data);
    let quantised = quantise::quantise(
        &network,
        &quantise::Options {
            records,
            training: &split.train,
            validation: &split.validation,
            quantisation: Quantisation::default(),
            backend: Backend::detect(),
        },
    )?;
    let peer = match (&args.python, args.alone) {
        (Some(python), _) => Beside::Python(python.clone()),
        (None, true) => Beside::Nothing,
        (None, false) => Beside::Cache,
    };
    let options = Options {
        network: &network,
        quantised: &quantised,
        records,
        which: &split.test,
        training: &split.train,
        rounds: args.rounds,
        kernel,
        peer: &peer,
    };
    let report = host::run(&options, ui.progress())?;
    table(&report, ui)?;
    ui.document(&report)?;
    Ok(match report.mismatches {
        0 => Outcome::Done,
        _ => Outcome::Refused,
    })
}

fn kernel(args: &BenchHostArgs) -> Result<HostKernel> {
    let kernel = match args.kernel {
        None => HostKernel::fastest(),
        Some(HostKernelArg::Avx512vnni) => HostKernel::Avx512Vnni,
        Some(HostKernelArg::Avx2) => HostKernel::Avx2,
        Some(HostKernelArg::Portable) => HostKernel::Portable,
    };
    kernel
        .available()
        .map_err(|e| Error::input(e.to_string(), "leave --kernel out: the fastest is taken"))
}

/// The weights given, else what the paper's recipe makes of the data.
fn network(args: &BenchHostArgs, data: &Dataset, split: &Split, ui: &Ui) -> Result<Network> {
    if let Some(model) = &args.model {
        return Ok(weights::read(model)?.1);
    }
    ui.say("no --model is given: training one, recipe paper");
    super::trained(data, split, ui)
}

fn table(report: &Report, ui: &Ui) -> Result<()> {
    ui.line(format!(
        "{} over {} records at once, kernel {}; million images a second, median of {} rounds (least to most)",
        report.network, report.images, report.kernel, report.rounds
    ))?;
    for cores in &report.cores {
        ui.line("")?;
        ui.line(match cores.cores {
            1 => "one core".to_owned(),
            cores => format!("{cores} cores"),
        })?;
        let rows = [
            ("int8, skip", Some(cores.skip), cores.skip_ratio),
            ("int8, dense", Some(cores.dense), cores.dense_ratio),
            ("ONNX Runtime int8", cores.onnxruntime_int8, None),
            ("ONNX Runtime f32", cores.onnxruntime_f32, None),
        ];
        for (name, rates, ratio) in rows {
            let Some(rates) = rates else { continue };
            let ratio = ratio.map(|ratio| format!("  {ratio:.2} times ONNX Runtime int8"));
            ui.line(format!(
                "  {name:<20} {}{}",
                shown(rates),
                ratio.unwrap_or_default()
            ))?;
        }
    }
    ui.line("")?;
    for other in &report.other_kernels {
        let rate = other.images_per_second / 1e6;
        ui.line(format!(
            "kernel {:<13} {rate:.3} on one core, dense",
            other.kernel
        ))?;
    }
    ui.line(format!(
        "logits                {} of {} differ from the portable kernel's",
        report.mismatches, report.compared
    ))?;
    ui.line(format!(
        "accuracy              {:.2} % in integers",
        100.0 * report.accuracy
    ))?;
    ui.line(format!(
        "left out by skip      {:.1} % of the groups of four features",
        100.0 * report.zero_groups
    ))?;
    if let Some(said) = &report.onnxruntime {
        for (threads, fastest) in &said.int8 {
            let threads = match threads.as_str() {
                "1" => "one thread".to_owned(),
                more => format!("{more} threads"),
            };
            ui.line(format!(
                "ONNX Runtime {:<8} {threads}: {}; {:.2} % in int8, {:.2} % in f32",
                said.version,
                fastest.form,
                100.0 * fastest.accuracy,
                100.0 * said.f32_accuracy
            ))?;
        }
    }
    let busy = |rates: Rates| rates.least < 0.8 * rates.most;
    if report
        .cores
        .iter()
        .any(|cores| busy(cores.skip) || cores.onnxruntime_int8.is_some_and(busy))
    {
        ui.warn("the rounds are more than a fifth apart: the machine did other things beside");
    }
    Ok(())
}

fn shown(rates: Rates) -> String {
    let [median, least, most] = [rates.median, rates.least, rates.most].map(|rate| rate / 1e6);
    format!("{median:>6.3} ({least:.3} to {most:.3})")
}
