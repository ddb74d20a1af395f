//! The random numbers behind training and splitting: portable, stated, the same everywhere.
//!
//! The generator is ChaCha20 in its original form (64-bit block counter, 64-bit stream number). Its
//! 32-byte key is the user's seed as u64, little-endian, then, as u64 too, 0 or, where each record draws for itself,
//! one more than the record's number, then 16 zeros; each purpose draws from a stream
//! of its own ([`Stream`]), so that one purpose drawing more never shifts another. Where a purpose draws anew each
//! epoch, the stream's number is the purpose's plus 2^32 times the epoch's, from 1: any epoch can be drawn
//! without those before it. The keystream is read as 32-bit little-endian words, in order.
//!
//! - A real in `[0, 1)` is one word: its upper 24 bits times 2^-24, exact in f32.
//! - A whole number below `n` (`n` below 2^32) is Lemire's method: take a word `w`; if the lower half of
//!   the 64-bit product `w * n` is below `2^32 mod n`, take another; the answer is the upper half.
//! - A shuffle is Fisher and Yates from the end: for `i` from `len - 1` down to 1, exchange `i` with a
//!   number below `i + 1`.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// A purpose with random numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The weights a network starts from.
    Init = 0,
    /// The order of the records in each epoch.
    Shuffle = 1,
    /// Which records train and which validate.
    Split = 2,
    /// How a training record is changed.
    Augmentation = 3,
    /// Where attacks on training records begin.
    Attack = 4,
    /// The weights a teacher starts from.
    TeacherInit = 5,
    /// The order of the records in each of a teacher's epochs.
    TeacherShuffle = 6,
    /// How a record is changed for a teacher, and which neurons it leaves out.
    Teacher = 7,
    /// Where attacks on finished networks begin, and what they aim at.
    Evasion = 8,
    /// Which records are poisoned, and with what label.
    Poison = 9,
    /// What trials tamper with, and where.
    Tamper = 10,
}

/// The random numbers of one purpose under one seed.
pub struct Random(ChaCha20Rng);

impl Random {
    /// The first number of `stream` under `seed`.
    pub fn new(seed: u64, stream: Stream) -> Random {
        Random::of_epoch(seed, stream, 0)
    }

    /// The first number of `stream` in epoch `epoch` (from 1) under `seed`.
    pub fn of_epoch(seed: u64, stream: Stream, epoch: u32) -> Random {
        Random::with(seed, 0, stream, epoch)
    }

    /// The first number of `stream` for record `record` in epoch `epoch` under `seed`.
    pub fn of_record(seed: u64, stream: Stream, epoch: u32, record: u32) -> Random {
        Random::with(seed, 1 + u64::from(record), stream, epoch)
    }

    fn with(seed: u64, record: u64, stream: Stream, epoch: u32) -> Random {
        let mut key = [0; 32];
        let (words, _) = key.as_chunks_mut();
        words[0] = seed.to_le_bytes();
        words[1] = record.to_le_bytes();
        let mut generator = ChaCha20Rng::from_seed(key);
        generator.set_stream(stream as u64 | u64::from(epoch) << 32);
        Random(generator)
    }

    /// A real in `[0, 1)`: a multiple of 2^-24.
    pub fn unit(&mut self) -> f32 {
        // At most 2^24 - 1: exact, and so is the scaling by a power of two.
        (self.0.next_u32() >> 8) as f32 * TWO_TO_MINUS_24
    }

    /// A whole number below `n`, each as likely as the next; 0 when `n` is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        let threshold = n.wrapping_neg().checked_rem(n).unwrap_or(0);
        loop {
            let product = u64::from(self.0.next_u32()) * u64::from(n);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// Puts `items` in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            // Records number below 2^32 (`dataset::MAX_RECORDS`), and nothing else is shuffled.
            let j = self.below(u32::try_from(i + 1).unwrap_or(u32::MAX));
            items.swap(i, j as usize);
        }
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random(..)")
    }
}

const TWO_TO_MINUS_24: f32 = 1.0 / 16_777_216.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_and_stream_are_as_documented() {
        // ChaCha20 with an all-zero key, block 0, stream 0: draft-agl-tls-chacha20poly1305, section 7.
        let mut random = Random::new(0, Stream::Init);
        let words = [random.0.next_u32(), random.0.next_u32()];
        assert_eq!(words, [0xade0_b876, 0x903d_f1a0]);
        // The same key with nonce 1 (as eight bytes little-endian): a stream of its own.
        let mut other = Random::new(0, Stream::Shuffle);
        assert_ne!(other.0.next_u32(), 0xade0_b876);
    }

    #[test]
    fn numbers_stay_in_range_and_reach_it() {
        let mut random = Random::new(7, Stream::Split);
        let mut seen = [0u32; 6];
        for _ in 0..6000 {
            seen[random.below(6) as usize] += 1;
            let unit = random.unit();
            assert!((0.0..1.0).contains(&unit));
        }
        assert!(seen.iter().all(|&n| (800..1200).contains(&n)), "{seen:?}");
        assert_eq!(random.below(1), 0);
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        Random::new(1, Stream::Shuffle).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
