//! What someone does to weights, and to the training receipt that vouches for them, before they are exported.

use base64ct::{Base64, Encoding};
use sealnet_core::sign::Domain;
use serde_json::Value;

use super::campaign::{End, Kind, Run};
use super::scene::Bench;
use super::vault::{flip, flip_base64};
use crate::dsse;
use crate::error::{Error, Result};
use crate::random::Random;

/// Every way.
pub(super) const KINDS: &[Kind] = &[
    kind(
        "a bit of the weights flipped",
        "about other weights",
        |bench, random| {
            let mut weights = bench.scene.weights.clone();
            flip(&mut weights, random);
            meet(bench, &weights, &bench.scene.receipt, "about other weights")
        },
    ),
    kind(
        "a share of the weights overwritten",
        "about other weights",
        |bench, random| {
            let mut weights = bench.scene.weights.clone();
            overwrite(&mut weights, random);
            meet(bench, &weights, &bench.scene.receipt, "about other weights")
        },
    ),
    kind(
        "a bit of the receipt flipped",
        "signature does not verify",
        |bench, random| {
            receipt(bench, |envelope| {
                flip_base64(envelope.get_mut("payload")?, random)
            })
        },
    ),
    kind(
        "a bit of its signature flipped",
        "signature does not verify",
        |bench, random| {
            receipt(bench, |envelope| {
                let signature = envelope.get_mut("signatures")?.get_mut(0)?;
                flip_base64(signature.get_mut("sig")?, random)
            })
        },
    ),
    kind(
        "the receipt signed by a stranger",
        "signature does not verify",
        |bench, _| {
            let owner = bench.scene.keys.owner_public.key_id().to_string();
            let stranger = &bench.scene.keys.stranger;
            receipt(bench, |envelope| {
                let payload = Base64::decode_vec(envelope.get("payload")?.as_str()?).ok()?;
                let kind = envelope.get("payloadType")?.as_str()?;
                let signed = dsse::sign_json(kind, &payload, stranger, Domain::TrainingReceipt);
                *envelope = serde_json::from_slice(&signed).ok()?;
                envelope["signatures"][0]["keyid"] = owner.into();
                Some(())
            })
        },
    ),
];

const fn kind(tampering: &'static str, reason: &'static str, run: Run) -> Kind {
    Kind {
        met_by: "export",
        tampering,
        reason,
        run,
    }
}

/// Whether nobody's touch is taken for one.
pub(super) fn untouched(bench: &mut Bench<'_>) -> Result<bool> {
    Ok(bench
        .export(&bench.scene.weights, &bench.scene.receipt)?
        .is_ok())
}

/// Writes over 1 % to 50 % of the bytes, in pieces of 64, each with others.
pub(super) fn overwrite(bytes: &mut [u8], random: &mut Random) {
    let percent = 1 + random.below(50) as usize;
    let pieces = bytes.len().div_ceil(64);
    let mut order: Vec<usize> = (0..pieces).collect();
    random.shuffle(&mut order);
    for piece in order.into_iter().take((pieces * percent / 100).max(1)) {
        for byte in bytes.iter_mut().skip(64 * piece).take(64) {
            *byte ^= 1 + random.below(255) as u8;
        }
    }
}

fn receipt(bench: &Bench<'_>, edit: impl FnOnce(&mut Value) -> Option<()>) -> Result<End> {
    let edited = || {
        let mut envelope: Value = serde_json::from_slice(&bench.scene.receipt).ok()?;
        edit(&mut envelope)?;
        Some((envelope.to_string() + "\n").into_bytes())
    };
    let edited = edited().ok_or_else(|| Error::input("the receipt is no envelope", ""))?;
    meet(
        bench,
        &bench.scene.weights,
        &edited,
        "signature does not verify",
    )
}

fn meet(bench: &Bench<'_>, weights: &[u8], receipt: &[u8], reason: &str) -> Result<End> {
    let exported = bench.export(weights, receipt)?;
    Ok(match exported {
        Err(error) if error.exit_code() != 1 => End::OtherReason(error.to_string()),
        exported => End::of(exported.map_err(|e| e.to_string()), reason),
    })
}
