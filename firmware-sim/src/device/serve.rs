//! From a frame to its answer.

use core::hint::black_box;

use embedded_io::{Read as _, Write};
use embedded_storage::nor_flash::NorFlash;
use sealnet_core::artefact::{Encrypted, ReplyPolicy};
use sealnet_core::fernet::{Iv, NONCE_LEN, binary_len};
use sealnet_core::mlp::argmax;
use sealnet_core::protocol::{
    AuthenticRequest, DeviceId, Frame, FrameError, Kind, Receipt, Refusal, Reply, Status,
    StatusModel, Verdict, frame_len, logits_digest, reply_len, write_frame,
};
use sealnet_core::sign::Digest512;
use sealnet_core::softmax::probabilities;
use zeroize::{Zeroize as _, Zeroizing};

use super::{Device, FIRMWARE_VERSION, Model, Refused, Session, Upload};
use crate::env::{Env, Event, Log as _, Slot};
use crate::journal::{AdmitError, Slots};
use crate::shape::{CLASSES, INPUT};

/// What came of a piece of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// Whatever frames it completed were answered.
    Bytes,
    /// The stream has ended.
    Closed,
    /// A new model has arrived and waits for its trial: the board must be reset now.
    Reset,
}

impl<E: Env> Device<'_, E> {
    /// Answers frames until the port closes or the board must be reset, and says which.
    ///
    /// # Errors
    /// The port's.
    pub fn run(&mut self) -> Result<Served, <E::Port as embedded_io::ErrorType>::Error> {
        loop {
            match self.serve()? {
                Served::Bytes => {}
                ended => return Ok(ended),
            }
        }
    }

    /// Reads what the port has, waiting for at least one byte, and answers each frame that is complete.
    ///
    /// # Errors
    /// The port's. The device is as it was, or has answered and not been heard.
    ///
    /// After [`Served::Reset`] what came with the frame that asked for it is lost, as in any reset.
    // Not a part of its caller: its buffers are on the stack while it serves, and not while the board boots.
    #[inline(never)]
    pub fn serve(&mut self) -> Result<Served, <E::Port as embedded_io::ErrorType>::Error> {
        let mut piece = [0; READ_LEN];
        let read = self.port.read(&mut piece)?;
        if read == 0 {
            return Ok(Served::Closed);
        }
        let Self {
            port,
            log,
            frames,
            session,
            model,
            passed,
            spare,
            upload,
        } = self;
        for byte in piece.into_iter().take(read) {
            let Some(frame) = frames.push(byte) else {
                continue;
            };
            let mut out = [0; SEND_LEN];
            let served = model.as_ref().ok();
            let served = served.filter(|model| passed.by(model.model_digest()));
            let answer = respond(frame, session.as_mut(), served, spare, upload, &mut out);
            if let Some(event) = answer.event {
                log.event(event);
            }
            let sent = out.get(..answer.len).map(|answer| send(port, answer));
            if answer.reset {
                // Whether it was heard or not: the trial is pending, and the board is reset either way.
                return Ok(Served::Reset);
            }
            sent.transpose()?;
        }
        Ok(Served::Bytes)
    }

    /// The port.
    pub fn port_mut(&mut self) -> &mut E::Port {
        &mut self.port
    }
}

/// Sends all of an answer. A port that breaks its contract, and writes nothing or more than it was given, gets
/// no more of it; `write_all` would panic.
fn send<P: Write>(port: &mut P, mut answer: &[u8]) -> Result<(), P::Error> {
    while !answer.is_empty() {
        let written = port.write(answer)?;
        answer = match answer.get(written..) {
            Some(rest) if written > 0 => rest,
            _ => break,
        };
    }
    port.flush()
}

/// What is sent for a frame.
pub(super) struct Answer {
    /// Bytes of the frame that was written.
    pub(super) len: usize,
    /// What to log.
    pub(super) event: Option<Event>,
    /// Whether the board is to be reset when it is sent.
    pub(super) reset: bool,
}

