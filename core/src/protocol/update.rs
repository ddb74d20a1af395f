//! A model on its way to the spare slot: the sealed messages, and what the device says to each. The tables are in
//! the [module docs](super).

use core::fmt;

use super::command::{AuthenticCommand, COMMAND_FIXED, Command, about_command};
use super::frame::Kind;
use super::message::{direction, seal, version};
use super::{MessageError, VERSION};
use crate::fernet::{self, FernetKey, Iv, NONCE_LEN};
use crate::sign::Digest512;
use crate::wire::{Reader, Writer};

/// The most bytes of a model that one message carries.
pub const CHUNK_MAX: usize = 512;
/// Length in bytes of an acknowledgement's plaintext.
pub const ACKNOWLEDGEMENT_LEN: usize = 1 + 1 + 1 + 1 + 4 + size_of::<Digest512>();

/// Length in bytes of an update message's plaintext.
#[must_use]
pub const fn update_len(data: usize) -> usize {
    COMMAND_FIXED + data
}

/// One of the two model slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum SlotName {
    /// The first one, where provisioning puts the model.
    A = 0,
    /// The second one.
    B = 1,
}

impl SlotName {
    /// The other slot.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "slot A",
            Self::B => "slot B",
        })
    }
}

impl TryFrom<u8> for SlotName {
    type Error = MessageError;

    fn try_from(value: u8) -> Result<Self, MessageError> {
        match value {
            0 => Ok(Self::A),
            1 => Ok(Self::B),
            other => Err(MessageError::Update(other)),
        }
    }
}

/// What became of the last update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum UpdateOutcome {
    /// There was none, or it did not come to its trial yet.
    None = 0,
    /// The new model passed its trial and is the active one.
    Confirmed = 1,
    /// The new model failed its trial, or the trial was cut short: the old one stays.
    Failed = 2,
}

impl TryFrom<u8> for UpdateOutcome {
    type Error = MessageError;

    fn try_from(value: u8) -> Result<Self, MessageError> {
        match value {
            0 => Ok(Self::None),
            1 => Ok(Self::Confirmed),
            2 => Ok(Self::Failed),
            other => Err(MessageError::Update(other)),
        }
    }
}

/// One step of an update.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum UpdateStep<'a> {
    /// A model of so many bytes follows; the spare slot is erased for it.
    Begin {
        /// Length of the sealed model in bytes.
        total: u32,
    },
    /// A piece of it.
    Chunk {
        /// Where it lies in the model.
        offset: u32,
        /// 1 to [`CHUNK_MAX`] bytes.
        data: &'a [u8],
    },
    /// That was all: verify it, and try it at the next reset.
    Finish {
        /// Length of the sealed model in bytes, as it was begun.
        total: u32,
    },
}

impl UpdateStep<'_> {
    /// The kind of the frame that carries it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Begin { .. } => Kind::UpdateBegin,
            Self::Chunk { .. } => Kind::UpdateChunk,
            Self::Finish { .. } => Kind::UpdateFinish,
        }
    }
}

/// Without the model's bytes.
impl fmt::Debug for UpdateStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin { total } => write!(f, "Begin({total})"),
            Self::Chunk { offset, data } => write!(f, "Chunk({offset}, {} bytes)", data.len()),
            Self::Finish { total } => write!(f, "Finish({total})"),
        }
    }
}

/// An update message, on the host's side.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// Above every counter that the device has accepted.
    pub counter: u64,
    /// Of the device's provisioning.
    pub nonce: [u8; NONCE_LEN],
    /// What it is.
    pub step: UpdateStep<'a>,
}

impl Update<'_> {
    /// Seals the message: writes its token into `out` and returns it.
    ///
    /// `scratch` holds at least [`update_len`] bytes and `out` at least
    /// [`binary_len`](fernet::binary_len) of that. `time` is in seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`MessageError::Length`] if a chunk does not have 1 to [`CHUNK_MAX`] bytes;
    /// [`NoSpace`](MessageError::NoSpace).
    pub fn seal<'o>(
        &self,
        wire: &FernetKey,
        time: u64,
        iv: Iv,
        scratch: &mut [u8],
        out: &'o mut [u8],
    ) -> Result<&'o mut [u8], MessageError> {
        let (number, data) = match self.step {
            UpdateStep::Begin { total } | UpdateStep::Finish { total } => (total, &[][..]),
            UpdateStep::Chunk { data, .. } if !(1..=CHUNK_MAX).contains(&data.len()) => {
                return Err(MessageError::Length);
            }
            UpdateStep::Chunk { offset, data } => (offset, data),
        };
        let command = Command {
            kind: self.step.kind(),
            counter: self.counter,
            number,
            nonce: self.nonce,
            data,
        };
        command.seal(wire, time, iv, scratch, out)
    }
}

