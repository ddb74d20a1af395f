//! What is tried: a device, what it must refuse, and when.

use sealnet_core::protocol::{FrameReader, Kind, MAX_PAYLOAD};
use sealnet_core::sign::{Digest512, Domain, HmacKey, SIGNATURE_LEN, SigningKey};
use zeroize::Zeroizing;

use super::SkipError;
use crate::client::{self, Answer, Client, ClientError};
use crate::env::Event;
use crate::identity::Identity;
use crate::journal::{Counters, Journal};
use crate::layout::{JOURNAL, SLOT_B};
use crate::provision::{ProvisionError, flash_image};
use crate::qemu::Mode;
use crate::sample::{self, SampleError, Sealing};
use crate::shape::INPUT;
use crate::sim::{Machine, flash::SimFlash};

/// What is tried. Each forgery would pass but for the one check that it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "std", derive(clap::ValueEnum))]
pub enum Scenario {
    /// Cold boot: a signature of zeros
    NoSignature,
    /// Cold boot: signed with another key, and named as the trusted one's
    OtherKey,
    /// Cold boot: another model under a signature that the publisher made for its own
    ChangedBody,
    /// Cold boot: the publisher's own, with a security counter below the stored one
    OlderCounter,
    /// Cold boot of a device that trusts an HMAC key: a signature of zeros
    HmacNoSignature,
    /// Cold boot of a confidential device: an encrypted model with a signature of zeros
    ConfidentialNoSignature,
    /// Trial boot: in the spare slot a newer model with a signature of zeros
    TrialNoSignature,
    /// Trial boot: in the spare slot the publisher's own, with the security counter that is stored
    TrialEqualCounter,
    /// A request whose MAC is wrong
    RequestWrongMac,
    /// A request that was answered before
    RequestReplayed,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::NoSignature,
        Self::OtherKey,
        Self::ChangedBody,
        Self::OlderCounter,
        Self::HmacNoSignature,
        Self::ConfidentialNoSignature,
        Self::TrialNoSignature,
        Self::TrialEqualCounter,
        Self::RequestWrongMac,
        Self::RequestReplayed,
    ];

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSignature => "no-signature",
            Self::OtherKey => "other-key",
            Self::ChangedBody => "changed-body",
            Self::OlderCounter => "older-counter",
            Self::HmacNoSignature => "hmac-no-signature",
            Self::ConfidentialNoSignature => "confidential-no-signature",
            Self::TrialNoSignature => "trial-no-signature",
            Self::TrialEqualCounter => "trial-equal-counter",
            Self::RequestWrongMac => "request-wrong-mac",
            Self::RequestReplayed => "request-replayed",
        }
    }

    /// The image that it is tried on.
    pub(super) const fn mode(self) -> Mode {
        match self {
            Self::ConfidentialNoSignature => Mode::Confidential,
            _ => Mode::Clear,
        }
    }

    /// The device, and what it is given; with `honest` the same without a forgery, which it must accept.
    pub(super) fn setup(self, honest: bool) -> Result<Setup, SkipError> {
        let mut identity = sample::identity()?;
        let mut sealing = Sealing {
            counter: STORED_COUNTER,
            ..Sealing::default()
        };
        match self {
            Self::HmacNoSignature => {
                sealing.signer = SigningKey::Hmac(HmacKey::from_bytes([8; 64]));
                identity.publisher = sealing.signer.trusted();
            }
            Self::ConfidentialNoSignature => sealing.encrypted = true,
            _ => {}
        }
        match self {
            Self::TrialNoSignature | Self::TrialEqualCounter => {
                self.trial(&identity, sealing, honest)
            }
            Self::RequestWrongMac | Self::RequestReplayed => {
                self.request(&identity, &sealing, honest)
            }
            _ => {
                // A newer one, so that a counter that it raises is seen.
                sealing.counter = match self {
                    Self::OlderCounter if !honest => STORED_COUNTER - 1,
                    _ => STORED_COUNTER + 1,
                };
                let mut file = sample::model(1, &sealing)?;
                if !honest {
                    let other = sample::model(2, &sealing)?;
                    self.forge(&mut file, &other)?;
                }
                Ok(Setup::boot(&provision(&identity, &file)?))
            }
        }
    }

    /// Spoils a signed file.
    fn forge(self, file: &mut [u8], other: &[u8]) -> Result<(), SampleError> {
        let signature = match self {
            Self::OtherKey => {
                let signed = file.split_last_chunk::<SIGNATURE_LEN>();
                let (signed, _) = signed.ok_or(SampleError::Name)?;
                sample::publisher(9)
                    .sign(Domain::Model, &[signed])
                    .to_bytes()
            }
            Self::ChangedBody => *other.last_chunk().ok_or(SampleError::Name)?,
            Self::OlderCounter | Self::TrialEqualCounter => return Ok(()),
            _ => [0; SIGNATURE_LEN],
        };
        if let Some(end) = file.last_chunk_mut() {
            *end = signature;
        }
        Ok(())
    }

    /// A good model is active; the next boot tries what lies in the spare slot.
    fn trial(
        self,
        identity: &Identity,
        mut sealing: Sealing,
        honest: bool,
    ) -> Result<Setup, SkipError> {
        let good = sample::model(1, &sealing)?;
        let flash = provision(identity, &good)?;
        sealing.counter = match self {
            Self::TrialEqualCounter if !honest => STORED_COUNTER,
            _ => STORED_COUNTER + 1,
        };
        let mut file = sample::model(2, &sealing)?;
        if !honest {
            self.forge(&mut file, &good)?;
        }
        let mut bytes = flash.bytes().to_vec();
        if let Some(spare) = bytes.get_mut(SLOT_B..SLOT_B + file.len()) {
            spare.copy_from_slice(&file);
        }
        let mut pending = SimFlash::new(bytes);
        let (_, journal) = pending.split(JOURNAL);
        Journal::open(journal)
            .and_then(|mut journal| journal.finish_update())
            .map_err(ProvisionError::Journal)?;
        let features = sample::features(1);
        let answered = |mut machine: Machine| -> Result<Answer, ClientError> {
            Client::new(identity).infer(&mut machine.boot(|_: Event| {}), &features)
        };
        let good = answered(Machine::new(flash))?;
        let bad = answered(Machine::provision(
            identity,
            &sample::model(2, &sealing)?,
            0,
        )?)?;
        if good.logits.is_none() || good.logits == bad.logits {
            let what = "the two models of a trial cannot be told apart";
            return Err(SkipError::Missed(what.into()));
        }
        Ok(Setup {
            good: Some(Good {
                client: Client::new(identity),
                digest: good.receipt.model_digest,
                features,
                logits: good.logits,
                others: bad.logits,
            }),
            ..Setup::boot(&pending)
        })
    }

    /// A device that serves a good model gets a frame.
    fn request(
        self,
        identity: &Identity,
        sealing: &Sealing,
        honest: bool,
    ) -> Result<Setup, SkipError> {
        let flash = provision(identity, &sample::model(1, sealing)?)?;
        let mut client = Client::new(identity);
        let mut copy = Machine::new(SimFlash::new(flash.bytes().to_vec()));
        client.status(&mut copy.boot(|_: Event| {}))?;
        let first = client.seal(&sample::features(1))?.frame;
        let second = client.seal(&sample::features(1))?.frame;
        let (before, frame) = match self {
            _ if honest => (first, second),
            Self::RequestReplayed => (first.clone(), first),
            _ => (first, wrong_mac(&second)?),
        };
        Ok(Setup {
            exchange: Some(Exchange { before, frame }),
            ..Setup::boot(&flash)
        })
    }
}

