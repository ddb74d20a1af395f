//! The integer network: three dense layers, `input → hidden 1 (ReLU) → hidden 2 (ReLU) → logits`.
//!
//! Everything is integer, and everything but the accumulators is a byte:
//!
//! - input: unsigned 8-bit features, zero point 0. A normalisation such as `x / 255 - 0.5` is
//!   folded into the first layer's bias by the exporter, so the network takes raw pixels.
//! - hidden activations: unsigned 8-bit, zero point 0. ReLU is the clamp at 0 of [`Requant::to_u8`].
//! - weights: signed 8-bit in `[-127, 127]`, [packed](WeightType::pack) two outputs in a halfword; or signed 4-bit in
//!   `[-7, 7]`, four in a halfword.
//! - biases and accumulators: `i32`. Every row satisfies `255 * 127 * inputs + |bias| <= i32::MAX`,
//!   checked when a [`DenseRef`] is made, so no partial sum overflows in any order.
//! - logits: `i32` on one common scale; `real logit = logit_scale * logit`.
//!
//! [`Network`] takes its shape at run time and its buffers from the caller: the host runs any
//! model with it. [`Mlp`] takes its shape at compile time and keeps its activations on the stack;
//! a device runs layers of one shape in the same way. `stream` runs a layer that is read in pieces. With the feature `batch`, `Batch` runs
//! many records at once, with what a host's processor has. All give the same integers: see `kernel`.
//!
//! [`Requant::to_u8`]: crate::quant::Requant::to_u8

#[cfg(feature = "any-width")]
mod any;
#[cfg(feature = "batch")]
mod batch;
mod kernel;
mod layer;
#[cfg(feature = "int4")]
mod nibbles;
#[cfg(feature = "int8")]
mod packed;
mod proof;
pub(crate) mod stream;
mod weights;

use core::fmt;

#[cfg(feature = "any-width")]
pub use any::{AnyWidth, Input};
#[cfg(feature = "batch")]
pub use batch::{Batch, BatchLayer, HostKernel, Unavailable};
pub use layer::{Dense, DenseRef, LayerBytes, LayerError, Row};
pub(crate) use proof::Facts;
pub(crate) use weights::packed_len;
pub use weights::{Granularity, Quantisation, WeightType};

/// The four widths of a network, each at least 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    widths: [u16; 4],
}

impl Shape {
    /// Widths from input to output.
    ///
    /// # Errors
    ///
    /// [`ShapeError::Zero`] if one of them is 0.
    pub const fn new(
        input: u16,
        hidden1: u16,
        hidden2: u16,
        output: u16,
    ) -> Result<Self, ShapeError> {
        if input == 0 || hidden1 == 0 || hidden2 == 0 || output == 0 {
            return Err(ShapeError::Zero);
        }
        Ok(Self {
            widths: [input, hidden1, hidden2, output],
        })
    }

    /// `[input, hidden1, hidden2, output]`, each at least 1.
    #[must_use]
    pub const fn widths(&self) -> [u16; 4] {
        self.widths
    }

    /// Number of features.
    #[must_use]
    pub const fn input(&self) -> u16 {
        let [input, _, _, _] = self.widths;
        input
    }

    /// Width of the first hidden layer.
    #[must_use]
    pub const fn hidden1(&self) -> u16 {
        let [_, hidden1, _, _] = self.widths;
        hidden1
    }

    /// Width of the second hidden layer.
    #[must_use]
    pub const fn hidden2(&self) -> u16 {
        let [_, _, hidden2, _] = self.widths;
        hidden2
    }

    /// Number of classes.
    #[must_use]
    pub const fn output(&self) -> u16 {
        let [_, _, _, output] = self.widths;
        output
    }

    /// `(inputs, outputs)` of the three layers.
    #[must_use]
    pub const fn layers(&self) -> [(usize, usize); 3] {
        let [input, hidden1, hidden2, output] = self.widths;
        [
            (input as usize, hidden1 as usize),
            (hidden1 as usize, hidden2 as usize),
            (hidden2 as usize, output as usize),
        ]
    }

    /// Bytes of scratch that [`Network::infer`] needs: both hidden layers' activations.
    #[must_use]
    pub const fn scratch_len(&self) -> usize {
        self.hidden1() as usize + self.hidden2() as usize
    }

