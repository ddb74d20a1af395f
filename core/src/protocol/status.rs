//! What a device says in clear: who it is, and why it does not answer. Nothing here is authentic.

use core::fmt;

use super::MessageError;
use super::receipt::DeviceId;
use super::update::{SlotName, UpdateOutcome};
use crate::fernet::NONCE_LEN;
use crate::mlp::Shape;
use crate::sign::Digest512;
use crate::wire::{Reader, WireError, Writer};

/// Length in bytes of a status payload.
pub const STATUS_LEN: usize = 16 + 4 + 1 + 4 + 8 + 64 + 8 + NONCE_LEN + 1 + 1;
/// Length in bytes of a refusal's payload.
pub const REFUSED_LEN: usize = 1 + 8;

/// Who a device is and what it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Status {
    /// Its id.
    pub device_id: DeviceId,
    /// Its firmware.
    pub firmware_version: u32,
    /// How many times it has booted.
    pub boot: u32,
    /// The highest request counter that it has accepted.
    pub highest_counter: u64,
    /// The model it serves, if any.
    pub model: Option<StatusModel>,
    /// Of its provisioning; zeros if it was never provisioned. A hint, see [`protocol`](super).
    pub nonce: [u8; NONCE_LEN],
    /// Where the active model lies.
    pub slot: SlotName,
    /// What became of the last update.
    pub outcome: UpdateOutcome,
}

/// The model that a device serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StatusModel {
    /// SHA-512 of its plaintext body.
    pub digest: Digest512,
    /// Its widths.
    pub shape: Shape,
}

impl Status {
    /// The payload of a status frame.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; STATUS_LEN] {
        let mut bytes = [0; STATUS_LEN];
        // Cannot fail: the fields add up to STATUS_LEN, as the round trip in the tests shows.
        let _ = self.write(&mut Writer::new(&mut bytes));
        bytes
    }

    fn write(&self, w: &mut Writer<'_>) -> Result<(), WireError> {
        let (state, digest, widths) = match &self.model {
            Some(model) => (SERVING, model.digest, model.shape.widths()),
            None => (NO_MODEL, [0; 64], [0; 4]),
        };
        w.bytes(&self.device_id.to_bytes())?;
        w.u32(self.firmware_version)?;
        w.u8(state)?;
        w.u32(self.boot)?;
        w.u64(self.highest_counter)?;
        w.bytes(&digest)?;
        for width in widths {
            w.u16(width)?;
        }
        w.bytes(&self.nonce)?;
        w.u8(self.slot as u8)?;
        w.u8(self.outcome as u8)
    }

    /// Reads a status frame's payload.
    ///
    /// # Errors
    ///
    /// [`MessageError`] if it is malformed.
    pub fn parse(payload: &[u8]) -> Result<Self, MessageError> {
        let mut r = Reader::new(payload);
        let device_id = DeviceId::from_bytes(r.array()?);
        let firmware_version = r.u32()?;
        let state = r.u8()?;
        let boot = r.u32()?;
        let highest_counter = r.u64()?;
        let digest: Digest512 = r.array()?;
        let widths = [r.u16()?, r.u16()?, r.u16()?, r.u16()?];
        let nonce = r.array()?;
        let (slot, outcome) = (r.u8()?, r.u8()?);
        r.finish()?;
        let slot = SlotName::try_from(slot)?;
        let outcome = UpdateOutcome::try_from(outcome)?;
        let model = match state {
            SERVING => {
                let [input, hidden1, hidden2, output] = widths;
                let shape =
                    Shape::new(input, hidden1, hidden2, output).map_err(|_| MessageError::Model)?;
                Some(StatusModel { digest, shape })
            }
            NO_MODEL if digest == [0; 64] && widths == [0; 4] => None,
            NO_MODEL => return Err(MessageError::Model),
            other => return Err(MessageError::State(other)),
        };
        Ok(Self {
            device_id,
            firmware_version,
            boot,
            highest_counter,
            model,
            nonce,
            slot,
            outcome,
        })
    }
}

