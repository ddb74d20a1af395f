//! One dense layer over bytes that lie elsewhere (flash, or a decrypted buffer).

use core::fmt;

use super::packed::{self, Tile, packed_len};
use super::{ShapeError, kernel};
use crate::quant::{Magnitudes, Requant, RequantError};

/// How many requantisation factors a layer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Granularity {
    /// One for the whole layer.
    PerTensor = 1,
    /// One for each output.
    PerOutput = 2,
}

impl Granularity {
    /// Number of multipliers, and of shifts, in a layer with this many outputs.
    #[must_use]
    pub const fn factors(self, outputs: usize) -> usize {
        match self {
            Self::PerTensor => 1,
            Self::PerOutput => outputs,
        }
    }
}

/// A layer's parameters as bytes, integers little-endian. `n` is 1 or `outputs`, after the
/// [`Granularity`].
#[derive(Clone, Copy)]
pub struct LayerBytes<'w> {
    /// `[outputs]` biases, `i32`, on the scale `s_x * s_w` of the accumulator.
    pub biases: &'w [u8],
    /// `[n]` multipliers, `i32`, in `0..2^31`.
    pub multipliers: &'w [u8],
    /// `[n]` shifts, `u8`, in `1..=62`.
    pub shifts: &'w [u8],
    /// `[outputs][inputs]` weights, `i8`, in `[-127, 127]`, [packed](super::pack).
    pub weights: &'w [u8],
}

/// Why a layer was refused. `row` counts outputs from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LayerError {
    /// A slice does not have the length that the widths ask for, or a width is 0.
    Length,
    /// A weight is -128.
    WeightRange {
        /// The output it belongs to.
        row: usize,
    },
    /// `255 * sum(|w|) + |bias|` exceeds `i32::MAX`: an accumulator could overflow.
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
            Self::WeightRange { row } => write!(f, "output {row} has a weight of -128"),
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
/// lengths, weights in `[-127, 127]`, factors in range, and no accumulator that can overflow.
#[derive(Clone, Copy)]
pub struct DenseRef<'w> {
    inputs: usize,
    outputs: usize,
    granularity: Granularity,
    biases: &'w [[u8; 4]],
    multipliers: &'w [[u8; 4]],
    shifts: &'w [u8],
    weights: &'w [[u8; 4]],
}

impl<'w> DenseRef<'w> {
    /// Looks at a layer's bytes as a layer.
    ///
    /// # Errors
    ///
    /// [`LayerError`]: the first thing found wrong, lengths first, then factors, then rows.
    pub fn new(
        inputs: usize,
        outputs: usize,
        granularity: Granularity,
        bytes: LayerBytes<'w>,
    ) -> Result<Self, LayerError> {
        let layer = Self::from_proved(inputs, outputs, granularity, bytes)?;
        for (row, (&multiplier, &shift)) in layer.multipliers.iter().zip(layer.shifts).enumerate() {
            Requant::new(i32::from_le_bytes(multiplier), shift)
                .map_err(|cause| LayerError::Requant { row, cause })?;
        }
        let mut biases = layer.biases.iter().map(|bias| i32::from_le_bytes(*bias));
        for (tile, first) in layer.tiles().zip((0..).step_by(packed::TILE)) {
            for pair in 0..tile.stride {
                let row = first + 2 * pair;
                let mut proof = PairProof::default();
                for (column, input) in tile.words.chunks(tile.stride).zip((0..).step_by(2)) {
                    let word = column.get(pair).copied().unwrap_or_default();
                    proof.and(word, inputs.saturating_sub(input));
                }
                proof.finish(row, [biases.next(), biases.next()])?;
            }
        }
        Ok(layer)
    }

    /// A layer over bytes that [`new`](Self::new) has already accepted once.
    ///
    /// # Errors
    ///
    /// [`LayerError::Length`].
    pub(crate) fn from_proved(
        inputs: usize,
        outputs: usize,
        granularity: Granularity,
        bytes: LayerBytes<'w>,
    ) -> Result<Self, LayerError> {
        let factors = granularity.factors(outputs);
        let layer = Self {
            inputs,
            outputs,
            granularity,
            biases: words(bytes.biases, outputs)?,
            multipliers: words(bytes.multipliers, factors)?,
            shifts: bytes.shifts,
            weights: words(bytes.weights, packed_len(inputs, outputs) / 4)?,
        };
        if inputs == 0 || outputs == 0 || layer.shifts.len() != factors {
            return Err(LayerError::Length);
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

    /// One factor for the layer, or one for each output.
    #[must_use]
    pub const fn granularity(&self) -> Granularity {
        self.granularity
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
        let factors = self.multipliers.iter().zip(self.shifts).cycle();
        let biases = self.biases.iter().zip(factors);
        biases.map(|(&bias, (&multiplier, &shift))| Row {
            bias: i32::from_le_bytes(bias),
            requant: Requant::from_proved(i32::from_le_bytes(multiplier), shift),
        })
    }

    /// Its weights, in tiles.
    #[inline]
    pub(super) fn tiles(&self) -> impl Iterator<Item = Tile<'w>> + use<'w> {
        packed::tiles(self.inputs, self.outputs, self.weights)
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

impl<const IN: usize, const OUT: usize> Dense<'_, IN, OUT> {
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

/// The proof of two outputs whose weights lie together: no weight out of range, and no accumulator that overflows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PairProof {
    /// Of the even and the odd output.
    magnitudes: [Magnitudes; 2],
    /// What lies beside the last input, or'ed.
    beside: i32,
}

impl PairProof {
    /// With their weights of the next two inputs, of `left` that are left.
    #[inline]
    pub(super) fn and(&mut self, word: [u8; 4], left: usize) {
        let [even, odd] = &mut self.magnitudes;
        let [first, second] = packed::weights(word);
        for [for_even, for_odd] in [first, second] {
            even.and(for_even);
            odd.and(for_odd);
        }
        if left == 1 {
            let [for_even, for_odd] = second;
            self.beside = for_even | for_odd;
        }
    }

    /// Of output `row` and the next one: their biases, `None` where there is no such output.
    pub(super) fn finish(self, row: usize, biases: [Option<i32>; 2]) -> Result<(), LayerError> {
        for ((row, weights), bias) in (row..).zip(self.magnitudes).zip(biases) {
            let beside = bias.is_none() && !weights.are_zero();
            if beside || self.beside != 0 {
                return Err(LayerError::Padding { row });
            }
            if !weights.in_range() {
                return Err(LayerError::WeightRange { row });
            }
            if weights.bound(bias.unwrap_or_default()) > i64::from(i32::MAX) {
                return Err(LayerError::AccumulatorBound { row });
            }
        }
        Ok(())
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
