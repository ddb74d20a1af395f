//! The one entry to the arithmetic of a layer.
//!
//! `portable` is the reference: it is compiled everywhere and every other kernel must equal it,
//! bit for bit. A layer is proved when its [`DenseRef`] is made, so a kernel may add its products
//! in any order and any grouping without overflow.

mod portable;

use super::DenseRef;
use super::packed::{BLOCK, BLOCK_WORDS, Tile};

/// A hidden layer: `out[o] = clamp(requant(sum(w[o][i] * input[i]) + bias[o]), 0, 255)`.
///
/// The callers make sure that `input` has the layer's `inputs` bytes and `out` its `outputs`.
#[inline]
pub(super) fn hidden(layer: &DenseRef<'_>, input: &[u8], out: &mut [u8]) {
    for ((sum, row), activation) in sums(layer, input).zip(layer.rows()).zip(out) {
        *activation = row.requant.to_u8(sum.wrapping_add(row.bias));
    }
}

/// The output layer: `out[o] = saturate(requant(sum(w[o][i] * input[i]) + bias[o]))`.
///
/// Lengths as for [`hidden`].
#[inline]
pub(super) fn output(layer: &DenseRef<'_>, input: &[u8], out: &mut [i32]) {
    for ((sum, row), logit) in sums(layer, input).zip(layer.rows()).zip(out) {
        *logit = row.requant.to_i32(sum.wrapping_add(row.bias));
    }
}

/// `sum(w[o][i] * input[i])` of each output, and of those that fill up the last block.
#[inline]
fn sums(layer: &DenseRef<'_>, input: &[u8]) -> impl Iterator<Item = i32> {
    let blocks = layer.tiles().flat_map(move |Tile { words, stride }| {
        (0..stride).step_by(BLOCK_WORDS).map(move |first| {
            portable::block(words.get(first..).unwrap_or_default(), stride, input)
        })
    });
    blocks.flat_map(|sums: [i32; BLOCK]| sums)
}

/// Adds the products of two inputs to the sums of a tile's outputs.
#[inline]
pub(super) fn column(column: &[[u8; 4]], inputs: [u8; 2], sums: &mut [[i32; 2]]) {
    portable::column(column, inputs, sums);
}
