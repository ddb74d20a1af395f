//! The other end of the wire: seals requests, opens replies, checks receipts.
//!
//! A [`Client`] holds the host's copy of a device's wire and receipt keys; a [`Link`] carries its frames to
//! the device, in this process or elsewhere.

mod update;

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use sealnet_core::artefact::ArtefactError;
use sealnet_core::fernet::{FernetKey, Iv, NONCE_LEN, binary_len};
use sealnet_core::protocol::{
    AuthenticReply, DeviceId, Frame, FrameReader, Kind, MAX_PAYLOAD, MessageError, RECEIPT_LEN,
    Receipt, ReceiptError, Refusal, RefusalCode, Request, Status, UpdateOutcome, frame_len,
    logits_digest, request_len, write_frame,
};
use sealnet_core::sign::{Digest512, TrustedKey, sha512};

use crate::identity::Identity;
pub use update::SealedUpdate;

/// A way to a device.
pub trait Link {
    /// Sends bytes and gives what the device sends back, at least up to the end of its frame.
    ///
    /// # Errors
    /// The stream's.
    fn exchange(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>>;
}

/// The host's side of one device.
#[derive(Debug, Clone)]
pub struct Client {
    device: DeviceId,
    wire: FernetKey,
    receipts: TrustedKey,
    /// Of the device's provisioning, once it has been asked or told.
    nonce: Option<[u8; NONCE_LEN]>,
    /// The counter of the last request.
    counter: u64,
    /// The last receipt's.
    last: Option<Moment>,
    model: Option<Digest512>,
}

/// When a device signed a receipt: comparable within one provisioning.
#[derive(Debug, Clone, Copy)]
struct Moment {
    nonce: [u8; NONCE_LEN],
    boot_and_message: (u32, u64),
}

/// A request on its way.
#[derive(Debug, Clone)]
pub struct SealedRequest {
    /// The frame to send.
    pub frame: Vec<u8>,
    /// Its counter.
    pub counter: u64,
    /// The nonce of the provisioning that it is for, which the receipt must repeat.
    pub nonce: [u8; NONCE_LEN],
    /// SHA-512 of its token, which the receipt must repeat.
    pub digest: Digest512,
}

/// A device's answer, verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The class.
    pub label: u16,
    /// A probability for each class, if the model's policy allows them.
    pub probabilities: Option<Vec<f32>>,
    /// A logit for each class, if the model's policy allows them.
    pub logits: Option<Vec<i32>>,
    /// What the device vouches for.
    pub receipt: Receipt,
    /// The receipt as it was signed.
    pub receipt_bytes: [u8; RECEIPT_LEN],
}

impl Answer {
    /// Whether the device computed exactly these logits, whatever the policy let it say: the receipt
    /// holds their digest.
    pub fn computed(&self, logits: &[i32]) -> bool {
        logits_digest(logits.iter().copied()) == self.receipt.logits_digest
    }
}

