//! Sums of int4 weights' products.

use core::mem::MaybeUninit;
use core::slice;

use super::super::super::DenseRef;
use super::super::super::nibbles::Blocks;
use super::super::super::weights::{BLOCK, GROUP};
use super::convert::{list_bytes, list_pairs};
use super::nibbles::{combine, listed, total, whole};
use super::{Kind, Pairs, Work, piece};

/// `sum(w[o][i] * input[i])` of no more than a tile's outputs, the first of which is `first`.
///
/// # Safety
/// The layer has as many inputs as there are, and an output `first`.
#[inline(never)]
pub(super) unsafe fn sums<'s>(
    layer: &DenseRef<'_>,
    first: usize,
    input: Pairs,
    room: &'s mut MaybeUninit<Work>,
) -> &'s [i32] {
    let Blocks {
        words,
        columns,
        count: blocks,
    } = layer.blocks(first);
    let piece = piece(layer, input);
    let work = room.as_mut_ptr();
    let mut done = 0;
    // SAFETY: there is a block, and each has as many columns as there are pairs, a word each; all words are aligned, as the
    // layer says. Four sums are written for each block.
    unsafe {
        let each = (&raw mut (*work).each).cast::<i32>();
        let shared = (&raw mut (*work).both).cast::<i32>();
        while done < input.columns {
            let count = piece.min(input.columns - done);
            let words = words.as_ptr().cast::<u32>().add(done);
            let pairs = input.at.cast::<u32>().add(done);
            let (list, end) = match input.kind {
                Kind::Dense => {
                    whole(
                        words,
                        pairs,
                        count / (GROUP / 2),
                        shared,
                        blocks,
                        4 * columns,
                    );
                    let total = total(pairs, pairs.add(count), 4);
                    combine(shared, each, blocks, done, 8 * total);
                    done += count;
                    continue;
                }
                Kind::Skip => {
                    let list = (&raw mut (*work).list).cast();
                    (list, list_pairs(pairs, count, words, 4, list))
                }
                Kind::SkipBytes => {
                    let bytes = input.at.add(2 * done);
                    let list = input.list;
                    (
                        list,
                        list_bytes(bytes, bytes.add(2 * count), words, 4, list),
                    )
                }
            };
            // Of each entry its pair.
            let total = total(list.add(1), end.add(1), 8);
            listed(list, end, shared, blocks, 4 * columns, words);
            combine(shared, each, blocks, done, 8 * total);
            done += count;
        }
        slice::from_raw_parts(each, BLOCK * blocks)
    }
}
