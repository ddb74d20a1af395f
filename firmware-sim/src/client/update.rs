//! Gives a device a new model.

use std::io::ErrorKind;

use sealnet_core::artefact::Sealed;
use sealnet_core::fernet::{Iv, binary_len};
use sealnet_core::protocol::{
    Acknowledgement, AuthenticAcknowledgement, CHUNK_MAX, Frame, FrameReader, Kind, MAX_PAYLOAD,
    MessageError, Refusal, RefusalCode, Update, UpdateState, UpdateStep, update_len,
};
use sealnet_core::sign::{Digest512, sha512};

use super::{Client, ClientError, Link, frame, now};

/// An update message on its way.
#[derive(Debug, Clone)]
pub struct SealedUpdate {
    /// The frame to send.
    pub frame: Vec<u8>,
    /// Its counter.
    pub counter: u64,
    /// SHA-512 of its token, which the acknowledgement must repeat.
    pub digest: Digest512,
}

impl Client {
    /// Uploads a sealed model into the device's spare slot and has the device verify it there; whether it is one
    /// is for the device to say. `progress` is told the bytes that are there. A message or an answer that is lost on the way is sent again.
    ///
    /// When this returns, the device resets itself to try the model, and the old one stays until the new one has
    /// passed: ask [`Client::updated`] then. It tells as well what became of an update whose last answer was lost.
    ///
    /// # Errors
    /// [`ClientError`]; the device serves the old model, or none if it had none.
    pub fn update(
        &mut self,
        link: &mut impl Link,
        model: &[u8],
        mut progress: impl FnMut(usize),
    ) -> Result<(), ClientError> {
        let total = u32::try_from(model.len()).map_err(|_| MessageError::Length)?;
        // For the provisioning's nonce, and for where its counter is.
        self.status(link)?;
        let mut sent = 0;
        self.deliver(link, UpdateStep::Begin { total }, sent)?;
        for data in model.chunks(CHUNK_MAX) {
            let offset = sent;
            // A chunk is no longer than the model, whose length fits.
            sent += data.len() as u32;
            self.deliver(link, UpdateStep::Chunk { offset, data }, sent)?;
            progress(sent as usize);
        }
        let done = self.deliver(link, UpdateStep::Finish { total }, sent)?;
        match done.state {
            UpdateState::Complete => Ok(()),
            UpdateState::Receiving => Err(ClientError::Acknowledged),
        }
    }

    /// Asks the device after its reset for a receipt of this sealed model: only that proves that it serves it.
    /// From then on receipts are taken for it alone.
    ///
    /// # Errors
    /// [`ClientError::NotUpdated`] if the device serves another model or none; [`ClientError`].
    pub fn updated(&mut self, link: &mut impl Link, model: &[u8]) -> Result<(), ClientError> {
        let sealed = Sealed::parse(model).map_err(ClientError::NoModel)?;
        let header = *sealed.untrusted_header();
        let mut attempts = 1..ATTEMPTS;
        let status = loop {
            match self.status(link) {
                // What was sent while the board was resetting may have lost its first bytes.
                Err(ClientError::Refused(_) | ClientError::Silent) if attempts.next().is_some() => {
                }
                Err(ClientError::Link(error))
                    if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
                        && attempts.next().is_some() => {}
                status => break status?,
            }
        };
        if status
            .model
            .is_none_or(|serving| serving.digest != header.model_digest)
        {
            return Err(ClientError::NotUpdated(status.outcome));
        }
        let expected = self.model.replace(header.model_digest);
        let features = vec![0; usize::from(header.shape.input())];
        self.infer(link, &features).map_err(|error| {
            self.model = expected;
            match error {
                ClientError::Model => ClientError::NotUpdated(status.outcome),
                error => error,
            }
        })?;
        Ok(())
    }

