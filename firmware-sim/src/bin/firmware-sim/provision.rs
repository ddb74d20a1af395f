//! `provision`: a device's flash is made.

use std::fs;
#[cfg(unix)]
use std::io;
use std::path::Path;

use sealnet_core::artefact::{Encrypted, Sealed};
use sealnet_firmware::device::BootError;
use sealnet_firmware::env::Event;
use sealnet_firmware::journal::Counters;
use sealnet_firmware::layout::FLASH_LEN;
use sealnet_firmware::provision;
use sealnet_firmware::sim::Machine;
use sealnet_firmware::sim::flash::SimFlash;
use serde_json::json;

use crate::cli::ProvisionArgs;
use crate::failure::Failure;
#[cfg(unix)]
use crate::files::running;
use crate::files::{open, read_model, write_new};
use crate::text::{document, say};

/// Makes a flash image; its counters go on from the one that it replaces.
pub(crate) fn provision(args: &ProvisionArgs) -> Result<(), Failure> {
    let flash = &args.flash;
    is_free(flash, args.force)?;
    let identity = provision::load_keys(&args.keys)?;
    let model = read_model(&args.model)?;
    let mut counters = Counters::default();
    // Locked until it is replaced, so that no device counts on meanwhile.
    let mut replaced = flash.exists().then(|| open(flash)).transpose()?;
    let mut go_on = false;
    if let Some((old, _locked)) = &mut replaced {
        match provision::counters_of(old, &identity)? {
            Some(old) => {
                (counters, go_on) = (old, true);
                say(format_args!(
                    "the counters of {} go on: {} boots, security counter {}, no request up to {}",
                    flash.display(),
                    old.boot,
                    old.security,
                    old.requests
                ));
            }
            None => say(format_args!(
                "warning: {} was another device's: the counters of {} begin at zero, and it takes models from \
                 security counter {} on; if it has served a newer one before, say so with \
                 --min-counter",
                flash.display(),
                identity.device,
                args.min_counter
            )),
        }
    }
    counters.security = counters.security.max(args.min_counter);
    let image = provision::flash_image(&identity, &model, counters)?;
    if !args.no_check {
        // As a device judges an upload, of which it knows the length: a slot is padded.
        Sealed::parse(&model).map_err(|error| Failure::Refused(error.into()))?;
        // A copy boots, so that the counters of the one that is written stay as they are.
        let machine = Machine::new(SimFlash::new(image.bytes().to_vec()));
        let boots = if args.streamed {
            boots(machine.streamed())
        } else {
            boots(machine)
        };
        boots.map_err(Failure::Refused)?;
    }
    write_new(flash, image.bytes(), args.force)?;
    if args.output.json {
        return document(&json!({
            "device": identity.device.to_string(),
            "flash": flash,
            "bytes": FLASH_LEN,
            "counters": {
                "boots": counters.boot,
                "security_counter": counters.security,
                "requests": counters.requests,
                "go_on": go_on,
            },
        }));
    }
    say(format_args!(
        "device {}: {} provisioned, {FLASH_LEN} bytes",
        identity.device,
        flash.display()
    ));
    Ok(())
}

/// Whether a flash image may be made there: what is replaced must be one, not a device node, a model, or anything
/// else of value, and that on purpose.
fn is_free(flash: &Path, force: bool) -> Result<(), Failure> {
    match fs::metadata(flash) {
        Ok(there) if !there.is_file() || there.len() != FLASH_LEN as u64 => {
            Err(Failure::Precious(flash.to_owned()))
        }
        Ok(_) if !force => Err(Failure::Exists(flash.to_owned())),
        // The newest counters of a device; the next command would find them beside another device's image.
        #[cfg(unix)]
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                && fs::symlink_metadata(running(flash)).is_ok() =>
        {
            Err(Failure::Orphan {
                running: running(flash),
                path: flash.to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// Whether a machine's device serves its model.
fn boots<M: Encrypted>(mut machine: Machine<M>) -> Result<(), BootError> {
    machine.boot(|_: Event| {}).model().map(drop)
}
