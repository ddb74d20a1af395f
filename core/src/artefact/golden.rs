//! Golden vectors: synthetic inputs whose logits the artefact carries, so that a device proves to
//! itself, before it serves, that it computes what the exporter computed.

use super::ArtefactError;
use super::plaintext::Plaintext;
use super::section::Golden;
use crate::mlp::{Network, ShapeError};

/// The most vectors that an artefact carries.
pub const GOLDEN_MAX: u16 = 16;

/// Makes golden input `vector` (from 0) for `seed`: one byte a feature, never a record.
///
/// The bytes come from SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014), whose state starts at `seed + vector * 2^32` modulo 2^64. Each word:
///
/// ```text
/// state += 0x9E3779B97F4A7C15
/// z = state
/// z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
/// z = (z ^ (z >> 27)) * 0x94D049BB133111EB
/// word = z ^ (z >> 31)
/// ```
///
/// modulo 2^64. Each feature takes one word. In an even vector it is the word's low byte. In an odd
/// vector it is the low byte if the high byte is below 51, and otherwise 0: about 80 % zeros, as in
/// an image with background.
pub fn expand(seed: u64, vector: u16, features: &mut [u8]) {
    let mut state = seed.wrapping_add(u64::from(vector) << 32);
    let sparse = vector % 2 == 1;
    for feature in features {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let [low, .., high] = (z ^ (z >> 31)).to_le_bytes();
        *feature = if sparse && high >= KEPT { 0 } else { low };
    }
}

/// Computes the logits of golden input `vector` (from 0).
///
/// `scratch` holds at least [`Shape::golden_scratch_len`](crate::mlp::Shape::golden_scratch_len)
/// bytes and `logits` one for each output.
///
/// # Errors
///
/// [`ShapeError`] if a buffer has the wrong length.
pub fn golden_logits(
    network: &Network<'_>,
    seed: u64,
    vector: u16,
    scratch: &mut [u8],
    logits: &mut [i32],
) -> Result<(), ShapeError> {
    let (features, scratch) = scratch
        .split_at_mut_checked(usize::from(network.shape().input()))
        .ok_or(ShapeError::Scratch)?;
    expand(seed, vector, features);
    network.infer(features, scratch, logits)
}

impl Golden {
    /// Runs every vector through a network whose widths are known at compile time.
    ///
    /// Stack: `IN + 4 * OUT` bytes beside the network's own.
    pub(super) fn check<const IN: usize, const OUT: usize>(
        &self,
        body: &dyn Plaintext,
        network: impl Fn(&[u8; IN], &mut [i32; OUT]) -> Option<()>,
    ) -> Result<(), ArtefactError> {
        for vector in 0..self.count {
            let mut features = [0; IN];
            expand(self.seed, vector, &mut features);
            let mut logits = [0; OUT];
            network(&features, &mut logits).ok_or(ShapeError::Dimensions)?;
            self.compare(body, vector, &logits)?;
        }
        Ok(())
    }

    /// Runs every vector through a run-time network, with the caller's buffers.
    pub(super) fn check_any(
        &self,
        body: &dyn Plaintext,
        network: &Network<'_>,
        scratch: &mut [u8],
        logits: &mut [i32],
    ) -> Result<(), ArtefactError> {
        for vector in 0..self.count {
            golden_logits(network, self.seed, vector, scratch, logits)?;
            self.compare(body, vector, logits)?;
        }
        Ok(())
    }

    fn compare(
        &self,
        body: &dyn Plaintext,
        vector: u16,
        logits: &[i32],
    ) -> Result<(), ArtefactError> {
        // The section holds `count` vectors of `logits.len()`: at most 16 * 65,535.
        let start = usize::from(vector) * logits.len();
        let equal = logits.iter().zip(start..).all(|(&logit, index)| {
            self.logits.word(body, index).map(i32::from_le_bytes) == Some(logit)
        });
        if equal {
            Ok(())
        } else {
            Err(ArtefactError::Golden { vector })
        }
    }
}

/// 51 of 256 is 19.9 %.
const KEPT: u8 = 51;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_its_published_words() {
        // Seed 1234567, first word 6457827717110365317 = 0x599E_D017_FB08_FC85.
        let mut features = [0; 1];
        expand(1_234_567, 0, &mut features);
        assert_eq!(features, [0x85]);
    }

    #[test]
    fn even_vectors_are_dense_and_odd_ones_sparse() {
        let mut dense = [0; 784];
        let mut sparse = [0; 784];
        expand(7, 2, &mut dense);
        expand(7, 3, &mut sparse);
        let zeros = |v: &[u8]| v.iter().filter(|&&b| b == 0).count();
        assert!(zeros(&dense) < 12, "{}", zeros(&dense));
        assert!((580..680).contains(&zeros(&sparse)), "{}", zeros(&sparse));
    }
}
