//! The exponential function of softmax, several at a time, with `libm`'s bits.

/// `libm::expf(x)` for `x` of at most 0, without branches, so that the compiler does several side by side.
///
/// The algorithm is `libm`'s (FreeBSD's `e_expf.c`): `x = k·ln 2 + r` with `|r|` at most `½ ln 2`, a rational
/// approximation of `eʳ`, scaled by `2ᵏ`. Of its special cases only those at or below 0 remain.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    libm::expf(x)
}
