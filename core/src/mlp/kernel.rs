//! The arithmetic of a layer.
//!
//! `portable` is the reference: it is compiled everywhere and every other kernel must equal it,
//! bit for bit. A layer is proved when its [`DenseRef`] is made, so a kernel may add its products
//! in any order and any grouping without overflow.

#[cfg(sealnet_dsp)]
pub(super) mod dsp;
#[cfg(feature = "int4")]
mod nibbles;
#[cfg(feature = "int8")]
mod portable;
#[cfg(all(feature = "batch", target_arch = "x86_64"))]
pub(super) mod x86;

#[cfg(feature = "int4")]
use super::weights::BLOCK;
use super::weights::TILE;
use super::{DenseRef, WeightType};

/// A hidden layer: `out[o] = clamp(requant(sum(w[o][i] * input[i]) + bias[o]), 0, 255)`.
///
/// The callers make sure that `input` has the layer's `inputs` bytes and `out` its `outputs`.
pub(super) fn hidden(layer: &DenseRef<'_>, input: &[u8], out: &mut [u8]) {
    for (out, first) in out.chunks_mut(TILE).zip((0..).step_by(TILE)) {
        let mut sums = [0; TILE];
        self::sums(layer, first, input, &mut sums);
        for ((sum, activation), output) in sums.iter().zip(out).zip(first..) {
            let row = layer.row_within(output);
            *activation = row.map_or(0, |row| row.requant.to_u8(row.bias.wrapping_add(*sum)));
        }
    }
}

/// The output layer: `out[o] = saturate(requant(sum(w[o][i] * input[i]) + bias[o]))`.
///
/// Lengths as for [`hidden`].
pub(super) fn output(layer: &DenseRef<'_>, input: &[u8], out: &mut [i32]) {
    for (out, first) in out.chunks_mut(TILE).zip((0..).step_by(TILE)) {
        let mut sums = [0; TILE];
        self::sums(layer, first, input, &mut sums);
        for ((sum, logit), output) in sums.iter().zip(out).zip(first..) {
            let row = layer.row_within(output);
            *logit = row.map_or(0, |row| row.requant.to_i32(row.bias.wrapping_add(*sum)));
        }
    }
}

/// `sum(w[o][i] * input[i])` of no more than a tile's outputs, the first of which is `first`, added to `sums`.
#[inline(never)]
fn sums(layer: &DenseRef<'_>, first: usize, input: &[u8], sums: &mut [i32; TILE]) {
    let (sums, _) = sums.as_chunks_mut();
    match layer.weight_type() {
        #[cfg(feature = "int8")]
        WeightType::Int8 => portable::products(layer.tile(first), input, sums),
        #[cfg(feature = "int4")]
        WeightType::Int4 => nibbles::products(layer.blocks(first), input, sums),
    }
}

/// Adds the products of two inputs to the sums of a tile's outputs.
#[cfg(feature = "int8")]
#[inline]
pub(super) fn column(column: &[[u8; 4]], inputs: [u8; 2], sums: &mut [[i32; 2]]) {
    portable::column(column, inputs, sums);
}

/// Adds the products of the next inputs, two a word, to the sums of a block's outputs.
#[cfg(feature = "int4")]
#[inline]
pub(super) fn block(words: &[[u8; 4]], input: &[u8], sums: &mut [i32; BLOCK]) {
    nibbles::block(words, input, sums);
}
