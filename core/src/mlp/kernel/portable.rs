//! The reference kernel: plain Rust for any target.

/// Products taken together.
const LANES: usize = 8;

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
    for (&w, &x) in weight_rest.iter().zip(input_rest) {
        sum = sum.wrapping_add(product(w, x));
    }
    sum
}

/// Written out, since a compiler that is told to make small code does not unroll a loop: it would spend more
/// instructions on counting than on products.
#[inline(always)]
fn dot(w: &[u8; LANES], x: &[u8; LANES]) -> i32 {
    macro_rules! products {
        ($($lane:literal)*) => {
            0_i32 $(.wrapping_add(product(w[$lane], x[$lane])))*
        };
    }
    products!(0 1 2 3 4 5 6 7)
}

/// At most `127 * 255` in magnitude.
#[inline(always)]
fn product(weight: u8, input: u8) -> i32 {
    i32::from(weight as i8) * i32::from(input)
}
