//! A new model, from its first chunk to a trial that is pending; the trial is [`boot`](super::boot)'s.

use core::fmt;

use embedded_storage::nor_flash::NorFlash;
use sealnet_core::artefact::{ArtefactError, BodyEncoding};
use sealnet_core::fernet::{Iv, binary_len};
use sealnet_core::protocol::{
    ACKNOWLEDGEMENT_LEN, Acknowledgement, AuthenticUpdate, Kind, RefusalCode, UpdateState,
    UpdateStep,
};

use super::boot::{Role, verify};
use super::serve::{Answer, frame_of};
use super::{BootError, Refused, Session};
use crate::env::{Event, Slot};

/// A model on its way into the spare slot. It is in RAM alone: a reset forgets it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Upload {
    /// The model's length in bytes.
    total: u32,
    /// Bytes of it that are in the slot.
    received: u32,
}

/// Why an update message was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum UpdateError {
    /// No update was begun since the reset, or it was given up.
    NotBegun,
    /// A chunk does not follow the one before it, or is not what was there before it.
    Order {
        /// Where the chunk begins.
        found: u32,
        /// Where it should.
        expected: u32,
    },
    /// A chunk goes beyond the length announced, or neither ends there nor fills whole flash words.
    ChunkLength {
        /// Where it begins.
        offset: u32,
        /// Its length in bytes.
        len: usize,
    },
    /// The update is finished with another length than it was begun with, or before all of it has arrived.
    Incomplete {
        /// The length that it is finished with.
        total: u32,
        /// The length that it was begun with.
        begun: u32,
        /// Bytes that have arrived.
        received: u32,
    },
    /// The model announced does not fit the slot.
    TooLong {
        /// Its length in bytes.
        len: u32,
        /// The slot's.
        room: usize,
    },
    /// The slot's flash failed to erase or program, or does not read as it was written.
    Flash,
    /// The model was refused.
    Model(BootError),
}

impl UpdateError {
    /// The code that the host is given.
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::NotBegun
            | Self::Order { .. }
            | Self::ChunkLength { .. }
            | Self::Incomplete { .. } => RefusalCode::UpdateOrder,
            Self::TooLong { .. } => RefusalCode::UpdateLength,
            Self::Flash => RefusalCode::Flash,
            Self::Model(BootError::NoModelKey) => RefusalCode::ModelUnfit,
            Self::Model(BootError::Model(error)) => match error {
                ArtefactError::SchemeMismatch { .. }
                | ArtefactError::SigningKey { .. }
                | ArtefactError::Signature => RefusalCode::ModelForged,
                ArtefactError::Rollback { .. } => RefusalCode::ModelNotNewer,
                ArtefactError::Dimensions { .. }
                | ArtefactError::UnsupportedWeightType(_)
                | ArtefactError::BufferTooSmall { .. }
                | ArtefactError::ModelKey { .. } => RefusalCode::ModelUnfit,
                _ => RefusalCode::ModelMalformed,
            },
            Self::Model(
                BootError::Journal(_)
                | BootError::Identity(_)
                | BootError::EmptySlot
                | BootError::Skipped,
            ) => RefusalCode::NotReady,
        }
    }
}

impl From<ArtefactError> for UpdateError {
    fn from(error: ArtefactError) -> Self {
        Self::Model(BootError::Model(error))
    }
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBegun => f.write_str("no update has begun since the reset: begin it again"),
            Self::Order { found, expected } => write!(
                f,
                "a chunk begins at byte {found} of the model, and byte {expected} is due"
            ),
            Self::ChunkLength { offset, len } => write!(
                f,
                "a chunk of {len} bytes at byte {offset} goes beyond the model's end, \
                 or is no multiple of the flash's word"
            ),
            Self::Incomplete {
                total,
                begun,
                received,
            } => write!(
                f,
                "the model is finished at {total} bytes, it was begun with {begun} and {received} have arrived"
            ),
            Self::TooLong { len, room } => {
                write!(
                    f,
                    "the model is {len} bytes long, and the slot holds {room}"
                )
            }
            Self::Flash => f.write_str(
                "the slot's flash failed to erase or program, or does not read as it was written",
            ),
            Self::Model(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for UpdateError {}

impl<J: NorFlash> Session<J> {
    /// Carries out an update message and writes the acknowledgement's frame into `out`.
    pub(super) fn update<'m>(
        &mut self,
        kind: Kind,
        token: &mut [u8],
        spare: &mut impl Slot<'m>,
        upload: &mut Option<Upload>,
        out: &mut [u8],
    ) -> Result<Answer, Refused> {
        let update = AuthenticUpdate::open(&self.identity.wire, kind, token);
        let update = update.as_ref().map_err(|error| *error)?;
        self.check_nonce(update.nonce())?;
        let message = self.admit(update.counter())?;
        let (state, received, event) = match update.step() {
            UpdateStep::Begin { total } => {
                // Whatever comes of it: the former upload is over.
                *upload = None;
                self.begin_upload(total, spare)?;
                *upload = Some(Upload { total, received: 0 });
                let slot = self.journal.slots().active.other();
                let event = Event::Receiving { slot, total };
                (UpdateState::Receiving, 0, Some(event))
            }
            UpdateStep::Chunk { offset, data } => {
                let begun = upload.as_mut().ok_or(UpdateError::NotBegun)?;
                let taken = begun.take(offset, data, spare);
                let received = begun.received;
                if taken == Err(UpdateError::Flash) {
                    // A word may be half programmed, and takes no other.
                    *upload = None;
                }
                taken?;
                (UpdateState::Receiving, received, None)
            }
            UpdateStep::Finish { total } => {
                let Upload {
                    total: begun,
                    received,
                } = upload.ok_or(UpdateError::NotBegun)?;
                if (total, received) != (begun, begun) {
                    return Err(UpdateError::Incomplete {
                        total,
                        begun,
                        received,
                    }
                    .into());
                }
                *upload = None;
                let security_counter = self.verify_upload(total, spare)?;
                let event = Event::Received { security_counter };
                (UpdateState::Complete, received, Some(event))
            }
        };
        let acknowledgement = Acknowledgement {
            state,
            received,
            request_digest: *update.digest(),
        };
        let iv = Iv::derive(&self.identity.secret, &self.nonce, self.boot, message);
        let mut plaintext = [0; ACKNOWLEDGEMENT_LEN];
        let mut token = [0; binary_len(ACKNOWLEDGEMENT_LEN)];
        let wire = &self.identity.wire;
        let token = acknowledgement.seal(wire, update.time(), iv, &mut plaintext, &mut token)?;
        Ok(Answer {
            len: frame_of(Kind::Acknowledged, token, out),
            event,
            reset: state == UpdateState::Complete,
        })
    }

    /// Erases the spare slot, once nothing points to it any more.
    fn begin_upload<'m>(
        &mut self,
        total: u32,
        spare: &mut impl Slot<'m>,
    ) -> Result<(), UpdateError> {
        let room = spare.capacity();
        if total as usize > room {
            return Err(UpdateError::TooLong { len: total, room });
        }
        self.journal
            .begin_update()
            .map_err(|error| UpdateError::Model(BootError::Journal(error)))?;
        let end = u32::try_from(room).map_err(|_| UpdateError::Flash)?;
        spare.erase(0, end).map_err(|_| UpdateError::Flash)?;
        let mut piece = [0; PIECE_LEN];
        for offset in (0..end).step_by(PIECE_LEN) {
            let read = spare.read(offset, &mut piece);
            if read.is_err() || piece.iter().any(|byte| *byte != ERASED) {
                return Err(UpdateError::Flash);
            }
        }
        Ok(())
    }

