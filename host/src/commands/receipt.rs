//! `sealnet receipt`: receipts of devices and of trainings, verified.

mod verdict;

use std::path::Path;

use sealnet::error::{Error, Result};
use sealnet::files;
use sealnet::keys;
use sealnet::model::ModelFile;
use sealnet::receipt::check::{self, Checked, Expected, ExpectedModel, Trust, Unverified};
use sealnet::receipt::{self, Alone, device};
use sealnet_core::artefact::{Header, Provenance};
use sealnet_core::sign::Scheme;
use serde_json::{Value, json};

use super::Outcome;
use crate::cli::{ModelOrDigest, ReceiptArgs, ReceiptCommand, ReceiptVerifyArgs};
use crate::ui::Ui;
use verdict::Verdict;

pub(crate) fn run(args: &ReceiptArgs, ui: &Ui) -> Result<Outcome> {
    match &args.command {
        ReceiptCommand::Verify(args) => verify(args, ui),
    }
}

fn verify(args: &ReceiptVerifyArgs, ui: &Ui) -> Result<Outcome> {
    let mut trust = Trust::new(args.keys.as_deref(), args.key.as_deref())?;
    let expected = expected(args)?;
    let mut verdict = Verdict::default();
    let mut files = Vec::new();
    for path in &args.files {
        // One that cannot be read keeps nobody from the others.
        let report = match files::read_limited(path, device::MAX_FILE) {
            Err(error) => {
                verdict.unread(error);
                json!({"file": path, "kind": null, "receipts": []})
            }
            Ok(bytes) if receipt::is_envelope(&bytes) => {
                let told = training(args, path, &bytes, &trust, ui, &mut verdict)?;
                json!({"file": path, "kind": "training-receipt", "receipts": told})
            }
            Ok(bytes) => {
                let told = devices(
                    args,
                    path,
                    &bytes,
                    (&mut trust, &expected),
                    ui,
                    &mut verdict,
                )?;
                json!({"file": path, "kind": "device-receipts", "receipts": told})
            }
        };
        files.push(report);
    }
    verdict.tell(files, ui)
}

fn expected(args: &ReceiptVerifyArgs) -> Result<Expected> {
    Ok(Expected {
        device: args.device.as_deref().map(keys::device_name).transpose()?,
        model: match &args.model {
            None => None,
            Some(ModelOrDigest::Digest(digest)) => Some(ExpectedModel::Digest(*digest)),
            Some(ModelOrDigest::File(path)) => Some(ExpectedModel::File(ModelFile::read(path)?)),
        },
        request: args
            .request
            .as_deref()
            .map(check::request_digest)
            .transpose()?,
        label: args.label,
    })
}

/// The receipts of devices in one file.
fn devices(
    args: &ReceiptVerifyArgs,
    path: &Path,
    bytes: &[u8],
    (trust, expected): (&mut Trust, &Expected),
    ui: &Ui,
    verdict: &mut Verdict,
) -> Result<Vec<Value>> {
    if args.weights.is_some() {
        verdict.unread(Error::input(
            format!(
                "{} does not hold a training receipt, and --weights is for those",
                path.display()
            ),
            "leave --weights out",
        ));
        return Ok(Vec::new());
    }
    if bytes.trim_ascii().is_empty() {
        let cause = "it is empty".into();
        let check = "form";
        verdict.refused(Unverified::Failed { check, cause }, path.display());
        return Ok(Vec::new());
    }
    let several = device::read(bytes).take(2).count() > 1;
    let mut told = Vec::new();
    for (number, kept) in (1_u64..).zip(device::read(bytes)) {
        let place = match several {
            true => format!("{}, receipt {number}", path.display()),
            false => path.display().to_string(),
        };
        let checked = kept
            .map_err(|e| Unverified::Failed {
                check: e.check(),
                cause: e.to_string(),
            })
            .and_then(|kept| Ok((*kept.bytes(), trust.device(&kept, expected)?)));
        match checked {
            Err(unverified) => verdict.refused(unverified, place),
            Ok((bytes, checked)) => {
                let first = verdict.holds(&bytes, &place);
                if checked.held.scheme() == Scheme::HmacSha512 {
                    verdict.shared_key = true;
                }
                verdict.model_unknown |= expected.model.is_none();
                let told_one = tell_device(&place, several, &checked, args, ui)?;
                told.push(document(told_one, first));
            }
        }
    }
    Ok(told)
}

