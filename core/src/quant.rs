//! Requantisation: how a 32-bit accumulator becomes an activation or a logit, in integers only.
//!
//! There is one rounding rule, and it lives here. For an accumulator `acc`, a multiplier `m` in
//! `0..2^31` and a shift `s` in `1..=62`:
//!
//! ```text
//! requant(acc) = floor((acc * m + 2^(s-1)) / 2^s)
//! ```
//!
//! that is `acc * m / 2^s` rounded to the nearest integer, ties upward (toward plus infinity, for
//! negative values too: -2.5 becomes -2). The division is an arithmetic shift right of a 64-bit
//! integer. A hidden layer then clamps to `0..=255` (the clamp at 0 is its ReLU); the output
//! layer clamps to the range of `i32`.
//!
//! **Overflow cannot happen.** `|acc| <= 2^31` and `m <= 2^31 - 1`, so `|acc * m| <= 2^62 - 2^31`.
//! The rounding term is at most `2^61`. The sum is below `2^62 + 2^61 < 2^63` in magnitude, and
//! so always fits an `i64`.
//!
//! **From a real factor.** An exporter that wants `acc * f` for a real `f` in `[0, 2^30 - 2^-2)` takes the
//! largest shift `s <= 62` with `round(f * 2^s) < 2^31`, and `m = round(f * 2^s)`: 31 significant
//! bits for every `f` down to `2^-32`. This scheme of multiplier and shift is that of Jacob et
//! al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
//! Inference", CVPR 2018, section 2.2, with one rounding instead of two.

use core::fmt;
use core::hint::black_box;

/// Smallest shift: the rounding term `2^(shift-1)` needs one bit.
pub const SHIFT_MIN: u8 = 1;
/// Largest shift: beyond it the rounding term would reach the sign bit's neighbour.
pub const SHIFT_MAX: u8 = 62;
/// Smallest weight. `-128` is refused everywhere, so that the range is symmetric.
pub const WEIGHT_MIN: i8 = -127;
/// Largest activation and feature: both are unsigned bytes with zero point 0.
pub const ACTIVATION_MAX: u8 = u8::MAX;

/// A fixed-point factor `multiplier / 2^shift`, in `[0, 2^30)`.
///
/// A value of this type is always in range; see the [module](self) for the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Requant {
    multiplier: i32,
    shift: u8,
}

impl Requant {
    /// Makes a factor from a multiplier in `0..2^31` and a shift in `1..=62`.
    ///
    /// # Errors
    ///
    /// [`RequantError`] if either is out of range.
    pub const fn new(multiplier: i32, shift: u8) -> Result<Self, RequantError> {
        if multiplier < 0 {
            return Err(RequantError::Multiplier);
        }
        if shift < SHIFT_MIN || shift > SHIFT_MAX {
            return Err(RequantError::Shift);
        }
        Ok(Self { multiplier, shift })
    }

    /// A factor that [`new`](Self::new) has already accepted once, read again from the same bytes.
    pub(crate) const fn from_proved(multiplier: i32, shift: u8) -> Self {
        Self { multiplier, shift }
    }

    /// The multiplier, in `0..2^31`.
    #[must_use]
    pub const fn multiplier(self) -> i32 {
        self.multiplier
    }

    /// The shift in bits, in `1..=62`.
    #[must_use]
    pub const fn shift(self) -> u8 {
        self.shift
    }

    /// `acc * multiplier / 2^shift`, rounded half up. Magnitude at most `2^61`.
    #[inline]
    #[must_use]
    pub const fn apply(self, acc: i32) -> i64 {
        // |acc * multiplier| <= 2^62 - 2^31 and the rounding term is <= 2^61: no overflow.
        let product = acc as i64 * self.multiplier as i64;
        (product + (1_i64 << (self.shift - 1))) >> self.shift
    }