/// Writes the frame that answers `frame` into `out`.
fn respond<'m, J: NorFlash, M: Encrypted>(
    frame: Result<Frame<'_>, FrameError>,
    mut session: Option<&mut Session<J>>,
    model: Option<&Model<'_, M>>,
    spare: &mut impl Slot<'m>,
    upload: &mut Option<Upload>,
    out: &mut [u8],
) -> Answer {
    let answered = match frame {
        Ok(Frame {
            kind: Kind::StatusQuery,
            payload: [],
        }) => {
            let status = status(session.as_deref(), model).to_bytes();
            Ok(Answer {
                len: frame_of(Kind::Status, &status, out),
                event: None,
                reset: false,
            })
        }
        Ok(Frame {
            kind: Kind::StatusQuery,
            ..
        }) => Err(Refused::QueryContents),
        Ok(Frame {
            kind: Kind::Request,
            payload,
        }) => match (&mut session, model) {
            (Some(session), Some(model)) => {
                let answer = session.answer(model, &mut *payload, out);
                // The features are not kept until the next frame, nor what was made of them and of keys on the stack.
                payload.zeroize();
                wipe_stack();
                answer
            }
            _ => Err(Refused::NoModel),
        },
        Ok(Frame {
            kind: kind @ (Kind::UpdateBegin | Kind::UpdateChunk | Kind::UpdateFinish),
            payload,
        }) => match &mut session {
            Some(session) => session.update(kind, payload, spare, upload, out),
            None => Err(Refused::NoModel),
        },
        Ok(Frame { kind, .. }) => Err(Refused::Direction(kind)),
        Err(error) => Err(Refused::Frame(error)),
    };
    answered.unwrap_or_else(|refused| {
        let highest_counter = session.map_or(0, |session| session.journal.highest_request());
        let refusal = Refusal {
            code: refused.code(),
            highest_counter,
        };
        Answer {
            len: frame_of(Kind::Refused, &refusal.to_bytes(), out),
            event: Some(Event::Refused(refused)),
            reset: false,
        }
    })
}

impl<J: NorFlash> Session<J> {
    /// Answers a request.
    fn answer(
        &mut self,
        model: &Model<'_, impl Encrypted>,
        token: &mut [u8],
        out: &mut [u8],
    ) -> Result<Answer, Refused> {
        let before = self.messages;
        // One after the other: neither needs the other's stack.
        match &self.infer(model, token) {
            // If a glitch has kept this request from being admitted, what is there is of the one before it.
            Ok(_) if black_box(self.messages) == before => Err(Refused::Exhausted),
            Ok(inferred) => self.reply(model, inferred, out),
            Err(refused) => Err(*refused),
        }
    }

    /// Opens a request, uses up its counter and runs the network.
    #[inline(never)]
    fn infer(
        &mut self,
        model: &Model<'_, impl Encrypted>,
        token: &mut [u8],
    ) -> Result<Inferred, Refused> {
        let request = AuthenticRequest::open(&self.identity.wire, token);
        let request = request.as_ref().map_err(|error| *error)?;
        self.check_nonce(request.nonce())?;
        let features = request.features();
        let features: &[u8; INPUT] = features
            .try_into()
            .map_err(|_| Refused::Features(features.len()))?;
        let highest = self.journal.highest_request();
        let message = self.admit(request.counter())?;
        // Once more, and not from the same copy, for a core that a glitch has taken past the check or the copying.
        let found = black_box(request).sealed_counter().unwrap_or_default();
        if found <= highest || found != self.journal.highest_request() {
            return Err(Refused::Counter { found, highest });
        }
        Ok(Inferred {
            message,
            logits: model.logits(features),
            request_digest: *request.digest(),
            time: request.time(),
        })
    }

    /// Signs and seals what was inferred.
    #[inline(never)]
    fn reply(
        &mut self,
        model: &Model<'_, impl Encrypted>,
        inferred: &Inferred,
        out: &mut [u8],
    ) -> Result<Answer, Refused> {
        let Inferred {
            message, logits, ..
        } = inferred;
        let message = *message;
        let receipt = Receipt {
            verdict: Verdict::NotEvaluated,
            device_id: self.identity.device.id(),
            model_digest: *model.model_digest(),
            firmware_version: FIRMWARE_VERSION,
            boot: self.boot,
            message,
            request_digest: inferred.request_digest,
            label: argmax(logits) as u16,
            logits_digest: logits_digest(*logits),
            nonce: self.nonce,
        };
        let probabilities = match model.policy() {
            ReplyPolicy::Label => None,
            ReplyPolicy::Probabilities | ReplyPolicy::Logits => {
                Some(probabilities(logits, model.logit_scale()))
            }
        };
        let reply = Reply {
            policy: model.policy(),
            receipt: &receipt.sign(&self.identity.receipt),
            probabilities: probabilities.as_ref().map_or(&[], |p| p.as_slice()),
            logits,
        };
        let iv = Iv::derive(&self.identity.secret, &self.nonce, self.boot, message);
        let mut plaintext = Zeroizing::new([0; REPLY_LEN]);
        let mut token = [0; binary_len(REPLY_LEN)];
        let token = reply.seal(
            &self.identity.wire,
            inferred.time,
            iv,
            plaintext.as_mut_slice(),
            &mut token,
        )?;
        Ok(Answer {
            len: frame_of(Kind::Reply, token, out),
            event: Some(Event::Answered { message }),
            reset: false,
        })
    }