    /// Seals a step of an update under the next counter.
    ///
    /// # Errors
    /// [`ClientError::NotAsked`] while the provisioning is not known; [`ClientError::Message`] if a chunk does not
    /// have 1 to [`CHUNK_MAX`] bytes; [`ClientError::Random`].
    pub fn seal_update(&mut self, step: UpdateStep<'_>) -> Result<SealedUpdate, ClientError> {
        let nonce = self.nonce.ok_or(ClientError::NotAsked)?;
        let counter = self.counter.saturating_add(1);
        let iv = Iv::try_random(&mut getrandom::SysRng)?;
        let len = update_len(CHUNK_MAX);
        let (mut plaintext, mut token) = (vec![0; len], vec![0; binary_len(len)]);
        let update = Update {
            counter,
            nonce,
            step,
        };
        let token = update.seal(&self.wire, now(), iv, &mut plaintext, &mut token)?;
        self.counter = counter;
        Ok(SealedUpdate {
            frame: frame(step.kind(), token)?,
            counter,
            digest: sha512(&[token]),
        })
    }

    /// Sends a step until the device acknowledges it, a few times at most; `sent` is what it holds then.
    fn deliver(
        &mut self,
        link: &mut impl Link,
        step: UpdateStep<'_>,
        sent: u32,
    ) -> Result<Acknowledgement, ClientError> {
        let mut attempts = 1..ATTEMPTS;
        let mut message = self.seal_update(step)?;
        let acknowledged = loop {
            let response = link.exchange(&message.frame)?;
            match self.acknowledged(&message, &response) {
                Err(error) if self.was_lost(&error) && attempts.next().is_some() => {
                    message = self.seal_update(step)?;
                    // Ends what may be left of a frame whose last bytes were lost.
                    message.frame.insert(0, 0);
                }
                outcome => break outcome?,
            }
        };
        match acknowledged.received {
            received if received != sent => Err(ClientError::Received { received, sent }),
            _ => Ok(acknowledged),
        }
    }

    /// The acknowledgement of a message among what came back for it.
    ///
    /// # Errors
    /// [`ClientError`]: the refusal, if there is no acknowledgement of this message.
    pub fn acknowledged(
        &mut self,
        message: &SealedUpdate,
        response: &[u8],
    ) -> Result<Acknowledgement, ClientError> {
        let mut outcome = Err(ClientError::Silent);
        let mut frames = FrameReader::<{ 1 + MAX_PAYLOAD }>::new();
        for byte in response {
            let Some(Ok(Frame { kind, payload })) = frames.push(*byte) else {
                continue;
            };
            outcome = match kind {
                Kind::Acknowledged => AuthenticAcknowledgement::open(&self.wire, payload)
                    .map_err(ClientError::Message)
                    .and_then(|opened| match opened.acknowledgement() {
                        found if found.request_digest == message.digest => Ok(*found),
                        _ => Err(ClientError::Acknowledged),
                    }),
                Kind::Refused => Refusal::parse(payload)
                    .map_err(ClientError::Message)
                    .and_then(|refusal| Err(ClientError::Refused(refusal))),
                kind => Err(ClientError::Unexpected(kind)),
            };
            if outcome.is_ok() {
                break;
            }
        }
        if let Err(ClientError::Refused(Refusal {
            code: RefusalCode::Provisioning,
            ..
        })) = outcome
        {
            self.nonce = None;
        }
        outcome
    }

    /// Whether a message or its answer was damaged on the way, so that sending again may help.
    fn was_lost(&mut self, error: &ClientError) -> bool {
        match error {
            ClientError::Silent | ClientError::Acknowledged | ClientError::Message(_) => true,
            ClientError::Refused(refusal) => {
                self.counter = self.counter.max(refusal.highest_counter);
                matches!(
                    refusal.code,
                    RefusalCode::BadFrame | RefusalCode::Unauthentic | RefusalCode::Replay
                )
            }
            _ => false,
        }
    }
}

/// How often a step is sent before the update is given up.
const ATTEMPTS: u32 = 5;
