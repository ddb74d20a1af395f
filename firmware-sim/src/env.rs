//! What a board lends the device: flash, a stream of bytes, a place to log.
//!
//! They are separate values, so that the model stays borrowed from its slot while the other slot and the journal
//! are programmed and the port is read.

use core::fmt;

use embedded_io::{Read, Write};
use embedded_storage::nor_flash::NorFlash;
pub use sealnet_core::artefact::{Encrypted, InRam, Streamed};
use sealnet_core::protocol::SlotName;
use sealnet_core::sign::KeyId;

use crate::device::{BootError, Refused};

/// The types of a board.
pub trait Env {
    /// A model slot.
    type Slot<'m>: Slot<'m>;
    /// The journal's two pages.
    type Journal: NorFlash;
    /// Where frames come in and go out, such as a UART. `read` returning 0 means that nothing will ever
    /// come again.
    type Port: Read + Write;
    /// Where the device says what it does.
    type Log: Log;
    /// What becomes of an encrypted model: [`InRam`] where there is RAM for it, [`Streamed`] where there is
    /// none. The image holds the code of one.
    type Encrypted: Encrypted;
}

/// A region of NOR flash that is also mapped into memory, at a multiple of 16 bytes.
pub trait Slot<'m>: NorFlash {
    /// What it holds.
    fn bytes(&self) -> &[u8];

    /// Lends what it holds for as long as the board lives, and gives up writing: the model that is served must
    /// not change under the device.
    fn lend(self) -> &'m [u8];
}

/// A board as it is handed to the device at reset; the flash map is in [`layout`](crate::layout).
#[derive(Debug)]
pub struct Board<'m, E: Env> {
    /// Model slots A and B.
    pub slots: [E::Slot<'m>; 2],
    /// The identity page, mapped into memory.
    pub identity: &'m [u8],
    /// What an encrypted model is decrypted into:
    /// [`MODEL_RAM_LEN`](crate::layout::MODEL_RAM_LEN) bytes, at a multiple of 16; none where it is streamed.
    pub model_ram: &'m mut [u8],
    /// The journal's two pages.
    pub journal: E::Journal,
    /// Where frames come in and go out.
    pub port: E::Port,
    /// Where the device says what it does.
    pub log: E::Log,
}

/// Takes what the device has to say. Events carry no secret, and nothing of an answer: replies are sealed.
pub trait Log {
    /// Something happened.
    fn event(&mut self, event: Event);
}

impl<F: FnMut(Event)> Log for F {
    fn event(&mut self, event: Event) {
        self(event);
    }
}

/// Logs through `defmt`: refusals, failed trials and missing models as warnings, the rest as information.
#[cfg(feature = "defmt")]
#[derive(Debug, Clone, Copy, Default)]
pub struct DefmtLog;

#[cfg(feature = "defmt")]
impl Log for DefmtLog {
    fn event(&mut self, event: Event) {
        match event {
            Event::NoModel(_) | Event::Refused(_) | Event::TrialFailed(_) | Event::TrialCut => {
                defmt::warn!("{}", event);
            }
            _ => defmt::info!("{}", event),
        }
    }
}

/// What the device does, as it logs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event {
    /// A boot begins, and has a number that no other boot has.
    Booting {
        /// The boot counter.
        boot: u32,
    },
    /// A model passed every check and is served.
    Serving {
        /// The key that signed it.
        signed_by: KeyId,
        /// Its security counter.
        security_counter: u32,
    },
    /// The stored security counter was raised: no model with a lower one boots from now on.
    SecurityRaised {
        /// The new value.
        to: u32,
    },
    /// No model is served, and why.
    NoModel(BootError),
    /// A model begins to arrive in the spare slot, which is erased for it.
    Receiving {
        /// Where.
        slot: SlotName,
        /// Its length in bytes.
        total: u32,
    },
    /// The model arrived and verifies where it lies; the device resets to try it.
    Received {
        /// Its security counter.
        security_counter: u32,
    },
    /// This boot tries the model in the spare slot.
    Trying {
        /// Where.
        slot: SlotName,
    },
    /// The model in the spare slot passed every check: its slot is the active one from now on.
    Confirmed {
        /// Where.
        slot: SlotName,
    },
    /// The model in the spare slot was refused, and why. The old one stays.
    TrialFailed(BootError),
    /// The boot that tried the model in the spare slot did not come to an end. The old one stays.
    TrialCut,
    /// A request was answered.
    Answered {
        /// Which message of this boot the answer is.
        message: u64,
    },
    /// A frame was refused, and why.
    Refused(Refused),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Booting { boot } => write!(f, "boot {boot}"),
            Self::Serving {
                signed_by,
                security_counter,
            } => {
                write!(
                    f,
                    "serving a model signed by {signed_by}, security counter {security_counter}"
                )
            }
            Self::SecurityRaised { to } => write!(f, "security counter raised to {to}"),
            Self::NoModel(error) => write!(f, "no model: {error}"),
            Self::Receiving { slot, total } => {
                write!(f, "receiving a model of {total} bytes into {slot}")
            }
            Self::Received { security_counter } => write!(
                f,
                "received a model that verifies, security counter {security_counter}: resetting to try it"
            ),
            Self::Trying { slot } => write!(f, "trying the model in {slot}"),
            Self::Confirmed { slot } => write!(f, "confirmed: {slot} is active"),
            Self::TrialFailed(error) => {
                write!(f, "the new model is refused, the old one stays: {error}")
            }
            Self::TrialCut => {
                f.write_str("the boot that tried the new model did not end: the old one stays")
            }
            Self::Answered { message } => write!(f, "message {message} sent"),
            Self::Refused(refused) => write!(f, "refused: {refused}"),
        }
    }
}
