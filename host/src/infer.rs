//! A sealed model over many records: on the host, on a simulated device, or on boards in QEMU.

#[cfg(unix)]
mod qemu;

use std::collections::HashSet;

use sealnet_core::artefact::{DeployedAny, Encrypted, NameList};
use sealnet_core::mlp::{Shape, argmax};
use sealnet_core::protocol::RECEIPT_LEN;
use sealnet_firmware::client::{Client, ClientError};
use sealnet_firmware::device::BootError;
use sealnet_firmware::identity::Identity;
use sealnet_firmware::sim::Machine;

use crate::dataset::{Column, Form};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::quantise::integer_logits;
use crate::train::Records;
#[cfg(unix)]
pub use qemu::{Emulation, on_qemu};

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inferred {
    /// The predicted class of each record, in order.
    pub predictions: Vec<u16>,
    /// Of the records, how many have the label predicted.
    pub correct: u64,
    /// On a device: the records whose logits on the device are the host's, bit for bit.
    pub agree: Option<u64>,
    /// On a device: the signed receipt of each answer, in the order of the records.
    pub receipts: Vec<[u8; RECEIPT_LEN]>,
}

/// The form of the records that a model takes, as its publisher signed it.
///
/// # Errors
/// [`Error::Input`] when two columns or classes have one name, or a column's scale is not positive: nothing
/// can be read for such a model.
pub fn form(model: &DeployedAny<'_>) -> Result<Form> {
    let [features, .., classes] = model.network().shape().widths();
    let unusable = |what: &str| {
        Error::input(
            format!("the model's {what}"),
            "ask its publisher for one that sealnet export made",
        )
    };
    let distinct = |names: NameList<'_>| {
        let names: Vec<String> = names.map(str::to_owned).collect();
        let mut seen = HashSet::new();
        match names.iter().all(|name| seen.insert(name.as_str())) {
            true => Ok((!names.is_empty()).then_some(names)),
            false => Err(unusable(
                "columns or classes do not have names of their own",
            )),
        }
    };
    let (columns, class_names) = match model.names() {
        Some(names) => (distinct(names.columns())?, distinct(names.classes())?),
        None => (None, None),
    };
    let scaling = model.scaling().map(|scaling| {
        let columns = scaling.columns().enumerate().map(|(at, found)| Column {
            name: match &columns {
                Some(names) => names.get(at).cloned().unwrap_or_default(),
                None => format!("feature {}", at + 1),
            },
            offset: f64::from(found.offset),
            scale: f64::from(found.scale),
        });
        columns.collect::<Vec<_>>()
    });
    if scaling.iter().flatten().any(|column| column.scale <= 0.0) {
        return Err(unusable("scaling is not positive"));
    }
    Ok(Form {
        features: usize::from(features),
        classes,
        columns,
        class_names,
        scaling,
    })
}

/// Runs a model on the host's cores over those of `records` that `which` names.
///
/// # Errors
/// [`Error::Input`] when the records do not have the model's dimensions.
pub fn on_host(model: &DeployedAny<'_>, records: Records<'_>, which: &[u32]) -> Result<Inferred> {
    let logits = logits(model, records, which)?;
    let classes = usize::from(model.network().shape().output());
    let predictions = logits
        .chunks_exact(classes)
        .map(|logits| argmax(logits) as u16);
    Ok(Inferred::new(predictions.collect(), records, which))
}

/// Runs a model on a simulated device that is provisioned with `artefact` and `identity`: every record
/// travels as a sealed request, and every reply's receipt is verified. `model` is the same artefact as
/// loaded by the host; the device's logits are compared with it. The device takes no model with a security counter
/// below `min_counter`; where `streamed`, it has no RAM for a model and leaves an encrypted one as it lies.
///
/// # Errors
/// [`Error::Input`] when the records or the device do not have the model's dimensions, or the device lacks
/// what it needs; [`Error::Verification`] when it refuses the model or a reply does not verify.
pub fn on_simulator(
    model: &DeployedAny<'_>,
    artefact: &[u8],
    identity: &Identity,
    (min_counter, streamed): (u32, bool),
    (records, which): (Records<'_>, &[u32]),
    progress: &dyn Progress,
) -> Result<Inferred> {
    let expected = logits(model, records, which)?;
    let shape = model.network().shape();
    takes_shape(shape)?;
    let machine = Machine::provision(identity, artefact, min_counter)
        .map_err(|e| Error::input(e.to_string(), e.hint()))?;
    let asked = (model, expected.as_slice(), identity);
    if streamed {
        ask(machine.streamed(), asked, (records, which), progress)
    } else {
        ask(machine, asked, (records, which), progress)
    }
}

/// Asks the device of a machine for each record, and compares its logits with those expected.
fn ask<M: Encrypted>(
    mut machine: Machine<M>,
    (model, expected, identity): (&DeployedAny<'_>, &[i32], &Identity),
    (records, which): (Records<'_>, &[u32]),
    progress: &dyn Progress,
) -> Result<Inferred> {
    let classes = usize::from(model.network().shape().output());
    let mut device = machine.boot(|_| ());
    device
        .model()
        .map_err(|e| serves_no_model("the simulated device", &e))?;
    let mut client = Client::new(identity);
    client.expect_model(*model.model_digest());
    progress.start("simulated device", which.len() as u64);
    let mut predictions = Vec::with_capacity(which.len());
    let mut receipts = Vec::with_capacity(which.len());
    let mut agree = 0;
    for (&index, expected) in which.iter().zip(expected.chunks_exact(classes)) {
        let answer = client
            .infer(&mut device, records.features_of(index))
            .map_err(|e| unanswered(index, &e, ""))?;
        predictions.push(answer.label);
        receipts.push(answer.receipt_bytes);
        agree += u64::from(answer.computed(expected));
        progress.inc(1);
    }
    progress.finish();
    Ok(Inferred {
        agree: Some(agree),
        receipts,
        ..Inferred::new(predictions, records, which)
    })
}

impl Inferred {
    fn new(predictions: Vec<u16>, records: Records<'_>, which: &[u32]) -> Inferred {
        let labels = which.iter().map(|&index| records.labels[index as usize]);
        let hits = predictions
            .iter()
            .zip(labels)
            .filter(|&(&p, label)| p == label);
        Inferred {
            correct: hits.count() as u64,
            predictions,
            agree: None,
            receipts: Vec::new(),
        }
    }

    /// Share predicted correctly, 0 to 1; 0 over no records.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.predictions.len().max(1) as f64
    }
}

fn logits(model: &DeployedAny<'_>, records: Records<'_>, which: &[u32]) -> Result<Vec<i32>> {
    integer_logits(model.network(), records, which)
}

/// The device of this build takes one shape alone.
fn takes_shape(shape: Shape) -> Result<()> {
    let taken = sealnet_firmware::shape::SHAPE;
    if shape == taken {
        return Ok(());
    }
    Err(Error::input(
        format!("the model is {shape}; this build's simulated device runs {taken} only"),
        format!("use --on host, or build with SEALNET_SHAPE={shape} in the environment"),
    ))
}

fn serves_no_model(who: &str, error: &BootError) -> Error {
    let what = format!("{who} serves no model: {error}");
    if error.is_verification() {
        let hint = "use the keys of a device that the model was made for";
        return Error::verification(what, hint);
    }
    Error::input(what, error.hint())
}

fn unanswered(index: u32, error: &ClientError, hint: &str) -> Error {
    let what = format!("record {index}: {error}");
    if error.is_verification() {
        Error::verification(
            what,
            "device and host must have the keys of one `device-ID` folder",
        )
    } else {
        Error::input(what, hint)
    }
}
