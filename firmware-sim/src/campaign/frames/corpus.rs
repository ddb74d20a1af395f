//! Valid frames, and those that are made of them.

use std::collections::VecDeque;

use sealnet_core::protocol::{CHUNK_MAX, UpdateStep};

use super::STATUS_QUERY;
use super::oracle::Oracle;
use crate::client::{ClientError, Link};
use crate::sample;
use crate::sim::flash::region::split_mix_64;

/// Valid frames to make others of.
pub(super) struct Corpus {
    random: u64,
    frames: VecDeque<Vec<u8>>,
}

impl Corpus {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: seed,
            frames: VecDeque::new(),
        }
    }

    /// An honest request, whose frames and whose answer's join the corpus, and messages that are never sent
    /// as they are.
    pub(super) fn refresh(
        &mut self,
        oracle: &mut Oracle,
        link: &mut impl Link,
    ) -> Result<(), ClientError> {
        let features = sample::features(self.next());
        self.frames.extend(oracle.infer(link, &features)?);
        self.frames.push_back(STATUS_QUERY.to_vec());
        self.frames.push_back(oracle.keep_request(&features)?);
        let data = [0x5A; CHUNK_MAX];
        let steps = [
            UpdateStep::Begin { total: 1024 },
            UpdateStep::Chunk {
                offset: 0,
                data: &data,
            },
            UpdateStep::Finish { total: 1024 },
        ];
        for step in steps {
            self.frames.push_back(oracle.keep_update(step)?);
        }
        while self.frames.len() > CORPUS_MAX {
            self.frames.pop_front();
        }
        Ok(())
    }

    /// A frame to send: one of the corpus, most often changed.
    pub(super) fn frame(&mut self) -> Vec<u8> {
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

const CORPUS_MAX: usize = 96;
