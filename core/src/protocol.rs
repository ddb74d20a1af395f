//! What a host and a device say to each other, over any stream of bytes (a UART, a pipe).
//!
//! Both sides' building and parsing live here. All numbers are little-endian; `f32` is IEEE 754
//! binary32.
//!
//! # Frames
//!
//! ```text
//! COBS(kind u8 ‖ payload) ‖ 0x00
//! ```
//!
//! COBS is Cheshire and Baker, "Consistent overhead byte stuffing", IEEE/ACM ToN 7(2), 1999: no
//! zero byte occurs inside a frame, so a receiver is back in step at the next zero. Zeros between
//! frames are ignored. A frame has at most [`MAX_FRAME`] bytes; a receiver with a smaller buffer
//! drops what does not fit, up to the next zero.
//!
//! | kind | frame | from | payload |
//! |---|---|---|---|
//! | 0x01 | request | host | Fernet token in binary form under the wire key |
//! | 0x02 | status query | host | none |
//! | 0x03 | begin update | host | Fernet token in binary form under the wire key |
//! | 0x04 | update chunk | host | Fernet token in binary form under the wire key |
//! | 0x05 | finish update | host | Fernet token in binary form under the wire key |
//! | 0x81 | reply | device | Fernet token in binary form under the wire key |
//! | 0x82 | status | device | in clear |
//! | 0x83 | acknowledged | device | Fernet token in binary form under the wire key |
//! | 0xEE | refused | device | in clear |
//!
//! **Status and refusals are not authentic.** Anyone on the wire can forge them; they help people
//! and resynchronisation, and nothing may be decided by them. A counter taken from one is a hint.
//!
//! # Request (plaintext of the token)
//!
//! Both directions are sealed with one key, so the plaintext says which it is: the kind is that of the
//! frame, below 0x80 from the host and above it from the device. What comes back to its sender is refused.
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 0 | u8 | version | 2 |
//! | 1 | u8 | kind | 0x01 request: infer |
//! | 2 | u8\[2\] | reserved | zeros |
//! | 4 | u64 | counter | above every counter that the device has accepted |
//! | 12 | u32 | feature count | at most 4,096 |
//! | 16 | u8\[16\] | nonce | of the device's provisioning, as its status says it |
//! | 32 | u8\[feature count\] | features | |
//!
//! The nonce is drawn at random each time a device is provisioned, so a request that one provisioning
//! answered is refused by every later one under the same keys, even if the counters begin again at zero. It
//! may be taken from a status: whoever forges one can make the device refuse a request, and no more.
//!
//! # Reply (plaintext of the token)
//!
//! The token's time is the request token's, and its IV is derived from the device's secret, provisioning
//! nonce, boot and message counters ([`Iv::derive`](crate::fernet::Iv::derive)).
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 0 | u8 | version | 2 |
//! | 1 | u8 | kind | 0x81 reply |
//! | 2 | u16 | class count `n` | 1 to 256 |
//! | 4 | u8 | policy | 1 label, 2 label and probabilities, 3 label, probabilities and logits |
//! | 5 | u8\[3\] | reserved | zeros |
//! | 8 | u8\[320\] | receipt | see below |
//! | 328 | f32\[n\] | probabilities | policies 2 and 3 |
//! | 328 + 4 n | i32\[n\] | logits | policy 3 |
//!
//! # Update (plaintext of the token)
//!
//! A new model goes to the device in pieces, into the slot that is not in use: one *begin*, *chunks* in rising
//! order without gaps, one *finish*. Each is a message of its own with a counter of its own, under the same rule
//! as a request, and each is answered before the next is sent. A chunk that is already there, because its
//! answer was lost, is answered again. *Begin* starts anew at any time; a reset forgets what was sent.
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 0 | u8 | version | 2 |
//! | 1 | u8 | kind | 0x03 begin, 0x04 chunk, 0x05 finish; that of the frame |
//! | 2 | u8\[2\] | reserved | zeros |
//! | 4 | u64 | counter | above every counter that the device has accepted |
//! | 12 | u32 | number | chunk: where its data lie in the sealed model; begin, finish: the model's length in bytes |
//! | 16 | u8\[16\] | nonce | of the device's provisioning |
//! | 32 | u8\[n\] | data | chunk: 1 to 512 bytes of the sealed model, a multiple of the flash's word (8 is always enough) unless the model ends with it; begin, finish: none |
//!
//! # Acknowledgement (plaintext of the token)
//!
//! What the device answers to an update message that it has carried out: only it and its host can make one, so a
//! host that holds the last one knows that the device verified the model. Its time is the message's, its IV is
//! derived as a reply's under the same message counter. After state 2 the device resets itself; whether the new
//! model passed its trial, the receipt of any later reply says with its model digest.
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 0 | u8 | version | 2 |
//! | 1 | u8 | kind | 0x83 acknowledged |
//! | 2 | u8 | state | 1 receiving, 2 complete: verified, and tried after the reset that follows |
//! | 3 | u8 | reserved | zero |
//! | 4 | u32 | received | bytes of the model that are in the slot |
//! | 8 | u8\[64\] | request digest | SHA-512 of the whole update token, as it was sent |
//!
//! # Receipt
//!
//! Signed by the device in the domain `sealnet/v1/device-receipt` (see [`sign`](crate::sign)).
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 0 | u8\[4\] | magic | ASCII `SNRC` |
//! | 4 | u16 | version | 2 |
//! | 6 | u8 | scheme | 1 HMAC-SHA-512, 2 Ed25519 |
//! | 7 | u8 | verdict | 0 not evaluated, 1 accept, 2 suspicious |
//! | 8 | u8\[16\] | device id | |
//! | 24 | u8\[64\] | model digest | SHA-512 of the model's plaintext body |
//! | 88 | u32 | firmware version | |
//! | 92 | u32 | boot | how many times the device has booted |
//! | 96 | u64 | message | how many messages it has sealed since |
//! | 104 | u8\[64\] | request digest | SHA-512 of the whole request token, as it was sent |
//! | 168 | u16 | label | |
//! | 170 | u8\[6\] | reserved | zeros |
//! | 176 | u8\[64\] | logits digest | SHA-512 of the logits as i32\[n\], little-endian |
//! | 240 | u8\[16\] | nonce | of the device's provisioning |
//! | 256 | u8\[64\] | signature | over the 256 bytes before it |
//!
//! Boot and message counters never come twice under one nonce.
//!
//! # Status
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 0 | u8\[16\] | device id | |
//! | 16 | u32 | firmware version | |
//! | 20 | u8 | state | 1 serving, 2 no model |
//! | 21 | u32 | boot | |
//! | 25 | u64 | highest request counter | |
//! | 33 | u8\[64\] | model digest | zeros without a model |
//! | 97 | u16\[4\] | widths | input, hidden 1, hidden 2, output; zeros without a model |
//! | 105 | u8\[16\] | nonce | of the device's provisioning; zeros if it was never provisioned |
//! | 121 | u8 | slot | where the active model lies: 0 A, 1 B |
//! | 122 | u8 | update | what became of the last one: 0 none or not tried yet, 1 confirmed, 2 failed |
//!
//! # Refused
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 0 | u8 | code | 1 bad frame, 2 not authentic, 3 replay, 4 wrong shape, 5 not ready, 6 another provisioning; of an update: 7 out of order, 8 too long for the slot, 9 flash failed, 10 no sealed model, 11 not the publisher's, 12 not newer, 13 for another firmware |
//! | 1 | u64 | highest request counter | |

