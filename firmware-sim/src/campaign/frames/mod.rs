//! A fuzzer on the wire: frames made from valid ones by changing, cutting, repeating and joining them, and valid
//! ones that the device has had before.
//!
//! After each the device must still say its status, and nothing that is not its client's own fresh message may be
//! answered or carried out; now and then an honest request must get its verified answer.

mod corpus;
mod oracle;
#[cfg(test)]
mod tests;

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use sealnet_core::protocol::Kind;

use super::Tally;
use crate::client::{Client, ClientError, Link};
use crate::identity::Identity;
use crate::provision::ProvisionError;
use crate::sample::{self, SampleError, Sealing};
use crate::sim::Machine;
use corpus::Corpus;
use oracle::{Message, Oracle, frames, is_status_query};

/// What the fuzzer found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frames {
    /// Frames sent, and those that were answered or carried out and must not have been, or got an answer that is
    /// none to them.
    pub forgeries: Tally,
    /// After how many the device was dead: it panicked, at a forgery, an honest request or its boot, or said
    /// nothing any more after a forgery. No more is sent to it then.
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
    /// Other than all frames were sent, and no device died of one.
    #[error("{made} frames were sent, not {asked}")]
    Count {
        /// Frames sent.
        made: u64,
        /// Frames to send.
        asked: u64,
    },
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
    spread(count, threads, |worker, share| {
        let mut machine = Machine::provision(&identity, &model, 0)?;
        let mut device = machine.boot(|_| {});
        fuzz(&mut device, &identity, share, seed + worker, |_| {
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        })
    })
}

/// Gives each thread its number and its share of `count` frames, and adds up what they find. A thread that is lost
/// is a device that panicked.
fn spread(
    count: u64,
    threads: u64,
    work: impl Fn(u64, u64) -> Result<Frames, FuzzError> + Sync,
) -> Result<Frames, FuzzError> {
    let work = &work;
    let found = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| scope.spawn(move || work(worker, (count + worker) / threads)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Ok(Frames::dead())))
            .collect::<Result<Vec<Frames>, FuzzError>>()
    })?;
    let mut all = Frames::default();
    for found in found {
        all.forgeries.add(found.forgeries);
        all.panics += found.panics;
        all.honest += found.honest;
    }
    match all.forgeries.trials {
        made if made != count && all.panics == 0 => Err(FuzzError::Count { made, asked: count }),
        _ => Ok(all),
    }
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
    let client = Client::new(identity);
    let Some(oracle) = survived(|| Oracle::new(client, link)) else {
        return Ok(Frames::dead());
    };
    let (mut oracle, mut corpus) = (oracle?, Corpus::new(seed));
    let mut found = Frames::default();
    for trial in 0..count {
        if trial % HONEST_EVERY == 0 {
            let Some(refreshed) = survived(|| corpus.refresh(&mut oracle, link)) else {
                found.panics += 1;
                return Ok(found);
            };
            refreshed?;
            found.honest += 1;
        }
        // The zero before it ends what the device may be amid; what is sent after it must not complete it.
        let stream = [&[0], corpus.frame().as_slice(), &[0], &STATUS_QUERY].concat();
        let sent = frames(&stream);
        let Some(Ok(answers)) = survived(|| settle(link, &stream, &sent)) else {
            found.panics += 1;
            found.forgeries.count(Ok(()));
            return Ok(found);
        };
        let judged = oracle.judge(&sent, &answers);
        found
            .forgeries
            .count(judged.map_err(|wrong| format!("frame {trial} of seed {seed}: {wrong}")));
        progress(trial + 1);
    }
    // Still answering afterwards.
    let Some(refreshed) = survived(|| corpus.refresh(&mut oracle, link)) else {
        found.panics += 1;
        return Ok(found);
    };
    refreshed?;
    found.honest += 1;
    Ok(found)
}

impl Frames {
    /// Of a device that died before any frame.
    fn dead() -> Self {
        Self {
            panics: 1,
            ..Self::default()
        }
    }
}

/// What a device said, if it did not panic.
fn survived<T>(exchange: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(exchange)).ok()
}

/// Sends a stream that ends with a status query, whose frames are `sent`, and gives all that came back up to the
/// status.
fn settle(
    link: &mut impl Link,
    stream: &[u8],
    sent: &[Option<Message>],
) -> Result<Vec<Option<Message>>, ClientError> {
    let mut response = link.exchange(stream)?;
    // A frame before the last may be a status query as well.
    let asked = sent.iter().flatten().filter(|m| is_status_query(m)).count();
    loop {
        let answers = frames(&response);
        let said = answers.iter().flatten().filter(|m| m.0 == Kind::Status);
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

/// A status query: COBS of the byte 0x02, and the zero that ends a frame.
const STATUS_QUERY: [u8; 3] = [2, Kind::StatusQuery as u8, 0];
/// Frames between two honest requests.
const HONEST_EVERY: u64 = 500;