/// A device, and what it is given.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) flash: Zeroizing<Vec<u8>>,
    /// The model that it is to go on serving, if there is one.
    pub(super) good: Option<Good>,
    /// What is sent once it has booted.
    pub(super) exchange: Option<Exchange>,
}

/// A model, and how it is told from what lies in the other slot.
#[derive(Debug)]
pub(super) struct Good {
    /// Of a device that has been asked nothing.
    pub(super) client: Client,
    /// SHA-512 of its plaintext body.
    pub(super) digest: Digest512,
    pub(super) features: [u8; INPUT],
    /// What it makes of the features.
    pub(super) logits: Option<Vec<i32>>,
    /// What the other one makes of them.
    pub(super) others: Option<Vec<i32>>,
}

/// Frames on the wire.
#[derive(Debug)]
pub(super) struct Exchange {
    /// An honest request, which is answered.
    pub(super) before: Vec<u8>,
    /// Then this one, which must not be.
    pub(super) frame: Vec<u8>,
}

impl Setup {
    /// A device that must serve nothing.
    pub(super) fn boot(flash: &SimFlash) -> Self {
        Self {
            flash: Zeroizing::new(flash.bytes().to_vec()),
            good: None,
            exchange: None,
        }
    }
}

/// Whether a device has replied.
pub(super) fn is_reply(response: &[u8]) -> bool {
    let mut frames = FrameReader::<{ 1 + MAX_PAYLOAD }>::new();
    response.iter().any(|byte| {
        let frame = frames.push(*byte).and_then(Result::ok);
        frame.is_some_and(|frame| frame.kind == Kind::Reply)
    })
}

