//! The exponential function of softmax.

/// `libm::expf(x)`: the same bits on every machine and backend.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    libm::expf(x)
}
