//! One dense layer over bytes that lie elsewhere (flash, or a decrypted buffer).

use core::fmt;

#[cfg(feature = "int4")]
use super::nibbles::{self, Blocks};
#[cfg(feature = "int8")]
use super::packed::{self, Tile};
use super::proof::{Facts, prove};
use super::stream::Source;
use super::{Granularity, Quantisation, ShapeError, WeightType, kernel};
use crate::quant::{Requant, RequantError};

/// A layer's parameters as bytes, integers little-endian. `n` is 1 or `outputs`, after the [`Granularity`].
#[derive(Clone, Copy)]
pub struct LayerBytes<'w> {
    /// `[outputs]` biases, `i32`, on the scale `s_x * s_w` of the accumulator.
    pub biases: &'w [u8],
    /// `[n]` multipliers, `i32`, in `0..2^31`.
    pub multipliers: &'w [u8],
    /// `[n]` shifts, `u8`, in `1..=62`.
    pub shifts: &'w [u8],
    /// `[outputs][inputs]` weights, [packed](WeightType::pack).
    pub weights: &'w [u8],
}

impl LayerBytes<'_> {
    /// Proves what [`DenseRef::new`] proves, but that there are not more bytes than the layer has. Gives what a kernel may
    /// rely on.
    pub(crate) fn prove(
        mut self,
        inputs: usize,
        outputs: usize,
        quantisation: Quantisation,
    ) -> Result<Facts, LayerError> {
        let sources: [&mut dyn Source; 4] = [
            &mut self.biases,
            &mut self.multipliers,
            &mut self.shifts,
            &mut self.weights,
        ];
        prove(inputs, outputs, quantisation, sources)
    }
}

/// Why a layer was refused. `row` counts outputs from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LayerError {
    /// A slice does not have the length that the widths ask for, or a width is 0.
    Length,
    /// A slice does not begin at a multiple of four, which a kernel in assembly asks for.
    Alignment,
    /// A weight is -128, or -8 where it has four bits.
    WeightRange {
        /// The output it belongs to.
        row: usize,
    },
    /// `255 * 127 * inputs + |bias|` exceeds `i32::MAX`: an accumulator could overflow.
    AccumulatorBound {
        /// The output it belongs to.
        row: usize,
    },
    /// A weight of no input or no output is not 0.
    Padding {
        /// The output that it would belong to.
        row: usize,
    },
    /// A multiplier or a shift is out of range.
    Requant {
        /// The factor's index, from 0.
        row: usize,
        /// What is wrong with it.
        cause: RequantError,
    },
}

impl fmt::Display for LayerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("its parameters do not have the length of its shape"),
            Self::Alignment => f.write_str("its parameters do not lie at multiples of four"),
            Self::WeightRange { row } => write!(f, "output {row} has a weight out of range"),
            Self::AccumulatorBound { row } => {
                write!(f, "output {row} could overflow its 32-bit accumulator")
            }
            Self::Padding { row } => {
                write!(f, "what fills up the weights of output {row} is not 0")
            }
            Self::Requant { row, cause } => write!(f, "requantisation factor {row}: {cause}"),
        }
    }
}

impl core::error::Error for LayerError {}

/// A dense layer whose widths are known at run time. Its parameters are proved when it is made:
/// lengths, weights in range, factors in range, and no accumulator that can overflow.
#[derive(Clone, Copy)]
pub struct DenseRef<'w> {
    inputs: usize,
    outputs: usize,
    quantisation: Quantisation,
    biases: &'w [[u8; 4]],
    multipliers: &'w [[u8; 4]],
    shifts: &'w [u8],
    weights: &'w [[u8; 4]],
    facts: Facts,
}

impl<'w> DenseRef<'w> {
    /// Looks at a layer's bytes as a layer.
    ///
    /// # Errors
    ///
    /// [`LayerError`]: the first thing found wrong, lengths first, then factors, biases, weights.
    pub fn new(
        inputs: usize,
        outputs: usize,
        quantisation: Quantisation,
        bytes: LayerBytes<'w>,
    ) -> Result<Self, LayerError> {
        let mut layer = Self::from_proved(inputs, outputs, quantisation, bytes, Facts::default())?;
        layer.facts = bytes.prove(inputs, outputs, quantisation)?;
        Ok(layer)
    }

    /// A layer over bytes that [`new`](Self::new) has already accepted once, and what it has found.
    ///
    /// # Errors
    ///
    /// [`LayerError::Length`].
    pub(crate) fn from_proved(
        inputs: usize,
        outputs: usize,
        quantisation: Quantisation,
        bytes: LayerBytes<'w>,
        facts: Facts,
    ) -> Result<Self, LayerError> {
        let factors = quantisation.granularity.factors(outputs);
        let layer = Self {
            inputs,
            outputs,
            quantisation,
            biases: words(bytes.biases, outputs)?,
            multipliers: words(bytes.multipliers, factors)?,
            shifts: bytes.shifts,
            weights: words(
                bytes.weights,
                quantisation.weights.packed_len(inputs, outputs) / 4,
            )?,
            facts,
        };
        if inputs == 0 || outputs == 0 || layer.shifts.len() != factors {
            return Err(LayerError::Length);
        }
        #[cfg(sealnet_dsp)]
        {
            let LayerBytes {
                biases,
                multipliers,
                shifts,
                weights,
            } = bytes;
            let arrays = [biases, multipliers, shifts, weights];
            let all = arrays
                .iter()
                .fold(0, |all, array| all | array.as_ptr() as usize);
            if all % 4 != 0 {
                return Err(LayerError::Alignment);
            }
        }
        Ok(layer)
    }

