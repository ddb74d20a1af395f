//! The reference kernel: plain Rust for any target.

use super::super::packed::{BLOCK, BLOCK_WORDS, FLUSH, weights};

/// `sum(w[o][i] * input[i])` for the four outputs whose words come first in each `stride` of them.
///
/// No partial sum overflows: the bound `255 * sum(|w|) + |bias| <= i32::MAX` was proved when the layer was made,
/// and what wraps where two outputs share a sum goes out again. `wrapping_add` only says so to the compiler in every
/// profile.
#[inline]
pub(super) fn block(words: &[[u8; 4]], stride: usize, input: &[u8]) -> [i32; BLOCK] {
    let mut sums = [0; BLOCK];
    let columns = words.chunks(stride * (FLUSH / 2));
    for (columns, input) in columns.zip(input.chunks(FLUSH)) {
        let piece = piece(columns, stride, input);
        for (sum, piece) in sums.iter_mut().zip(piece) {
            *sum = i32::wrapping_add(*sum, piece);
        }
    }
    sums
}

/// The same for at most [`FLUSH`] inputs.
#[inline(always)]
fn piece(words: &[[u8; 4]], stride: usize, input: &[u8]) -> [i32; BLOCK] {
    let mut both = [0_i32; BLOCK_WORDS];
    let mut even = [0_i32; BLOCK_WORDS];
    let (pairs, rest) = input.as_chunks::<2>();
    let last = rest.first().map(|&input| [input, 0]);
    let mut columns = words.chunks(stride);
    for inputs in pairs.iter().copied().chain(last) {
        let Some(Some(column)) = columns
            .next()
            .map(|column| column.first_chunk::<BLOCK_WORDS>())
        else {
            break;
        };
        let [x0, x1] = inputs.map(i32::from);
        for ((word, both), even) in column.iter().zip(&mut both).zip(&mut even) {
            let [a, b, c, d] = *word;
            let products = |of: [i32; 2]| {
                let [first, second] = of;
                (first * x0).wrapping_add(second * x1)
            };
            let halves = [[a, b], [c, d]].map(|half| i32::from(i16::from_le_bytes(half)));
            let evens = [a, c].map(|byte| i32::from(byte as i8));
            *both = both.wrapping_add(products(halves));
            *even = even.wrapping_add(products(evens));
        }
    }
    let [e0, e2] = even;
    let [b0, b2] = both;
    // Exact: `packed` says why.
    [e0, b0.wrapping_sub(e0) >> 8, e2, b2.wrapping_sub(e2) >> 8]
}

/// Adds the products of two inputs to the sums of outputs, two a word.
#[inline]
pub(super) fn column(column: &[[u8; 4]], inputs: [u8; 2], sums: &mut [[i32; 2]]) {
    for (word, sums) in column.iter().zip(sums) {
        for (weights, input) in weights(*word).iter().zip(inputs) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = sum.wrapping_add(weight * i32::from(input));
            }
        }
    }
}
