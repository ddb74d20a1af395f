//! The reference kernel of int8 weights: plain Rust for any target.

use super::super::packed::{BLOCK_WORDS, Tile, weights};
use super::super::weights::{BLOCK, FLUSH, TILE};

/// Of each word of a block what its lower bytes come to, and its halves.
type Pieces = [i32; 2 * BLOCK_WORDS];

/// Adds `sum(w[o][i] * input[i])` to the sums of a tile's outputs, four and four.
///
/// No partial sum overflows: the bound `255 * 127 * inputs + |bias| <= i32::MAX` was proved when the layer was made,
/// and what wraps where two outputs share a sum goes out again. `wrapping_add` only says so to the compiler in every
/// profile.
pub(super) fn products(tile: Tile<'_>, input: &[u8], sums: &mut [[i32; BLOCK]]) {
    let Tile { mut words, stride } = tile;
    for input in input.chunks(FLUSH) {
        let (pairs, rest) = input.as_chunks();
        blocks(words, stride, pairs, sums);
        if let [last] = rest {
            let column = words.get(stride.saturating_mul(pairs.len())..);
            blocks(column.unwrap_or_default(), stride, &[[*last, 0]], sums);
        }
        words = words
            .get(stride.saturating_mul(FLUSH / 2)..)
            .unwrap_or_default();
    }
}

/// Adds the products of no more than `FLUSH` inputs.
#[inline(never)]
fn blocks(words: &[[u8; 4]], stride: usize, pairs: &[[u8; 2]], sums: &mut [[i32; BLOCK]]) {
    let (columns, _) = words.as_chunks();
    let mut at = 0;
    for sums in sums {
        if at >= stride {
            break;
        }
        let mut pieces = [0; BLOCK];
        if stride == TILE / 2 {
            whole(columns, at, pairs, &mut pieces);
        } else {
            part(words, stride, at, pairs, &mut pieces);
        }
        let [even0, both0, even1, both1] = pieces;
        let [sum0, sum1, sum2, sum3] = sums;
        *sum0 = sum0.wrapping_add(even0);
        // Exact: `packed` says why.
        *sum1 = sum1.wrapping_add(both0.wrapping_sub(even0) >> 8);
        *sum2 = sum2.wrapping_add(even1);
        *sum3 = sum3.wrapping_add(both1.wrapping_sub(even1) >> 8);
        at += BLOCK_WORDS;
    }
}

/// Adds what two words have of two inputs. Written out, so that all sums stay in registers; those of two words are as many
/// as a Cortex-M has registers for.
macro_rules! add {
    ($sums:ident, $first:expr, $second:expr, $inputs:expr) => {{
        let [even0, both0, even1, both1] = &mut $sums;
        let [x0, x1] = $inputs;
        let (x0, x1) = (i32::from(x0), i32::from(x1));
        let word = i32::from_le_bytes($first);
        *even0 = even0
            .wrapping_add(i32::from(word as i8) * x0)
            .wrapping_add(i32::from((word >> 16) as i8) * x1);
        *both0 = both0
            .wrapping_add(i32::from(word as i16) * x0)
            .wrapping_add((word >> 16) * x1);
        let word = i32::from_le_bytes($second);
        *even1 = even1
            .wrapping_add(i32::from(word as i8) * x0)
            .wrapping_add(i32::from((word >> 16) as i8) * x1);
        *both1 = both1
            .wrapping_add(i32::from(word as i16) * x0)
            .wrapping_add((word >> 16) * x1);
    }};
}

/// The columns of a whole tile.
#[inline(never)]
fn whole(columns: &[[[u8; 4]; TILE / 2]], at: usize, pairs: &[[u8; 2]], pieces: &mut Pieces) {
    let at = at.min(TILE / 2 - BLOCK_WORDS);
    let count = columns.len().min(pairs.len());
    let (Some(columns), Some(pairs)) = (columns.get(..count), pairs.get(..count)) else {
        return;
    };
    if count == 0 {
        return;
    }
    let mut sums = *pieces;
    // Counted by hand, with the end of the loop at its end: of each turn's instructions a compiler that is told to make
    // small code has three for counting then, with iterators twice as many.
    let mut column = 0;
    while let (Some(words), Some(inputs)) = (columns.get(column), pairs.get(column)) {
        let (Some(first), Some(second)) = (words.get(at), words.get(at + 1)) else {
            break;
        };
        add!(sums, *first, *second, *inputs);
        column += 1;
        if column == count {
            break;
        }
    }
    *pieces = sums;
}

/// The columns of a tile of any width.
#[inline(never)]
fn part(words: &[[u8; 4]], stride: usize, at: usize, pairs: &[[u8; 2]], pieces: &mut Pieces) {
    let mut sums = *pieces;
    let mut words = words.get(at..).unwrap_or_default();
    for inputs in pairs {
        let Some([first, second]) = words.first_chunk() else {
            break;
        };
        add!(sums, *first, *second, *inputs);
        words = words.get(stride..).unwrap_or_default();
    }
    *pieces = sums;
}

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
