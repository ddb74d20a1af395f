//! `info`: what a flash image holds.

use std::io::{self, Write as _};
use std::path::Path;

use sealnet_core::artefact::Sealed;
use sealnet_core::protocol::UpdateOutcome;
use sealnet_firmware::device::FIRMWARE_VERSION;
use sealnet_firmware::identity::Provisioned;
use sealnet_firmware::journal::{Journal, Slots, Trial};
use sealnet_firmware::layout::{IDENTITY, JOURNAL, SLOT_A, SLOT_B, SLOT_LEN};
use sealnet_firmware::shape::SHAPE;

use crate::failure::Failure;
use crate::files::open;
use crate::text::plain;

pub(crate) fn info(path: &Path) -> Result<(), Failure> {
    let (mut flash, _locked) = open(path)?;
    let [_, major, minor, patch] = FIRMWARE_VERSION.to_be_bytes();
    let mut lines = vec![format!(
        "firmware   {major}.{minor}.{patch}, built for {SHAPE}"
    )];
    let (mapped, region) = flash.split(JOURNAL);
    match Provisioned::read(mapped.get(IDENTITY..).unwrap_or_default()) {
        Ok(Provisioned { identity, .. }) => lines.extend([
            format!("device     {}", identity.device),
            format!(
                "publisher  {} {}",
                identity.publisher.scheme(),
                identity.publisher.key_id()
            ),
            match &identity.model {
                Some(key) => format!("model key  fernet {}", key.key_id()),
                None => "model key  none: clear models alone".into(),
            },
            format!("wire key   fernet {}", identity.wire.key_id()),
            format!(
                "receipts   {} {}",
                identity.receipt.scheme(),
                identity.receipt.key_id()
            ),
        ]),
        Err(error) => lines.push(format!("device     {error}")),
    }
    for (name, offset) in [("slot A", SLOT_A), ("slot B", SLOT_B)] {
        let slot = mapped.get(offset..offset + SLOT_LEN).unwrap_or_default();
        lines.push(match Sealed::parse_prefix(slot) {
            _ if slot.iter().all(|byte| *byte == 0xFF) => format!("{name}     blank"),
            Err(error) => format!("{name}     {error}"),
            Ok(sealed) => {
                let claims = sealed.untrusted_header();
                format!(
                    "{name}     claims: {} {:?}, security counter {}, signed by {} {}",
                    claims.shape,
                    claims.name.as_str(),
                    claims.security_counter,
                    claims.scheme,
                    claims.signing_key
                )
            }
        });
    }
    match Journal::open(region) {
        Ok(journal) => {
            let Slots {
                active,
                trial,
                outcome,
            } = journal.slots();
            let trial = match trial {
                Trial::None => "no trial",
                Trial::Pending => "a trial of the other one at the next boot",
                Trial::Attempted => "a trial of the other one that did not end",
            };
            let outcome = match outcome {
                UpdateOutcome::None => "no update tried",
                UpdateOutcome::Confirmed => "the last update confirmed",
                UpdateOutcome::Failed => "the last update failed",
            };
            lines.push(format!("active     {active}; {trial}; {outcome}"));
            let counters = journal.counters();
            lines.push(format!(
                "counters   {} boots, security counter {}, no request up to {}",
                counters.boot, counters.security, counters.requests
            ));
        }
        Err(error) => lines.push(format!("counters   {error}")),
    }
    let text: String = lines.iter().map(|line| plain(line) + "\n").collect();
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Frames("print", error))
        }
        _ => Ok(()),
    }
}
