//! `update`: the device of a flash image gets a newer model.

use sealnet_core::artefact::{ArtefactError, Encrypted, Sealed};
use sealnet_firmware::client::{Client, ClientError};
use sealnet_firmware::device::{BootError, Refused, UpdateError};
use sealnet_firmware::env::Event;
use sealnet_firmware::identity::{Identity, Provisioned};
use sealnet_firmware::journal::Journal;
use sealnet_firmware::layout::{IDENTITY, JOURNAL};
use sealnet_firmware::provision;
use sealnet_firmware::sim::Machine;
use sealnet_firmware::sim::flash::SimFlash;
use serde_json::json;

use crate::cli::UpdateArgs;
use crate::failure::Failure;
use crate::files::{open, read_model, write_new};
use crate::text::{document, say};

/// What came of an upload, and the device's own reason if it refused the model: on the wire that is no more than a
/// code.
pub(crate) type Uploaded = Result<(), (ClientError, Option<BootError>)>;

/// Gives the model to the device, which verifies, tries and confirms it. `upload` runs the device with this flash,
/// and writes back whole what that is in the end, whatever came of it: its counters have gone on.
pub(crate) fn update(
    args: &UpdateArgs,
    upload: impl FnOnce(SimFlash, &Identity, &[u8]) -> Result<Uploaded, Failure>,
) -> Result<(), Failure> {
    let (mut image, _locked) = open(&args.flash)?;
    let model = read_model(&args.model)?;
    provision::fits_slot(&model)?;
    let (mapped, journal) = image.split(JOURNAL);
    let Provisioned { identity, .. } =
        Provisioned::read(mapped.get(IDENTITY..).unwrap_or_default())
            .map_err(|error| Failure::NoModel(error.into()))?;
    let stored = Journal::open(journal)
        .map_err(|error| Failure::NoModel(error.into()))?
        .counters()
        .security;
    match upload(image, &identity, &model)? {
        Ok(()) => {}
        Err((_, Some(BootError::Model(ArtefactError::Rollback { found, .. })))) => {
            return Err(Failure::NotNewer { found, stored });
        }
        Err((_, Some(error))) => return Err(Failure::Refused(error)),
        Err((error, None)) => return Err(Failure::Update(error)),
    }
    let found =
        Sealed::parse(&model).map_or(stored, |model| model.untrusted_header().security_counter);
    if args.output.json {
        return document(&json!({
            "device": identity.device.to_string(),
            "security_counter": {"before": stored, "after": found},
        }));
    }
    say(format_args!(
        "{}: the model is replaced; security counter {stored} -> {found}",
        args.flash.display()
    ));
    Ok(())
}

/// Gives the model to a device in this process.
pub(crate) fn in_process(args: &UpdateArgs) -> Result<(), Failure> {
    update(args, |image, identity, model| {
        let (uploaded, flash) = attempt(args.streamed, image, identity, model);
        write_new(&args.flash, flash.bytes(), true)?;
        Ok(uploaded)
    })
}

/// What comes of an upload to a device with this flash, and what its flash is then.
pub(crate) fn attempt(
    streamed: bool,
    image: SimFlash,
    identity: &Identity,
    model: &[u8],
) -> (Uploaded, SimFlash) {
    let machine = Machine::new(image);
    match streamed {
        true => attempt_on(machine.streamed(), identity, model),
        false => attempt_on(machine, identity, model),
    }
}

fn attempt_on<M: Encrypted>(
    mut machine: Machine<M>,
    identity: &Identity,
    model: &[u8],
) -> (Uploaded, SimFlash) {
    let mut reason = None;
    let log = |event| {
        if let Event::Refused(Refused::Update(UpdateError::Model(error)))
        | Event::TrialFailed(error) = event
        {
            reason = Some(error);
        }
    };
    let updated = machine.update(&mut Client::new(identity), model, log, |_| {});
    (
        updated.map_err(|error| (error, reason)),
        machine.into_flash(),
    )
}