/// Why there is no answer to believe.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The link failed.
    #[error("the link to the device failed: {0}")]
    Link(#[from] io::Error),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// No frame came back.
    #[error("the device sent no frame back")]
    Silent,
    /// A request cannot be sealed before the device's status tells its provisioning nonce.
    #[error("the device's provisioning is not known yet: ask for its status first")]
    NotAsked,
    /// The device refused, or someone on the wire says so: a refusal is not authentic.
    #[error("the device refused, or so an unauthentic frame says: {}", .0.code)]
    Refused(Refusal),
    /// A frame of the wrong kind came back.
    #[error("the device sent a frame of kind {:#04x}", *.0 as u8)]
    Unexpected(Kind),
    /// The request does not fit a message, or the reply is not one of this device.
    #[error("{0}")]
    Message(#[from] MessageError),
    /// The receipt does not hold.
    #[error("{0}")]
    Receipt(#[from] ReceiptError),
    /// The receipt is another device's.
    #[error("the receipt is of another device: {0}")]
    Device(DeviceId),
    /// The receipt is of another provisioning than the request.
    #[error("the receipt is of another provisioning of the device than the request")]
    Provisioning,
    /// The receipt is for another model than the one expected.
    #[error("the receipt is for another model than the one expected")]
    Model,
    /// No acknowledgement came that is the device's for the message that was sent.
    #[error(
        "the device acknowledged another message than the one sent: a replay, or the link is out of step"
    )]
    Acknowledged,
    /// The device has taken another part of the model than it was sent.
    #[error("the device holds {received} bytes of the model, {sent} were sent")]
    Received {
        /// Bytes that it says it holds.
        received: u32,
        /// Bytes that it was sent.
        sent: u32,
    },
    /// What was uploaded is no sealed model.
    #[error("what was uploaded is no sealed model: {0}")]
    NoModel(ArtefactError),
    /// After the update the device does not serve the new model.
    #[error(
        "the device does not serve the new model{}",
        match .0 {
            UpdateOutcome::Failed => ": it failed its trial, as an unauthentic status says",
            UpdateOutcome::None => ": it has not been tried, as an unauthentic status says",
            UpdateOutcome::Confirmed => "",
        }
    )]
    NotUpdated(UpdateOutcome),
    /// The receipt is not newer than the one before it.
    #[error("the receipt is not newer than the one before it: a replay")]
    Stale,
}

impl ClientError {
    /// Whether something did not verify, rather than not working. A refusal never did: anyone on the wire can
    /// forge one, and so nothing follows from it. The device's own log says what it refused.
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Receipt(_)
            | Self::Device(_)
            | Self::Provisioning
            | Self::Model
            | Self::Stale
            | Self::Acknowledged
            | Self::NoModel(_) => true,
            Self::Message(error) => {
                matches!(error, MessageError::Unauthentic | MessageError::Direction)
            }
            Self::Link(_)
            | Self::Random(_)
            | Self::Silent
            | Self::NotAsked
            | Self::Refused(_)
            | Self::Received { .. }
            | Self::NotUpdated(_)
            | Self::Unexpected(_) => false,
        }
    }
}

impl Client {
    /// A client of the device with these keys. Requests name the device's provisioning and count on from the
    /// last one, so it asks for the [status](Client::status) before the first.
    pub fn new(identity: &Identity) -> Self {
        Self {
            device: identity.device.id(),
            wire: identity.wire.clone(),
            receipts: identity.receipt.trusted(),
            nonce: None,
            counter: 0,
            last: None,
            model: None,
        }
    }

    /// From now on takes receipts for this model alone: SHA-512 of its plaintext body.
    pub fn expect_model(&mut self, digest: Digest512) {
        self.model = Some(digest);
    }

    /// Takes it that the device's provisioning has this nonce, where it is known without asking.
    pub fn expect_provisioning(&mut self, nonce: [u8; NONCE_LEN]) {
        self.nonce = Some(nonce);
    }