    /// Bytes of scratch that a golden vector needs: its features, and [`scratch_len`](Self::scratch_len).
    #[must_use]
    pub const fn golden_scratch_len(&self) -> usize {
        self.input() as usize + self.scratch_len()
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [input, hidden1, hidden2, output] = self.widths;
        write!(f, "{input}-{hidden1}-{hidden2}-{output}")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Shape {
    fn format(&self, f: defmt::Formatter<'_>) {
        let [input, hidden1, hidden2, output] = self.widths;
        defmt::write!(f, "{}-{}-{}-{}", input, hidden1, hidden2, output);
    }
}

/// Why layers or buffers do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ShapeError {
    /// A width is 0.
    Zero,
    /// A width does not fit 16 bits.
    TooWide,
    /// A layer's inputs are not the outputs of the layer before it.
    Chain,
    /// The layers do not all have one weight type and one granularity.
    Quantisation,
    /// The network's shape is not the one asked for at compile time.
    Dimensions,
    /// The features are not as many as the network's inputs.
    Features,
    /// The scratch buffer is shorter than [`Shape::scratch_len`].
    Scratch,
    /// The logits buffer is not as long as the network's outputs.
    Logits,
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zero => "a width is 0",
            Self::TooWide => "a width does not fit 16 bits",
            Self::Chain => "a layer's inputs are not the outputs of the layer before it",
            Self::Quantisation => "the layers do not all have the same weight type and granularity",
            Self::Dimensions => "the network does not have the shape asked for",
            Self::Features => "the number of features is not the network's number of inputs",
            Self::Scratch => "the scratch buffer is too short",
            Self::Logits => "the logits buffer is not as long as the number of classes",
        })
    }
}

impl core::error::Error for ShapeError {}

/// A network whose shape is known at run time. Its weights lie where the caller keeps them.
#[derive(Debug, Clone, Copy)]
pub struct Network<'w> {
    shape: Shape,
    layers: [DenseRef<'w>; 3],
}

impl<'w> Network<'w> {
    /// Joins three layers, first to last.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if they do not follow on from each other, differ in weight type or granularity, or have
    /// a width above 65,535.
    pub fn new(layers: [DenseRef<'w>; 3]) -> Result<Self, ShapeError> {
        let [first, second, third] = &layers;
        if first.outputs() != second.inputs() || second.outputs() != third.inputs() {
            return Err(ShapeError::Chain);
        }
        if first.quantisation() != second.quantisation()
            || second.quantisation() != third.quantisation()
        {
            return Err(ShapeError::Quantisation);
        }
        let width = |n: usize| u16::try_from(n).map_err(|_| ShapeError::TooWide);
        let shape = Shape::new(
            width(first.inputs())?,
            width(second.inputs())?,
            width(third.inputs())?,
            width(third.outputs())?,
        )?;
        Ok(Self { shape, layers })
    }

    /// The four widths.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// The layers' common weight type and granularity.
    #[must_use]
    pub const fn quantisation(&self) -> Quantisation {
        let [first, _, _] = &self.layers;
        first.quantisation()
    }

    /// The three layers, first to last.
    #[must_use]
    pub const fn layers(&self) -> &[DenseRef<'w>; 3] {
        &self.layers
    }

    /// Runs the network: `features[input]` to `logits[output]`, on the model's logit scale.
    ///
    /// `scratch` holds at least [`Shape::scratch_len`] bytes; what it held is overwritten.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if a buffer has the wrong length; nothing is computed then.
    pub fn infer(
        &self,
        features: &[u8],
        scratch: &mut [u8],
        logits: &mut [i32],
    ) -> Result<(), ShapeError> {
        let [first, second, third] = &self.layers;
        if features.len() != first.inputs() {
            return Err(ShapeError::Features);
        }
        if logits.len() != third.outputs() {
            return Err(ShapeError::Logits);
        }
        let (hidden1, rest) = scratch
            .split_at_mut_checked(first.outputs())
            .ok_or(ShapeError::Scratch)?;
        let hidden2 = rest
            .get_mut(..second.outputs())
            .ok_or(ShapeError::Scratch)?;
        kernel::hidden(first, features, hidden1);
        kernel::hidden(second, hidden1, hidden2);
        kernel::output(third, hidden2, logits);
        Ok(())
    }
}

/// A network whose shape is known at compile time: `IN → H1 → H2 → OUT`.
#[derive(Debug, Clone, Copy)]
pub struct Mlp<'w, const IN: usize, const H1: usize, const H2: usize, const OUT: usize> {
    first: Dense<'w, IN, H1>,
    second: Dense<'w, H1, H2>,
    third: Dense<'w, H2, OUT>,
}

