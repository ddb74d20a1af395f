//! The arithmetic of a layer.
//!
//! `portable` is the reference: it is compiled everywhere and every other kernel must equal it,
//! bit for bit. A layer is proved when its [`DenseRef`] is made, so a kernel may add its products
//! in any order and any grouping without overflow.

#[cfg(sealnet_dsp)]
pub(super) mod dsp;
mod portable;
#[cfg(all(feature = "batch", target_arch = "x86_64"))]
pub(super) mod x86;

use super::DenseRef;
use super::packed::{TILE, Tile};

/// A hidden layer: `out[o] = clamp(requant(sum(w[o][i] * input[i]) + bias[o]), 0, 255)`.
///
/// The callers make sure that `input` has the layer's `inputs` bytes and `out` its `outputs`.
pub(super) fn hidden(layer: &DenseRef<'_>, input: &[u8], out: &mut [u8]) {
    for (out, first) in out.chunks_mut(TILE).zip((0..).step_by(TILE)) {
        let mut sums = [0; TILE];
        portable(layer.tile(first), input, &mut sums);
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
        portable(layer.tile(first), input, &mut sums);
        for ((sum, logit), output) in sums.iter().zip(out).zip(first..) {
            let row = layer.row_within(output);
            *logit = row.map_or(0, |row| row.requant.to_i32(row.bias.wrapping_add(*sum)));
        }
    }
}

/// `sum(w[o][i] * input[i])` of the tile's outputs, added to `sums`.
#[inline(never)]
fn portable(tile: Tile<'_>, input: &[u8], sums: &mut [i32; TILE]) {
    portable::products(tile, input, sums.as_chunks_mut().0);
}

/// Adds the products of two inputs to the sums of a tile's outputs.
#[inline]
pub(super) fn column(column: &[[u8; 4]], inputs: [u8; 2], sums: &mut [[i32; 2]]) {
    portable::column(column, inputs, sums);
}
