//! Probabilities, for people to read. No decision of the device rests on them.
//!
//! `p[i] = exp(s * (l[i] - max)) / sum_j exp(s * (l[j] - max))` with the logit scale `s`. The
//! exponential is a polynomial whose values are within 0.0005 % of the true ones, so every probability
//! is within 0.001 % of its own true value, and the same bits come out on every target.
//!
//! A logit is as secret as the request. The exponential takes the same instructions for all of them, where
//! those of libraries (`micromath`, `libm`) branch at 0, at 1 and at their range's end; what is left to the
//! core is its floating-point unit. Without one, floats are routines that branch on their values.

use core::f32::consts::LOG2_E;

/// `[OUT]` probabilities of `[OUT]` logits; `logit_scale` is the real value of one logit unit.
///
/// They sum to 1 within rounding. A scale that is not a positive finite number carries no
/// information and gives equal probabilities.
#[must_use]
pub fn probabilities<const OUT: usize>(logits: &[i32; OUT], logit_scale: f32) -> [f32; OUT] {
    let mut out = [0.0; OUT];
    probabilities_into(logits, logit_scale, &mut out);
    out
}

/// [`probabilities`] for a slice. Of slices that differ in length, the common part is used.
pub fn probabilities_into(logits: &[i32], logit_scale: f32, out: &mut [f32]) {
    let count = logits.len().min(out.len());
    let (Some(logits), Some(out)) = (logits.get(..count), out.get_mut(..count)) else {
        return;
    };
    let scale = if logit_scale.is_finite() && logit_scale > 0.0 {
        logit_scale
    } else {
        0.0
    };
    let highest = logits.iter().copied().max().unwrap_or(0);
    let mut sum = 0.0;
    for (p, &logit) in out.iter_mut().zip(logits) {
        // 0..2^32: exact in f32 up to 2^24, and beyond that far below the cut-off or a tiny scale.
        let below = highest.abs_diff(logit);
        *p = exp_of_negative(scale * below as f32);
        sum += *p;
    }
    // The highest logit contributes exactly 1, so the sum is in [1, count].
    for p in out {
        *p /= sum;
    }
}

/// `exp(-x)` for `x >= 0`; 0 beyond the smallest normal `f32`. With no branch.
fn exp_of_negative(x: f32) -> f32 {
    // Bits of floats that are not negative are in the floats' order, infinity included.
    let bits = x.to_bits();
    let near = u32::from(bits < CUT_OFF.to_bits()).wrapping_neg();
    // exp(-x) = 2^-halvings; below 126, so that the cast and the exponent below keep within range.
    let halvings = f32::from_bits(bits.min(CUT_OFF.to_bits())) * LOG2_E;
    let whole = halvings as u32;
    let part = halvings - whole as f32;
    let power = POWER.iter().fold(0.0, |sum, term| sum * part + term);
    f32::from_bits(power.to_bits().wrapping_sub(whole << EXPONENT) & near)
}

/// `exp(-87.3)` is the smallest normal `f32`.
const CUT_OFF: f32 = 87.0;
/// Where an `f32`'s exponent begins.
const EXPONENT: u32 = 23;
/// `2^-t` for `t` in `[0, 1)`, highest power first: 1, and the polynomial that meets `(2^-t - 1) / t` at the five
/// Chebyshev nodes of the interval.
const POWER: [f32; 6] = [
    -0.001_003_630_5,
    0.009_344_231,
    -0.055_408_56,
    0.240_214_69,
    -0.693_146_94,
    1.0,
];
