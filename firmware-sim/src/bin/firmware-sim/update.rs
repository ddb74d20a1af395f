//! `update`: the device of a flash image gets a newer model.

use std::path::Path;

use sealnet_core::artefact::{ArtefactError, Sealed};
use sealnet_firmware::client::Client;
use sealnet_firmware::device::{BootError, Refused, UpdateError};
use sealnet_firmware::env::Event;
use sealnet_firmware::identity::Provisioned;
use sealnet_firmware::journal::Journal;
use sealnet_firmware::layout::{IDENTITY, JOURNAL};
use sealnet_firmware::provision;
use sealnet_firmware::sim::Machine;

use crate::failure::Failure;
use crate::files::{open, read_model, write_new};
use crate::text::say;

/// Uploads the model to the device, which verifies, tries and confirms it as it does on any wire. Its flash is
/// written back whole when that is over, whatever came of it: its counters have gone on.
pub(crate) fn update(flash: &Path, model: &Path) -> Result<(), Failure> {
    let (mut image, _locked) = open(flash)?;
    let model = read_model(model)?;
    provision::fits_slot(&model)?;
    let (mapped, journal) = image.split(JOURNAL);
    let Provisioned { identity, .. } =
        Provisioned::read(mapped.get(IDENTITY..).unwrap_or_default())
            .map_err(|error| Failure::NoModel(error.into()))?;
    let stored = Journal::open(journal)
        .map_err(|error| Failure::NoModel(error.into()))?
        .counters()
        .security;

    let mut machine = Machine::new(image);
    // The device's own log says what it refused: a refusal on the wire has no more than a code.
    let mut reason = None;
    let log = |event| {
        if let Event::Refused(Refused::Update(UpdateError::Model(error)))
        | Event::TrialFailed(error) = event
        {
            reason = Some(error);
        }
    };
    let updated = machine.update(&mut Client::new(&identity), &model, log, |_| {});
    write_new(flash, machine.flash().bytes(), true)?;
    match (updated, reason) {
        (Ok(()), _) => {}
        (Err(_), Some(BootError::Model(ArtefactError::Rollback { found, .. }))) => {
            return Err(Failure::NotNewer { found, stored });
        }
        (Err(_), Some(error)) => return Err(Failure::Refused(error)),
        (Err(error), None) => return Err(Failure::Update(error)),
    }
    let found =
        Sealed::parse(&model).map_or(stored, |model| model.untrusted_header().security_counter);
    say(format_args!(
        "{}: the model is replaced; security counter {stored} -> {found}",
        flash.display()
    ));
    Ok(())
}
