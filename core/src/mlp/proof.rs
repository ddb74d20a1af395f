//! What is proved of a layer before it is used: of one in memory and of one that is read in pieces alike.

#[cfg(feature = "int4")]
mod int4;
#[cfg(feature = "int8")]
mod int8;

use core::hint::black_box;

use super::stream::Source;
use super::{Granularity, LayerError, Quantisation, WeightType};
use crate::quant::{ACTIVATION_MAX, Requant, accumulator_bound};

/// Proves a layer of its biases, multipliers, shifts and weights: factors in range, then no accumulator that can
/// overflow, then weights in range. Gives what a kernel may rely on.
///
/// # Errors
///
/// The first thing found wrong; [`LayerError::Length`] also if a source ends before the layer does.
// Sources are objects, so that a device holds this once.
#[inline(never)]
pub(super) fn prove(
    inputs: usize,
    outputs: usize,
    Quantisation {
        weights,
        granularity,
    }: Quantisation,
    [biases, multipliers, shifts, packed]: [&mut dyn Source; 4],
) -> Result<Facts, LayerError> {
    if inputs == 0 || outputs == 0 {
        return Err(LayerError::Length);
    }
    let mut facts = Facts {
        narrow: false,
        quick: granularity == Granularity::PerOutput,
    };
    for row in 0..granularity.factors(outputs) {
        let ([shift], multiplier) = (next(shifts)?, i32::from_le_bytes(next(multipliers)?));
        Requant::new(multiplier, shift).map_err(|cause| LayerError::Requant { row, cause })?;
        facts.quick &= shift > 32;
    }
    for row in 0..outputs {
        let bias = i32::from_le_bytes(next(biases)?);
        if accumulator_bound(inputs, bias) > i64::from(i32::MAX) {
            return Err(LayerError::AccumulatorBound { row });
        }
    }
    facts.narrow = match weights {
        #[cfg(feature = "int8")]
        WeightType::Int8 => int8::prove(inputs, outputs, packed)?,
        #[cfg(feature = "int4")]
        WeightType::Int4 => int4::prove(inputs, outputs, packed)?,
    };
    Ok(facts)
}

/// What is found about a layer beside, for a kernel to rely on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts {
    /// No output's sum of products is so large that it must be taken out on the way of what it shares with others: see
    /// [`packed`](super::packed) and [`nibbles`](super::nibbles).
    pub(crate) narrow: bool,
    /// Each output has a factor of its own, with a shift above 32: it needs no more than a product's upper word.
    pub(crate) quick: bool,
}

/// A source's next bytes.
fn next<const N: usize>(source: &mut dyn Source) -> Result<[u8; N], LayerError> {
    let mut bytes = [0; N];
    source.fill(&mut bytes).ok_or(LayerError::Length)?;
    Ok(bytes)
}

/// Fills `words` in a loop. The compiler looks up the method here, not before the loop: so who reads the image's code can tell
/// what is called, and that nothing reaches itself.
#[inline(always)]
fn fill(source: &mut dyn Source, words: &mut [[u8; 4]]) -> Result<(), LayerError> {
    let source = black_box(source);
    source
        .fill(words.as_flattened_mut())
        .ok_or(LayerError::Length)
}

/// What weights of one sign may add up to where the sum of their products with inputs must stay below `limit`: inputs are
/// not negative, so no part of a sum leaves that.
const fn one_sign(limit: i32) -> i32 {
    (limit - 1) / ACTIVATION_MAX as i32
}

/// What weights of one sign add up to at most, from the sum of their magnitudes and their sum.
fn most([size, sum]: [i32; 2]) -> i32 {
    (size + sum.abs()) / 2
}
