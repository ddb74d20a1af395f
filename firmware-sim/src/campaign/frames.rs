//! A fuzzer on the wire: frames made from valid ones by changing, cutting, repeating and joining them, and valid
//! ones that the device has had before.
//!
//! After each the device must still say its status, and nothing that is not its client's own fresh message may be
//! answered or carried out; now and then an honest request must get its verified answer.

use std::collections::{HashSet, VecDeque};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use sealnet_core::protocol::{CHUNK_MAX, FrameReader, Kind, MAX_PAYLOAD, UpdateStep};

use super::Tally;
use crate::client::{Client, ClientError, Link};
use crate::identity::Identity;
use crate::provision::ProvisionError;
use crate::sample::{self, SampleError, Sealing};
use crate::sim::Machine;
use crate::sim::flash::region::split_mix_64;

/// What the fuzzer found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frames {
    /// Frames sent, and those that were answered or carried out and must not have been.
    pub forgeries: Tally,
    /// After how many the device was dead: it panicked, or said nothing any more.
    pub panics: u64,
    /// Honest requests that were answered in between.
    pub honest: u64,
}

/// Why the fuzzer ended early.
#[derive(Debug, thiserror::Error)]
pub enum FuzzError {
    /// An honest request was not answered.
    #[error("an honest request got no answer: {0}")]
    Honest(#[from] ClientError),
    /// The device could not be made.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The device could not be provisioned.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
}

/// Sends `count` frames to devices in this process, one a core. `progress` is told how many are done.
///
/// # Errors
/// [`FuzzError`].
pub fn in_process(
    count: u64,
    seed: u64,
    progress: impl Fn(u64) + Sync,
) -> Result<Frames, FuzzError> {
    let identity = sample::identity()?;
    let model = sample::model(1, &Sealing::default())?;
    let threads = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let done = AtomicU64::new(0);
    let (identity, model, done, progress) = (&identity, &model, &done, &progress);
    let found = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                scope.spawn(move || {
                    let mut machine = Machine::provision(identity, model, 0)?;
                    let mut device = machine.boot(|_| {});
                    let share = (count + worker) / threads;
                    fuzz(&mut device, identity, share, seed + worker, |_| {
                        progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                    })
                })
            })
            .collect();
        workers
            .into_iter()
            .filter_map(|worker| worker.join().ok())
            .collect::<Result<Vec<Frames>, FuzzError>>()
    })?;
    let mut all = Frames::default();
    for found in found {
        all.forgeries.add(found.forgeries);
        all.panics += found.panics;
        all.honest += found.honest;
    }
    Ok(all)
}

/// Sends `count` frames to a device of `identity`. `progress` is told how many are done.
///
/// # Errors
/// [`FuzzError::Honest`] if the device does not answer who it should.
pub fn fuzz(
    link: &mut impl Link,
    identity: &Identity,
    count: u64,
    seed: u64,
    mut progress: impl FnMut(u64),
) -> Result<Frames, FuzzError> {
    let mut corpus = Corpus {
        client: Client::new(identity),
        random: seed,
        frames: VecDeque::new(),
        fresh: HashSet::new(),
    };
    corpus.client.status(link)?;
    let mut found = Frames::default();
    for trial in 0..count {
        if trial % HONEST_EVERY == 0 {
            corpus.refresh(link)?;
            found.honest += 1;
        }
        let mut frame = corpus.frame();
        // What is sent after it must not complete it.
        frame.push(0);
        // Whole messages in it that the device has not had yet may be answered, once.
        let allowed = messages(&frame)
            .iter()
            .filter(|message| corpus.fresh.remove(*message))
            .count();
        let answered = catch_unwind(AssertUnwindSafe(|| settle(link, &frame)));
        let Ok(Ok(answers)) = answered else {
            found.panics += 1;
            found.forgeries.count(Ok(()));
            break;
        };
        let accepted = answers
            .iter()
            .filter(|(kind, _)| matches!(kind, Kind::Reply | Kind::Acknowledged))
            .count();
        found.forgeries.count(match accepted <= allowed {
            true => Ok(()),
            false => Err(format!("frame {trial} of seed {seed} was accepted")),
        });
        progress(trial + 1);
    }
    // Still answering afterwards.
    if found.panics == 0 {
        corpus.refresh(link)?;
        found.honest += 1;
    }
    Ok(found)
}

