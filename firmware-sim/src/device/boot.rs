//! From reset to a model that may answer.

use embedded_storage::nor_flash::NorFlash;
use sealnet_core::artefact::{
    ArtefactError, BodyEncoding, Encrypted, Hashed, Header, Sealed, Verified,
};
use sealnet_core::protocol::{FrameReader, SlotName};
use sealnet_core::sign::TrustedKey;
use zeroize::Zeroize as _;

use super::passed::Passed;
use super::{BootError, Device, Model, Session};
use crate::env::{Board, Env, Event, Log, Slot as _};
use crate::identity::{Identity, Provisioned};
use crate::journal::{Journal, Trial};
use crate::shape::SHAPE;

impl<'m, E: Env> Device<'m, E> {
    /// Boots. Always gives a device; see [`Device::model`] for whether it serves one.
    pub fn boot(board: Board<'m, E>) -> Self {
        let Board {
            slots: [a, b],
            identity,
            model_ram,
            journal,
            port,
            mut log,
        } = board;
        // A reset without a power cut finds the model that was served before, refused now perhaps.
        model_ram.zeroize();
        let mut passed = Passed::nothing();
        let room = E::Encrypted::room(model_ram.len());
        let (session, model, spare) = match Session::begin(identity, journal, room, &mut log) {
            Err(error) => (None, Err(error), b),
            Ok(mut session) => {
                let [active, spare] = match session.journal.slots().active {
                    SlotName::A => [a, b],
                    SlotName::B => [b, a],
                };
                let confirmed =
                    session.try_spare::<E::Encrypted>(identity, spare.bytes(), model_ram, &mut log);
                // Whichever model is active now is proved once more, as at every boot: none runs on a trial's
                // word alone.
                let [active, spare] = match confirmed {
                    true => [spare, active],
                    false => [active, spare],
                };
                let flash = Flash {
                    identity,
                    slot: active.lend(),
                };
                let model = session.bring_up(flash, model_ram, Role::Active, &mut passed, &mut log);
                (Some(session), model, spare)
            }
        };
        // A core that was thrown past a check has a model and has not passed everything.
        let model = match model {
            Ok(_) if !passed.everything() => Err(BootError::Skipped),
            model => model,
        };
        log.event(match &model {
            Ok(model) => Event::Serving {
                signed_by: model.header().signing_key,
                security_counter: model.header().security_counter,
            },
            Err(error) => Event::NoModel(*error),
        });
        Self {
            port,
            log,
            frames: FrameReader::new(),
            session,
            model,
            passed,
            spare,
            upload: None,
        }
    }

    /// What the publisher says about the model served, or why there is none.
    ///
    /// # Errors
    /// Why the device serves no model.
    pub fn model(&self) -> Result<&Header, BootError> {
        self.model
            .as_ref()
            .map(Model::header)
            .map_err(|error| *error)
    }
}

/// What a model is judged by, where it lies.
#[derive(Debug, Clone, Copy)]
struct Flash<'i, 's> {
    /// The identity page, with the publisher's key.
    identity: &'i [u8],
    slot: &'s [u8],
}

/// What a slot's model is brought up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// To be served; it is at least as new as what was served before.
    Active,
    /// To take the active one's place; it is newer.
    Trial,
}

impl<J: NorFlash> Session<J> {
    fn begin(
        identity: &[u8],
        journal: J,
        room: usize,
        log: &mut impl Log,
    ) -> Result<Self, BootError> {
        let Provisioned { identity, nonce } = Provisioned::read(identity)?;
        let mut journal = Journal::open(journal)?;
        let cut = journal.slots().trial == Trial::Attempted;
        let boot = journal.begin_boot()?;
        log.event(Event::Booting { boot });
        if cut {
            log.event(Event::TrialCut);
        }
        Ok(Self {
            identity,
            nonce,
            journal,
            boot,
            messages: 0,
            room,
        })
    }

