//! `sealnet export`: weights with a receipt to a sealed model.

use std::path::PathBuf;

use sealnet::dataset::csv::LabelColumn;
use sealnet::dataset::split::{Split, split};
use sealnet::error::{Error, Result};
use sealnet::export::{self, Prepared, SealOptions};
use sealnet::files::{self, AtomicFile};
use sealnet::keys::{self, KeyFolder};
use sealnet::receipt::{self, Data, Verified};
use sealnet::state::counters::{CounterMemory, Next};
use sealnet::train::session::now;
use sealnet::vault::SourceData;
use sealnet::weights::{self, Imported};
use sealnet_core::artefact::{Name, Provenance, ReplyPolicy, Sealed};
use sealnet_core::mlp::{Granularity, Kernel, Quantisation};
use sealnet_core::sign::{SigningKey, sha512};
use sealnet_firmware::provision;
use serde_json::json;

use super::{Outcome, source};
use crate::cli::{ExportArgs, GranularityArg, ReplyArg, SchemeArg, WeightsArg};
use crate::ui::Ui;

pub(crate) fn run(args: &ExportArgs, ui: &Ui) -> Result<Outcome> {
    refuse_onnx(args)?;
    let keys = KeyFolder::open(&args.keys.dir)?;
    let signing = signing(args, &keys)?;
    let encryption = match args.clear {
        true => None,
        false => keys.model_keys()?.into_iter().next(),
    };
    let name = name(args)?;
    let receipt_path = receipt_path(args);
    let inputs = [args.model.as_path(), &receipt_path, &args.keys.dir];
    files::refuse_overwriting(&args.output, &inputs)?;
    if let Some(place) = &args.data {
        files::refuse_overwriting(&args.output, &[&source::place(place)?])?;
    }
    drop(AtomicFile::create(&args.output)?);
    let counters = CounterMemory::of_this_machine()?;
    let signer = signing.key_id().to_string();
    // A counter that cannot be used is better known before the work than after it.
    counters.next(&signer, args.counter, args.reuse_counter)?;
    let (bytes, imported) = weights::read_as(&args.model, args.input.expression)?;
    let receipt = vouching(args, &keys, &bytes, ui)?;

    let (place, data) = data(args, receipt.as_ref(), ui)?;
    files::refuse_overwriting(&args.output, &[&source::place(&place)?])?;
    if let Some(receipt) = &receipt {
        receipt.training().data.check(&Data::of(&place, &data))?;
    }
    let split_seed = receipt
        .as_ref()
        .and_then(|receipt| receipt.training().split.seed);
    let split = split(&data.dataset, split_seed)?;
    if let Some(receipt) = &receipt {
        let made = receipt::Split::of(split_seed, &split);
        receipt.training().split.check(&place, &made)?;
    }
    if receipt.is_none() {
        check_input(&imported, &data, &split, ui)?;
    }
    let granularity = match args.granularity {
        GranularityArg::PerChannel => Granularity::PerOutput,
        GranularityArg::PerTensor => Granularity::PerTensor,
    };
    let quantisation = Quantisation {
        weights: args.weights.into(),
        granularity,
    };
    let max_loss = args.max_loss.unwrap_or(match args.weights {
        WeightsArg::Int8 => 0.2,
        WeightsArg::Int4 => 1.0,
    });
    let prepared = export::prepare(
        &imported.network,
        &data.dataset,
        &split,
        quantisation,
        max_loss,
    )?;
    // Taken before it is used: whatever goes wrong from here on, no other model gets it.
    let counter = counters.issue(&signer, args.counter, args.reuse_counter)?;
    let options = SealOptions {
        signing: &signing,
        encryption: encryption.as_ref(),
        counter: counter.counter,
        name,
        policy: match args.reply {
            ReplyArg::Label => ReplyPolicy::Label,
            ReplyArg::Probabilities => ReplyPolicy::Probabilities,
            ReplyArg::Logits => ReplyPolicy::Logits,
        },
        kernel: args.kernel.into(),
        created: now(),
    };
    let sealed = export::seal(&prepared, &bytes, receipt.as_ref(), &options)?;
    files::write_atomic(&args.output, &sealed)?;
    report(
        args,
        &imported,
        &prepared,
        receipt.as_ref(),
        &sealed,
        counter,
        ui,
    )?;
    Ok(Outcome::Done)
}

