//! Requests and replies: what the sealed frames hold. The tables are in the [module docs](super).

use core::fmt;

use super::command::{AuthenticCommand, COMMAND_FIXED, Command, about_command};
use super::frame::Kind;
use super::receipt::{
    RECEIPT_LEN, ReceiptError, SignedReceipt, UnverifiedReceipt, VerifiedReceipt, logits_digest,
};
use super::{MessageError, VERSION};
use crate::artefact::ReplyPolicy;
use crate::fernet::{self, FernetKey, Iv, NONCE_LEN};
use crate::mlp::argmax_of;
use crate::sign::{Digest512, TrustedKey};
use crate::wire::{Reader, Writer};

/// The most features that a request carries.
pub const MAX_FEATURES: usize = 4096;
/// The most classes that a reply carries.
pub const MAX_CLASSES: usize = 256;

/// Length in bytes of a request's plaintext.
#[must_use]
pub const fn request_len(features: usize) -> usize {
    COMMAND_FIXED + features
}

/// Length in bytes of a reply's plaintext.
#[must_use]
pub const fn reply_len(policy: ReplyPolicy, classes: usize) -> usize {
    let numbers = match policy {
        ReplyPolicy::Label => 0,
        ReplyPolicy::Probabilities => classes,
        ReplyPolicy::Logits => 2 * classes,
    };
    REPLY_FIXED + RECEIPT_LEN + 4 * numbers
}

/// A request, on the host's side.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Above every counter that the device has accepted.
    pub counter: u64,
    /// Of the device's provisioning.
    pub nonce: [u8; NONCE_LEN],
    /// One byte a feature, at most 4,096.
    pub features: &'a [u8],
}

impl Request<'_> {
    /// Seals the request: writes its token into `out` and returns it.
    ///
    /// `scratch` holds at least [`request_len`] bytes and `out` at least
    /// [`binary_len`](fernet::binary_len) of that. `time` is in seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`MessageError::FeatureCount`] or [`NoSpace`](MessageError::NoSpace).
    pub fn seal<'o>(
        &self,
        wire: &FernetKey,
        time: u64,
        iv: Iv,
        scratch: &mut [u8],
        out: &'o mut [u8],
    ) -> Result<&'o mut [u8], MessageError> {
        let count = u32::try_from(self.features.len()).unwrap_or(u32::MAX);
        if self.features.len() > MAX_FEATURES {
            return Err(MessageError::FeatureCount(count));
        }
        let command = Command {
            kind: Kind::Request,
            counter: self.counter,
            number: count,
            nonce: self.nonce,
            data: self.features,
        };
        command.seal(wire, time, iv, scratch, out)
    }
}

/// A request that came from a holder of the wire key. Only [`AuthenticRequest::open`] makes one.
#[derive(Debug)]
pub struct AuthenticRequest<'t> {
    command: AuthenticCommand<'t>,
}

impl<'t> AuthenticRequest<'t> {
    /// Checks and decrypts a request where its token lies. Whether its nonce is that of the device's
    /// provisioning and its counter is new is for the caller to judge.
    ///
    /// # Errors
    ///
    /// [`MessageError::Unauthentic`] if the token is not one of `wire`; for a token that is, what is
    /// wrong with its contents: [`Direction`](MessageError::Direction) if it goes the other way.
    pub fn open(wire: &FernetKey, token: &'t mut [u8]) -> Result<Self, MessageError> {
        let command = AuthenticCommand::open(wire, Kind::Request, token)?;
        let AuthenticCommand { number, data, .. } = command;
        if number as usize > MAX_FEATURES || number as usize != data.len() {
            return Err(MessageError::FeatureCount(number));
        }
        Ok(Self { command })
    }

    about_command!();

    /// [`counter`](Self::counter), read anew from the decrypted token: a device may be made to lose a copy by a glitch.
    #[must_use]
    pub fn sealed_counter(&self) -> Option<u64> {
        self.command.sealed_counter()
    }

    /// One byte a feature.
    #[must_use]
    pub const fn features(&self) -> &'t [u8] {
        self.command.data
    }
}

