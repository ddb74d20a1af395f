//! `sealnet onnx`: weights to an ONNX file in f32.

use sealnet::error::{Error, Result};
use sealnet::files;
use sealnet::onnx::{self, Origin};
use sealnet::receipt;
use sealnet::weights;
use sealnet_core::sign::{Digest512, sha512};
use sealnet_firmware::visible::visible;
use serde_json::json;

use super::Outcome;
use crate::cli::OnnxArgs;
use crate::ui::Ui;

pub(crate) fn run(args: &OnnxArgs, ui: &Ui) -> Result<Outcome> {
    let beside = receipt::path_beside(&args.model);
    let receipt_path = args.receipt.clone().unwrap_or(beside);
    files::refuse_overwriting(&args.output, &[&args.model, &receipt_path])?;
    let (bytes, imported) = weights::read_as(&args.model, args.input.expression)?;
    if !imported.input_is_known {
        ui.warn(format!(
            "the weights do not say what they were trained on: taken for {}; if it was another, say --input",
            imported.input
        ));
    }
    let origin = Origin {
        weights: sha512(&[&bytes]),
        recipe: imported.recipe,
        receipt: match args.receipt.is_some() || receipt_path.exists() {
            true => Some(receipt_digest(&receipt_path, &bytes)?),
            false => None,
        },
    };
    let made = onnx::to_onnx(&imported.network, &origin);
    files::write_atomic(&args.output, &made)?;
    let shape = imported.network.shape();
    let [inputs, .., classes] = shape.widths();
    ui.line(format!(
        "{}: {} bytes, ONNX opset {}, {shape} in f32, neither signed nor encrypted",
        args.output.display(),
        made.len(),
        onnx::OPSET,
    ))?;
    ui.line(format!(
        "input:  {}, uint8 [records, {inputs}], as the records are; trained on {}",
        onnx::FEATURES,
        imported.input,
    ))?;
    ui.line(format!(
        "output: {}, float [records, {classes}], before softmax",
        onnx::LOGITS
    ))?;
    let (digest, receipt) = (hex::encode(origin.weights), origin.receipt.map(hex::encode));
    ui.line(format!("weights: SHA-512 {digest}"))?;
    match &receipt {
        Some(receipt) => ui.line(format!("receipt: SHA-512 {receipt}, not verified"))?,
        None => ui.say("no training receipt lies beside the weights; the file names none"),
    }
    ui.document(&json!({
        "onnx": args.output,
        "onnx_bytes": made.len(),
        "onnx_sha512": hex::encode(sha512(&[&made])),
        "opset": onnx::OPSET,
        "network": shape.widths(),
        "input": imported.input.to_string(),
        "recipe": origin.recipe.as_deref().map(visible),
        "weights_sha512": digest,
        "receipt_sha512": receipt,
    }))?;
    Ok(Outcome::Done)
}

/// The digest of a receipt that is about these weights, as far as it can be known without a key.
fn receipt_digest(path: &std::path::Path, weights: &[u8]) -> Result<Digest512> {
    let receipt = files::read_limited(path, receipt::MAX_BYTES)?;
    let said = receipt::untrusted_weights_sha512(&receipt).map_err(|reason| {
        Error::input(
            format!("{} is no training receipt: {reason}", path.display()),
            "name the one that `sealnet train` wrote with --receipt, or move this one away",
        )
    })?;
    if said != hex::encode(sha512(&[weights])) {
        return Err(Error::verification(
            format!("{} is about other weights", path.display()),
            "name the receipt of these weights with --receipt, or move this one away",
        ));
    }
    Ok(sha512(&[&receipt]))
}
