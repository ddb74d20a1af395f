//! How int4 weights lie in memory: so that a Cortex-M4 spends least on them.
//!
//! A word holds eight weights, those of four outputs for two inputs. Its lower half is for the even input, its upper
//! one for the odd input, and each half is one signed number
//!
//! ```text
//! half = 4096 * w[3] + 256 * (w[2] + 8) + 16 * (w[1] + 8) + (w[0] + 8)
//! ```
//!
//! So three nibbles are numbers without a sign, which a mask cuts out of both halves at once. The products of the inputs with
//! those, and with the whole half, are added to four sums:
//!
//! ```text
//! S[0] = A[0] + 8 * X      S[1] = 16 * (A[1] + 8 * X)      S[2] = 256 * (A[2] + 8 * X)
//! S    = 4096 * A[3] + S[2] + S[1] + S[0]
//! ```
//!
//! where `A` is what the four outputs are after and `X` the sum of the inputs. `(S - S[0] - S[1] - S[2]) / 4096` is exact as
//! long as `|A[3]| < 2^19`, and the others as long as `S[2] < 2^32`, both of which `FLUSH` inputs cannot leave.
//!
//! The words of a block of four outputs lie one after the other, one for each two inputs up to a multiple of `GROUP` of
//! them, and so do the blocks. What lies beside the layer's inputs and outputs are weights of 0.

use super::weights::{BLOCK, TILE, columns};

/// [`WeightType::pack`](super::WeightType::pack) of slices that have their lengths.
pub(super) fn pack(inputs: usize, outputs: usize, weights: &[u8], packed: &mut [u8]) -> Option<()> {
    let weight = |output: usize, input: usize| {
        let within = output < outputs && input < inputs;
        let weight = weights.get(output * inputs + input).filter(|_| within);
        weight.copied().unwrap_or_default() as i8
    };
    let (words, _) = packed.as_chunks_mut();
    for (word, (output, input)) in words.iter_mut().zip(places(inputs, outputs)) {
        let mut nibbles = 0;
        for (half, input) in (input..input + 2).enumerate() {
            for (place, output) in (output..output + BLOCK).enumerate() {
                let weight = weight(output, input);
                if !(-7..=7).contains(&weight) {
                    return None;
                }
                nibbles |= ((weight + 8) as u32) << (16 * half + 4 * place);
            }
        }
        *word = (nibbles ^ TOPS).to_le_bytes();
    }
    Some(())
}

/// [`WeightType::unpack`](super::WeightType::unpack) of slices that have their lengths.
pub(super) fn unpack(
    inputs: usize,
    outputs: usize,
    packed: &[u8],
    unpacked: &mut [u8],
) -> Option<()> {
    let (words, _) = packed.as_chunks();
    for (word, (output, input)) in words.iter().zip(places(inputs, outputs)) {
        for (input, four) in (input..inputs).zip(weights(*word)) {
            for (output, weight) in (output..outputs).zip(four) {
                *unpacked.get_mut(output * inputs + input)? = weight as u8;
            }
        }
    }
    Some(())
}

/// The first output and the first input of each word.
fn places(inputs: usize, outputs: usize) -> impl Iterator<Item = (usize, usize)> {
    let blocks = (0..outputs).step_by(BLOCK);
    blocks.flat_map(move |output| (0..columns(inputs)).map(move |column| (output, 2 * column)))
}

/// No more than [`TILE`] outputs' weights.
#[derive(Clone, Copy)]
pub(super) struct Blocks<'w> {
    /// One block's after the other's.
    pub(super) words: &'w [[u8; 4]],
    /// Words a block.
    pub(super) columns: usize,
    /// How many blocks.
    pub(super) count: usize,
}

/// Those of a layer that begin with output `first`, a multiple of [`BLOCK`]; none if there are none.
pub(super) fn blocks<'w>(
    inputs: usize,
    outputs: usize,
    words: &'w [[u8; 4]],
    first: usize,
) -> Blocks<'w> {
    let columns = columns(inputs);
    let count = outputs.saturating_sub(first).min(TILE).div_ceil(BLOCK);
    // Neither product wraps, since the layer has so many words; if there is no such block, the second is 0.
    let words = words.get(columns.wrapping_mul(first / BLOCK)..);
    let words = words.and_then(|words| words.get(..columns.wrapping_mul(count)));
    Blocks {
        words: words.unwrap_or_default(),
        columns,
        count,
    }
}

/// The weights of a word: for each input those of the four outputs.
#[inline(always)]
pub(super) fn weights(word: [u8; 4]) -> [[i32; BLOCK]; 2] {
    let nibbles = u32::from_le_bytes(word) ^ TOPS;
    [0, 16].map(|half| [0, 4, 8, 12].map(|place| (nibbles >> (half + place) & 15) as i32 - 8))
}

/// What makes the upper nibble of a half, which has a sign, one more that is 8 above its weight.
pub(super) const TOPS: u32 = 0x8000_8000;

#[cfg(test)]
mod tests {
    use super::super::WeightType;
    use super::*;

    const fn packed_len(inputs: usize, outputs: usize) -> usize {
        WeightType::Int4.packed_len(inputs, outputs)
    }

    #[test]
    fn lies_as_documented() {
        // Five outputs, three inputs.
        let mut rows = [[0_i8; 3]; 5];
        rows[..4].copy_from_slice(&[[1, 2, 3], [-4, 5, 6], [7, -7, 0], [-1, -7, 7]]);
        rows[4] = [-7, 0, 1];
        let weights = rows.as_flattened().iter().map(|weight| *weight as u8);
        let weights: heapless::Vec<u8, 15> = weights.collect();
        let mut packed = [0xA5; 64];
        assert_eq!(packed.len(), packed_len(3, 5));
        pack(3, 5, &weights, &mut packed).unwrap();
        let half = |w: [i32; 4]| {
            let half = 4096 * w[3] + 256 * (w[2] + 8) + 16 * (w[1] + 8) + (w[0] + 8);
            i16::try_from(half).unwrap().to_le_bytes()
        };
        let (halves, _) = packed.as_chunks::<2>();
        let (first, second) = halves.split_at(16);
        let column = |input: usize| [0, 1, 2, 3].map(|row: usize| i32::from(rows[row][input]));
        let none = half([0; 4]);
        assert_eq!(
            first[..3],
            [half(column(0)), half(column(1)), half(column(2))]
        );
        assert_eq!(second[..3], [half([-7, 0, 0, 0]), none, half([1, 0, 0, 0])]);
        assert!(
            first[3..]
                .iter()
                .chain(&second[3..])
                .all(|half| *half == none)
        );
        let mut unpacked = [0; 15];
        unpack(3, 5, &packed, &mut unpacked).unwrap();
        assert_eq!(unpacked[..], weights[..]);
    }

    #[test]
    fn what_does_not_fit_a_nibble_is_refused() {
        for weight in [8_i8, -8, 127, -128] {
            let mut packed = [0; packed_len(1, 2)];
            assert_eq!(pack(1, 2, &[0, weight as u8], &mut packed), None);
        }
    }
}
