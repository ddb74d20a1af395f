//! `info`: what a flash image holds.

use std::path::Path;

use sealnet_core::artefact::Sealed;
use sealnet_core::protocol::UpdateOutcome;
use sealnet_firmware::device::FIRMWARE_VERSION;
use sealnet_firmware::identity::{Identity, Provisioned};
use sealnet_firmware::journal::{Counters, Journal, Slots, Trial};
use sealnet_firmware::layout::{IDENTITY, JOURNAL, SLOT_A, SLOT_B, SLOT_LEN};
use sealnet_firmware::shape::SHAPE;
use sealnet_firmware::visible::visible;
use serde_json::{Value, json};

use crate::cli::Output;
use crate::failure::Failure;
use crate::files::read;
use crate::text::{document, print};

/// A part of what is said: lines for people, members for programs.
type Part = (Vec<String>, Vec<(&'static str, Value)>);

pub(crate) fn info(path: &Path, output: Output) -> Result<(), Failure> {
    let (mut flash, _locked) = read(path)?;
    let (mapped, region) = flash.split(JOURNAL);
    let slot = |offset| mapped.get(offset..offset + SLOT_LEN).unwrap_or_default();
    let parts = [
        firmware(),
        match Provisioned::read(mapped.get(IDENTITY..).unwrap_or_default()) {
            Ok(Provisioned { identity, .. }) => device(&identity),
            Err(error) => unreadable("device", &error.to_string()),
        },
        model("slot A", "slot_a", slot(SLOT_A)),
        model("slot B", "slot_b", slot(SLOT_B)),
        match Journal::open(region) {
            Ok(journal) => state(journal.slots(), journal.counters()),
            Err(error) => unreadable("counters", &error.to_string()),
        },
    ];
    let mut members = serde_json::Map::new();
    let mut text = String::new();
    for (lines, named) in parts {
        text.extend(lines.iter().map(|line| visible(line) + "\n"));
        members.extend(named.into_iter().map(|(name, value)| (name.into(), value)));
    }
    match output.json {
        true => document(&members),
        false => print(&text),
    }
}

fn firmware() -> Part {
    let [_, major, minor, patch] = FIRMWARE_VERSION.to_be_bytes();
    let version = format!("{major}.{minor}.{patch}");
    (
        vec![format!("firmware   {version}, built for {SHAPE}")],
        vec![
            ("firmware", version.into()),
            ("shape", SHAPE.to_string().into()),
        ],
    )
}

fn device(identity: &Identity) -> Part {
    let Identity {
        device,
        publisher,
        model,
        wire,
        receipt,
        ..
    } = identity;
    let model = model.as_ref().map(|key| key.key_id().to_string());
    let lines = vec![
        format!("device     {device}"),
        format!("publisher  {} {}", publisher.scheme(), publisher.key_id()),
        match &model {
            Some(key) => format!("model key  fernet {key}"),
            None => "model key  none: clear models alone".into(),
        },
        format!("wire key   fernet {}", wire.key_id()),
        format!("receipts   {} {}", receipt.scheme(), receipt.key_id()),
    ];
    let key = |scheme: String, id: String| json!({"scheme": scheme, "key": id});
    let named = vec![
        ("device", device.to_string().into()),
        (
            "publisher",
            key(
                publisher.scheme().to_string(),
                publisher.key_id().to_string(),
            ),
        ),
        ("model_key", model.into()),
        ("wire_key", wire.key_id().to_string().into()),
        (
            "receipts",
            key(receipt.scheme().to_string(), receipt.key_id().to_string()),
        ),
    ];
    (lines, named)
}

/// A slot: what its model's header claims, of which nothing is verified.
fn model(name: &str, member: &'static str, slot: &[u8]) -> Part {
    let (line, value) = match Sealed::parse_prefix(slot) {
        _ if slot.iter().all(|byte| *byte == 0xFF) => ("blank".to_owned(), Value::Null),
        Err(error) => (error.to_string(), json!({"unreadable": error.to_string()})),
        Ok(sealed) => {
            let claims = sealed.untrusted_header();
            let line = format!(
                "claims: {} {:?}, security counter {}, signed by {} {}",
                claims.shape,
                claims.name.as_str(),
                claims.security_counter,
                claims.scheme,
                claims.signing_key
            );
            let value = json!({
                "verified": false,
                "name": claims.name.as_str(),
                "shape": claims.shape.to_string(),
                "security_counter": claims.security_counter,
                "scheme": claims.scheme.to_string(),
                "signing_key": claims.signing_key.to_string(),
            });
            (line, value)
        }
    };
    (vec![format!("{name}     {line}")], vec![(member, value)])
}

fn state(slots: Slots, counters: Counters) -> Part {
    let Slots {
        active,
        trial,
        outcome,
    } = slots;
    let (trial, trial_member) = match trial {
        Trial::None => ("no trial", "none"),
        Trial::Pending => ("a trial of the other one at the next boot", "pending"),
        Trial::Attempted => ("a trial of the other one that did not end", "attempted"),
    };
    // An upload that was refused leaves no trace there.
    let (outcome, outcome_member) = match outcome {
        UpdateOutcome::None => (
            "no trial has ended since the last upload, if there was one",
            Value::Null,
        ),
        UpdateOutcome::Confirmed => (
            "the last update that was tried is confirmed",
            "confirmed".into(),
        ),
        UpdateOutcome::Failed => ("the last update that was tried failed", "failed".into()),
    };
    let Counters {
        boot,
        security,
        requests,
        ..
    } = counters;
    let lines = vec![
        format!("active     {active}; {trial}; {outcome}"),
        format!(
            "counters   {boot} boots, security counter {security}, no request up to {requests}"
        ),
    ];
    let named = vec![
        ("active", active.to_string().into()),
        ("trial", trial_member.into()),
        ("last_tried_update", outcome_member),
        (
            "counters",
            json!({"boots": boot, "security_counter": security, "requests": requests}),
        ),
    ];
    (lines, named)
}

/// What cannot be read is said in place of it.
fn unreadable(name: &'static str, why: &str) -> Part {
    (
        vec![format!("{name:<10} {why}")],
        vec![(name, json!({"unreadable": why}))],
    )
}