/// Valid frames to make others of.
struct Corpus {
    client: Client,
    random: u64,
    frames: VecDeque<Vec<u8>>,
    /// Messages that are valid and that the device has not had.
    fresh: HashSet<(Kind, Vec<u8>)>,
}

impl Corpus {
    /// An honest request, whose frames and whose answer's join the corpus, and messages that are never sent
    /// as they are.
    fn refresh(&mut self, link: &mut impl Link) -> Result<(), ClientError> {
        let features = sample::features(self.next());
        let request = self.client.seal(&features)?;
        let response = link.exchange(&request.frame)?;
        self.client.open(&request, &response)?;
        let data = [0x5A; CHUNK_MAX];
        let steps = [
            UpdateStep::Begin { total: 1024 },
            UpdateStep::Chunk {
                offset: 0,
                data: &data,
            },
            UpdateStep::Finish { total: 1024 },
        ];
        let mut unsent = vec![self.client.seal(&features)?.frame];
        for step in steps {
            unsent.push(self.client.seal_update(step)?.frame);
        }
        self.fresh.clear();
        for frame in &unsent {
            self.fresh.extend(messages(frame));
        }
        self.frames
            .extend([request.frame, response, STATUS_QUERY.to_vec()]);
        self.frames.extend(unsent);
        while self.frames.len() > CORPUS_MAX {
            self.frames.pop_front();
        }
        Ok(())
    }

    /// A frame to send: one of the corpus, most often changed.
    fn frame(&mut self) -> Vec<u8> {
        let mut frame = self.pick();
        for _ in 0..self.below(4) {
            let (at, byte) = (self.below(frame.len() + 1), self.next() as u8);
            let len = self.below(frame.len() + 1 - at) % 64;
            match self.below(8) {
                0 => frame.insert(at, byte),
                1 => frame.truncate(at),
                2 => drop(frame.drain(at..at + len)),
                3 => {
                    let other = self.pick();
                    let from = self.below(other.len() + 1);
                    frame.truncate(at);
                    frame.extend(other.iter().skip(from));
                }
                4 => {
                    let piece: Vec<u8> = frame.iter().skip(at).take(len).copied().collect();
                    frame.splice(at..at, piece);
                }
                5 => frame.iter_mut().skip(at).take(len).for_each(|b| *b = byte),
                _ => {
                    if let Some(changed) = frame.get_mut(at) {
                        *changed ^= 1 << (byte % 8);
                    }
                }
            }
        }
        frame
    }

    fn pick(&mut self) -> Vec<u8> {
        let at = self.below(self.frames.len());
        self.frames.get(at).cloned().unwrap_or_default()
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % (end.max(1) as u64)) as usize
    }

    fn next(&mut self) -> u64 {
        split_mix_64(&mut self.random)
    }
}

/// Sends bytes that end with a zero, asks for the status, and gives all that came back up to the status.
fn settle(link: &mut impl Link, bytes: &[u8]) -> Result<Vec<(Kind, Vec<u8>)>, ClientError> {
    let stream = [&[0], bytes, &STATUS_QUERY].concat();
    let mut response = link.exchange(&stream)?;
    // A frame in `bytes` may be a status query as well.
    let asked = 1 + messages(bytes)
        .iter()
        .filter(|(kind, payload)| *kind == Kind::StatusQuery && payload.is_empty())
        .count();
    loop {
        let answers = messages(&response);
        let said = answers.iter().filter(|(kind, _)| *kind == Kind::Status);
        if said.count() >= asked {
            return Ok(answers);
        }
        let more = link.exchange(&[])?;
        if more.is_empty() {
            return Err(ClientError::Silent);
        }
        response.extend(more);
    }
}