    /// Tries the model in the spare slot if this boot is to do so. Whether its slot is the active one now.
    fn try_spare<M: Encrypted>(
        &mut self,
        identity: &[u8],
        spare: &[u8],
        model_ram: &mut [u8],
        log: &mut impl Log,
    ) -> bool {
        if self.journal.slots().trial != Trial::Attempted {
            return false;
        }
        let slot = self.journal.slots().active.other();
        log.event(Event::Trying { slot });
        let flash = Flash {
            identity,
            slot: spare,
        };
        let mut passed = Passed::nothing();
        let failed = self
            .bring_up::<M>(flash, &mut *model_ram, Role::Trial, &mut passed, log)
            .err();
        model_ram.zeroize();
        if let Some(error) = failed {
            log.event(Event::TrialFailed(error));
            // If this cannot be written, the trial stays one that was attempted and did not end: failed, too.
            let _ = self.journal.fail_trial();
        }
        failed.is_none()
    }

    /// The chain of proofs, every check again, and then the journal: the security counter, for a trial the active
    /// slot as well.
    fn bring_up<'s, M: Encrypted>(
        &mut self,
        flash: Flash<'_, 's>,
        model_ram: &'s mut [u8],
        role: Role,
        passed: &mut Passed,
        log: &mut impl Log,
    ) -> Result<Model<'s, M>, BootError> {
        let Self {
            identity:
                Identity {
                    publisher,
                    model: model_key,
                    ..
                },
            journal,
            ..
        } = self;
        let slot = flash.slot;
        let stored = journal.counters().security;
        if slot.iter().take(BLANK.len()).eq(&BLANK) {
            return Err(BootError::EmptySlot);
        }
        let sealed = Sealed::parse_prefix(slot)?;
        let verified = match role {
            Role::Active => sealed.verify(publisher, stored)?,
            Role::Trial => verify_newer(sealed, publisher, stored)?,
        };
        let hashed = verified.hashed();
        // Before it is opened: a body of another shape may not fit the RAM, which would be said in its place.
        fits(verified.header())?;
        let accept = |header: &Header| {
            passed.proofs();
            let counter = check_again(flash, journal, &hashed)?;
            if counter != header.security_counter {
                return Err(BootError::Skipped);
            }
            passed.checks();
            match role {
                Role::Active => journal.raise_security(counter)?,
                Role::Trial => {
                    journal.confirm(counter)?;
                    let slot = journal.slots().active;
                    log.event(Event::Confirmed { slot });
                }
            }
            if counter > stored {
                log.event(Event::SecurityRaised { to: counter });
            }
            Ok(())
        };
        match (verified.header().encoding, model_key) {
            (BodyEncoding::Clear, _) => verified.open_in_place()?.load_if(accept),
            (BodyEncoding::Fernet { .. }, Some(key)) => {
                M::load_if(verified, key, model_ram, accept)
            }
            (BodyEncoding::Fernet { .. }, None) => Err(BootError::NoModelKey),
        }
    }
}

/// Makes every check of a model again whose outcome decides, from what is read from flash anew; see
/// [`passed`](super::passed). Gives the model's security counter.
#[inline(never)]
fn check_again<J: NorFlash>(
    flash: Flash<'_, '_>,
    journal: &mut Journal<J>,
    hashed: &Hashed,
) -> Result<u32, BootError> {
    let Provisioned { identity, .. } = Provisioned::read(flash.identity)?;
    let stored = journal.read_again()?.security;
    let sealed = Sealed::parse_prefix(flash.slot)?;
    sealed.verify_again(&identity.publisher, stored, hashed)?;
    Ok(sealed.untrusted_header().security_counter)
}

/// The publisher's model, and newer than every one that was served.
pub(super) fn verify_newer<'s>(
    sealed: Sealed<'s>,
    publisher: &TrustedKey,
    stored: u32,
) -> Result<Verified<'s>, ArtefactError> {
    let verified = sealed.verify(publisher, stored)?;
    match verified.header().security_counter {
        found if found <= stored => Err(ArtefactError::Rollback {
            found,
            minimum: stored.saturating_add(1),
        }),
        _ => Ok(verified),
    }
}

/// Whether a model is of the shape that this firmware was built for.
pub(super) fn fits(header: &Header) -> Result<(), ArtefactError> {
    match header.shape {
        SHAPE => Ok(()),
        found => Err(ArtefactError::Dimensions {
            expected: SHAPE,
            found,
        }),
    }
}

/// How an erased slot begins.
const BLANK: [u8; 8] = [0xFF; 8];
