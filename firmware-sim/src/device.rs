//! Boot, serve and update.
//!
//! # Boot
//!
//! 1. Wipe the model RAM; read the identity; open the journal; take a boot number never used before.
//! 2. If a trial is pending, that is the boot to try the model in the spare slot: see *Update*.
//! 3. Bring the model in the active slot through the chain of proofs (see
//!    [`artefact`](sealnet_core::artefact)): parse; verify under the identity's key and against the
//!    stored security counter; open, in place, into RAM or as it lies ([`Env::Encrypted`]); load, which computes
//!    the golden vectors.
//! 4. Make every check again that decides, from what is read from flash anew, so that no instruction that a
//!    glitch makes the core skip lets another model pass (`passed`).
//! 5. Raise the stored security counter to the model's, so that an older model boots no more.
//!
//! Whatever fails, the device stays alive: it says so in its log and its status, and refuses requests. A
//! model that is refused after it was decrypted is wiped from RAM.
//!
//! # Serve
//!
//! A request is answered if it is sealed with the wire key, names this provisioning's nonce, fits the model, and
//! its counter is above every counter accepted before, resets included; that counter is durable before the
//! network runs. The reply is sealed under an IV derived from provisioning nonce, boot and message number, which
//! never come twice, and carries a receipt signed by the device. Everything else gets a refusal with a code, in
//! clear, and changes nothing.
//!
//! # Update
//!
//! A new model comes over the wire in sealed messages under the same counter
//! ([`protocol`](sealnet_core::protocol)), into the slot that is not active, while the active one goes on serving:
//!
//! | step | what happens | in the journal |
//! |---|---|---|
//! | begin | the spare slot is erased | no trial; no record left that could call the spare slot active |
//! | chunks | programmed, each read back | |
//! | finish | the model is verified where it lies: publisher's key, counter *above* the stored one, shape | trial pending; the device resets |
//! | boot | | trial attempted, with the boot number, before anything else |
//! | trial | the whole chain of proofs, golden vectors too | one record: slot active, no trial, confirmed, security counter raised |
//! | or it fails | | no trial, failed |
//! | or the boot does not end | the next boot finds it attempted | no trial, failed |
//!
//! Until that one record the old model boots, after it the new one alone: the old one's counter is too low then,
//! and if the new one is damaged there is no model. A device without a model takes an update all the same, as
//! long as its identity and journal can be read. What is active is proved again after its trial, in the same boot.

mod boot;
mod passed;
mod serve;
mod update;

use core::fmt;

use sealnet_core::artefact::{ArtefactError, Deployed, InRam};
use sealnet_core::fernet::{NONCE_LEN, binary_len};
use sealnet_core::protocol::{
    CHUNK_MAX, FrameError, FrameReader, Kind, MAX_CLASSES, MAX_FEATURES, MessageError, RefusalCode,
    request_len, update_len,
};

use crate::env::Env;
use crate::identity::{Identity, IdentityError};
use crate::journal::{Journal, JournalError};
use crate::layout::{MODEL_RAM_LEN, ROOM_HINT};
use crate::shape::{CLASSES, HIDDEN1, HIDDEN2, INPUT, SHAPE};
use passed::Passed;
pub use serve::Served;
pub use update::UpdateError;
use update::Upload;

/// Which firmware this is: the package's version, a byte each for major, minor and patch.
pub const FIRMWARE_VERSION: u32 = {
    let major = u8::from_str_radix(env!("CARGO_PKG_VERSION_MAJOR"), 10);
    let minor = u8::from_str_radix(env!("CARGO_PKG_VERSION_MINOR"), 10);
    let patch = u8::from_str_radix(env!("CARGO_PKG_VERSION_PATCH"), 10);
    match (major, minor, patch) {
        (Ok(major), Ok(minor), Ok(patch)) => u32::from_be_bytes([0, major, minor, patch]),
        _ => panic!("a part of the package's version is above 255"),
    }
};

/// The model that a device of this build runs; `M` is its board's [`Env::Encrypted`].
pub type Model<'m, M = InRam> = Deployed<'m, INPUT, HIDDEN1, HIDDEN2, CLASSES, M>;

/// A device after its reset.
#[derive(Debug)]
pub struct Device<'m, E: Env> {
    port: E::Port,
    log: E::Log,
    frames: FrameReader<RECEIVE_LEN>,
    /// Who it is; `None` without a readable identity or journal, and then there is no model either.
    session: Option<Session<E::Journal>>,
    model: Result<Model<'m, E::Encrypted>, BootError>,
    /// What its boot has passed.
    passed: Passed,
    /// The slot that is not active.
    spare: E::Slot<'m>,
    /// The model that is on its way into it.
    upload: Option<Upload>,
}

/// What lasts from reset to reset.
#[derive(Debug)]
struct Session<J> {
    identity: Identity,
    /// Of this provisioning.
    nonce: [u8; NONCE_LEN],
    journal: Journal<J>,
    /// The number of this boot.
    boot: u32,
    /// Messages sealed since.
    messages: u64,
    /// The longest encrypted body in bytes: what the RAM for it holds, any where it is streamed.
    room: usize,
}