/// The messages in a stream: what the frames that are some hold.
fn messages(stream: &[u8]) -> Vec<(Kind, Vec<u8>)> {
    let mut reader = FrameReader::<{ 1 + MAX_PAYLOAD }>::new();
    let mut found = Vec::new();
    for byte in stream {
        if let Some(Ok(frame)) = reader.push(*byte) {
            found.push((frame.kind, frame.payload.to_vec()));
        }
    }
    found
}

/// A status query: COBS of the byte 0x02, and the zero that ends a frame.
const STATUS_QUERY: [u8; 3] = [2, Kind::StatusQuery as u8, 0];
/// Frames between two honest requests.
const HONEST_EVERY: u64 = 500;
const CORPUS_MAX: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_forged_is_accepted() {
        let found = in_process(5_000, 1, |_| {}).unwrap();
        assert_eq!(found.forgeries.trials, 5_000);
        assert_eq!(
            found.forgeries.failures, 0,
            "{:?}",
            found.forgeries.examples
        );
        assert_eq!(found.panics, 0);
        assert!(found.honest >= 12, "{}", found.honest);
    }

    /// A device whose answers come one at a time, as over a slow wire.
    struct Slow<'d, L> {
        device: &'d mut L,
        said: Vec<u8>,
    }

    impl<L: Link> Link for Slow<'_, L> {
        fn exchange(&mut self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
            self.said.extend(self.device.exchange(bytes)?);
            let end = self.said.iter().position(|byte| *byte == 0);
            Ok(self.said.drain(..end.map_or(0, |at| at + 1)).collect())
        }
    }

    /// A frame without its end is completed by what follows, and is answered all the same.
    #[test]
    fn no_answer_is_left_on_the_wire() {
        let identity = sample::identity().unwrap();
        let model = sample::model(1, &Sealing::default()).unwrap();
        let mut machine = Machine::provision(&identity, &model, 0).unwrap();
        let mut device = machine.boot(|_| {});
        let mut slow = Slow {
            device: &mut device,
            said: Vec::new(),
        };
        let found = fuzz(&mut slow, &identity, 20_000, 7, |_| {}).unwrap();
        assert_eq!(found.forgeries.failures, 0, "{:?}", found.forgeries);
        assert!(slow.said.is_empty());
    }

    /// A device that answers whatever it gets, and one that dies.
    struct Gullible {
        reply: Vec<u8>,
        status: Vec<u8>,
        dies: bool,
    }

    impl Link for Gullible {
        fn exchange(&mut self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
            if bytes == STATUS_QUERY {
                return Ok(self.status.clone());
            }
            assert!(!self.dies);
            let count = messages(bytes).len();
            Ok([self.reply.clone(), self.status.repeat(count)].concat())
        }
    }

    #[test]
    fn a_device_that_accepts_or_dies_is_found() {
        let identity = sample::identity().unwrap();
        let model = sample::model(1, &Sealing::default()).unwrap();
        let mut machine = Machine::provision(&identity, &model, 0).unwrap();
        let mut device = machine.boot(|_| {});
        let mut corpus = Corpus {
            client: Client::new(&identity),
            random: 1,
            frames: VecDeque::new(),
            fresh: HashSet::new(),
        };
        corpus.client.status(&mut device).unwrap();
        corpus.refresh(&mut device).unwrap();
        let reply = corpus.frames[1].clone();
        let status = device.exchange(&STATUS_QUERY).unwrap();
        for dies in [false, true] {
            let mut device = Gullible {
                reply: reply.clone(),
                status: status.clone(),
                dies,
            };
            let answered = catch_unwind(AssertUnwindSafe(|| settle(&mut device, &[1, 2, 3, 0])));
            match answered {
                Ok(answers) => assert_eq!(answers.unwrap()[0].0, Kind::Reply),
                Err(_) => assert!(dies),
            }
        }
    }
}