mod command;
mod frame;
mod message;
mod receipt;
mod status;
mod update;

use core::fmt;

pub use frame::{Frame, FrameError, FrameReader, Kind, frame_len, write_frame};
pub use message::{
    AuthenticReply, AuthenticRequest, MAX_CLASSES, MAX_FEATURES, Reply, Request, reply_len,
    request_len,
};
pub use receipt::{
    DeviceId, RECEIPT_LEN, Receipt, ReceiptError, SignedReceipt, UnverifiedReceipt, Verdict,
    VerifiedReceipt, logits_digest,
};
pub use status::{REFUSED_LEN, Refusal, RefusalCode, STATUS_LEN, Status, StatusModel};
pub use update::{
    ACKNOWLEDGEMENT_LEN, Acknowledgement, AuthenticAcknowledgement, AuthenticUpdate, CHUNK_MAX,
    SlotName, Update, UpdateOutcome, UpdateState, UpdateStep, update_len,
};

use crate::fernet::{FernetError, binary_len};
use crate::wire::WireError;

/// Longest payload of a frame: a request with the most features.
pub const MAX_PAYLOAD: usize = binary_len(request_len(MAX_FEATURES));
/// Longest frame, with its closing zero.
pub const MAX_FRAME: usize = frame_len(MAX_PAYLOAD);

