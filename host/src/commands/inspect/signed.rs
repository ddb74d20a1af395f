//! Sealed models and signed documents.

use std::path::Path;

use sealnet::dsse;
use sealnet::error::{Error, Result};
use sealnet::receipt;
use sealnet_core::artefact::{BodyEncoding, NameList, Provenance, Sealed};
use sealnet_core::mlp::Granularity;
use serde_json::Value;

use super::Report;

/// A sealed model: its header.
pub(super) fn sealed_model(path: &Path, bytes: &[u8]) -> Option<Result<Report>> {
    if !bytes.starts_with(b"SEALNETM") {
        return None;
    }
    let sealed = match Sealed::parse(bytes) {
        Ok(sealed) => sealed,
        Err(e) => {
            return Some(Err(Error::input(
                format!("{} begins as a sealed model, but: {e}", path.display()),
                "get the file again; sealnet export makes it",
            )));
        }
    };
    let header = sealed.untrusted_header();
    let (body, model_key) = match header.encoding {
        BodyEncoding::Clear => ("clear, for execution in place", Value::Null),
        BodyEncoding::Fernet { key } => ("encrypted (Fernet)", key.to_string().into()),
    };
    let (provenance, receipt) = match header.provenance {
        Provenance::SealedData(receipt) => ("receipt over sealed data", Some(receipt)),
        Provenance::UnsealedData(receipt) => ("receipt over unsealed data", Some(receipt)),
        Provenance::Unverified => ("unverified weights", None),
    };
    let listed = |names: NameList<'_>| match header.encoding {
        BodyEncoding::Clear => names.map(Value::from).collect::<Vec<_>>().into(),
        BodyEncoding::Fernet { .. } => Value::from("not shown: the body is encrypted"),
    };
    let names = match sealed.untrusted_names() {
        Ok(names) => names,
        Err(e) => {
            return Some(Err(Error::input(
                format!("{} begins as a sealed model, but: {e}", path.display()),
                "get the file again; sealnet export makes it",
            )));
        }
    };
    let columns = listed(names.map_or_else(NameList::default, |names| names.columns()));
    let classes = listed(names.map_or_else(NameList::default, |names| names.classes()));
    let weights = header.quantisation.weights.to_string();
    let granularity = match header.quantisation.granularity {
        Granularity::PerTensor => "per-tensor",
        Granularity::PerOutput => "per-channel",
    };
    let [input, hidden1, hidden2, output] = header.shape.widths();
    Some(Ok(Report::new("sealed-model", "a sealed model")
        .claim("name", header.name.as_str())
        .claim("shape", format!("{input}-{hidden1}-{hidden2}-{output}"))
        .claim("security counter", header.security_counter)
        .claim("scheme", header.scheme.to_string())
        .claim("signing key", header.signing_key.to_string())
        .claim("body", body)
        .claim("model key", model_key)
        .claim("weights", weights)
        .claim("scales", granularity)
        .claim("columns", columns)
        .claim("classes", classes)
        .claim("provenance", provenance)
        .claim("receipt sha512", receipt.map(hex::encode))
        .claim("model sha512", hex::encode(header.model_digest))
        .claim("created", header.created)
        .claim("plaintext bytes", header.plaintext_len)
        .claim("file bytes", bytes.len())))
}

/// A signed document, or JSON that is not signed.
pub(super) fn envelope(path: &Path, bytes: &[u8]) -> Option<Result<Report>> {
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let unsigned: Value = match serde_json::from_slice(bytes) {
        Ok(json) => json,
        Err(e) => {
            return Some(Err(Error::input(
                format!("{} begins as JSON, but: {e}", path.display()),
                "get the file again",
            )));
        }
    };
    if unsigned.get("payloadType").is_none() {
        let report = Report::new("json", "JSON, not signed");
        return Some(Ok(with_members(report, unsigned)));
    }
    Some(match dsse::peek(bytes) {
        Ok(envelope) => {
            let kind = match envelope.payload_type.as_str() {
                "application/vnd.sealnet.manifest+json" => "a vault's signed manifest",
                receipt::PAYLOAD_TYPE => "a signed in-toto statement: a training receipt",
                _ => "a signed document",
            };
            let report = Report::new("signed-document", kind)
                .claim("type", envelope.payload_type)
                .claim("signing key", envelope.key_id)
                .claim("file bytes", bytes.len())
                .claim("sha512", hex::encode(sealnet_core::sign::sha512(&[bytes])));
            Ok(match serde_json::from_slice(&envelope.payload) {
                Ok(payload) => with_members(report, payload),
                Err(_) => report.claim("payload", "not JSON"),
            })
        }
        Err(e) => Err(Error::input(
            format!("{} looks like a signed document, but: {e}", path.display()),
            "get the file again",
        )),
    })
}

/// Shows a document member by member to people, whole in JSON.
fn with_members(mut report: Report, document: Value) -> Report {
    if let Value::Object(members) = &document {
        for (name, value) in members.iter().take(MAX_MEMBERS) {
            let name = super::shown(&Value::String(name.clone()));
            report.members.push((name, super::shown(value)));
        }
    }
    report.document = Some(document);
    report
}

/// More members than this help nobody on a terminal.
const MAX_MEMBERS: usize = 40;