/// An update message that came from a holder of the wire key. Only [`AuthenticUpdate::open`] makes one.
#[derive(Debug)]
pub struct AuthenticUpdate<'t> {
    command: AuthenticCommand<'t>,
    step: UpdateStep<'t>,
}

impl<'t> AuthenticUpdate<'t> {
    /// Checks and decrypts a message where its token lies; `kind` is its frame's. Whether its nonce is that of
    /// the device's provisioning and its counter is new is for the caller to judge.
    ///
    /// # Errors
    ///
    /// [`MessageError::Unauthentic`] if the token is not one of `wire`; for a token that is, what is
    /// wrong with its contents: [`Direction`](MessageError::Direction) if it goes the other way,
    /// [`Kind`](MessageError::Kind) if it is not what its frame says.
    pub fn open(wire: &FernetKey, kind: Kind, token: &'t mut [u8]) -> Result<Self, MessageError> {
        let command = AuthenticCommand::open(wire, kind, token)?;
        let AuthenticCommand { number, data, .. } = command;
        let step = match (kind, data.len()) {
            (Kind::UpdateBegin, 0) => UpdateStep::Begin { total: number },
            (Kind::UpdateFinish, 0) => UpdateStep::Finish { total: number },
            (Kind::UpdateChunk, 1..=CHUNK_MAX) => UpdateStep::Chunk {
                offset: number,
                data,
            },
            (Kind::UpdateBegin | Kind::UpdateChunk | Kind::UpdateFinish, _) => {
                return Err(MessageError::Length);
            }
            (other, _) => return Err(MessageError::Kind(other as u8)),
        };
        Ok(Self { command, step })
    }

    about_command!();

    /// What it is.
    #[must_use]
    pub const fn step(&self) -> UpdateStep<'t> {
        self.step
    }
}

/// How far an update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum UpdateState {
    /// The device waits for more of the model.
    Receiving = 1,
    /// The model verifies where it lies; the device resets now and tries it.
    Complete = 2,
}

/// What a device says to an update message that it has carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledgement {
    /// How far the update is.
    pub state: UpdateState,
    /// Bytes of the model that are in the slot.
    pub received: u32,
    /// SHA-512 of the whole token that it answers.
    pub request_digest: Digest512,
}

impl Acknowledgement {
    /// Seals the acknowledgement: writes its token into `out` and returns it.
    ///
    /// `scratch` holds at least [`ACKNOWLEDGEMENT_LEN`] bytes and `out` at least
    /// [`binary_len`](fernet::binary_len) of that. `time` is the request's.
    ///
    /// # Errors
    ///
    /// [`MessageError::NoSpace`].
    pub fn seal<'o>(
        &self,
        wire: &FernetKey,
        time: u64,
        iv: Iv,
        scratch: &mut [u8],
        out: &'o mut [u8],
    ) -> Result<&'o mut [u8], MessageError> {
        let mut w = Writer::new(scratch);
        w.u8(VERSION)?;
        w.u8(Kind::Acknowledged as u8)?;
        w.u8(self.state as u8)?;
        w.zeros(1)?;
        w.u32(self.received)?;
        w.bytes(&self.request_digest)?;
        seal(wire, time, iv, w.finish(), out)
    }
}

/// An acknowledgement that came from a holder of the wire key. Only [`AuthenticAcknowledgement::open`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthenticAcknowledgement(Acknowledgement);

impl AuthenticAcknowledgement {
    /// Checks and decrypts an acknowledgement where its token lies. Which message it answers is for the caller
    /// to judge.
    ///
    /// # Errors
    ///
    /// [`MessageError::Unauthentic`] if the token is not one of `wire`; for a token that is, what is
    /// wrong with its contents: [`Direction`](MessageError::Direction) if it goes the other way.
    pub fn open(wire: &FernetKey, token: &mut [u8]) -> Result<Self, MessageError> {
        let token = fernet::decrypt_in_place(wire, token, None)?;
        let mut r = Reader::new(token.plaintext());
        version(&mut r)?;
        direction(&mut r, Kind::Acknowledged)?;
        let state = match r.u8()? {
            1 => UpdateState::Receiving,
            2 => UpdateState::Complete,
            other => return Err(MessageError::Update(other)),
        };
        if r.u8()? != 0 {
            return Err(MessageError::ReservedBytes);
        }
        let received = r.u32()?;
        let request_digest = r.array()?;
        r.finish()?;
        Ok(Self(Acknowledgement {
            state,
            received,
            request_digest,
        }))
    }

    /// What the device says.
    #[must_use]
    pub const fn acknowledgement(&self) -> &Acknowledgement {
        &self.0
    }
}
