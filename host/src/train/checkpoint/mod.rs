//! Checkpoints: a training that was stopped, in a file, to go on to the same bits.
//!
//! The file lies beside the weights as `NAME.checkpoint`, readable by its owner alone:
//!
//! ```text
//! offset  bytes
//!      0      8  magic "SEALNETC"
//!      8      4  u32 version: 1
//!     12      4  u32 length of what follows
//!     16      n  which training it is, JSON: [`Identity`]
//!             8  f64 seconds that all sittings took
//!             *  the teacher's epochs, the network's epochs: each a list of
//!                  training and validation: u64 records, u64 correct, f64 loss sum
//!                  f64 learning rate at the end, f64 seconds
//!             1  what goes on: 1 the teacher, 2 its answers, 3 the network
//!                of 1: state, then numbers: weights, mean, square, average ([`TeacherState`])
//!                of 2: the teacher's numbers, then its answers: a list of numbers
//!                of 3: answers, state, then numbers: weights, mean, square ([`State`], layer by layer the
//!                      weights as [inputs][outputs] and then the biases)
//!     -64    64  signature
//! ```
//!
//! All is little-endian, `f32` and `f64` by their IEEE 754 bits. A list is its length, u64, and then its members;
//! numbers are a list of f32; a state is u64 steps and two f64, β₁ and β₂ to their power.
//!
//! Who could change a checkpoint would decide weights that the owner then signs for. So the owner signs this too, in
//! the domain `sealnet/v1/checkpoint` ([`sealnet_core::sign`]) over all that is before the signature, and nothing
//! is parsed before it has been verified. An older checkpoint in place of a newer one does no harm: of the same
//! training both lead to the same weights.

mod codec;
mod identity;
mod keeper;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sealnet_core::sign::{Domain, SIGNATURE_LEN, Signature, SigningKey, TrustedKey};

use super::snapshot::{ANSWERS, Snapshot};
use super::{EpochDone, TEACHER, TRAINING};
use crate::error::{Error, Result};
use crate::files;

pub use identity::Identity;
pub use keeper::{EVERY, Keeper, Kept, discard};

#[cfg(doc)]
use super::{State, teacher::TeacherState};

/// A training that was stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Which training it is.
    pub identity: Identity,
    /// How long all sittings took.
    pub seconds: f64,
    /// Where it stands.
    pub snapshot: Snapshot,
}

impl Checkpoint {
    /// The file's bytes, signed.
    pub fn to_bytes(&self, owner: &SigningKey) -> Vec<u8> {
        let mut bytes = codec::encode(self);
        let signature = owner.sign(Domain::Checkpoint, &[&bytes]);
        bytes.extend(signature.to_bytes());
        bytes
    }

    /// Reads a file's bytes after having verified their signature.
    ///
    /// # Errors
    /// [`Error::Verification`] when `owner` did not sign them, [`Error::Input`] when they are of another version.
    pub fn from_bytes(bytes: &[u8], owner: &TrustedKey) -> Result<Checkpoint> {
        let signed = bytes.split_last_chunk::<SIGNATURE_LEN>();
        let Some((body, signature)) = signed.filter(|_| bytes.starts_with(&codec::MAGIC)) else {
            return Err(refused("it is not a checkpoint, or only a piece of one"));
        };
        let signature = Signature::from_bytes(*signature);
        let body = owner
            .verify(Domain::Checkpoint, body, &signature)
            .map_err(|_| refused("it is not as the owner's key signed it"))?;
        codec::decode(body.bytes())
    }

    /// What lies at `path`, if anything does, once it is known to be of the training `identity`.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), [`Error::Io`] when it cannot be read, and [`Error::Input`] when it is of
    /// another training.
    pub fn find(
        path: &Path,
        owner: &TrustedKey,
        identity: &Identity,
    ) -> Result<Option<Checkpoint>> {
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let bytes = files::read_limited(path, identity.most_bytes())?;
        let found = Checkpoint::from_bytes(&bytes, owner).map_err(|error| match error {
            Error::Verification { what, hint } => Error::Verification {
                what: format!("{}: {what}", path.display()),
                hint,
            },
            Error::Input { what, hint } => Error::Input {
                what: format!("{}: {what}", path.display()),
                hint,
            },
            other => other,
        })?;
        match found.identity.other(identity) {
            None => Ok(Some(found)),
            Some(differs) => Err(Error::input(
                format!("{} is of another training: {differs}", path.display()),
                "go on with the command that began it, name another output, or discard it with --fresh",
            )),
        }
    }

    /// How far it is: `epoch 12 of 150`.
    pub fn place(&self) -> String {
        let (phase, done, of) = self.snapshot.place(&self.identity.recipe);
        match phase {
            TEACHER => format!("the teacher's epoch {done} of {of}"),
            ANSWERS => format!("{done} of {of} rounds of the teacher's answers"),
            _ => format!("epoch {done} of {of}"),
        }
    }

    /// The epochs that are done, in order, each with the name of its phase.
    pub fn epochs<'a>(&'a self) -> impl Iterator<Item = (&'static str, EpochDone)> + 'a {
        let of = |phase, epochs: &'a [EpochDone]| epochs.iter().map(move |done| (phase, *done));
        let taught = of(TEACHER, &self.snapshot.teacher);
        taught.chain(of(TRAINING, &self.snapshot.history))
    }
}

/// Where the checkpoint of the training of `weights` lies.
pub fn path_beside(weights: &Path) -> PathBuf {
    let mut name = OsString::from(weights);
    name.push(".checkpoint");
    name.into()
}

fn refused(cause: &str) -> Error {
    Error::verification(
        format!("the checkpoint is refused: {cause}"),
        "nothing is trained from what somebody else may have changed; begin anew with --fresh",
    )
}