    /// Verifies the model that has arrived, as far as that goes without the RAM that the active one may lie in,
    /// and has the next boot try it. Gives its security counter.
    fn verify_upload<'m>(&mut self, total: u32, spare: &impl Slot<'m>) -> Result<u32, UpdateError> {
        let file = spare.bytes().get(..total as usize);
        let file = file.ok_or(UpdateError::Flash)?;
        let stored = self.journal.counters().security;
        let verified = verify(file, &self.identity.publisher, stored, Role::Trial);
        let verified = verified.as_ref().map_err(|error| *error)?;
        if verified.file_len() != file.len() {
            return Err(ArtefactError::TrailingBytes.into());
        }
        let header = verified.header();
        if let BodyEncoding::Fernet { key: found } = header.encoding {
            let key = self.identity.model.as_ref();
            let given = key
                .ok_or(UpdateError::Model(BootError::NoModelKey))?
                .key_id();
            if given != found {
                return Err(ArtefactError::ModelKey { given, found }.into());
            }
            if header.plaintext_len as usize > self.room {
                let needed = header.plaintext_len;
                return Err(ArtefactError::BufferTooSmall { needed }.into());
            }
        }
        self.journal
            .finish_update()
            .map_err(|error| UpdateError::Model(BootError::Journal(error)))?;
        Ok(header.security_counter)
    }
}

impl Upload {
    /// Programs a chunk that follows what is there, and reads it back; one that is there already is left as it is.
    fn take<'m, S: Slot<'m>>(
        &mut self,
        offset: u32,
        data: &[u8],
        spare: &mut S,
    ) -> Result<(), UpdateError> {
        let wrong = UpdateError::ChunkLength {
            offset,
            len: data.len(),
        };
        let len = u32::try_from(data.len()).map_err(|_| wrong)?;
        let end = offset.checked_add(len).ok_or(wrong)?;
        let there = spare.bytes().get(offset as usize..end as usize);
        if end <= self.received && there == Some(data) {
            return Ok(());
        }
        if offset != self.received {
            return Err(UpdateError::Order {
                found: offset,
                expected: self.received,
            });
        }
        let (words, rest) = data.split_at(data.len() - data.len() % S::WRITE_SIZE);
        if end > self.total || !(rest.is_empty() || end == self.total) {
            return Err(wrong);
        }
        let mut last = [ERASED; WORD_MAX];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        let last = match rest {
            [] => None,
            _ => Some(last.get(..S::WRITE_SIZE).ok_or(UpdateError::Flash)?),
        };
        let mut at = offset;
        for part in [Some(words), last].into_iter().flatten() {
            spare.write(at, part).map_err(|_| UpdateError::Flash)?;
            for piece in part.chunks(PIECE_LEN) {
                let mut read_back = [0; PIECE_LEN];
                let read_back = read_back.get_mut(..piece.len()).ok_or(UpdateError::Flash)?;
                if spare.read(at, read_back).is_err() || read_back != piece {
                    return Err(UpdateError::Flash);
                }
                at = at.saturating_add(piece.len() as u32);
            }
        }
        self.received = end;
        Ok(())
    }
}

/// What an erased byte reads as.
const ERASED: u8 = 0xFF;
/// Bytes that are read back at once.
const PIECE_LEN: usize = 64;
/// The longest flash word.
const WORD_MAX: usize = 32;
