//! `sealnet bench device`: what a Cortex-M executes for an image.

use std::time::Duration;

use sealnet::dataset::split::split;
use sealnet::dataset::{Dataset, fetch, idx};
use sealnet::error::{Error, Result};
use sealnet::export::{self, Prepared};
use sealnet::keys::{self, KeyFolder};
use sealnet::model::ModelFile;
use sealnet::quantise::integer_logits;
use sealnet::train::Records;
use sealnet_core::mlp::{Network, Quantisation, WeightType};
use sealnet_firmware::bench::{Bench, BenchError, Cost, Figures, Spread, Subject, Traced};
use serde::Serialize;

use super::super::Outcome;
use crate::cli::BenchDeviceArgs;
use crate::ui::Ui;

pub(crate) fn run(args: &BenchDeviceArgs, ui: &Ui) -> Result<Outcome> {
    let fetched = fetch::mnist(args.from.as_deref(), None, ui.progress())?;
    let data = idx::read_folder(&fetched.folder)?;
    let figures = match (&args.model, &args.keys) {
        (Some(model), Some(keys)) => {
            let device = KeyFolder::open(keys)?.device(&keys::device_name(&args.device)?)?;
            let file = ModelFile::read(model)?;
            file.deployed(&device.publisher, device.model.as_ref(), 0, |deployed| {
                count(deployed.network(), None, &data, args, ui)
            })?
        }
        // Without --model, keys in the environment are for something else.
        _ => {
            let [int8, int4] = trained(&data, ui)?;
            let other = int4.quantised.network()?;
            count(&int8.quantised.network()?, Some(&other), &data, args, ui)?
        }
    };
    table(&figures, ui)?;
    let mismatches = figures.mismatches;
    ui.document(&Document {
        figures,
        peers: PEERS,
    })?;
    if mismatches > 0 {
        ui.warn(format!(
            "{mismatches} runs gave other logits than the host: please report this defect"
        ));
        return Ok(Outcome::Refused);
    }
    Ok(Outcome::Done)
}

/// A network by recipe `paper`, as `sealnet train` and `sealnet export` make it of unsealed data, with int8 and int4 weights.
fn trained(data: &Dataset, ui: &Ui) -> Result<[Prepared; 2]> {
    let split = split(data, None)?;
    let network = super::trained(data, &split, ui)?;
    let prepared = |weights| {
        let quantisation = Quantisation {
            weights,
            ..Quantisation::default()
        };
        export::prepare(&network, data, &split, quantisation, f64::INFINITY)
    };
    Ok([prepared(WeightType::Int8)?, prepared(WeightType::Int4)?])
}

fn count(
    network: &Network<'_>,
    other: Option<&Network<'_>>,
    data: &Dataset,
    args: &BenchDeviceArgs,
    ui: &Ui,
) -> Result<Figures> {
    let test = data
        .part("test")
        .map_or(0..data.count(), |part| part.range());
    let limit = args
        .images
        .map_or(usize::MAX, |images| images.try_into().unwrap_or(usize::MAX));
    let which: Vec<u32> = test.take(limit).map(|index| index as u32).collect();
    let records = Records::from(data);
    let logits = |network| integer_logits(network, records, &which);
    let (expected, of_other) = (logits(network)?, other.map(logits).transpose()?);
    let features: Vec<u8> = which
        .iter()
        .flat_map(|&index| data.features_of(index as usize))
        .copied()
        .collect();
    let subject = Subject {
        network: *network,
        features: &features,
        logits: &expected,
    };
    let other = other
        .zip(of_other.as_deref())
        .map(|(network, logits)| Subject {
            network: *network,
            features: &features,
            logits,
        });
    let timeout = Duration::from_secs(args.timeout);
    let bench = Bench::ready(subject, other, timeout, &|line| {
        ui.say(line);
    });
    let bench = bench.map_err(failed)?;
    let progress = ui.progress();
    progress.start("boards in QEMU", bench.runs());
    let figures = bench.measure(&|runs| progress.inc(runs));
    progress.finish();
    figures.map_err(failed)
}

fn failed(error: BenchError) -> Error {
    Error::input(error.to_string(), error.hint())
}

/// The result for programs.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    figures: Figures,
    /// Figures of other libraries, not measured here.
    peers: [Peer; 3],
}

/// What another library executes for an image of the same network.
#[derive(Clone, Copy, Serialize)]
struct Peer {
    name: &'static str,
    core: &'static str,
    instructions: u64,
}

