//! How int8 weights lie in memory: so that a Cortex-M4 spends least on them.
//!
//! A word holds four weights, those of two outputs for two inputs. Its lower half is for the even input, its upper
//! one for the odd input, and each half is one signed number
//!
//! ```text
//! half = 256 * weight[odd output][input] + weight[even output][input]
//! ```
//!
//! One multiplication of both halves adds `256 * A + B` to a sum, and one of their sign-extended lower bytes adds
//! `B` to another, where `A` and `B` are what the odd and the even output are after: `A = (first - second) / 256`.
//! That division is exact as long as `|A| < 2^23`, which `FLUSH` inputs cannot leave.
//!
//! Outputs are taken in tiles of `TILE`, the last of which may be narrower. A tile is its columns, one for each two
//! inputs, up to a multiple of `GROUP` of them, and a column has two words for each four outputs. What lies beside the
//! layer's inputs and outputs is zero.

use super::weights::{BLOCK, TILE, columns};

/// Words of a column that are for them.
pub(super) const BLOCK_WORDS: usize = BLOCK / 2;

/// [`WeightType::pack`](super::WeightType::pack) of slices that have their lengths.
pub(super) fn pack(inputs: usize, outputs: usize, weights: &[u8], packed: &mut [u8]) -> Option<()> {
    let weight = |output: usize, input: usize| {
        let within = output < outputs && input < inputs;
        let weight = weights.get(output * inputs + input).filter(|_| within);
        i32::from(weight.copied().unwrap_or_default() as i8)
    };
    let (words, _) = packed.as_chunks_mut();
    for (word, (output, input)) in words.iter_mut().zip(places(inputs, outputs)) {
        let half = |input| {
            let both = 256 * weight(output + 1, input) + weight(output, input);
            (both as i16).to_le_bytes()
        };
        let [[a, b], [c, d]] = [half(input), half(input + 1)];
        *word = [a, b, c, d];
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
        for (input, both) in (input..inputs).zip(weights(*word)) {
            for (output, weight) in (output..outputs).zip(both) {
                *unpacked.get_mut(output * inputs + input)? = weight as u8;
            }
        }
    }
    Some(())
}

/// The first output and the first input of each word.
fn places(inputs: usize, outputs: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..outputs).step_by(TILE).flat_map(move |tile| {
        let words = column_words(outputs - tile);
        let columns = 0..columns(inputs);
        columns.flat_map(move |column| (0..words).map(move |word| (tile + 2 * word, 2 * column)))
    })
}

/// Some outputs' weights.
#[derive(Clone, Copy)]
pub(super) struct Tile<'w> {
    /// Its columns.
    pub(super) words: &'w [[u8; 4]],
    /// Words a column.
    pub(super) stride: usize,
}

/// The tile of a layer that begins with output `first`, a multiple of [`TILE`]; an empty one if there is none.
#[inline(never)] // from many places
pub(super) fn tile<'w>(
    inputs: usize,
    outputs: usize,
    words: &'w [[u8; 4]],
    first: usize,
) -> Tile<'w> {
    let columns = columns(inputs);
    let stride = column_words(outputs.saturating_sub(first));
    // Those before it are whole. Neither product wraps if there is this tile, since the layer has so many words; if there is
    // not, the second is 0.
    let words = words.get(columns.wrapping_mul(first / 2)..);
    let words = words.and_then(|words| words.get(..columns.wrapping_mul(stride)));
    Tile {
        words: words.unwrap_or_default(),
        stride,
    }
}

/// Words of a column of the next tile where so many outputs are left.
pub(super) const fn column_words(outputs: usize) -> usize {
    let outputs = if outputs < TILE { outputs } else { TILE };
    BLOCK_WORDS * outputs.div_ceil(BLOCK)
}

/// The weights of a word: for each input those of the even and the odd output.
#[inline(always)]
pub(super) fn weights([a, b, c, d]: [u8; 4]) -> [[i32; 2]; 2] {
    [[a, b], [c, d]].map(|half| {
        let both = i32::from(i16::from_le_bytes(half));
        let even = i32::from(both as i8);
        // Exact: its lower byte is zero.
        [even, (both - even) >> 8]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lies_as_documented() {
        // Three outputs, three inputs.
        let weights = [1_i8, 2, 3, -4, 5, 6, 127, -127, 9].map(|weight| weight as u8);
        let mut packed = [0xA5; 64];
        pack(3, 3, &weights, &mut packed).unwrap();
        let (halves, _) = packed.as_chunks();
        #[rustfmt::skip]
        let expected = [
            256 * -4 + 1, 256 * 5 + 2, 127, -127,
            256 * 6 + 3, 0, 9, 0,
        ];
        assert_eq!(halves[..8], expected.map(i16::to_le_bytes));
        assert!(halves[8..].iter().all(|half| *half == [0, 0]));
        let mut expected = [[[0; 2]; 2]; 16];
        expected[..4].copy_from_slice(&[
            [[1, -4], [2, 5]],
            [[127, 0], [-127, 0]],
            [[3, 6], [0, 0]],
            [[9, 0], [0, 0]],
        ]);
        assert_eq!(
            packed
                .as_chunks()
                .0
                .iter()
                .map(|word| super::weights(*word))
                .collect::<heapless::Vec<_, 16>>(),
            expected
        );
    }
}
