//! From reset to a model that may answer.

use core::mem;

use embedded_storage::nor_flash::NorFlash;
use sealnet_core::artefact::{
    ArtefactError, BodyEncoding, Encrypted, Hashed, Header, Opened, Sealed, Verified,
};
use sealnet_core::protocol::{FrameReader, SlotName};
use sealnet_core::sign::TrustedKey;
use zeroize::Zeroize as _;

use super::passed::Passed;
use super::{BootError, Device, Model, Session};
use crate::env::{Board, Env, Event, Log, Slot as _};
use crate::identity::Provisioned;
use crate::journal::{Journal, Trial};
use crate::shape::SHAPE;

impl<'m, E: Env> Device<'m, E> {
    /// Boots. Always gives a device; see [`Device::model`] for whether it serves one.
    // Not a part of its caller, as `serve`.
    #[inline(never)]
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
        let mut session = Session::begin(identity, journal, room, &mut log);
        let mut name = match &session {
            Ok(session) => session.journal.slots().active,
            Err(_) => SlotName::A,
        };
        let [mut active, mut spare] = match name {
            SlotName::A => [a, b],
            SlotName::B => [b, a],
        };
        let mut model = match &mut session {
            Err(error) => Err(*error),
            Ok(session) => {
                let confirmed =
                    session.try_spare::<E::Encrypted>(identity, spare.bytes(), model_ram, &mut log);
                // Whichever model is active now is proved once more, as at every boot: none runs on a trial's
                // word alone.
                if confirmed {
                    mem::swap(&mut active, &mut spare);
                    name = name.other();
                }
                let flash = Flash {
                    identity,
                    name,
                    slot: active.lend(),
                };
                session.bring_up(flash, model_ram, Role::Active, &mut passed, &mut log)
            }
        };
        // A core that was thrown past a check has a model and has not passed everything; or it is another model.
        if let Ok(found) = &model
            && !passed.by(found.model_digest())
        {
            model = Err(BootError::Skipped);
        }
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
            session: session.ok(),
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
    name: SlotName,
    slot: &'s [u8],
}

/// What a slot's model is brought up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// To be served; it is at least as new as what was served before.
    Active,
    /// To take the active one's place; it is newer.
    Trial,
}

impl<J: NorFlash> Session<J> {
    #[inline(never)] // what it reads the identity with is no more on the stack then
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
    #[inline(never)] // at few boots
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
        let name = self.journal.slots().active.other();
        log.event(Event::Trying { slot: name });
        let flash = Flash {
            identity,
            name,
            slot: spare,
        };
        let mut passed = Passed::nothing();
        let tried = self.bring_up::<M>(flash, &mut *model_ram, Role::Trial, &mut passed, log);
        if let Err(error) = &tried {
            log.event(Event::TrialFailed(*error));
            // If this cannot be written, the trial stays one that was attempted and did not end: failed, too.
            let _ = self.journal.fail_trial();
        }
        // A model that was decrypted for it is wiped here.
        tried.is_ok()
    }

    /// The chain of proofs, every check again, and then the journal.
    #[inline(never)] // from two places
    fn bring_up<'s, M: Encrypted>(
        &mut self,
        flash: Flash<'_, 's>,
        model_ram: &'s mut [u8],
        role: Role,
        passed: &mut Passed,
        log: &mut impl Log,
    ) -> Result<Model<'s, M>, BootError> {
        if flash.slot.iter().take(BLANK.len()).eq(&BLANK) {
            return Err(BootError::EmptySlot);
        }
        let stored = self.journal.counters().security;
        // Both are looked at where they are returned: stack is short below here.
        let verified = verify(flash.slot, &self.identity.publisher, stored, role);
        let verified = verified.as_ref().map_err(|error| *error)?;
        let (hashed, matched) = (verified.hashed(), verified.matched());
        let model = self.prove(verified, model_ram);
        if let Ok(model) = &model {
            passed.proofs(matched);
            self.accept(flash, model.header(), &hashed, role, passed, log)?;
        }
        model
    }

    /// The chain's proofs after the signature. A model that was decrypted is wiped when it is dropped.
    #[inline(never)] // its stack is free again when the checks are made again
    fn prove<'s, M: Encrypted>(
        &self,
        verified: &Verified<'s>,
        model_ram: &'s mut [u8],
    ) -> Result<Model<'s, M>, BootError> {
        let loaded = match (verified.header().encoding, &self.identity.model) {
            (BodyEncoding::Clear, _) => verified.open_in_place().and_then(Opened::load_for),
            (BodyEncoding::Fernet { .. }, Some(key)) => M::load(verified, key, model_ram),
            (BodyEncoding::Fernet { .. }, None) => return Err(BootError::NoModelKey),
        };
        Ok(loaded?)
    }

    /// Every check again, and then the journal: the security counter, for a trial the active slot as well.
    fn accept(
        &mut self,
        flash: Flash<'_, '_>,
        header: &Header,
        hashed: &Hashed,
        role: Role,
        passed: &mut Passed,
        log: &mut impl Log,
    ) -> Result<(), BootError> {
        let journal = &mut self.journal;
        let stored = journal.counters().security;
        let counter = header.security_counter;
        check_again(flash, journal, hashed, role, counter, passed)?;
        if !passed.by(&header.model_digest) {
            return Err(BootError::Skipped);
        }
        match role {
            // A trial that a glitch alone has confirmed is none that the journal knows of.
            Role::Active if journal.slots().active != flash.name => return Err(BootError::Skipped),
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
    }
}

