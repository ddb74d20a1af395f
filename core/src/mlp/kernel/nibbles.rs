//! The reference kernel of int4 weights: plain Rust for any target.

use super::super::nibbles::{Blocks, TOPS};
use super::super::weights::BLOCK;

/// Adds `sum(w[o][i] * input[i])` to the sums of some outputs, four and four.
pub(super) fn products(blocks: Blocks<'_>, input: &[u8], sums: &mut [[i32; BLOCK]]) {
    let words = blocks.words.chunks_exact(blocks.columns.max(1));
    for (words, sums) in words.take(blocks.count).zip(sums) {
        block(words, input, sums);
    }
}

/// Adds the products of the next inputs, two a word, to the sums of a block's outputs.
///
/// No sum overflows: the bound `255 * 127 * inputs + |bias| <= i32::MAX` was proved when the layer was made, and what is
/// added here, `255 * 15 * inputs`, is below it. `wrapping_add` only says so to the compiler in every profile.
#[inline(never)]
pub(super) fn block(words: &[[u8; 4]], input: &[u8], sums: &mut [i32; BLOCK]) {
    let (pairs, rest) = input.as_chunks();
    let [mut sum0, mut sum1, mut sum2, mut sum3] = *sums;
    let mut all = 0_i32;
    let mut add = |word: [u8; 4], [x0, x1]: [u8; 2]| {
        // 8 more than its weight is each nibble.
        let nibbles = u32::from_le_bytes(word) ^ TOPS;
        let (x0, x1) = (i32::from(x0), i32::from(x1));
        let both = |place: u32| {
            let (even, odd) = (nibbles >> place & 15, nibbles >> (16 + place) & 15);
            (even as i32 * x0).wrapping_add(odd as i32 * x1)
        };
        sum0 = sum0.wrapping_add(both(0));
        sum1 = sum1.wrapping_add(both(4));
        sum2 = sum2.wrapping_add(both(8));
        sum3 = sum3.wrapping_add(both(12));
        all = all.wrapping_add(x0).wrapping_add(x1);
    };
    for (word, pair) in words.iter().zip(pairs) {
        add(*word, *pair);
    }
    if let (Some(word), [last]) = (words.get(pairs.len()), rest) {
        add(*word, [*last, 0]);
    }
    *sums = [sum0, sum1, sum2, sum3].map(|sum| sum.wrapping_sub(all.wrapping_mul(8)));
}
