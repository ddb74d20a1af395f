//! What to do. It lies at the beginning of the board's memory: little-endian words, offsets in that memory.
//!
//! | word | what |
//! |---|---|
//! | 0 | which [`Case`] |
//! | 1, 2 | offset and length of a sealed model |
//! | 3 | offset of the keys: HMAC, 64 bytes, then Fernet, 32 bytes |
//! | 4, 5 | offset and length of the layers for plain loops, see [`plain`](crate::plain) |
//! | 6, 7 | offset of the images, one after the other, and how many |
//! | 8 | offset for a result of each: ticks, then logits, a word each |
#![cfg_attr(feature = "portable", allow(dead_code))] // it needs less of it

use sealnet_firmware::shape::{CLASSES, INPUT};

use crate::board::{self, MEMORY_LEN};

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// A call that does nothing: what the counting itself takes.
    Nothing = 0,
    /// The model as it lies; with feature `portable`, by that kernel.
    Clear = 1,
    /// The model, decrypted into RAM.
    Confidential = 2,
    /// The model, decrypted as it runs.
    Streamed = 3,
    /// Plain loops.
    Plain = 4,
}

/// What to do.
#[derive(Debug)]
pub(crate) struct Job([u32; WORDS]);

impl Job {
    /// The job that the memory holds now.
    pub(crate) fn read() -> Self {
        let mut words = [0; WORDS];
        for (at, word) in words.iter_mut().enumerate() {
            *word = board::word(4 * at);
        }
        Self(words)
    }

    pub(crate) fn case(&self) -> Case {
        let cases = [Case::Clear, Case::Confidential, Case::Streamed, Case::Plain];
        let case = cases.into_iter().find(|case| *case as u32 == self.0[0]);
        case.unwrap_or(Case::Nothing)
    }

    pub(crate) fn model(&self) -> &'static [u8] {
        self.bytes(1, self.0[2] as usize)
    }

    pub(crate) fn signer(&self) -> [u8; 64] {
        self.bytes(3, 64).first_chunk().copied().unwrap_or([0; 64])
    }

    pub(crate) fn key(&self) -> [u8; 32] {
        self.bytes(3, 96).last_chunk().copied().unwrap_or([0; 32])
    }

    pub(crate) fn plain(&self) -> &'static [u8] {
        self.bytes(4, self.0[5] as usize)
    }

    pub(crate) fn features(&self) -> &'static [[u8; INPUT]] {
        let bytes = self.bytes(6, (self.0[7] as usize).saturating_mul(INPUT));
        bytes.as_chunks().0
    }

    /// Writes the result of an image.
    pub(crate) fn result(&self, image: usize, ticks: u32, logits: &[i32; CLASSES]) {
        let at = (self.0[8] as usize).saturating_add(image * 4 * (1 + CLASSES));
        board::set_word(at, ticks);
        for (logit, at) in logits.iter().zip((at + 4..).step_by(4)) {
            board::set_word(at, *logit as u32);
        }
    }

    /// Bytes at the offset in a word; none where there cannot be so many.
    fn bytes(&self, word: usize, len: usize) -> &'static [u8] {
        let at = self.0[word] as usize;
        match at.checked_add(len) {
            Some(end) if end <= MEMORY_LEN => board::bytes(at, len),
            _ => &[],
        }
    }
}

const WORDS: usize = 9;
