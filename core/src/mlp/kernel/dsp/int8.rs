//! Sums of int8 weights' products.

use core::mem::MaybeUninit;
use core::slice;

use super::super::super::DenseRef;
use super::super::super::packed::{BLOCK_WORDS, Tile};
use super::super::super::weights::{BLOCK, GROUP, TILE};
use super::convert::{list_bytes, list_pairs};
use super::products::{combine, listed, part, whole};
use super::{Kind, Pairs, Work, piece};

/// `sum(w[o][i] * input[i])` of the outputs of the tile that begins with `first`.
///
/// # Safety
/// The layer has as many inputs as there are.
#[inline(never)]
pub(super) unsafe fn sums<'s>(
    layer: &DenseRef<'_>,
    first: usize,
    input: Pairs,
    room: &'s mut MaybeUninit<Work>,
) -> &'s [i32] {
    let Tile { words, stride } = layer.tile(first);
    let blocks = stride / BLOCK_WORDS;
    let piece = piece(layer, input);
    let work = room.as_mut_ptr();
    let mut done = 0;
    // SAFETY: the tile has so many columns of `stride` words, an even number; all words are aligned, as the layer says. Two
    // sums are written for each word of a column.
    unsafe {
        let each = (&raw mut (*work).each).cast::<i32>();
        let both = (&raw mut (*work).both).cast::<i32>();
        // What is no four blocks begins amid a turn of the loop.
        let both = both.byte_add(both.addr().wrapping_neg() % 64);
        let both = both.add(blocks.wrapping_neg() % 4 * BLOCK);
        while done < input.columns {
            let count = piece.min(input.columns - done);
            let words = words.as_ptr().cast::<u32>().add(done * stride);
            let pairs = input.at.cast::<u32>().add(done);
            let groups = count / (GROUP / 2);
            let (list, end) = match input.kind {
                Kind::Dense => {
                    if stride == TILE / 2 {
                        whole(words, pairs, groups, each, blocks, done);
                    } else {
                        part(words, pairs, groups, each, blocks, done, 4 * stride);
                    }
                    done += count;
                    continue;
                }
                Kind::Skip => {
                    let list = (&raw mut (*work).list).cast();
                    (list, list_pairs(pairs, count, words, 4 * stride, list))
                }
                Kind::SkipBytes => {
                    let bytes = input.at.add(2 * done);
                    let end = bytes.add(2 * count);
                    let list = input.list;
                    (list, list_bytes(bytes, end, words, 4 * stride, list))
                }
            };
            listed(list, end, both, blocks);
            combine(both, each, blocks, done);
            done += count;
        }
        slice::from_raw_parts(each, 2 * stride)
    }
}
