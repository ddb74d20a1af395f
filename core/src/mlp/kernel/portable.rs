//! The reference kernel: plain Rust for any target.

use super::super::packed::{FLUSH, weights};

/// Adds `sum(w[o][i] * input[i])` to the sums of the outputs whose words come first in each `stride` of them: four
/// or eight.
///
/// No partial sum overflows: the bound `255 * 127 * inputs + |bias| <= i32::MAX` was proved when the layer was made,
/// and what wraps where two outputs share a sum goes out again. `wrapping_add` only says so to the compiler in every
/// profile.
macro_rules! block {
    ($name:ident, $columns:ident, $outputs:literal: $($word:literal)*) => {
        pub(super) fn $name(words: &[[u8; 4]], stride: usize, input: &[u8], sums: &mut [i32; $outputs]) {
            let mut columns = words;
            for input in input.chunks(FLUSH) {
                // Of each word what its lower bytes come to, and its halves.
                let mut pieces = [[0_i32; 2]; $outputs / 2];
                let (pairs, rest) = input.as_chunks();
                $columns(columns, stride, pairs, &mut pieces);
                if let [last] = rest {
                    let column = columns.get(stride.saturating_mul(pairs.len())..);
                    $columns(column.unwrap_or_default(), stride, &[[*last, 0]], &mut pieces);
                }
                columns = columns.get(stride.saturating_mul(FLUSH / 2)..).unwrap_or_default();
                $({
                    let [even, both] = pieces[$word];
                    sums[2 * $word] = sums[2 * $word].wrapping_add(even);
                    // Exact: `packed` says why.
                    let odd = both.wrapping_sub(even) >> 8;
                    sums[2 * $word + 1] = sums[2 * $word + 1].wrapping_add(odd);
                })*
            }
        }

        #[inline(never)]
        fn $columns(words: &[[u8; 4]], stride: usize, pairs: &[[u8; 2]], sums: &mut [[i32; 2]; $outputs / 2]) {
            let mut pieces = *sums;
            // Written out, since a compiler that is told to make small code would spend more instructions on
            // counting than on products.
            for (column, &[x0, x1]) in words.chunks(stride.max(1)).zip(pairs) {
                let Some(column) = column.first_chunk::<{ $outputs / 2 }>() else {
                    break;
                };
                let (x0, x1) = (i32::from(x0), i32::from(x1));
                $({
                    let word = i32::from_le_bytes(column[$word]);
                    let [even, both] = &mut pieces[$word];
                    *even = even
                        .wrapping_add(i32::from(word as i8) * x0)
                        .wrapping_add(i32::from((word >> 16) as i8) * x1);
                    *both = both
                        .wrapping_add(i32::from(word as i16) * x0)
                        .wrapping_add((word >> 16) * x1);
                })*
            }
            *sums = pieces;
        }
    };
}

block!(block_of_4, columns_of_4, 4: 0 1);
block!(block_of_8, columns_of_8, 8: 0 1 2 3);

/// Adds the products of two inputs to the sums of outputs, two a word.
#[inline]
pub(super) fn column(column: &[[u8; 4]], [x0, x1]: [u8; 2], sums: &mut [[i32; 2]]) {
    let (x0, x1) = (i32::from(x0), i32::from(x1));
    for (word, [even, odd]) in column.iter().zip(sums) {
        let [[even0, odd0], [even1, odd1]] = weights(*word);
        *even = even.wrapping_add(even0 * x0).wrapping_add(even1 * x1);
        *odd = odd.wrapping_add(odd0 * x0).wrapping_add(odd1 * x1);
    }
}
