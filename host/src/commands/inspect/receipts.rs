//! Receipts that devices signed.

use std::path::Path;

use sealnet::error::{Error, Result};
use sealnet::receipt::device::{self, Kept, KeptError};
use serde_json::{Deserializer, Value};

use super::Report;

/// A file of receipts, binary or JSON: how many, and the first.
pub(super) fn of_devices(path: &Path, bytes: &[u8]) -> Option<Result<Report>> {
    let what = match (device::is_binary(bytes), device::is_json(bytes)) {
        (true, _) => "binary",
        (_, true) if says_so(bytes) => "JSON, in-toto statements",
        _ => return None,
    };
    Some(look(what, bytes).map_err(|e| {
        Error::input(
            format!("{} begins as a device's receipts, but: {e}", path.display()),
            "get the file again; sealnet receipt verify tells which of them hold",
        )
    }))
}

/// Whether the first document says that it is a receipt of a device.
fn says_so(bytes: &[u8]) -> bool {
    let mut documents = Deserializer::from_slice(bytes).into_iter::<Value>();
    matches!(documents.next(), Some(Ok(first)) if device::is_statement(&first))
}

fn look(form: &str, bytes: &[u8]) -> Result<Report, KeptError> {
    let mut first: Option<Kept> = None;
    let mut receipts = 0_u64;
    for kept in device::read(bytes) {
        let kept = kept?;
        kept.agrees()?;
        receipts += 1;
        first.get_or_insert(kept);
    }
    let kind = match receipts {
        1 => format!("a device's receipt ({form})"),
        _ => format!("devices' receipts ({form}); of the first:"),
    };
    let report = Report::new("device-receipts", kind).claim("receipts", receipts);
    let Some(first) = first else {
        return Ok(report);
    };
    let receipt = first.untrusted()?;
    Ok(report
        .claim("device", device::device_text(receipt.device_id))
        .claim("label", receipt.label)
        .claim("verdict", receipt.verdict.to_string())
        .claim("model sha512", hex::encode(receipt.model_digest))
        .claim("request sha512", hex::encode(receipt.request_digest))
        .claim("logits sha512", hex::encode(receipt.logits_digest))
        .claim("firmware version", receipt.firmware_version)
        .claim("boot", receipt.boot)
        .claim("message", receipt.message)
        .claim("nonce", hex::encode(receipt.nonce))
        .claim("scheme", device::claimed_scheme(first.bytes()))
        .claim("file bytes", bytes.len()))
}
