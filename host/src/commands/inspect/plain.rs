//! Files without a signature: tokens, weights, networks for other runtimes, data.

use std::path::Path;

use safetensors::SafeTensors;
use sealnet::dataset::csv::{self as csv_data, LabelColumn};
use sealnet::dataset::idx as idx_data;
use sealnet::error::{Error, Result};
use sealnet::onnx::Summary;
use sealnet_core::fernet;

use super::Report;

/// One Fernet token, or a shard of a vault: one a line.
pub(super) fn fernet_tokens(path: &Path, bytes: &[u8]) -> Option<Result<Report>> {
    // Version 0x80 and the time's first bytes in base64url.
    if !bytes.starts_with(b"gAAAA") {
        return None;
    }
    let mut tokens = 0_u64;
    let mut times: Option<(u64, u64)> = None;
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let mut line = line.to_vec();
        let time = fernet::decode_text_in_place(&mut line)
            .and_then(|binary| fernet::untrusted_timestamp(binary));
        let Ok(time) = time else {
            return Some(Err(Error::input(
                format!(
                    "{} begins as Fernet tokens, but line {} is none",
                    path.display(),
                    number + 1
                ),
                "get the file again",
            )));
        };
        tokens += 1;
        let (first, last) = times.unwrap_or((time, time));
        times = Some((first.min(time), last.max(time)));
    }
    let (first, last) = times?;
    let what = match tokens {
        1 => "a Fernet token",
        _ => "Fernet tokens, one a line: a vault's shard",
    };
    Some(Ok(Report::new("fernet-tokens", what)
        .claim("tokens", tokens)
        .claim("first time", first)
        .claim("last time", last)
        .claim("file bytes", bytes.len())))
}

/// The Merkle leaves beside a shard, by their name.
pub(super) fn leaves(path: &Path, bytes: &[u8]) -> Option<Result<Report>> {
    if path.extension().is_none_or(|e| e != "leaves") || !bytes.len().is_multiple_of(LEAF) {
        return None;
    }
    Some(Ok(Report::new(
        "leaves",
        "the Merkle leaves of a vault's shard",
    )
    .claim("leaves", bytes.len() / LEAF)
    .claim("file bytes", bytes.len())))
}

/// Weights as `safetensors`.
pub(super) fn weights(path: &Path, bytes: &[u8]) -> Option<Result<Report>> {
    let (length, rest) = bytes.split_first_chunk()?;
    if rest.first() != Some(&b'{') || u64::from_le_bytes(*length) > bytes.len() as u64 {
        return None;
    }
    let file = match SafeTensors::deserialize(bytes) {
        Ok(file) => file,
        Err(e) => {
            return Some(Err(Error::input(
                format!("{} begins as safetensors, but: {e}", path.display()),
                "get the file again",
            )));
        }
    };
    let mut tensors: Vec<_> = file
        .iter()
        .map(|(name, tensor)| format!("{name} {:?}{:?}", tensor.dtype(), tensor.shape()))
        .collect();
    tensors.sort();
    let metadata = SafeTensors::read_metadata(bytes).ok();
    let mut notes: Vec<_> = metadata
        .and_then(|(_, header)| header.metadata().clone())
        .unwrap_or_default()
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    notes.sort();
    Some(Ok(Report::new(
        "safetensors",
        "weights (safetensors), not signed",
    )
    .claim("tensors", tensors)
    .claim("metadata", notes)
    .claim("sha512", hex::encode(sealnet_core::sign::sha512(&[bytes])))
    .claim("file bytes", bytes.len())))
}

/// A network for other runtimes, as ONNX.
pub(super) fn onnx(path: &Path, bytes: &[u8]) -> Option<Result<Report>> {
    let Some(summary) = Summary::read(bytes) else {
        let named = path.extension().is_some_and(|e| e == "onnx");
        return named.then(|| {
            Err(Error::input(
                format!("{} is called ONNX, but holds no graph", path.display()),
                "get the file again",
            ))
        });
    };
    Some(Ok(Report::new("onnx", "a network (ONNX), not signed")
        .claim("producer", summary.producer)
        .claim("ir version", summary.ir_version)
        .claim("opset", summary.opset)
        .claim("inputs", summary.inputs)
        .claim("outputs", summary.outputs)
        .claim("operators", summary.operators)
        .claim("parameters", summary.parameters)
        .claim("metadata", summary.metadata)
        .claim("sha512", hex::encode(sealnet_core::sign::sha512(&[bytes])))
        .claim("file bytes", bytes.len())))
}

/// One IDX file, plain or gzipped.
pub(super) fn idx(path: &Path, bytes: &[u8]) -> Option<Result<Report>> {
    let gzipped = path.extension().is_some_and(|e| e == "gz") && bytes.starts_with(&[0x1F, 0x8B]);
    if !gzipped && !bytes.starts_with(&[0, 0, 8]) {
        return None;
    }
    Some(idx_data::read(path).map(|file| {
        let what = match file.sizes.len() {
            1 => "IDX labels",
            _ => "IDX records",
        };
        Report::new("idx", what)
            .claim("sizes", file.sizes)
            .claim("file bytes", bytes.len())
    }))
}

/// A CSV file, by its name.
pub(super) fn csv(path: &Path, bytes: &[u8], label: &LabelColumn) -> Option<Result<Report>> {
    if path.extension().is_none_or(|e| e != "csv") {
        return None;
    }
    let what = match label {
        LabelColumn::First => "CSV data, read with its first column as the label".to_owned(),
        LabelColumn::Named(name) => format!("CSV data, read with column {name:?} as the label"),
    };
    Some(csv_data::read(path, label).map(|data| {
        Report::new("csv", what)
            .claim("records", data.count())
            .claim("features", data.feature_count())
            .claim("classes", data.classes)
            .claim("scaled", data.scaling.is_some())
            .claim("columns", data.headings.map(|headings| headings.features))
            .claim("class names", data.class_names)
            .claim("file bytes", bytes.len())
    }))
}

/// A leaf is a SHA-512 digest.
const LEAF: usize = 64;
