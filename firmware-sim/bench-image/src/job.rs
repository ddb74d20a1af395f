//! What to do, as the board's memory holds it; see [`wire`](crate::wire).
#![cfg_attr(any(feature = "portable", feature = "layers"), allow(dead_code))] // they need less of it

use sealnet_firmware::shape::{CLASSES, INPUT};

use crate::board::{self, MEMORY_LEN};
use crate::wire::{self, Case, WORDS};

/// What to do.
#[derive(Debug)]
pub(crate) struct Job(wire::Job);

impl Job {
    /// The job that the memory holds now.
    pub(crate) fn read() -> Self {
        let mut words = [0; WORDS];
        for (at, word) in words.iter_mut().enumerate() {
            *word = board::word(4 * at);
        }
        Self(wire::Job::of(words))
    }

    pub(crate) fn case(&self) -> Case {
        let cases = [Case::Clear, Case::Confidential, Case::Streamed, Case::Plain];
        let case = cases.into_iter().find(|case| *case as u32 == self.0.case);
        case.unwrap_or(Case::Nothing)
    }

    pub(crate) fn model(&self) -> &'static [u8] {
        let [at, len] = self.0.model;
        bytes(at, len as usize)
    }

    pub(crate) fn signer(&self) -> [u8; 64] {
        bytes(self.0.keys, 64)
            .first_chunk()
            .copied()
            .unwrap_or([0; 64])
    }

    pub(crate) fn key(&self) -> [u8; 32] {
        bytes(self.0.keys, 96)
            .last_chunk()
            .copied()
            .unwrap_or([0; 32])
    }

    pub(crate) fn plain(&self) -> &'static [u8] {
        let [at, len] = self.0.plain;
        bytes(at, len as usize)
    }

    pub(crate) fn features(&self) -> &'static [[u8; INPUT]] {
        let [at, count] = self.0.images;
        let bytes = bytes(at, (count as usize).saturating_mul(INPUT));
        bytes.as_chunks().0
    }

    /// Writes the result of an image.
    pub(crate) fn result(&self, image: usize, ticks: u32, logits: &[i32; CLASSES]) {
        let at = (self.0.results as usize).saturating_add(image * 4 * (1 + CLASSES));
        board::set_word(at, ticks);
        for (logit, at) in logits.iter().zip((at + 4..).step_by(4)) {
            board::set_word(at, *logit as u32);
        }
    }
}

/// Bytes at an offset; none where there cannot be so many.
pub(crate) fn bytes(at: u32, len: usize) -> &'static [u8] {
    let at = at as usize;
    match at.checked_add(len) {
        Some(end) if end <= MEMORY_LEN => board::bytes(at, len),
        _ => &[],
    }
}
