//! The reference kernel: plain Rust for any target.

/// Products taken together: enough for a compiler to fill a vector register, or to unroll.
const LANES: usize = 16;

/// `bias + sum(weights[i] * input[i])`, weights as two's-complement bytes.
///
/// No partial sum overflows: the row's bound `255 * sum(|w|) + |bias| <= i32::MAX` was proved
/// when its layer was made. `wrapping_add` only says so to the compiler in every profile.
#[inline]
pub(super) fn accumulate(weights: &[u8], input: &[u8], bias: i32) -> i32 {
    let (weight_chunks, weight_rest) = weights.as_chunks::<LANES>();
    let (input_chunks, input_rest) = input.as_chunks::<LANES>();
    let mut sum = bias;
    for (w, x) in weight_chunks.iter().zip(input_chunks) {
        sum = sum.wrapping_add(dot(w, x));
    }
    sum.wrapping_add(dot(weight_rest, input_rest))
}

/// A product is at most `127 * 255` in magnitude.
#[inline(always)]
fn dot(weights: &[u8], input: &[u8]) -> i32 {
    weights.iter().zip(input).fold(0_i32, |sum, (&w, &x)| {
        sum.wrapping_add(i32::from(w as i8) * i32::from(x))
    })
}