    /// Number of inputs, at least 1.
    #[must_use]
    pub const fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of outputs, at least 1.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Whether a kernel for DSP instructions runs the layer in its fastest way: no sum of products is so large that what
    /// shares it must be taken out on the way, and each output has a factor of its own whose shift is above 32. Trained layers that are exported with a scale
    /// for each output are so; others give the same logits, later.
    #[must_use]
    pub const fn is_fast(&self) -> bool {
        self.facts.narrow && self.facts.quick
    }

    /// Whether it has these widths.
    #[cfg(sealnet_dsp)]
    pub(super) const fn has_widths(&self, inputs: usize, outputs: usize) -> bool {
        self.inputs == inputs && self.outputs == outputs
    }

    /// What a kernel may rely on.
    #[cfg(any(sealnet_dsp, feature = "batch"))]
    pub(crate) const fn facts(&self) -> Facts {
        self.facts
    }

    /// One factor for the layer, or one for each output.
    #[must_use]
    pub const fn granularity(&self) -> Granularity {
        self.quantisation.granularity
    }

    /// How fine its weights are.
    #[must_use]
    pub const fn weight_type(&self) -> WeightType {
        self.quantisation.weights
    }

    /// Both.
    #[must_use]
    pub const fn quantisation(&self) -> Quantisation {
        self.quantisation
    }

    /// The parameters as they lie in memory.
    #[must_use]
    pub const fn bytes(&self) -> LayerBytes<'w> {
        LayerBytes {
            biases: self.biases.as_flattened(),
            multipliers: self.multipliers.as_flattened(),
            shifts: self.shifts,
            weights: self.weights.as_flattened(),
        }
    }

    /// What belongs to the layer's outputs beside their weights, in order.
    #[inline]
    pub fn rows(&self) -> impl Iterator<Item = Row> + use<'w> {
        let layer = *self;
        (0..self.outputs).filter_map(move |output| layer.row(output))
    }

    /// What belongs to an output, counted from 0; `None` if there is no such output.
    #[inline(never)] // from many places
    #[must_use]
    pub fn row(&self, output: usize) -> Option<Row> {
        self.row_within(output)
    }

    /// The same, as a part of a loop.
    #[inline(always)]
    pub(super) fn row_within(&self, output: usize) -> Option<Row> {
        let factor = match self.quantisation.granularity {
            Granularity::PerTensor => 0,
            Granularity::PerOutput => output,
        };
        let multiplier = i32::from_le_bytes(*self.multipliers.get(factor)?);
        Some(Row {
            bias: i32::from_le_bytes(*self.biases.get(output)?),
            requant: Requant::from_proved(multiplier, *self.shifts.get(factor)?),
        })
    }

    /// Its int8 weights of the tile that begins with output `first`.
    #[cfg(feature = "int8")]
    pub(super) fn tile(&self, first: usize) -> Tile<'w> {
        packed::tile(self.inputs, self.outputs, self.weights, first)
    }

    /// Its int4 weights of no more than a tile's outputs, the first of which is `first`.
    #[cfg(feature = "int4")]
    pub(super) fn blocks(&self, first: usize) -> Blocks<'w> {
        nibbles::blocks(self.inputs, self.outputs, self.weights, first)
    }
}

/// The parameters may be secret: they are not shown.
impl fmt::Debug for DenseRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DenseRef({} → {})", self.inputs, self.outputs)
    }
}

/// One output of a layer.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Added to the sum of products.
    pub bias: i32,
    /// Takes the accumulator to the output's scale.
    pub requant: Requant,
}

/// A dense layer whose widths are known at compile time.
#[derive(Debug, Clone, Copy)]
pub struct Dense<'w, const IN: usize, const OUT: usize>(DenseRef<'w>);

impl<'w, const IN: usize, const OUT: usize> Dense<'w, IN, OUT> {
    /// Without its widths.
    pub(super) const fn as_ref(&self) -> &DenseRef<'w> {
        &self.0
    }

    /// `[OUT]` activations after ReLU, from `[IN]` features or activations.
    #[inline]
    #[must_use]
    pub fn hidden(&self, input: &[u8; IN]) -> [u8; OUT] {
        let mut out = [0; OUT];
        kernel::hidden(&self.0, input, &mut out);
        out
    }

    /// `[OUT]` logits, from `[IN]` activations.
    #[inline]
    #[must_use]
    pub fn output(&self, input: &[u8; IN]) -> [i32; OUT] {
        let mut out = [0; OUT];
        kernel::output(&self.0, input, &mut out);
        out
    }
}

impl<'w, const IN: usize, const OUT: usize> TryFrom<DenseRef<'w>> for Dense<'w, IN, OUT> {
    type Error = ShapeError;

    /// # Errors
    ///
    /// [`ShapeError::Dimensions`] if the layer has other widths.
    fn try_from(layer: DenseRef<'w>) -> Result<Self, ShapeError> {
        if layer.inputs == IN && layer.outputs == OUT {
            Ok(Self(layer))
        } else {
            Err(ShapeError::Dimensions)
        }
    }
}

/// Exactly `count` 32-bit words.
fn words(bytes: &[u8], count: usize) -> Result<&[[u8; 4]], LayerError> {
    let (words, rest) = bytes.as_chunks::<4>();
    if words.len() == count && rest.is_empty() {
        Ok(words)
    } else {
        Err(LayerError::Length)
    }
}