/// What is asked for by its name is not what would be made.
fn refuse_onnx(args: &ExportArgs) -> Result<()> {
    match args.output.extension() {
        Some(ending) if ending.eq_ignore_ascii_case("onnx") => Err(Error::input(
            format!(
                "{} would be a sealed model, which is not ONNX",
                args.output.display()
            ),
            "call it model.sealed, or write ONNX, in f32 and unsigned, with `sealnet onnx`",
        )),
        _ => Ok(()),
    }
}

/// Nothing else shows that weights were trained on another input than they are read with: refuses where nobody said
/// which and another one does clearly better, and warns where somebody did.
fn check_input(imported: &Imported, data: &SourceData, split: &Split, ui: &Ui) -> Result<()> {
    let Some((other, [better, taken])) = export::likelier_input(imported, &data.dataset, split)?
    else {
        return Ok(());
    };
    let (input, right) = (imported.input, "of validation records are right");
    let found = format!("over {input} {taken:.2} % {right}, over {other} {better:.2} %");
    if imported.input_is_known {
        ui.warn(format!(
            "{found}: is {input} what the weights were trained on?"
        ));
        return Ok(());
    }
    Err(Error::input(
        format!("the weights do not say what they were trained on, and it is not {input}: {found}"),
        format!("say what it was, as in --input \"{other}\""),
    ))
}

/// Numbers of the layers, from 1, that a kernel for DSP instructions does not run in its fastest way.
fn slower_layers(prepared: &Prepared) -> Result<Vec<u8>> {
    let network = prepared.quantised.network()?;
    let layers = network.layers().iter().zip(1..);
    Ok(layers
        .filter(|(layer, _)| !layer.is_fast())
        .map(|(_, number)| number)
        .collect())
}

fn report(
    args: &ExportArgs,
    imported: &Imported,
    prepared: &Prepared,
    receipt: Option<&Verified>,
    sealed: &[u8],
    counter: Next,
    ui: &Ui,
) -> Result<()> {
    let (validation, test) = (&prepared.validation, &prepared.test);
    let output = args.output.display();
    let body = if args.clear { "clear" } else { "encrypted" };
    let kernel = Kernel::from(args.kernel).to_string();
    let weights = prepared.quantised.quantisation.weights.to_string();
    let provenance = match export::provenance(receipt) {
        Provenance::SealedData(_) => "trained on sealed data",
        Provenance::UnsealedData(_) => "trained on unsealed data",
        Provenance::Unverified => "weights that no receipt vouches for",
    };
    ui.line(format!(
        "{output}: {} bytes, {weights}, {body}, kernel {kernel}, security counter {}, {provenance}",
        sealed.len(),
        counter.counter,
    ))?;
    let header = Sealed::parse(sealed).map(|sealed| *sealed.untrusted_header());
    if let Ok(header) = header
        && let Some((what, hint)) = provision::obstacle(&header, sealed.len())
    {
        ui.warn(format!("no device can run the model: {what}; {hint}"));
    }
    let slower = slower_layers(prepared)?;
    if !slower.is_empty() {
        ui.say(format!(
            "layers {slower:?} take longer on a Cortex-M with DSP instructions than they could: {}",
            match args.granularity {
                GranularityArg::PerTensor =>
                    "they share a scale each; --granularity per-channel is faster",
                GranularityArg::PerChannel => "their weights or factors are large",
            }
        ));
    }
    match counter.last {
        None => ui.say("this machine remembers no model that this key signed before"),
        Some(last) if last < counter.counter => {
            ui.say(format!("the last security counter of this key was {last}"));
        }
        Some(last) => ui.warn(format!(
            "this key has signed security counter {last} before: devices cannot tell which model is the newer"
        )),
    }
    ui.line(format!(
        "accuracy: {:.2} % of {} test records in integers, {:.2} % in reals; {} predictions changed",
        100.0 * test.integer_accuracy(),
        test.records,
        100.0 * test.real_accuracy(),
        test.changed,
    ))?;
    ui.line(format!(
        "validation: {:+.2} points from reals to integers, {} of {} predictions changed",
        // Without a minus sign before a zero.
        0.0 - validation.loss_points(),
        validation.changed,
        validation.records,
    ))?;
    ui.document(&json!({
        "artefact": args.output,
        "artefact_bytes": sealed.len(),
        "artefact_sha512": hex::encode(sha512(&[sealed])),
        "encrypted": !args.clear,
        "weights": weights,
        "input": imported.input.to_string(),
        "kernel": kernel,
        "slower_layers": slower,
        "security_counter": counter.counter,
        "last_security_counter": counter.last,
        "provenance": provenance,
        "percentile": prepared.quantised.percentile,
        "validation_accuracy": validation.integer_accuracy(),
        "validation_loss_points": validation.loss_points(),
        "validation_changed_predictions": validation.changed,
        "test_accuracy": test.integer_accuracy(),
        "f32_test_accuracy": test.real_accuracy(),
        "test_loss_points": test.loss_points(),
        "test_records": test.records,
        "changed_predictions": test.changed,
    }))
}