/// A reply, on the device's side.
#[derive(Clone, Copy)]
pub struct Reply<'a> {
    /// How much of the rest is sent.
    pub policy: ReplyPolicy,
    /// Binds the answer to device, model and request.
    pub receipt: &'a SignedReceipt,
    /// `[n]` probabilities; not read if the policy is [`ReplyPolicy::Label`].
    pub probabilities: &'a [f32],
    /// `[n]` logits; sent only if the policy is [`ReplyPolicy::Logits`]. `n` is 1 to 256.
    pub logits: &'a [i32],
}

impl Reply<'_> {
    /// Seals the reply: writes its token into `out` and returns it.
    ///
    /// `scratch` holds at least [`reply_len`] bytes and `out` at least
    /// [`binary_len`](fernet::binary_len) of that. `time` is the request's.
    ///
    /// # Errors
    ///
    /// [`MessageError::ClassCount`] if there are not 1 to 256 logits, or not as many probabilities
    /// where they are sent; [`NoSpace`](MessageError::NoSpace).
    pub fn seal<'o>(
        &self,
        wire: &FernetKey,
        time: u64,
        iv: Iv,
        scratch: &mut [u8],
        out: &'o mut [u8],
    ) -> Result<&'o mut [u8], MessageError> {
        let classes = self.logits.len();
        let count = u16::try_from(classes).unwrap_or(u16::MAX);
        let with_probabilities = self.policy >= ReplyPolicy::Probabilities;
        if !(1..=MAX_CLASSES).contains(&classes)
            || (with_probabilities && self.probabilities.len() != classes)
        {
            return Err(MessageError::ClassCount(count));
        }
        let mut w = Writer::new(scratch);
        w.u8(VERSION)?;
        w.u8(Kind::Reply as u8)?;
        w.u16(count)?;
        w.u8(self.policy as u8)?;
        w.zeros(3)?;
        w.bytes(self.receipt.as_bytes())?;
        if with_probabilities {
            for &probability in self.probabilities {
                w.f32(probability)?;
            }
        }
        if self.policy >= ReplyPolicy::Logits {
            for &logit in self.logits {
                w.i32(logit)?;
            }
        }
        seal(wire, time, iv, w.finish(), out)
    }
}

/// A reply that came from a holder of the wire key. Only [`AuthenticReply::open`] makes one.
///
/// What the device vouches for is in the receipt, once that is verified.
pub struct AuthenticReply<'t> {
    policy: ReplyPolicy,
    class_count: u16,
    receipt: &'t [u8; RECEIPT_LEN],
    probabilities: Option<&'t [[u8; 4]]>,
    logits: Option<&'t [[u8; 4]]>,
    time: u64,
}

impl<'t> AuthenticReply<'t> {
    /// Checks and decrypts a reply where its token lies.
    ///
    /// # Errors
    ///
    /// [`MessageError::Unauthentic`] if the token is not one of `wire`; for a token that is, what is
    /// wrong with its contents: [`Direction`](MessageError::Direction) if it goes the other way.
    pub fn open(wire: &FernetKey, token: &'t mut [u8]) -> Result<Self, MessageError> {
        let token = fernet::decrypt_in_place(wire, token, None)?;
        let time = token.timestamp();
        let plaintext: &'t [u8] = token.into_plaintext();
        let mut r = Reader::new(plaintext);
        version(&mut r)?;
        direction(&mut r, Kind::Reply)?;
        let class_count = r.u16()?;
        let policy = ReplyPolicy::try_from(r.u8()?).map_err(|e| MessageError::ReplyPolicy(e.0))?;
        if r.array()? != [0; 3] {
            return Err(MessageError::ReservedBytes);
        }
        let classes = usize::from(class_count);
        if !(1..=MAX_CLASSES).contains(&classes) {
            return Err(MessageError::ClassCount(class_count));
        }
        let (receipt, _) = r
            .bytes(RECEIPT_LEN)?
            .split_first_chunk()
            .ok_or(MessageError::Length)?;
        let mut words = |least: ReplyPolicy| {
            let sent = policy >= least;
            let bytes = if sent { r.bytes(4 * classes)? } else { &[] };
            Ok::<_, MessageError>(sent.then_some(bytes.as_chunks().0))
        };
        let probabilities = words(ReplyPolicy::Probabilities)?;
        let logits = words(ReplyPolicy::Logits)?;
        r.finish()?;
        Ok(Self {
            policy,
            class_count,
            receipt,
            probabilities,
            logits,
            time,
        })
    }