    /// A message is for this provisioning.
    pub(super) fn check_nonce(&self, nonce: &[u8; NONCE_LEN]) -> Result<(), Refused> {
        match *nonce == self.nonce {
            true => Ok(()),
            false => Err(Refused::Provisioning),
        }
    }

    /// Uses up a message's counter, durably, and gives the number of the message that answers it.
    pub(super) fn admit(&mut self, counter: u64) -> Result<u64, Refused> {
        let message = self.messages.checked_add(1).ok_or(Refused::Exhausted)?;
        self.journal.admit(counter).map_err(|error| match error {
            AdmitError::Journal(error) => Refused::Journal(error),
            AdmitError::OutOfWindow => Refused::Counter {
                found: counter,
                highest: self.journal.highest_request(),
            },
        })?;
        self.messages = message;
        // An answer under the number of the one before would be under its IV: if a glitch has kept the number from
        // being stored, there is none.
        match black_box(self.messages) == message {
            true => Ok(message),
            false => Err(Refused::Exhausted),
        }
    }
}

fn status<J: NorFlash, M: Encrypted>(
    session: Option<&Session<J>>,
    model: Option<&Model<'_, M>>,
) -> Status {
    let slots = session.map_or_else(Slots::default, |session| session.journal.slots());
    Status {
        device_id: session.map_or(DeviceId::from_bytes([0; 16]), |session| {
            session.identity.device.id()
        }),
        firmware_version: FIRMWARE_VERSION,
        boot: session.map_or(0, |session| session.boot),
        highest_counter: session.map_or(0, |session| session.journal.highest_request()),
        model: model.map(|model| StatusModel {
            digest: *model.model_digest(),
            shape: model.header().shape,
        }),
        nonce: session.map_or([0; NONCE_LEN], |session| session.nonce),
        slot: slots.active,
        outcome: slots.outcome,
    }
}

/// Overwrites the stack that an answer has used.
#[inline(never)]
fn wipe_stack() {
    black_box(&mut [0_u8; ANSWER_STACK]);
}

/// Writes a frame and gives its length. It fits: `out` has `SEND_LEN` bytes.
pub(super) fn frame_of(kind: Kind, payload: &[u8], out: &mut [u8]) -> usize {
    write_frame(kind, payload, out).unwrap_or(0)
}

/// What a request came to.
struct Inferred {
    /// The number of the message that answers it.
    message: u64,
    logits: [i32; CLASSES],
    request_digest: Digest512,
    /// When it was made, as its sender says: Unix seconds.
    time: u64,
}

/// The longest reply's plaintext.
const REPLY_LEN: usize = reply_len(ReplyPolicy::Logits, CLASSES);
/// The longest frame that the device sends: a reply, which is longer than all others.
const SEND_LEN: usize = frame_len(binary_len(REPLY_LEN));
/// Stack that is overwritten after an answer, in bytes: as deep as the features lie there as halfwords, and keys.
const ANSWER_STACK: usize = 2048 + 2 * INPUT;
/// Bytes read from the port at once.
const READ_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use core::convert::Infallible;

    use embedded_io::{ErrorType, Write};

    use super::send;

    /// Says that it wrote so many bytes, whatever it was given.
    struct Port {
        says: usize,
        writes: usize,
    }

    impl ErrorType for Port {
        type Error = Infallible;
    }

    impl Write for Port {
        fn write(&mut self, _: &[u8]) -> Result<usize, Infallible> {
            self.writes += 1;
            Ok(self.says)
        }

        fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    #[test]
    fn a_port_that_breaks_its_contract_costs_an_answer_and_no_panic() {
        for (says, writes) in [(0, 1), (1, 10), (3, 4), (10, 1), (11, 1), (usize::MAX, 1)] {
            let mut port = Port { says, writes: 0 };
            send(&mut port, &[0; 10]).unwrap();
            // Three at a time: the fourth would go beyond the end, and is not believed.
            assert_eq!(port.writes, writes, "{says}");
        }
    }
}
