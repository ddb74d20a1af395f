//! `sealnet infer`: a sealed model over records, on the host, on a simulated device, or on boards in QEMU.

mod boards;

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use sealnet::dataset::csv::LabelColumn;
use sealnet::dataset::{Form, LoadOptions};
use sealnet::error::{Error, Result};
use sealnet::files::{self, AtomicFile};
use sealnet::infer::{self, Inferred};
use sealnet::keys::{self, KeyFolder};
use sealnet::model::ModelFile;
use sealnet::receipt::device;
use sealnet::state::counters::CounterMemory;
use sealnet::train::Records;
use sealnet_core::artefact::{BodyEncoding, DeployedAny, Header, Provenance};
use sealnet_core::mlp::Kernel;
use sealnet_core::protocol::RECEIPT_LEN;
use sealnet_firmware::identity::Identity;
use sealnet_firmware::visible::visible;
use serde_json::json;

use super::{Outcome, source};
use crate::cli::{InferArgs, Place};
use crate::ui::Ui;
use boards::Boards;

pub(crate) fn run(args: &InferArgs, ui: &Ui) -> Result<Outcome> {
    let keys = KeyFolder::open(&args.keys.dir)?;
    let device = keys.device(&keys::device_name(&args.device)?)?;
    if args.streamed && args.on == Place::Host {
        return Err(Error::input(
            "--streamed is for a device",
            "add --on sim, or leave --streamed out",
        ));
    }
    let for_boards = [
        ("--board", args.board.is_some()),
        ("--timeout", args.timeout.is_some()),
        ("--device-log", args.device_log),
    ];
    if let Some((option, _)) = for_boards.iter().find(|(_, given)| *given)
        && args.on != Place::Qemu
    {
        return Err(Error::input(
            format!("{option} is for a board in QEMU"),
            format!("add --on qemu, or leave {option} out"),
        ));
    }
    let model = ModelFile::read(&args.model)?;
    receipts_can_be_kept(args)?;
    // The model first: it decides what is read of the data, and an untrusted one decides nothing.
    let answered = model.deployed(
        &device.publisher,
        device.model.as_ref(),
        args.min_counter.unwrap_or(0),
        |deployed| answer(args, &model, &device, deployed, ui),
    )?;
    let Answered {
        inferred, which, ..
    } = &answered;
    if !ui.json() {
        ui.bytes(lines(&answered).as_bytes())?;
    }
    let count = which.len();
    if let Some(path) = &args.receipts {
        keep_receipts(path, &inferred.receipts)?;
        ui.say(format!(
            "{count} signed receipts kept in {}",
            path.display()
        ));
    }
    let on = match args.on {
        Place::Host => "host",
        Place::Sim => "sim",
        Place::Qemu => "qemu",
    };
    ui.say(format!(
        "{:.2} % of {count} {} records correct, on {on}{}, in {:.2} s",
        100.0 * inferred.accuracy(),
        answered.part,
        match args.on {
            Place::Host => String::new(),
            Place::Sim => format!(" ({})", answered.mode),
            Place::Qemu => format!(
                " ({}{})",
                answered.mode,
                answered
                    .kernel
                    .map_or(String::new(), |kernel| format!(", kernel {kernel}"))
            ),
        },
        answered.seconds,
    ));
    if let Some(agree) = inferred.agree {
        ui.say(format!(
            "{agree} of {count} records have the host's logits, bit for bit"
        ));
    }
    ui.document(&json!({
        "on": on,
        "mode": answered.mode,
        "kernel": answered.kernel.map(|kernel| kernel.to_string()),
        "board": (args.on == Place::Qemu).then(|| args.board().name()),
        "model": args.model,
        "model_digest": answered.digest,
        "security_counter": answered.counter,
        "part": answered.part,
        "first_record": which.first(),
        "records": count,
        "clamped": answered.clamped,
        "correct": inferred.correct,
        "accuracy": inferred.accuracy(),
        "agree": inferred.agree,
        "seconds": answered.seconds,
        "predictions": inferred.predictions,
        "receipts": args.receipts,
        "class_names": answered.form.class_names,
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

/// What a verified model said about the records.
struct Answered {
    inferred: Inferred,
    /// What became of the body: `clear`, `confidential` (decrypted into RAM) or `streamed`.
    mode: &'static str,
    /// Which kernel of the two that a board with DSP instructions has for a body that is not streamed.
    kernel: Option<Kernel>,
    part: &'static str,
    which: Vec<u32>,
    /// The label of each record in `which`.
    labels: Vec<u16>,
    form: Form,
    clamped: u64,
    digest: String,
    counter: u32,
    seconds: f64,
}

fn answer(
    args: &InferArgs,
    model: &ModelFile,
    device: &Identity,
    deployed: &DeployedAny<'_>,
    ui: &Ui,
) -> Result<Answered> {
    let header = deployed.header();
    let mode = match (header.encoding, args.streamed) {
        (BodyEncoding::Clear, false) => "clear",
        (BodyEncoding::Fernet { .. }, false) => "confidential",
        (BodyEncoding::Fernet { .. }, true) => "streamed",
        (BodyEncoding::Clear, true) => {
            return Err(Error::input(
                format!(
                    "{} is not encrypted: there is nothing to stream",
                    args.model.display()
                ),
                "leave --streamed out, or export the model without --clear",
            ));
        }
    };
    let chosen = args.on == Place::Qemu && args.board().has_dsp() && !args.streamed;
    let min_counter = not_older(args, header, ui)?;
    match header.provenance {
        Provenance::SealedData(_) => {}
        Provenance::UnsealedData(_) => ui.warn("the model was trained on unsealed data"),
        Provenance::Unverified => ui.warn("no training receipt vouches for the model's weights"),
    }
    let form = infer::form(deployed)?;
    let load = LoadOptions {
        label: args.data_options.label.as_deref().map(LabelColumn::parse),
        form: Some(form.clone()),
    };
    let source = source::load(&args.source, &args.keys, &args.store_options, load, ui)?;
    let data = &source.dataset;
    if let Some(warning) = form.check(data)? {
        ui.warn(warning);
    }
    if source.clamped > 0 {
        ui.warn(format!(
            "{} of {} values lie beyond what the model was trained on: each was taken for the nearest \
             value that it knows",
            source.clamped,
            data.features.len(),
        ));
    }
    let records = Records::from(data);
    let (part, which) = source::chosen(data, args.part, args.limit)?;
    let boards = (args.on == Place::Qemu)
        .then(|| Boards::ready(args, deployed, ui.progress()))
        .transpose()?;
    let started = Instant::now();
    let inferred = match (&boards, args.on) {
        (Some(boards), _) => boards.run(
            deployed,
            (model.bytes(), min_counter),
            device,
            (records, &which),
            ui.progress(),
        )?,
        (None, Place::Host) => infer::on_host(deployed, records, &which)?,
        (None, _) => infer::on_simulator(
            deployed,
            model.bytes(),
            device,
            (min_counter, args.streamed),
            (records, &which),
            ui.progress(),
        )?,
    };
    Ok(Answered {
        inferred,
        mode,
        kernel: chosen.then(|| deployed.kernel()),
        part,
        labels: which.iter().map(|&at| data.labels[at as usize]).collect(),
        which,
        clamped: source.clamped,
        digest: hex::encode(deployed.model_digest()),
        counter: header.security_counter,
        seconds: started.elapsed().as_secs_f64(),
        form,
    })
}

/// Refuses a model that is older than one seen before of its publisher, and remembers the newest;
/// `--min-counter` decides instead where it is given. Gives the lowest counter that a device may take: never
/// the model's own word.
fn not_older(args: &InferArgs, header: &Header, ui: &Ui) -> Result<u32> {
    let memory = CounterMemory::of_this_machine()?;
    let signer = header.signing_key.to_string();
    let found = header.security_counter;
    let seen = memory.highest_seen(&signer)?;
    let lowest = seen.as_ref().map_or(0, |seen| seen.counter);
    match &seen {
        Some(seen) if seen.counter > found => {
            let what = format!(
                "its security counter is {found}, and {} of the same publisher was seen before, in model {:?}",
                seen.counter, seen.name,
            );
            if args.min_counter.is_none() {
                return Err(Error::verification(
                    format!("{} is refused: {what}", args.model.display()),
                    format!(
                        "use the newest model; an older one is taken on purpose with --min-counter {found}"
                    ),
                ));
            }
            ui.warn(format!("the model is an older one: {what}"));
        }
        None if args.min_counter.is_none() => ui.say(FIRST_CONTACT),
        _ => {}
    }
    // An older one does not lower what is remembered.
    memory.remember(&signer, header.name.as_str(), found)?;
    Ok(args.min_counter.unwrap_or(lowest))
}

/// Refuses to begin when receipts are asked for that nobody signs, or a place for them that is none.
fn receipts_can_be_kept(args: &InferArgs) -> Result<()> {
    let Some(path) = &args.receipts else {
        return Ok(());
    };
    if args.on == Place::Host {
        return Err(Error::input(
            "--receipts keeps what a device signed, and --on host asks none",
            "ask a device: --on sim",
        ));
    }
    let source = source::place(&args.source)?;
    files::refuse_overwriting(path, &[&args.model, &args.keys.dir, &source])?;
    drop(AtomicFile::create(path)?);
    Ok(())
}

fn keep_receipts(path: &Path, receipts: &[[u8; RECEIPT_LEN]]) -> Result<()> {
    let json = |ending| path.extension().is_some_and(|found| found == ending);
    if !json("json") && !json("jsonl") {
        return files::write_atomic(path, receipts.as_flattened());
    }
    let lines: Result<Vec<_>, _> = receipts.iter().map(device::to_json).collect();
    // They were verified, so they are well formed.
    let lines = lines.map_err(|e| Error::verification(e.to_string(), ""))?;
    files::write_atomic(path, &lines.concat())
}

/// `index TAB label TAB predicted` for each record, classes by their names where they have some.
fn lines(answered: &Answered) -> String {
    let names = answered.form.class_names.as_deref().unwrap_or_default();
    let class = |class: u16| match names.get(usize::from(class)) {
        Some(name) => visible(name).into_owned(),
        None => class.to_string(),
    };
    let mut text = String::new();
    let predictions = answered.labels.iter().zip(&answered.inferred.predictions);
    for (index, (&label, &predicted)) in answered.which.iter().zip(predictions) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{index}\t{}\t{}", class(label), class(predicted));
    }
    text
}

const FIRST_CONTACT: &str = "note: no model of this publisher was seen here before, so whether this one is an \
                             old one cannot be known (--min-counter)";
