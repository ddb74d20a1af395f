//! Probabilities, for people to read. No decision of the device rests on them.
//!
//! `p[i] = exp(s * (l[i] - max)) / sum_j exp(s * (l[j] - max))` with the logit scale `s`. The
//! exponential is `micromath`'s: each of its values is within 0.3 % of the true one, so every
//! probability is within 0.6 % of its own true value, and the same bits come out on every target.

use micromath::F32;

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

/// `exp(-x)` for `x >= 0`; 0 beyond the smallest normal `f32`.
fn exp_of_negative(x: f32) -> f32 {
    if x < CUT_OFF { F32(-x).exp().0 } else { 0.0 }
}

/// `exp(-87.3)` is the smallest normal `f32`.
const CUT_OFF: f32 = 87.0;