impl<'w, const IN: usize, const H1: usize, const H2: usize, const OUT: usize>
    Mlp<'w, IN, H1, H2, OUT>
{
    /// Joins three layers; their types make sure that they follow on from each other.
    #[must_use]
    pub const fn new(
        first: Dense<'w, IN, H1>,
        second: Dense<'w, H1, H2>,
        third: Dense<'w, H2, OUT>,
    ) -> Self {
        Self {
            first,
            second,
            third,
        }
    }

    /// `[OUT]` logits of `[IN]` features, on the model's logit scale.
    ///
    /// Stack on a Cortex-M4: `4 * IN + 2 * (H1 + H2) + 4 * OUT` bytes and some 1250; for 784-64-64-10 4.7 kB. Elsewhere
    /// `H1 + H2 + 4 * OUT` bytes and some 400.
    #[must_use]
    pub fn logits(&self, features: &[u8; IN]) -> [i32; OUT] {
        let layers = [
            *self.first.as_ref(),
            *self.second.as_ref(),
            *self.third.as_ref(),
        ];
        let layer = |at: usize| layers.get(at).copied();
        let mut out = [0; OUT];
        // There are three.
        let _ = logits::<IN, H1, H2, OUT>(Kernel::Dense, layer, features, &mut out);
        out
    }
}

/// Which kernel a device runs a model with. Both give the same logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Kernel {
    /// Every product is taken: what it executes does not depend on the inputs.
    #[default]
    Dense = 0,
    /// Pairs of inputs that are both zero, such as an image's background, are left out, and pairs of hidden activations:
    /// fewer instructions, whose number tells how many there are. Which ones decides what weights are read, for who sees
    /// that: on a core with a cache by time, else by what it draws.
    Skip = 1,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dense => "dense",
            Self::Skip => "skip",
        })
    }
}

/// Writes `[OUT]` logits of `[IN]` features, by the layers that `layer` gives, which it is asked for by number as they are
/// needed: stack is short. `None` if one is not there, or has other widths.
#[inline(always)]
pub(crate) fn logits<'w, const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
    kernel: Kernel,
    layer: impl Fn(usize) -> Option<DenseRef<'w>>,
    features: &[u8; IN],
    logits: &mut [i32; OUT],
) -> Option<()> {
    #[cfg(sealnet_dsp)]
    {
        use kernel::dsp::{Room, first, hidden, output};
        let (mut of1, mut of2) = (Room::<H1>::uninit(), Room::<H2>::uninit());
        // Not moved out of what they come in.
        let dense = layer(0);
        let hidden1 = first(dense.as_ref()?, kernel, features, &mut of1)?;
        let dense = layer(1);
        let hidden2 = hidden(dense.as_ref()?, kernel, hidden1, &mut of2)?;
        let dense = layer(2);
        output(dense.as_ref()?, kernel, hidden2, logits)
    }
    #[cfg(not(sealnet_dsp))]
    {
        // There is one kernel for both.
        let _ = kernel;
        let first: Dense<'w, IN, H1> = layer(0)?.try_into().ok()?;
        let hidden1 = first.hidden(features);
        let second: Dense<'w, H1, H2> = layer(1)?.try_into().ok()?;
        let hidden2 = second.hidden(&hidden1);
        let third: Dense<'w, H2, OUT> = layer(2)?.try_into().ok()?;
        *logits = third.output(&hidden2);
        Some(())
    }
}

impl<'w, const IN: usize, const H1: usize, const H2: usize, const OUT: usize> TryFrom<Network<'w>>
    for Mlp<'w, IN, H1, H2, OUT>
{
    type Error = ShapeError;

    /// # Errors
    ///
    /// [`ShapeError::Dimensions`] if the network has another shape.
    fn try_from(network: Network<'w>) -> Result<Self, ShapeError> {
        let [first, second, third] = network.layers;
        Ok(Self::new(
            first.try_into()?,
            second.try_into()?,
            third.try_into()?,
        ))
    }
}

/// The index of the largest logit; the first of equals, and 0 for an empty slice.
#[must_use]
pub fn argmax(logits: &[i32]) -> usize {
    argmax_of(logits.iter().copied())
}

/// [`argmax`] of logits that are not in a slice.
pub(crate) fn argmax_of(logits: impl Iterator<Item = i32>) -> usize {
    let mut best = 0;
    let mut highest = i32::MIN;
    for (index, logit) in logits.enumerate() {
        if logit > highest {
            best = index;
            highest = logit;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argmax_takes_the_first_of_equals() {
        assert_eq!(argmax(&[]), 0);
        assert_eq!(argmax(&[i32::MIN, i32::MIN]), 0);
        assert_eq!(argmax(&[-3, 7, 7, 2]), 1);
        assert_eq!(argmax(&[i32::MIN, i32::MIN + 1]), 1);
    }

    #[test]
    fn a_shape_has_no_zero() {
        assert_eq!(Shape::new(1, 1, 0, 1), Err(ShapeError::Zero));
        let shape = Shape::new(784, 64, 32, 10).unwrap();
        assert_eq!(shape.layers(), [(784, 64), (64, 32), (32, 10)]);
        assert_eq!(shape.scratch_len(), 96);
    }
}