/// The receipt that vouches for the weights, verified; none if the user takes the risk.
fn vouching(
    args: &ExportArgs,
    keys: &KeyFolder,
    weights: &[u8],
    ui: &Ui,
) -> Result<Option<Verified>> {
    if args.unverified_weights {
        ui.warn(
            "no receipt is asked for: the sealed model will say that its weights are unverified",
        );
        return Ok(None);
    }
    let path = receipt_path(args);
    let verified = receipt::read(&path, weights, &keys.owner_public()?)?;
    let data = &verified.training().data;
    ui.say(format!(
        "receipt verified: recipe {}, seed {}, {} of {}",
        verified.training().recipe.name,
        verified.training().seed,
        data.origin,
        data.name,
    ));
    Ok(Some(verified))
}

/// Where the receipt is: as given, else beside the weights.
fn receipt_path(args: &ExportArgs) -> PathBuf {
    let given = args.receipt.clone();
    given.unwrap_or_else(|| receipt::path_beside(&args.model))
}

/// The records, and where they lie: as given, else where the receipt says they were.
fn data(args: &ExportArgs, receipt: Option<&Verified>, ui: &Ui) -> Result<(String, SourceData)> {
    let mut options = source::load_options(&args.data_options);
    if options.label.is_none() {
        let label = receipt.and_then(|receipt| receipt.training().data.label.clone());
        options.label = label.map(LabelColumn::Named);
    }
    let load =
        |place: &str| source::load(place, &args.keys, &args.store_options, options.clone(), ui);
    match (&args.data, receipt) {
        (Some(place), _) => Ok((place.clone(), load(place)?)),
        (None, Some(receipt)) => {
            let place = &receipt.training().data.source;
            let data = load(place).map_err(|e| match e {
                Error::Io { .. } => Error::input(
                    format!("the receipt says that the data is {place}: {e}"),
                    "say where it is now: --data STORE|DATA",
                ),
                other => other,
            })?;
            Ok((place.clone(), data))
        }
        (None, None) => Err(Error::input(
            "there is no data to calibrate and validate on",
            "name it: --data STORE|DATA",
        )),
    }
}

fn signing(args: &ExportArgs, keys: &KeyFolder) -> Result<SigningKey> {
    match (args.scheme, &args.device) {
        (SchemeArg::Ed25519, None) => keys.publisher_signing(),
        (SchemeArg::Hmac, Some(device)) => keys.publisher_hmac(&keys::device_name(device)?),
        (SchemeArg::Ed25519, Some(_)) => Err(Error::input(
            "--device goes with --scheme hmac: an Ed25519 signature is for all devices",
            "leave --device out, or add --scheme hmac",
        )),
        (SchemeArg::Hmac, None) => Err(Error::input(
            "--scheme hmac signs for one device, and none is named",
            "name it: --device ID",
        )),
    }
}

/// The name that people see: as given, else the weight file's without its ending.
fn name(args: &ExportArgs) -> Result<Name> {
    match &args.name {
        Some(name) => Name::new(name).ok_or_else(|| {
            Error::input(
                format!("{name:?} cannot be a model's name"),
                "use at most 32 bytes of UTF-8 without control characters",
            )
        }),
        None => Ok(args
            .model
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(Name::new)
            .or_else(|| Name::new(""))
            .ok_or_else(|| Error::input("the model needs a name", "give one with --name"))?),
    }
}
