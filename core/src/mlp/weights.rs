//! What weights can be, and what all ways to pack them share.

use core::fmt;

#[cfg(not(any(feature = "int8", feature = "int4")))]
compile_error!("sealnet-core needs its feature `int8` or `int4`, or both: which weights there are");

#[cfg(feature = "int4")]
use super::nibbles;
#[cfg(feature = "int8")]
use super::packed;

/// Outputs that a kernel takes together.
pub(super) const TILE: usize = 64;

/// Inputs after which what shares a sum must be taken out of it, unless the layer is narrow: see
/// [`packed`] and [`nibbles`].
#[cfg(any(feature = "int8", sealnet_dsp))]
pub(super) const FLUSH: usize = 256;

/// Inputs that a kernel may take at once.
pub(super) const GROUP: usize = 16;

/// Outputs that lie together.
pub(super) const BLOCK: usize = 4;

/// Columns of weights, each for two inputs: a whole number of [`GROUP`]s.
pub(super) const fn columns(inputs: usize) -> usize {
    inputs.div_ceil(GROUP).saturating_mul(GROUP / 2)
}

/// Bytes that packed weights take: of each block as many columns, and of each column four weights for two inputs.
pub(crate) const fn packed_len(bits: u32, inputs: usize, outputs: usize) -> usize {
    columns(inputs)
        .saturating_mul(outputs.div_ceil(BLOCK))
        .saturating_mul(bits as usize)
}

/// How fine weights are. Which types there are is a matter of this crate's features `int8` and `int4`: a device whose flash
/// is short has the code of one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WeightType {
    /// 8 bits, in `[-127, 127]`.
    #[cfg(feature = "int8")]
    Int8,
    /// 4 bits, in `[-7, 7]`.
    #[cfg(feature = "int4")]
    Int4,
}

impl WeightType {
    /// The one with the most bits.
    #[cfg(feature = "int8")]
    pub const WIDEST: Self = Self::Int8;
    /// The one with the most bits.
    #[cfg(not(feature = "int8"))]
    pub const WIDEST: Self = Self::Int4;

    /// Largest magnitude of a weight.
    #[must_use]
    pub const fn max(self) -> i8 {
        match self {
            #[cfg(feature = "int8")]
            Self::Int8 => 127,
            #[cfg(feature = "int4")]
            Self::Int4 => 7,
        }
    }

    /// The number that a sealed model's header has for it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            #[cfg(feature = "int8")]
            Self::Int8 => 1,
            #[cfg(feature = "int4")]
            Self::Int4 => 2,
        }
    }

    /// Bits a weight.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            #[cfg(feature = "int8")]
            Self::Int8 => 8,
            #[cfg(feature = "int4")]
            Self::Int4 => 4,
        }
    }

    /// Bytes that the weights of a layer take, packed; `usize::MAX` if that is more than there can be.
    #[must_use]
    pub const fn packed_len(self, inputs: usize, outputs: usize) -> usize {
        packed_len(self.bits(), inputs, outputs)
    }

    /// Packs `[outputs][inputs]` weights, two's-complement bytes, into `packed`; `None` if either does not have its
    /// length, or one does not fit a nibble that has to.
    #[must_use]
    pub fn pack(
        self,
        inputs: usize,
        outputs: usize,
        weights: &[u8],
        packed: &mut [u8],
    ) -> Option<()> {
        self.fits(inputs, outputs, weights, packed)?;
        match self {
            #[cfg(feature = "int8")]
            Self::Int8 => packed::pack(inputs, outputs, weights, packed),
            #[cfg(feature = "int4")]
            Self::Int4 => nibbles::pack(inputs, outputs, weights, packed),
        }
    }

    /// The `[outputs][inputs]` weights that [`pack`](Self::pack) has packed, as it took them; `None` if either slice does not
    /// have its length.
    #[must_use]
    pub fn unpack(
        self,
        inputs: usize,
        outputs: usize,
        packed: &[u8],
        unpacked: &mut [u8],
    ) -> Option<()> {
        self.fits(inputs, outputs, unpacked, packed)?;
        match self {
            #[cfg(feature = "int8")]
            Self::Int8 => packed::unpack(inputs, outputs, packed, unpacked),
            #[cfg(feature = "int4")]
            Self::Int4 => nibbles::unpack(inputs, outputs, packed, unpacked),
        }
    }

    fn fits(self, inputs: usize, outputs: usize, weights: &[u8], packed: &[u8]) -> Option<()> {
        let all = inputs.checked_mul(outputs) == Some(weights.len());
        (all && self.packed_len(inputs, outputs) == packed.len()).then_some(())
    }
}

/// `int8` or `int4`.
impl fmt::Display for WeightType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "int{}", self.bits())
    }
}

/// How a network's numbers became integers. All its layers have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Quantisation {
    /// How fine the weights are.
    pub weights: WeightType,
    /// How many scales there are.
    pub granularity: Granularity,
}

/// The finest: weights of the most bits that this build has, a factor for each output.
impl Default for Quantisation {
    fn default() -> Self {
        Self {
            weights: WeightType::WIDEST,
            granularity: Granularity::PerOutput,
        }
    }
}

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