/// Measured separately, in QEMU with `-icount` as here, with weights of the same widths 784-64-64-10.
const PEERS: [Peer; 3] = [
    Peer {
        name: "CMSIS-NN 7, arm_fully_connected_s8",
        core: "cortex-m4",
        instructions: 110_361,
    },
    Peer {
        name: "TFLite Micro with CMSIS-NN",
        core: "cortex-m4",
        instructions: 111_184,
    },
    Peer {
        name: "CMSIS-NN 7 without DSP instructions",
        core: "cortex-m3",
        instructions: 191_200,
    },
];

fn table(figures: &Figures, ui: &Ui) -> Result<()> {
    let [cmsis_nn, _, without_dsp] = PEERS;
    let (kernels, modes) = (&figures.kernels, &figures.modes);
    ui.line(format!(
        "{:38} {:>12} {:>10} {:>10} {:>8}",
        format!("instructions an image, {}", figures.weights),
        "mean",
        "min",
        "max",
        "of peer"
    ))?;
    let other = figures.other.as_ref();
    let [dense_other, skip_other] = ["dense", "skip"].map(|kernel| match other {
        Some(other) => format!("{kernel}, {}", other.weights),
        None => String::new(),
    });
    let rows = [
        ("dense", Some(kernels.dense), cmsis_nn),
        ("skip", Some(kernels.skip), cmsis_nn),
        ("portable", Some(kernels.portable), without_dsp),
        (
            "portable, Cortex-M3",
            Some(figures.portable_cortex_m3),
            without_dsp,
        ),
        (
            "plain loops, for size",
            Some(figures.plain_loop),
            without_dsp,
        ),
        (
            "dense, confidential",
            Some(modes.confidential.dense),
            cmsis_nn,
        ),
        ("skip, confidential", modes.confidential.skip, cmsis_nn),
        ("streamed", Some(modes.streamed.dense), cmsis_nn),
        (&dense_other, other.map(|other| other.dense), cmsis_nn),
        (&skip_other, other.map(|other| other.skip), cmsis_nn),
    ];
    for (name, spread, peer) in rows {
        if let Some(Spread { mean, min, max, .. }) = spread {
            let of_peer = mean / peer.instructions as f64;
            ui.line(format!(
                "{name:38} {mean:>12.1} {min:>10} {max:>10} {of_peer:>8.2}  on {}",
                peer.core
            ))?;
        }
    }
    ui.line("")?;
    ui.line(format!(
        "{:38} {:>12} {:>10} {:>10} {:>8}",
        format!("traced, mean of {} images", figures.traced.images),
        "instructions",
        "loads",
        "branches",
        "cycles"
    ))?;
    let traced = &figures.traced;
    let mut rows = vec![
        ("dense", &traced.dense),
        ("skip", &traced.skip),
        ("portable", &traced.portable),
        ("plain loops", &traced.plain_loop),
    ];
    if let Some(other) = other {
        rows.push((&dense_other, &other.traced_dense));
        rows.push((&skip_other, &other.traced_skip));
    }
    for (name, Traced { whole, layers }) in rows {
        ui.line(row(name, whole))?;
        for (layer, number) in layers.iter().zip(1..) {
            ui.line(row(&format!("  layer {number}"), layer))?;
        }
    }
    ui.line("")?;
    ui.line(format!(
        "code of dense and skip                 {:>12} bytes; of portable {} bytes",
        figures.code_bytes, figures.portable_code_bytes
    ))?;
    ui.line(format!(
        "sealed model in clear, {:15} {:>12} bytes",
        figures.weights, figures.artefact_bytes
    ))?;
    if let Some(other) = other {
        ui.line(format!(
            "code of dense and skip, {:14} {:>12} bytes",
            other.weights, other.code_bytes
        ))?;
        ui.line(format!(
            "sealed model in clear, {:15} {:>12} bytes",
            other.weights, other.artefact_bytes
        ))?;
    }
    ui.line(format!(
        "runs with other logits than the host   {:>12}",
        figures.mismatches
    ))?;
    ui.line("")?;
    ui.line("peers, measured separately with the same widths in the same QEMU:")?;
    for peer in PEERS {
        let Peer {
            name,
            core,
            instructions,
        } = peer;
        ui.line(format!("  {name} on {core}: {instructions}"))?;
    }
    ui.line("cycles are an estimate: instructions, and one for each register loaded")
}

fn row(name: &str, cost: &Cost) -> String {
    let Cost {
        instructions,
        loads,
        branches,
        cycles,
    } = cost;
    format!("{name:38} {instructions:>12.1} {loads:>10.1} {branches:>10.1} {cycles:>8.0}")
}