    /// Asks the device who it is. The answer is not authentic: provisioning nonce and request counter are
    /// taken from it, and a forged one makes the device refuse the next request, no more.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn status(&mut self, link: &mut impl Link) -> Result<Status, ClientError> {
        let status = status(link)?;
        self.counter = self.counter.max(status.highest_counter);
        self.nonce = Some(status.nonce);
        Ok(status)
    }

    /// Asks for an answer and verifies it. Asks for the status before, if it has not been asked or the device
    /// was provisioned anew since.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn infer(&mut self, link: &mut impl Link, features: &[u8]) -> Result<Answer, ClientError> {
        if self.nonce.is_none() {
            self.status(link)?;
        }
        let request = self.seal(features)?;
        let response = link.exchange(&request.frame)?;
        let answer = self.open(&request, &response);
        if let Err(ClientError::Refused(Refusal {
            code: RefusalCode::Provisioning,
            ..
        })) = answer
        {
            self.nonce = None;
        }
        answer
    }

    /// Seals a request under the next counter.
    ///
    /// # Errors
    /// [`ClientError::NotAsked`] while the provisioning is not known; [`ClientError::Message`] if the features do not fit a
    /// message; [`ClientError::Random`].
    pub fn seal(&mut self, features: &[u8]) -> Result<SealedRequest, ClientError> {
        let nonce = self.nonce.ok_or(ClientError::NotAsked)?;
        let counter = self.counter.saturating_add(1);
        let time = now();
        let iv = Iv::try_random(&mut getrandom::SysRng)?;
        let len = request_len(features.len());
        let (mut plaintext, mut token) = (vec![0; len], vec![0; binary_len(len)]);
        let request = Request {
            counter,
            nonce,
            features,
        };
        let token = request.seal(&self.wire, time, iv, &mut plaintext, &mut token)?;
        self.counter = counter;
        Ok(SealedRequest {
            frame: frame(Kind::Request, token)?,
            counter,
            nonce,
            digest: sha512(&[token]),
        })
    }

    /// Opens what came back for a request and verifies it: sealed with the wire key; a receipt signed by
    /// this device as it was asked, for this request, for the model expected, newer than the last.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn open(
        &mut self,
        request: &SealedRequest,
        response: &[u8],
    ) -> Result<Answer, ClientError> {
        let answer = read_frame(response, |frame| match frame.kind {
            Kind::Reply => {
                let reply = AuthenticReply::open(&self.wire, frame.payload)?;
                let receipt = *reply.verify(&self.receipts, &request.digest)?.receipt();
                Ok(Answer {
                    label: receipt.label,
                    probabilities: reply.probabilities().map(Iterator::collect),
                    logits: reply.logits().map(Iterator::collect),
                    receipt,
                    receipt_bytes: *reply.receipt().as_bytes(),
                })
            }
            Kind::Refused => Err(ClientError::Refused(Refusal::parse(frame.payload)?)),
            kind => Err(ClientError::Unexpected(kind)),
        })?;
        let receipt = &answer.receipt;
        if receipt.device_id != self.device {
            return Err(ClientError::Device(receipt.device_id));
        }
        if receipt.nonce != request.nonce {
            return Err(ClientError::Provisioning);
        }
        if self
            .model
            .is_some_and(|model| model != receipt.model_digest)
        {
            return Err(ClientError::Model);
        }
        let now = Moment {
            nonce: receipt.nonce,
            boot_and_message: (receipt.boot, receipt.message),
        };
        if self.last.is_some_and(|last| {
            last.nonce == now.nonce && now.boot_and_message <= last.boot_and_message
        }) {
            return Err(ClientError::Stale);
        }
        self.last = Some(now);
        Ok(answer)
    }
}

/// Seconds since the Unix epoch.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// Asks a device who it is, whoever that may be: the answer is not authentic.
///
/// # Errors
/// [`ClientError`].
pub fn status(link: &mut impl Link) -> Result<Status, ClientError> {
    let response = link.exchange(&frame(Kind::StatusQuery, &[])?)?;
    read_frame(&response, |frame| match frame.kind {
        Kind::Status => Ok(Status::parse(frame.payload)?),
        // A query that lost bytes, to a board that was resetting for one.
        Kind::Refused => Err(ClientError::Refused(Refusal::parse(frame.payload)?)),
        kind => Err(ClientError::Unexpected(kind)),
    })
}

/// A frame, with its closing zero.
pub(crate) fn frame(kind: Kind, payload: &[u8]) -> Result<Vec<u8>, MessageError> {
    let mut frame = vec![0; frame_len(payload.len())];
    let len = write_frame(kind, payload, &mut frame).map_err(|_| MessageError::NoSpace)?;
    frame.truncate(len);
    Ok(frame)
}

/// Gives the first frame of a response to `read`; what is no frame is skipped.
fn read_frame<T>(
    response: &[u8],
    read: impl FnOnce(Frame<'_>) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let mut frames = FrameReader::<{ 1 + MAX_PAYLOAD }>::new();
    for byte in response {
        if let Some(Ok(frame)) = frames.push(*byte) {
            return read(frame);
        }
    }
    Err(ClientError::Silent)
}