    /// How much the device said.
    #[must_use]
    pub const fn policy(&self) -> ReplyPolicy {
        self.policy
    }

    /// Number of classes, 1 to 256.
    #[must_use]
    pub const fn class_count(&self) -> u16 {
        self.class_count
    }

    /// The device's receipt, to be verified with its key.
    #[must_use]
    pub const fn receipt(&self) -> UnverifiedReceipt<'t> {
        UnverifiedReceipt::new(self.receipt)
    }

    /// Verifies the receipt, and that it is for this reply and for the request whose token has the
    /// SHA-512 `request_digest`. Which device and which model answered is for the caller to judge.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`]; [`Logits`](ReceiptError::Logits) and the label's place among them are
    /// checked only if the reply carries logits.
    pub fn verify(
        &self,
        trusted: &TrustedKey,
        request_digest: &Digest512,
    ) -> Result<VerifiedReceipt, ReceiptError> {
        let verified = self.receipt().verify(trusted)?;
        let receipt = verified.receipt();
        if receipt.request_digest != *request_digest {
            return Err(ReceiptError::Request);
        }
        if receipt.label >= self.class_count {
            return Err(ReceiptError::Label);
        }
        if let Some(logits) = self.logits() {
            if logits_digest(logits) != receipt.logits_digest {
                return Err(ReceiptError::Logits);
            }
            if self.logits().map(argmax_of) != Some(usize::from(receipt.label)) {
                return Err(ReceiptError::Label);
            }
        }
        Ok(verified)
    }

    /// `[class_count]` probabilities, if the policy allows them.
    #[must_use]
    pub fn probabilities(&self) -> Option<impl ExactSizeIterator<Item = f32> + use<'t>> {
        let bytes = self.probabilities?;
        Some(bytes.iter().map(|&b| f32::from_le_bytes(b)))
    }

    /// `[class_count]` logits, if the policy allows them. The receipt holds their digest.
    #[must_use]
    pub fn logits(&self) -> Option<impl ExactSizeIterator<Item = i32> + use<'t>> {
        let bytes = self.logits?;
        Some(bytes.iter().map(|&b| i32::from_le_bytes(b)))
    }

    /// The token's time: the request's, copied.
    #[must_use]
    pub const fn time(&self) -> u64 {
        self.time
    }
}

/// Without the answer.
impl fmt::Debug for AuthenticReply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticReply")
            .field("policy", &self.policy)
            .field("class_count", &self.class_count)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

pub(super) fn seal<'o>(
    wire: &FernetKey,
    time: u64,
    iv: Iv,
    plaintext: &[u8],
    out: &'o mut [u8],
) -> Result<&'o mut [u8], MessageError> {
    let written = fernet::encrypt(wire, time, iv, plaintext, out)?;
    out.get_mut(..written).ok_or(MessageError::NoSpace)
}

pub(super) fn version(r: &mut Reader<'_>) -> Result<(), MessageError> {
    match r.u8()? {
        VERSION => Ok(()),
        other => Err(MessageError::Version(other)),
    }
}

/// The kind must be `own`; of the other sealed kinds, those that go the other way were reflected.
pub(super) fn direction(r: &mut Reader<'_>, own: Kind) -> Result<(), MessageError> {
    const FROM_DEVICE: u8 = 0x80;
    let found = r.u8()?;
    if found == own as u8 {
        return Ok(());
    }
    let sealed = matches!(
        Kind::try_from(found),
        Ok(Kind::Request
            | Kind::UpdateBegin
            | Kind::UpdateChunk
            | Kind::UpdateFinish
            | Kind::Reply
            | Kind::Acknowledged)
    );
    if sealed && (found ^ own as u8) & FROM_DEVICE != 0 {
        Err(MessageError::Direction)
    } else {
        Err(MessageError::Kind(found))
    }
}

/// A reply's bytes before its receipt.
const REPLY_FIXED: usize = 1 + 1 + 2 + 1 + 3;