const VERSION: u8 = 2;

/// Why a message could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MessageError {
    /// Not a token of this wire key.
    Unauthentic,
    /// An unknown message version.
    Version(u8),
    /// It goes the other way: a request where a reply is due, or the reverse. It was reflected.
    Direction,
    /// An unknown kind of request or reply.
    Kind(u8),
    /// An unknown reply policy.
    ReplyPolicy(u8),
    /// An unknown refusal code.
    RefusalCode(u8),
    /// An unknown device state.
    State(u8),
    /// An unknown slot, outcome or state of an update.
    Update(u8),
    /// The message ends too early, or bytes follow it.
    Length,
    /// Bytes that must be zero are not.
    ReservedBytes,
    /// The number of features is above 4,096 or does not fit the message.
    FeatureCount(u32),
    /// The number of classes is not between 1 and 256 or does not fit the message.
    ClassCount(u16),
    /// The device says that it serves a model but gives no shape, or the reverse.
    Model,
    /// The output buffer is too small.
    NoSpace,
}

impl MessageError {
    /// What a device answers to such a request.
    #[must_use]
    pub const fn refusal(self) -> RefusalCode {
        match self {
            Self::Unauthentic | Self::Direction => RefusalCode::Unauthentic,
            Self::FeatureCount(_) => RefusalCode::Shape,
            _ => RefusalCode::BadFrame,
        }
    }
}

impl From<WireError> for MessageError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Truncated | WireError::TrailingBytes => Self::Length,
            WireError::NoSpace => Self::NoSpace,
        }
    }
}

impl From<FernetError> for MessageError {
    fn from(error: FernetError) -> Self {
        match error {
            FernetError::BufferTooSmall => Self::NoSpace,
            _ => Self::Unauthentic,
        }
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthentic => f.write_str("not a message under this wire key"),
            Self::Version(v) => write!(f, "message version {v} is not known (known: {VERSION})"),
            Self::Direction => f.write_str("a message that goes the other way: it was reflected"),
            Self::Kind(v) => write!(f, "message kind {v:#04x} is not known"),
            Self::ReplyPolicy(v) => write!(f, "reply policy {v} is not known"),
            Self::RefusalCode(v) => write!(f, "refusal code {v} is not known"),
            Self::State(v) => write!(f, "device state {v} is not known"),
            Self::Update(v) => write!(f, "slot, outcome or state {v} of an update is not known"),
            Self::Length => f.write_str("the message does not have the length of its contents"),
            Self::ReservedBytes => f.write_str("reserved bytes are not zero"),
            Self::FeatureCount(n) => {
                write!(
                    f,
                    "{n} features do not fit a message (at most {MAX_FEATURES})"
                )
            }
            Self::ClassCount(n) => {
                write!(f, "{n} classes do not fit a message (1 to {MAX_CLASSES})")
            }
            Self::Model => f.write_str("state, digest and shape of the model do not agree"),
            Self::NoSpace => f.write_str("the output buffer is too small"),
        }
    }
}

impl core::error::Error for MessageError {}
