//! What someone does to a sealed model on its way to a device, which boots it.

use sealnet_core::artefact::HEADER_LEN;
use sealnet_firmware::sim::Machine;

use super::campaign::{End, Kind, Run};
use super::export::overwrite;
use super::scene::{Bench, COUNTER};
use super::vault::flip;
use crate::error::{Error, Result};

/// Every way.
pub(super) const KINDS: &[Kind] = &[
    kind(
        "a bit of the model's body flipped",
        SIGNATURE,
        |bench, random| {
            let body = HEADER_LEN..bench.scene.model.len() - 64;
            changed(bench, |model| flip(&mut model[body], random), SIGNATURE)
        },
    ),
    kind(
        "a share of its body overwritten",
        SIGNATURE,
        |bench, random| {
            let body = HEADER_LEN..bench.scene.model.len() - 64;
            changed(
                bench,
                |model| overwrite(&mut model[body], random),
                SIGNATURE,
            )
        },
    ),
    kind(
        "a bit of its signature flipped",
        SIGNATURE,
        |bench, random| {
            let at = bench.scene.model.len() - 64;
            changed(bench, |model| flip(&mut model[at..], random), SIGNATURE)
        },
    ),
    kind(
        "its digest or its training receipt's changed",
        SIGNATURE,
        |bench, random| changed(bench, |model| flip(&mut model[64..192], random), SIGNATURE),
    ),
    kind("cut short", SIGNATURE, |bench, random| {
        let model = &bench.scene.model;
        let whole = HEADER_LEN as u32..model.len() as u32 - 64;
        let left = whole.start + random.below(whole.end - whole.start);
        meet(bench, &model[..left as usize], SIGNATURE)
    }),
    kind(
        "another model's body under its header",
        SIGNATURE,
        |bench, _| {
            let body = HEADER_LEN..bench.scene.model.len() - 64;
            let other = bench.scene.other_model[body.clone()].to_vec();
            changed(
                bench,
                |model| model[body].copy_from_slice(&other),
                SIGNATURE,
            )
        },
    ),
    kind("signed by a stranger", "signed by key", |bench, _| {
        meet(bench, &bench.scene.strange_model, "signed by key")
    }),
    kind("an older model", "an older model", |bench, _| {
        meet(bench, &bench.scene.older_model, "an older model")
    }),
];

const SIGNATURE: &str = "the signature does not verify";

const fn kind(tampering: &'static str, reason: &'static str, run: Run) -> Kind {
    Kind {
        met_by: "boot",
        tampering,
        reason,
        run,
    }
}

/// Whether nobody's touch is taken for one.
pub(super) fn untouched(bench: &mut Bench<'_>) -> Result<bool> {
    Ok(meet(bench, &bench.scene.model, "")? == End::Missed)
}

fn changed(bench: &Bench<'_>, change: impl FnOnce(&mut [u8]), reason: &str) -> Result<End> {
    let mut model = bench.scene.model.clone();
    change(&mut model);
    meet(bench, &model, reason)
}

/// Boots a simulated device with it.
fn meet(bench: &Bench<'_>, model: &[u8], reason: &str) -> Result<End> {
    let machine = Machine::provision(&bench.scene.device, model, COUNTER);
    let mut machine = machine.map_err(|e| Error::input(e.to_string(), e.hint()))?;
    let device = machine.boot(|_| ());
    Ok(End::of(
        device.model().map(drop).map_err(|e| e.to_string()),
        reason,
    ))
}
