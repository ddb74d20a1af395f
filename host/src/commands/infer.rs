//! `sealnet infer`: a sealed model over records, on the host or on a simulated device.

use std::fmt::Write;
use std::time::Instant;

use sealnet::dataset::Dataset;
use sealnet::error::{Error, Result};
use sealnet::infer::{self, Inferred};
use sealnet::keys::{self, KeyFolder};
use sealnet::model::ModelFile;
use sealnet::train::Records;
use sealnet_core::artefact::{DeployedAny, Provenance};
use serde_json::json;

use super::{Outcome, source};
use crate::cli::{InferArgs, PartArg, Place};
use crate::ui::Ui;

pub(crate) fn run(args: &InferArgs, ui: &Ui) -> Result<Outcome> {
    let keys = KeyFolder::open(&args.keys.dir)?;
    let device = keys.device(&keys::device_name(&args.device)?)?;
    let model = ModelFile::read(&args.model)?;
    let data = source::load(
        &args.source,
        &args.keys,
        &args.store_options,
        &args.data_options,
        ui,
    )?;
    let data = &data.dataset;
    let records = Records::from(data);
    let (part, which) = which(data, args)?;
    let started = Instant::now();
    let (inferred, digest) = model.deployed(
        &device.publisher,
        device.model.as_ref(),
        args.min_counter,
        |deployed| {
            match deployed.header().provenance {
                Provenance::SealedData(_) => {}
                Provenance::UnsealedData(_) => ui.warn("the model was trained on unsealed data"),
                Provenance::Unverified => {
                    ui.warn("no training receipt vouches for the model's weights");
                }
            }
            same_scaling(deployed, data)?;
            let inferred = match args.on {
                Place::Host => infer::on_host(deployed, records, &which)?,
                Place::Sim => infer::on_simulator(
                    deployed,
                    model.bytes(),
                    &device,
                    args.min_counter,
                    (records, &which),
                    ui.progress(),
                )?,
            };
            Ok((inferred, hex::encode(deployed.model_digest())))
        },
    )?;
    let seconds = started.elapsed().as_secs_f64();

    if !ui.json() {
        ui.bytes(lines(records, &which, &inferred).as_bytes())?;
    }
    let count = which.len();
    let on = match args.on {
        Place::Host => "host",
        Place::Sim => "sim",
    };
    ui.say(format!(
        "{:.2} % of {count} {part} records correct, on {on}, in {seconds:.2} s",
        100.0 * inferred.accuracy(),
    ));
    if let Some(agree) = inferred.agree {
        ui.say(format!(
            "{agree} of {count} records have the host's logits, bit for bit"
        ));
    }
    ui.document(&json!({
        "on": on,
        "model": args.model,
        "model_digest": digest,
        "part": part,
        "first_record": which.first(),
        "records": count,
        "correct": inferred.correct,
        "accuracy": inferred.accuracy(),
        "agree": inferred.agree,
        "seconds": seconds,
        "predictions": inferred.predictions,
    }))?;
    // A device that computes something else is not the device that was verified.
    match inferred.agree {
        Some(agree) if agree != count as u64 => Err(Error::verification(
            format!(
                "{} records have other logits on the device than on the host",
                count as u64 - agree
            ),
            "please report this defect with the model",
        )),
        _ => Ok(Outcome::Done),
    }
}

/// Refuses features that stand for other reals than those that the model was trained on: its answers would
/// mean nothing.
fn same_scaling(model: &DeployedAny<'_>, data: &Dataset) -> Result<()> {
    let of_model: Option<Vec<_>> = model
        .scaling()
        .map(|scaling| scaling.columns().map(|c| (c.offset, c.scale)).collect());
    let of_data: Option<Vec<_>> = data.scaling.as_ref().map(|columns| {
        let narrowed = columns.iter().map(|c| (c.offset as f32, c.scale as f32));
        narrowed.collect()
    });
    // Another number of features is another defect, which inference names.
    let width = usize::from(model.network().shape().input());
    if of_model == of_data || data.feature_count() != width {
        return Ok(());
    }
    Err(Error::input(
        format!(
            "the features of {} are scaled otherwise than those that the model was trained on",
            data.name
        ),
        "give it records of the data set it was trained on: seal them together, so that they share one scaling",
    ))
}

/// The records asked for: their part's name and their indices.
fn which(data: &Dataset, args: &InferArgs) -> Result<(&'static str, Vec<u32>)> {
    let name = match args.part {
        Some(PartArg::Test) => "test",
        Some(PartArg::Train) => "train",
        Some(PartArg::All) => "all",
        None if data.part("test").is_some() => "test",
        None => "all",
    };
    let range = match data.part(name) {
        Some(part) => part.range(),
        None if name == "all" => 0..data.count(),
        None => {
            return Err(Error::input(
                format!("{} has no part {name:?}", data.name),
                "take all records: --part all",
            ));
        }
    };
    let limit = args
        .limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX);
    Ok((name, range.take(limit).map(|index| index as u32).collect()))
}

/// `index TAB label TAB predicted` for each record.
fn lines(records: Records<'_>, which: &[u32], inferred: &Inferred) -> String {
    let mut text = String::new();
    for (&index, predicted) in which.iter().zip(&inferred.predictions) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{index}\t{}\t{predicted}",
            records.labels[index as usize]
        );
    }
    text
}
