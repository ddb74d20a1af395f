//! From reset to a model that may answer.

use embedded_storage::nor_flash::NorFlash;
use sealnet_core::artefact::{ArtefactError, BodyEncoding, Header, Sealed};
use sealnet_core::protocol::FrameReader;
use zeroize::Zeroize as _;

use super::{BootError, Device, Model, Session};
use crate::env::{Board, Env, Event, Log};
use crate::identity::{Identity, Provisioned};
use crate::journal::Journal;
use crate::shape::SHAPE;

impl<'m, E: Env> Device<'m, E> {
    /// Boots. Always gives a device; see [`Device::model`] for whether it serves one.
    pub fn boot(board: Board<'m, E>) -> Self {
        let Board {
            slot,
            identity,
            model_ram,
            journal,
            port,
            mut log,
        } = board;
        // A reset without a power cut finds the model that was served before, refused now perhaps.
        model_ram.zeroize();
        let (session, model) = match Session::begin(identity, journal) {
            Err(error) => (None, Err(error)),
            Ok(mut session) => {
                log.event(Event::Booting { boot: session.boot });
                let model = session.bring_up(slot, model_ram, &mut log);
                (Some(session), model)
            }
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

impl<J: NorFlash> Session<J> {
    fn begin(identity: &[u8], journal: J) -> Result<Self, BootError> {
        let Provisioned { identity, nonce } = Provisioned::read(identity)?;
        let mut journal = Journal::open(journal)?;
        let boot = journal.begin_boot()?;
        Ok(Self {
            identity,
            nonce,
            journal,
            boot,
            messages: 0,
        })
    }

    /// The chain of proofs, and then the security counter.
    fn bring_up<'m>(
        &mut self,
        slot: &'m [u8],
        model_ram: &'m mut [u8],
        log: &mut impl Log,
    ) -> Result<Model<'m>, BootError> {
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
        let stored = journal.counters().security;
        if slot.iter().take(BLANK.len()).eq(&BLANK) {
            return Err(BootError::EmptySlot);
        }
        let verified = Sealed::parse_prefix(slot)?.verify(publisher, stored)?;
        // Before it is opened: a body of another shape may not fit the RAM, which would be said in its place.
        let found = verified.header().shape;
        if found != SHAPE {
            let expected = SHAPE;
            return Err(ArtefactError::Dimensions { expected, found }.into());
        }
        let opened = match (verified.header().encoding, model_key) {
            (BodyEncoding::Clear, _) => verified.open_in_place()?,
            (BodyEncoding::Fernet { .. }, Some(key)) => verified.open(key, model_ram)?,
            (BodyEncoding::Fernet { .. }, None) => return Err(BootError::NoModelKey),
        };
        opened.load_if(|header| {
            let counter = header.security_counter;
            if counter > stored {
                journal.raise_security(counter)?;
                log.event(Event::SecurityRaised { to: counter });
            }
            Ok(())
        })
    }
}

/// How an erased slot begins.
const BLANK: [u8; 8] = [0xFF; 8];
