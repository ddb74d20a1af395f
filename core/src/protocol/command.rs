//! What a host's sealed messages have in common: all but what their number and their data mean.

use core::fmt;

use super::frame::Kind;
use super::message::{direction, seal, version};
use super::{MessageError, VERSION};
use crate::fernet::{self, FernetKey, Iv, NONCE_LEN};
use crate::sign::{Digest512, sha512};
use crate::wire::{Reader, Writer};

/// A message's bytes before its data.
pub(super) const COMMAND_FIXED: usize = 1 + 1 + 2 + 8 + 4 + NONCE_LEN;

/// A message, on the host's side.
pub(super) struct Command<'a> {
    pub(super) kind: Kind,
    pub(super) counter: u64,
    pub(super) number: u32,
    pub(super) nonce: [u8; NONCE_LEN],
    pub(super) data: &'a [u8],
}

impl Command<'_> {
    /// Writes the message's token into `out` and returns it.
    pub(super) fn seal<'o>(
        &self,
        wire: &FernetKey,
        time: u64,
        iv: Iv,
        scratch: &mut [u8],
        out: &'o mut [u8],
    ) -> Result<&'o mut [u8], MessageError> {
        let mut w = Writer::new(scratch);
        w.u8(VERSION)?;
        w.u8(self.kind as u8)?;
        w.zeros(2)?;
        w.u64(self.counter)?;
        w.u32(self.number)?;
        w.bytes(&self.nonce)?;
        w.bytes(self.data)?;
        seal(wire, time, iv, w.finish(), out)
    }
}

/// A message that came from a holder of the wire key.
pub(super) struct AuthenticCommand<'t> {
    pub(super) counter: u64,
    pub(super) number: u32,
    pub(super) nonce: [u8; NONCE_LEN],
    /// What was sealed; all but `data` is a copy out of it.
    plaintext: &'t [u8],
    pub(super) data: &'t [u8],
    pub(super) time: u64,
    pub(super) digest: Digest512,
}

impl<'t> AuthenticCommand<'t> {
    /// Checks and decrypts a message of this kind where its token lies.
    pub(super) fn open(
        wire: &FernetKey,
        kind: Kind,
        token: &'t mut [u8],
    ) -> Result<Self, MessageError> {
        let digest = sha512(&[token]);
        // Twice, the second time below: a device may be made to skip one branch by a glitch.
        fernet::authenticate(wire, token)?;
        let token = fernet::decrypt_in_place(wire, token, None)?;
        let time = token.timestamp();
        let plaintext: &'t [u8] = token.into_plaintext();
        let mut r = Reader::new(plaintext);
        version(&mut r)?;
        direction(&mut r, kind)?;
        if r.array()? != [0; 2] {
            return Err(MessageError::ReservedBytes);
        }
        Ok(Self {
            counter: r.u64()?,
            number: r.u32()?,
            nonce: r.array()?,
            plaintext,
            data: r.bytes(r.remaining())?,
            time,
            digest,
        })
    }

    /// The counter where it was sealed.
    pub(super) fn sealed_counter(&self) -> Option<u64> {
        let counter = self.plaintext.get(4..)?.first_chunk()?;
        Some(u64::from_le_bytes(*counter))
    }
}

/// Without the data: it is somebody's.
impl fmt::Debug for AuthenticCommand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticCommand")
            .field("counter", &self.counter)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// What every opened message tells of its `command`.
macro_rules! about_command {
    () => {
        /// The message's counter.
        #[must_use]
        pub const fn counter(&self) -> u64 {
            self.command.counter
        }

        /// The nonce of the provisioning that the message is for.
        #[must_use]
        pub const fn nonce(&self) -> &[u8; NONCE_LEN] {
            &self.command.nonce
        }

        /// The token's time, seconds since the Unix epoch: data, not judged.
        #[must_use]
        pub const fn time(&self) -> u64 {
            self.command.time
        }

        /// SHA-512 of the whole token, for what answers it.
        #[must_use]
        pub const fn digest(&self) -> &Digest512 {
            &self.command.digest
        }
    };
}
pub(super) use about_command;