/// The publisher's model of this firmware's shape in a slot, at least as new as `stored`; for a trial, newer.
#[inline(never)]
pub(super) fn verify<'s>(
    slot: &'s [u8],
    publisher: &TrustedKey,
    stored: u32,
    role: Role,
) -> Result<Verified<'s>, ArtefactError> {
    let sealed = Sealed::parse_prefix(slot)?;
    let minimum = role.minimum(sealed.untrusted_header().security_counter, stored)?;
    // Looked at where it is returned: stack is short below here.
    let verified = sealed.verify(publisher, minimum);
    if let Ok(verified) = &verified {
        // Before it is opened: a body of another shape may not fit the RAM, which would be said in its place.
        fits(verified.header())?;
    }
    verified
}

/// Makes every check of a model again whose outcome decides, from what is read from flash anew; see
/// [`passed`](super::passed). `counter` is the security counter of the model that was proved.
#[inline(never)]
fn check_again<J: NorFlash>(
    flash: Flash<'_, '_>,
    journal: &mut Journal<J>,
    hashed: &Hashed,
    role: Role,
    counter: u32,
    passed: &mut Passed,
) -> Result<(), BootError> {
    let Provisioned { identity, .. } = Provisioned::read(flash.identity)?;
    let stored = journal.read_again()?.security;
    let sealed = Sealed::parse_prefix(flash.slot)?;
    let header = sealed.untrusted_header();
    let minimum = role.minimum(header.security_counter, stored)?;
    let matched = sealed.verify_again(&identity.publisher, minimum, hashed)?;
    if header.security_counter != counter {
        return Err(BootError::Skipped);
    }
    passed.checks(matched, &header.model_digest);
    Ok(())
}

impl Role {
    /// The lowest security counter that a model may have that has `found`; an error if none would do.
    fn minimum(self, found: u32, stored: u32) -> Result<u32, ArtefactError> {
        match self {
            Self::Active => Ok(stored),
            Self::Trial => newer(found, stored),
        }
    }
}

/// The lowest security counter that is newer than the stored one; an error if none is.
fn newer(found: u32, stored: u32) -> Result<u32, ArtefactError> {
    stored.checked_add(1).ok_or(ArtefactError::Rollback {
        found,
        minimum: stored,
    })
}

/// Whether a model is of the shape that this firmware was built for.
fn fits(header: &Header) -> Result<(), ArtefactError> {
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