fn tell_device(
    place: &str,
    several: bool,
    checked: &Checked,
    args: &ReceiptVerifyArgs,
    ui: &Ui,
) -> Result<Claims> {
    let receipt = checked.held.receipt();
    let device = device::device_text(receipt.device_id);
    let mut claims = Claims::new();
    let mut claim = |name, value| claims.push((name, value));
    claim("device", device.as_str().into());
    claim("label", receipt.label.into());
    claim("verdict", receipt.verdict.to_string().into());
    claim("model_sha512", hex::encode(receipt.model_digest).into());
    claim("request_sha512", hex::encode(receipt.request_digest).into());
    claim("logits_sha512", hex::encode(receipt.logits_digest).into());
    claim("firmware_version", receipt.firmware_version.into());
    claim("boot", receipt.boot.into());
    claim("message", receipt.message.into());
    claim("nonce", hex::encode(receipt.nonce).into());
    claim("scheme", checked.held.scheme().to_string().into());
    claim("signing_key", checked.key_id.as_str().into());
    let file = match (&checked.model, &args.model) {
        (Some(header), Some(ModelOrDigest::File(path))) => Some((path, file_claims(path, header))),
        _ => None,
    };
    if several {
        ui.line(format!(
            "{place}: device {device}, boot {}, message {}, label {}, {}",
            receipt.boot, receipt.message, receipt.label, receipt.verdict
        ))?;
    } else {
        ui.line(format!("{place}: a device's receipt, verified"))?;
        tell_claims(&claims, ui)?;
        if let Some((path, said)) = &file {
            ui.line(format!(
                "{}: its body has that digest, and its publisher's signature holds; the rest is its publisher's \
                 word, which no receipt binds",
                path.display()
            ))?;
            tell_claims(said.get(1..).unwrap_or_default(), ui)?;
        }
    }
    if let Some((_, said)) = file {
        claims.push(("model_file", object(said)));
    }
    Ok(claims)
}

/// What a sealed model's publisher says of it beside the digest of its body. A receipt binds that digest alone:
/// another file with the same body may say something else.
fn file_claims(path: &Path, header: &Header) -> Claims {
    let provenance = match header.provenance {
        Provenance::SealedData(_) => "trained on sealed data",
        Provenance::UnsealedData(_) => "trained on unsealed data",
        Provenance::Unverified => "weights that no receipt vouches for",
    };
    vec![
        ("path", path.display().to_string().into()),
        ("name", header.name.as_str().into()),
        ("security_counter", header.security_counter.into()),
        ("provenance", provenance.into()),
    ]
}

/// The training receipt that is one file.
fn training(
    args: &ReceiptVerifyArgs,
    path: &Path,
    bytes: &[u8],
    trust: &Trust,
    ui: &Ui,
    verdict: &mut Verdict,
) -> Result<Vec<Value>> {
    let for_devices = [
        ("--device", args.device.is_some()),
        ("--model", args.model.is_some()),
        ("--request", args.request.is_some()),
        ("--label", args.label.is_some()),
    ];
    if let Some((option, _)) = for_devices.iter().find(|(_, given)| *given) {
        verdict.unread(Error::input(
            format!(
                "{} is a training receipt, and {option} is for those of devices",
                path.display()
            ),
            format!("leave {option} out; --weights says what a training receipt must be about"),
        ));
        return Ok(Vec::new());
    }
    let weights = args.weights.as_deref();
    let weights = weights.map(|path| files::read_limited(path, MAX_WEIGHTS));
    let checked = match weights.transpose() {
        Ok(weights) => trust.training(bytes, weights.as_deref()),
        Err(error) => Err(error.into()),
    };
    match checked {
        Err(unverified) => {
            verdict.refused(unverified, path.display());
            Ok(Vec::new())
        }
        Ok(alone) => {
            let first = verdict.holds(bytes, &path.display().to_string());
            verdict.weights_unknown |= args.weights.is_none();
            ui.line(format!("{}: a training receipt, verified", path.display()))?;
            let claims = training_claims(&alone);
            tell_claims(&claims, ui)?;
            Ok(vec![document(claims, first)])
        }
    }
}

fn training_claims(alone: &Alone) -> Claims {
    let training = alone.training();
    let mut claims = Claims::new();
    let mut claim = |name, value| claims.push((name, value));
    claim("weights", alone.weights_name().into());
    claim("weights_sha512", alone.weights_sha512().into());
    claim("data", training.data.name.as_str().into());
    claim("origin", training.data.origin.to_string().into());
    claim("records", training.data.records.into());
    claim("quarantined", training.data.quarantined.len().into());
    claim("recipe", training.recipe.name.as_str().into());
    claim("seed", training.seed.into());
    claim("test_accuracy", training.test.accuracy.into());
    let software = &training.software;
    let software = format!("{} {}", software.name, software.version);
    claim("software", software.into());
    claim("numerics", training.numerics.version.into());
    claim("created", training.run.created.into());
    claim("signing_key", alone.key_id().to_string().into());
    claims
}

fn tell_claims(claims: &[Claim], ui: &Ui) -> Result<()> {
    for (name, value) in claims {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        ui.line(format!("  {:<16} {value}", name.replace('_', " ")))?;
    }
    Ok(())
}

/// A receipt in the result; `first` is where the same one was before, if it was.
fn document(mut claims: Claims, first: Option<String>) -> Value {
    claims.extend(first.map(|first| ("duplicate_of", first.into())));
    object(claims)
}

fn object(claims: Claims) -> Value {
    let claims = claims.into_iter();
    Value::Object(claims.map(|(name, value)| (name.into(), value)).collect())
}

/// What a receipt or a file says, by name.
type Claim = (&'static str, Value);
type Claims = Vec<Claim>;

/// As where weights are used.
const MAX_WEIGHTS: u64 = 1 << 30;