    /// [`apply`](Self::apply), clamped to an activation: `0..=255`. This clamp is the ReLU.
    #[inline]
    #[must_use]
    pub fn to_u8(self, acc: i32) -> u8 {
        let value = self.apply(acc);
        let positive = value & !sign(value);
        // The magnitude is at most 2^61: no difference overflows.
        (positive | sign(i64::from(ACTIVATION_MAX) - positive)) as u8
    }

    /// [`apply`](Self::apply), saturated to `i32`: a logit.
    #[inline]
    #[must_use]
    pub fn to_i32(self, acc: i32) -> i32 {
        let value = self.apply(acc);
        let (above, below) = (i64::from(i32::MAX) - value, value - i64::from(i32::MIN));
        let beyond = sign(above | below);
        // Beyond an end: the end on the value's side.
        let end = sign(value) ^ i64::from(i32::MAX);
        ((value & !beyond) | (end & beyond)) as i32
    }
}

/// All ones if the value is negative, else 0.
///
/// Clamping is a choice, and activations and logits are secret. From here on the compiler does not know what the mask
/// can be: else it makes a branch of the choice, as it does on x86-64, and a processor that predicts branches takes
/// longer where activations vary.
#[inline]
fn sign(value: i64) -> i64 {
    i64::from(black_box((value >> 32) as i32) >> 31)
}

/// Why a [`Requant`] was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RequantError {
    /// The multiplier is negative.
    Multiplier,
    /// The shift is not in `1..=62`.
    Shift,
}

impl fmt::Display for RequantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Multiplier => "the multiplier is negative",
            Self::Shift => "the shift is not between 1 and 62",
        })
    }
}

impl core::error::Error for RequantError {}

/// The largest magnitude that an accumulator of so many products can reach, whatever weights, input and order of
/// summation: `255 * 127 * inputs + |bias|`.
///
/// If the result is at most `i32::MAX`, then every partial sum, in any order and any grouping, fits an `i32`: each is
/// a sum of a subset of terms whose magnitudes add up to at most the bound. `i64::MAX` for more inputs than there can
/// be.
#[must_use]
pub fn accumulator_bound(inputs: usize, bias: i32) -> i64 {
    let largest = i64::from(ACTIVATION_MAX) * -i64::from(WEIGHT_MIN);
    i64::try_from(inputs)
        .unwrap_or(i64::MAX)
        .saturating_mul(largest)
        .saturating_add(bias.unsigned_abs().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_round_toward_plus_infinity() {
        let half = Requant::new(1, 1).unwrap();
        for (acc, expected) in [(5, 3), (3, 2), (1, 1), (0, 0), (-1, 0), (-3, -1), (-5, -2)] {
            assert_eq!(half.apply(acc), expected, "{acc} / 2");
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let largest = Requant::new(i32::MAX, 1).unwrap();
        assert_eq!(largest.apply(i32::MIN), -(1_i64 << 61) + (1 << 30));
        assert_eq!(largest.to_i32(i32::MIN), i32::MIN);
        assert_eq!(largest.to_i32(i32::MAX), i32::MAX);
        assert_eq!(largest.to_u8(i32::MAX), 255);
        let smallest = Requant::new(i32::MAX, 62).unwrap();
        assert_eq!(smallest.apply(i32::MIN), -1);
        assert_eq!(smallest.apply(i32::MAX), 1);
        assert_eq!(Requant::new(0, 62).unwrap().apply(i32::MIN), 0);
    }

    #[test]
    fn out_of_range_is_refused() {
        assert_eq!(Requant::new(-1, 1), Err(RequantError::Multiplier));
        assert_eq!(Requant::new(1, 0), Err(RequantError::Shift));
        assert_eq!(Requant::new(1, 63), Err(RequantError::Shift));
    }

    #[test]
    fn bound_counts_magnitudes() {
        assert_eq!(accumulator_bound(0, -7), 7);
        assert_eq!(accumulator_bound(3, 5), 3 * 127 * 255 + 5);
        assert_eq!(accumulator_bound(0, i32::MIN), 1 << 31);
        assert_eq!(accumulator_bound(usize::MAX, i32::MIN), i64::MAX);
    }
}