/// Whether flash says that a model newer than the stored one was served, or its journal cannot be read: a good model
/// would be refused from then on.
pub(super) fn is_locked(flash: &[u8]) -> bool {
    let mut flash = SimFlash::new(flash.to_vec());
    let (_, journal) = flash.split(JOURNAL);
    Journal::open(journal).map_or(true, |journal| journal.counters().security > STORED_COUNTER)
}

fn provision(identity: &Identity, model: &[u8]) -> Result<SimFlash, ProvisionError> {
    let counters = Counters {
        security: STORED_COUNTER,
        ..Counters::default()
    };
    flash_image(identity, model, counters)
}

/// The same frame but for a bit of its token's last byte.
fn wrong_mac(frame: &[u8]) -> Result<Vec<u8>, SkipError> {
    let mut frames = FrameReader::<{ 1 + MAX_PAYLOAD }>::new();
    for byte in frame {
        if let Some(Ok(frame)) = frames.push(*byte) {
            let mut payload = frame.payload.to_vec();
            if let Some(last) = payload.last_mut() {
                *last ^= 1;
            }
            let frame = client::frame(frame.kind, &payload).map_err(client::ClientError::from)?;
            return Ok(frame);
        }
    }
    Err(SkipError::Client(client::ClientError::Silent))
}

/// The device's security counter before the boot.
const STORED_COUNTER: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Link as _;
    use clap::ValueEnum as _;

    /// What a device in this process says of a scenario: whether it accepts.
    fn accepts(scenario: Scenario, honest: bool) -> bool {
        let setup = scenario.setup(honest).unwrap();
        let mut machine = Machine::new(SimFlash::new(setup.flash.to_vec()));
        let mut device = machine.boot(|_: Event| {});
        match setup.exchange {
            Some(Exchange { before, frame }) => {
                assert!(is_reply(&device.exchange(&before).unwrap()));
                is_reply(&device.exchange(&frame).unwrap())
            }
            None => {
                let model = client::status(&mut device).unwrap().model;
                let good = setup.good.map(|good| good.digest);
                model.is_some() && model.map(|model| model.digest) != good
            }
        }
    }

    #[test]
    fn each_scenario_is_refused_and_accepted_without_its_forgery() {
        for scenario in Scenario::ALL {
            assert!(!accepts(scenario, false), "{scenario:?}");
            assert!(accepts(scenario, true), "{scenario:?}");
            let value = scenario.to_possible_value().unwrap();
            assert_eq!(value.get_name(), scenario.name());
        }
    }

    #[test]
    fn a_raised_counter_is_seen() {
        for (honest, locked) in [(false, false), (true, true)] {
            let setup = Scenario::NoSignature.setup(honest).unwrap();
            let mut machine = Machine::new(SimFlash::new(setup.flash.to_vec()));
            assert!(!is_locked(machine.flash().bytes()));
            drop(machine.boot(|_: Event| {}));
            assert_eq!(is_locked(machine.flash().bytes()), locked);
        }
        assert!(is_locked(&vec![0; crate::layout::FLASH_LEN]));
    }
}
