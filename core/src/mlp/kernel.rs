//! The one entry to the arithmetic of a layer.
//!
//! `portable` is the reference: it is compiled everywhere and every other kernel must equal it,
//! bit for bit. A layer is proved when its [`DenseRef`] is made, so a kernel may add its products
//! in any order and any grouping without overflow.

mod portable;

use super::DenseRef;

/// A hidden layer: `out[o] = clamp(requant(sum(w[o][i] * input[i]) + bias[o]), 0, 255)`.
///
/// The callers make sure that `input` has the layer's `inputs` bytes and `out` its `outputs`.
#[inline]
pub(super) fn hidden(layer: &DenseRef<'_>, input: &[u8], out: &mut [u8]) {
    for (row, activation) in layer.rows().zip(out) {
        *activation = row.requant.to_u8(accumulate(row.weights, input, row.bias));
    }
}

/// The output layer: `out[o] = saturate(requant(sum(w[o][i] * input[i]) + bias[o]))`.
///
/// Lengths as for [`hidden`].
#[inline]
pub(super) fn output(layer: &DenseRef<'_>, input: &[u8], out: &mut [i32]) {
    for (row, logit) in layer.rows().zip(out) {
        *logit = row.requant.to_i32(accumulate(row.weights, input, row.bias));
    }
}

/// `start + sum(weights[i] * input[i])`, of a row or of a piece of one: whose sum starts at the bias, or
/// where the piece before it ended.
#[inline]
pub(super) fn accumulate(weights: &[u8], input: &[u8], start: i32) -> i32 {
    portable::accumulate(weights, input, start)
}
