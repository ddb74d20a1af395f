//! What a device may say to a stream of frames.
//!
//! Each frame has one answer, in the stream's order. A reply or an acknowledgement must stand where one of the
//! client's own messages stood that the device has not had, be the device's, and be for that very message, whose
//! counter is above all before it. Whatever tells the highest counter must tell that of the last such message: a
//! forgery that was carried out in silence shows there.

use std::collections::BTreeMap;

use sealnet_core::protocol::{
    FrameReader, Kind, MAX_PAYLOAD, MessageError, Refusal, Status, UpdateStep,
};

use crate::client::{Client, ClientError, Link, SealedRequest, SealedUpdate, frame};

/// A frame's kind and payload.
pub(super) type Message = (Kind, Vec<u8>);

/// A client, and what its device has had of it.
pub(super) struct Oracle {
    client: Client,
    /// Messages that are valid and that the device may still accept, by their counters.
    fresh: BTreeMap<u64, Fresh>,
    /// The highest counter that the device has accepted.
    highest: u64,
}

/// A valid message that was not sent.
struct Fresh {
    message: Message,
    sealed: Sealed,
}

enum Sealed {
    Request(SealedRequest),
    Update(SealedUpdate),
}

/// What a device did and must not have done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Wrong {
    /// An answer is missing, or there is one too many.
    #[error("{sent} frames got {answers} answers")]
    Count { sent: usize, answers: usize },
    /// It accepted what is not its client's, or is no more to be accepted.
    #[error("it was accepted and must not have been")]
    Accepted,
    /// The answer does not verify as the answer to its message.
    #[error("its answer is not one to it: {0}")]
    Answer(#[from] ClientError),
    /// A counter was used up that no message of the client's has, or one came back.
    #[error("the highest counter is {said}, and {expected} was the last that the client used")]
    Counter { said: u64, expected: u64 },
    /// No answer to this message is of this kind.
    #[error("its answer is of kind {:#04x}", *.0 as u8)]
    Kind(Kind),
    /// What came back is no frame.
    #[error("its answer is no frame")]
    NoFrame,
}

impl From<MessageError> for Wrong {
    fn from(error: MessageError) -> Self {
        Self::Answer(error.into())
    }
}

impl Oracle {
    /// Asks the device where its counters are.
    pub(super) fn new(mut client: Client, link: &mut impl Link) -> Result<Self, ClientError> {
        let highest = client.status(link)?.highest_counter;
        Ok(Self {
            client,
            fresh: BTreeMap::new(),
            highest,
        })
    }

    /// An honest request, whose frame and whose answer's it gives. No message before it is fresh any more.
    pub(super) fn infer(
        &mut self,
        link: &mut impl Link,
        features: &[u8],
    ) -> Result<[Vec<u8>; 2], ClientError> {
        let request = self.client.seal(features)?;
        let response = link.exchange(&request.frame)?;
        self.client.open(&request, &response)?;
        self.accepted(request.counter);
        Ok([request.frame, response])
    }

    /// Seals a request that is not sent, and gives its frame.
    pub(super) fn keep_request(&mut self, features: &[u8]) -> Result<Vec<u8>, ClientError> {
        let request = self.client.seal(features)?;
        let frame = request.frame.clone();
        self.keep(request.counter, &frame, Sealed::Request(request));
        Ok(frame)
    }

    /// Seals a step of an update that is not sent, and gives its frame.
    pub(super) fn keep_update(&mut self, step: UpdateStep<'_>) -> Result<Vec<u8>, ClientError> {
        let update = self.client.seal_update(step)?;
        let frame = update.frame.clone();
        self.keep(update.counter, &frame, Sealed::Update(update));
        Ok(frame)
    }

    fn keep(&mut self, counter: u64, frame: &[u8], sealed: Sealed) {
        if let Some(message) = frames(frame).into_iter().flatten().next() {
            self.fresh.insert(counter, Fresh { message, sealed });
        }
    }

    /// Whether these answers to these frames are what the device may say.
    ///
    /// # Errors
    /// The first that is wrong.
    pub(super) fn judge(
        &mut self,
        sent: &[Option<Message>],
        answers: &[Option<Message>],
    ) -> Result<(), Wrong> {
        let mut found = match sent.len() == answers.len() {
            true => Ok(()),
            false => Err(Wrong::Count {
                sent: sent.len(),
                answers: answers.len(),
            }),
        };
        for (message, answer) in sent.iter().zip(answers) {
            let judged = self.judge_one(message.as_ref(), answer.as_ref());
            found = found.and(judged);
        }
        if found.is_err() {
            // One fault is not to be found again in the frames that follow.
            let last = answers.iter().rev().flatten().find(|a| a.0 == Kind::Status);
            if let Some(Ok(status)) = last.map(|(_, payload)| Status::parse(payload)) {
                self.accepted(status.highest_counter);
            }
        }
        found
    }

    fn judge_one(
        &mut self,
        message: Option<&Message>,
        answer: Option<&Message>,
    ) -> Result<(), Wrong> {
        let (kind, payload) = answer.ok_or(Wrong::NoFrame)?;
        let own = self
            .fresh
            .iter()
            .find(|(_, fresh)| Some(&fresh.message) == message)
            .map(|(counter, _)| *counter);
        // Whatever it says to it: it has had it.
        let own = own.and_then(|counter| self.fresh.remove_entry(&counter));
        match kind {
            Kind::Reply | Kind::Acknowledged => {
                let (counter, fresh) = own.ok_or(Wrong::Accepted)?;
                self.accepted(counter);
                let answer = frame(*kind, payload)?;
                match fresh.sealed {
                    Sealed::Request(request) => drop(self.client.open(&request, &answer)?),
                    Sealed::Update(update) => drop(self.client.acknowledged(&update, &answer)?),
                }
                Ok(())
            }
            Kind::Refused => {
                let said = Refusal::parse(payload)?.highest_counter;
                match own {
                    // It may be refused for what it says, and has used its counter then.
                    Some((counter, _)) if said == counter => {
                        self.accepted(counter);
                        Ok(())
                    }
                    _ => self.highest_is(said),
                }
            }
            Kind::Status if message.is_some_and(is_status_query) => {
                self.highest_is(Status::parse(payload)?.highest_counter)
            }
            other => Err(Wrong::Kind(*other)),
        }
    }

    /// The device is at this counter: what is not above it is not fresh.
    fn accepted(&mut self, counter: u64) {
        self.highest = counter;
        self.fresh = self.fresh.split_off(&counter.saturating_add(1));
    }

    fn highest_is(&self, said: u64) -> Result<(), Wrong> {
        match self.highest {
            expected if said == expected => Ok(()),
            expected => Err(Wrong::Counter { said, expected }),
        }
    }
}

/// Whether a device answers this message with its status.
pub(super) fn is_status_query((kind, payload): &Message) -> bool {
    *kind == Kind::StatusQuery && payload.is_empty()
}

/// The frames in a stream, or `None` for what ends like one and is none.
pub(super) fn frames(stream: &[u8]) -> Vec<Option<Message>> {
    let mut reader = FrameReader::<{ 1 + MAX_PAYLOAD }>::new();
    let mut found = Vec::new();
    for byte in stream {
        if let Some(frame) = reader.push(*byte) {
            found.push(frame.ok().map(|frame| (frame.kind, frame.payload.to_vec())));
        }
    }
    found
}