/// Why a device does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum RefusalCode {
    /// The frame or what it holds is malformed.
    BadFrame = 1,
    /// Not sealed with the wire key by the other side.
    Unauthentic = 2,
    /// Its counter is not above the highest accepted.
    Replay = 3,
    /// Its features do not fit the model.
    Shape = 4,
    /// There is no model to answer with.
    NotReady = 5,
    /// It is for another provisioning of the device: a replay, or the device was provisioned anew.
    Provisioning = 6,
    /// An update message does not follow the one before it.
    UpdateOrder = 7,
    /// The model that is announced does not fit the slot.
    UpdateLength = 8,
    /// The flash failed to erase, program or read back.
    Flash = 9,
    /// What was uploaded is no sealed model.
    ModelMalformed = 10,
    /// The model uploaded is not the publisher's.
    ModelForged = 11,
    /// The model uploaded is not newer than what has booted.
    ModelNotNewer = 12,
    /// The model uploaded cannot run on this device.
    ModelUnfit = 13,
}

impl TryFrom<u8> for RefusalCode {
    type Error = MessageError;

    fn try_from(value: u8) -> Result<Self, MessageError> {
        match value {
            1 => Ok(Self::BadFrame),
            2 => Ok(Self::Unauthentic),
            3 => Ok(Self::Replay),
            4 => Ok(Self::Shape),
            5 => Ok(Self::NotReady),
            6 => Ok(Self::Provisioning),
            7 => Ok(Self::UpdateOrder),
            8 => Ok(Self::UpdateLength),
            9 => Ok(Self::Flash),
            10 => Ok(Self::ModelMalformed),
            11 => Ok(Self::ModelForged),
            12 => Ok(Self::ModelNotNewer),
            13 => Ok(Self::ModelUnfit),
            other => Err(MessageError::RefusalCode(other)),
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadFrame => "the frame or its contents are malformed",
            Self::Unauthentic => "the request is not sealed with the device's wire key",
            Self::Replay => "the request's counter is not above the highest accepted (a replay)",
            Self::Shape => "the features do not fit the model",
            Self::NotReady => "the device has no model to answer with",
            Self::Provisioning => {
                "the request is for another provisioning of the device: \
                 a replay, or the device was provisioned anew"
            }
            Self::UpdateOrder => {
                "the update message does not follow the one before it: begin the update again"
            }
            Self::UpdateLength => "the model is longer than the device's slot",
            Self::Flash => "the device's flash failed to erase, program or read back",
            Self::ModelMalformed => "what was uploaded is no sealed model",
            Self::ModelForged => "the model is not one of the device's publisher, or was changed",
            Self::ModelNotNewer => {
                "the model's security counter is not above the highest that the device has served"
            }
            Self::ModelUnfit => {
                "the model is for another firmware: its shape, weights, length or key do not fit the device"
            }
        })
    }
}

/// A refusal, and the counter above which a new request must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Refusal {
    /// Why.
    pub code: RefusalCode,
    /// The highest request counter that the device has accepted: a hint, see [`protocol`](super).
    pub highest_counter: u64,
}

impl Refusal {
    /// The payload of a refused frame.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; REFUSED_LEN] {
        let [a, b, c, d, e, f, g, h] = self.highest_counter.to_le_bytes();
        [self.code as u8, a, b, c, d, e, f, g, h]
    }

    /// Reads a refused frame's payload.
    ///
    /// # Errors
    ///
    /// [`MessageError`] if it is malformed.
    pub fn parse(payload: &[u8]) -> Result<Self, MessageError> {
        let mut r = Reader::new(payload);
        let refusal = Self {
            code: RefusalCode::try_from(r.u8()?)?,
            highest_counter: r.u64()?,
        };
        r.finish()?;
        Ok(refusal)
    }
}

const SERVING: u8 = 1;
const NO_MODEL: u8 = 2;
