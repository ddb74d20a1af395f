//! Frames on a stream of bytes.

use core::fmt;

use cobs::{CobsEncoder, DecodeResult, DecoderState};

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Kind {
    /// Host to device: infer, sealed.
    Request = 0x01,
    /// Host to device: who are you?
    StatusQuery = 0x02,
    /// Host to device: a model follows, sealed.
    UpdateBegin = 0x03,
    /// Host to device: a piece of a model, sealed.
    UpdateChunk = 0x04,
    /// Host to device: the model is complete, sealed.
    UpdateFinish = 0x05,
    /// Device to host: an answer and its receipt, sealed.
    Reply = 0x81,
    /// Device to host: who it is, in clear.
    Status = 0x82,
    /// Device to host: an update message was carried out, sealed.
    Acknowledged = 0x83,
    /// Device to host: why there is no answer, in clear.
    Refused = 0xEE,
}

impl TryFrom<u8> for Kind {
    type Error = FrameError;

    fn try_from(value: u8) -> Result<Self, FrameError> {
        match value {
            0x01 => Ok(Self::Request),
            0x02 => Ok(Self::StatusQuery),
            0x03 => Ok(Self::UpdateBegin),
            0x04 => Ok(Self::UpdateChunk),
            0x05 => Ok(Self::UpdateFinish),
            0x81 => Ok(Self::Reply),
            0x82 => Ok(Self::Status),
            0x83 => Ok(Self::Acknowledged),
            0xEE => Ok(Self::Refused),
            other => Err(FrameError::UnknownKind(other)),
        }
    }
}

/// A frame that arrived. Its payload may be decrypted where it lies.
#[derive(Debug)]
pub struct Frame<'r> {
    /// What it holds.
    pub kind: Kind,
    /// Without the kind.
    pub payload: &'r mut [u8],
}

/// Why a frame was dropped, or could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FrameError {
    /// A zero came before the frame's coding said so.
    Malformed,
    /// It does not fit the receiver's buffer.
    TooLong,
    /// It holds not even a kind.
    Empty,
    /// An unknown kind.
    UnknownKind(u8),
    /// The output buffer is too small.
    NoSpace,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the frame ends too early"),
            Self::TooLong => f.write_str("the frame is longer than the receiver's buffer"),
            Self::Empty => f.write_str("the frame is empty"),
            Self::UnknownKind(v) => write!(f, "frame kind {v:#04x} is not known"),
            Self::NoSpace => f.write_str("the output buffer is too small"),
        }
    }
}

impl core::error::Error for FrameError {}

/// Finds frames in a stream of bytes; `N` is the longest kind and payload that it takes,
/// `1 + MAX_PAYLOAD` for any.
///
/// After anything that is not a frame it is in step again at the next zero.
#[derive(Debug)]
pub struct FrameReader<const N: usize> {
    decoder: DecoderState,
    decoded: heapless::Vec<u8, N>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Inside a frame, or between two.
    Reading,
    /// The last byte ended a frame, which the caller may still hold.
    Delivered,
    /// Inside a frame that is too long.
    Skipping,
}

impl<const N: usize> FrameReader<N> {
    /// A reader at the start of a frame.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            decoder: DecoderState::Idle,
            decoded: heapless::Vec::new(),
            state: State::Reading,
        }
    }

    /// Takes the stream's next byte. At the end of a frame, gives it out or says why it is dropped.
    ///
    /// # Errors
    ///
    /// [`FrameError`], any but [`FrameError::NoSpace`]; the reader goes on with the next frame.
    pub fn push(&mut self, byte: u8) -> Option<Result<Frame<'_>, FrameError>> {
        match self.state {
            State::Reading => {}
            State::Delivered => self.restart(),
            State::Skipping if byte == 0 => {
                self.restart();
                return Some(Err(FrameError::TooLong));
            }
            State::Skipping => return None,
        }
        match self.decoder.feed(byte) {
            Ok(DecodeResult::NoData | DecodeResult::DataStart) => None,
            Ok(DecodeResult::DataContinue(data)) => {
                if self.decoded.push(data).is_err() {
                    self.state = State::Skipping;
                }
                None
            }
            Ok(DecodeResult::DataComplete) => {
                self.state = State::Delivered;
                Some(Self::deliver(&mut self.decoded))
            }
            Err(_) => {
                self.restart();
                Some(Err(FrameError::Malformed))
            }
        }
    }

    fn deliver(decoded: &mut [u8]) -> Result<Frame<'_>, FrameError> {
        let (&mut kind, payload) = decoded.split_first_mut().ok_or(FrameError::Empty)?;
        let kind = Kind::try_from(kind)?;
        Ok(Frame { kind, payload })
    }

    fn restart(&mut self) {
        self.decoder = DecoderState::Idle;
        self.decoded.clear();
        self.state = State::Reading;
    }
}

impl<const N: usize> Default for FrameReader<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a frame with its closing zero and returns its length; [`frame_len`] bytes are enough.
///
/// # Errors
///
/// [`FrameError::NoSpace`] if `out` is too small.
pub fn write_frame(kind: Kind, payload: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
    let mut encoder = CobsEncoder::new(out);
    let coded = encoder
        .push(&[kind as u8])
        .and_then(|()| encoder.push(payload));
    coded.map_err(|_| FrameError::NoSpace)?;
    let len = encoder.finalize();
    *out.get_mut(len).ok_or(FrameError::NoSpace)? = 0;
    Ok(len + 1)
}

/// The longest frame for a payload of this length: its kind, one byte of coding for each 254 begun,
/// and the closing zero.
#[must_use]
pub const fn frame_len(payload_len: usize) -> usize {
    let coded = 1 + payload_len;
    coded + coded.div_ceil(254) + 1
}