/// Why a device serves no model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BootError {
    /// There is no identity.
    Identity(IdentityError),
    /// The counters cannot be read or written.
    Journal(JournalError),
    /// The slot is blank.
    EmptySlot,
    /// The model is encrypted, and this device holds no model key.
    NoModelKey,
    /// The model was refused.
    Model(ArtefactError),
    /// The boot came to a model without having made every check: the core has been made to skip some.
    Skipped,
}

impl BootError {
    /// Whether something did not verify, rather than being absent, broken or of another build.
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Identity(_) | Self::Journal(_) | Self::EmptySlot | Self::NoModelKey => false,
            Self::Model(
                ArtefactError::Dimensions { .. }
                | ArtefactError::BufferTooSmall { .. }
                | ArtefactError::UnsupportedWeightType(_),
            ) => false,
            Self::Model(_) | Self::Skipped => true,
        }
    }

    /// What to do about it; empty where the error says all.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Model(ArtefactError::BufferTooSmall { .. }) => ROOM_HINT,
            Self::Model(ArtefactError::UnsupportedWeightType(_)) => {
                "export the model with the weights that the firmware is built for, or take other firmware: --weights"
            }
            _ => "",
        }
    }
}

impl From<IdentityError> for BootError {
    fn from(error: IdentityError) -> Self {
        Self::Identity(error)
    }
}

impl From<JournalError> for BootError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<ArtefactError> for BootError {
    fn from(error: ArtefactError) -> Self {
        Self::Model(error)
    }
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(error) => error.fmt(f),
            Self::Journal(error) => error.fmt(f),
            Self::EmptySlot => f.write_str("the model slot is blank"),
            Self::NoModelKey => {
                f.write_str("the model is encrypted, and this device is for clear models alone")
            }
            Self::Model(ArtefactError::Dimensions { expected, found }) => write!(
                f,
                "the model is {found}, this firmware was built for {expected}; \
                 rebuild it with SEALNET_SHAPE={found} cargo build --release"
            ),
            Self::Model(ArtefactError::BufferTooSmall { needed }) => write!(
                f,
                "the model's body is {needed} bytes long, and this firmware, built for {SHAPE}, has \
                 {MODEL_RAM_LEN} bytes of RAM for it"
            ),
            Self::Model(error) => error.fmt(f),
            Self::Skipped => f.write_str(
                "the boot did not make every check: the core has been made to skip some, by a fault or on purpose",
            ),
        }
    }
}

impl core::error::Error for BootError {}

/// Why a frame was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Refused {
    /// It is no frame.
    Frame(FrameError),
    /// It is a frame that only a device sends.
    Direction(Kind),
    /// A status query with contents.
    QueryContents,
    /// There is no model to answer with.
    NoModel,
    /// Its contents are not authentic or malformed.
    Message(MessageError),
    /// It carries another number of features than the model takes.
    Features(usize),
    /// It is for another provisioning of this device.
    Provisioning,
    /// Its counter is not above the highest one accepted, or too far above it.
    Counter {
        /// The request's.
        found: u64,
        /// The highest one accepted.
        highest: u64,
    },
    /// Its counter could not be made durable.
    Journal(JournalError),
    /// Every message number of this boot is used up.
    Exhausted,
    /// An update message was not carried out.
    Update(UpdateError),
}

impl Refused {
    /// The code that the host is given.
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::Frame(_) | Self::Direction(_) | Self::QueryContents => RefusalCode::BadFrame,
            Self::Message(error) => error.refusal(),
            Self::Features(_) => RefusalCode::Shape,
            Self::Provisioning => RefusalCode::Provisioning,
            Self::Counter { .. } => RefusalCode::Replay,
            Self::NoModel | Self::Journal(_) | Self::Exhausted => RefusalCode::NotReady,
            Self::Update(error) => error.code(),
        }
    }
}

impl From<MessageError> for Refused {
    fn from(error: MessageError) -> Self {
        Self::Message(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Direction(kind) => write!(
                f,
                "only a device sends a frame of kind {:#04x}",
                *kind as u8
            ),
            Self::QueryContents => f.write_str("a status query has no contents"),
            Self::NoModel => f.write_str("there is no model to answer with"),
            Self::Message(error) => error.fmt(f),
            Self::Features(found) => write!(f, "{found} features, the model takes {INPUT}"),
            Self::Provisioning => f.write_str(
                "the request is for another provisioning of this device: \
                 a replay, or a host that did not ask anew",
            ),
            Self::Counter { found, highest } => {
                write!(
                    f,
                    "counter {found} does not follow {highest}, the highest accepted: a replay"
                )
            }
            Self::Journal(error) => error.fmt(f),
            Self::Exhausted => f.write_str("every message number of this boot is used up"),
            Self::Update(error) => error.fmt(f),
        }
    }
}

impl From<UpdateError> for Refused {
    fn from(error: UpdateError) -> Self {
        Self::Update(error)
    }
}

/// The longest frame that the device takes: kind and payload of a request that fits the model, or of a piece of
/// a model.
const RECEIVE_LEN: usize = {
    let (request, chunk) = (request_len(INPUT), update_len(CHUNK_MAX));
    1 + binary_len(if request > chunk { request } else { chunk })
};

const _: () = assert!(
    INPUT <= MAX_FEATURES,
    "SEALNET_SHAPE: a request carries at most 4096 features"
);
const _: () = assert!(
    CLASSES <= MAX_CLASSES,
    "SEALNET_SHAPE: a reply carries at most 256 classes"
);
