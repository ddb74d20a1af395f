//! The exponential function of softmax, sixteen at a time, with `libm`'s bits.

use super::Line;

/// `libm::expf` of each number, none of which is above 0.
#[inline(always)]
pub(crate) fn exp(line: &mut Line) {
    for value in line {
        *value = one(*value);
    }
}

/// `libm::expf(x)` for `x` of at most 0 or no number, without branches, so that the compiler does several side by side.
///
/// The algorithm is `libm`'s (FreeBSD's `e_expf.c`): `x = k·ln 2 + r` with `|r|` at most `½ ln 2`, a rational
/// approximation of `eʳ`, scaled by `2ᵏ`. Of its special cases only those at or below 0 remain.
#[inline(always)]
fn one(x: f32) -> f32 {
    let bounded = if x > LEAST { x } else { LEAST };
    let magnitude = bounded.to_bits() & 0x7fff_ffff;
    let nearest = (INV_LN2 * bounded - 0.5) as i32;
    let k = if magnitude > THREE_HALF_LN2 {
        nearest
    } else if magnitude > HALF_LN2 {
        -1
    } else {
        0
    };
    let kf = k as f32;
    let hi = bounded - kf * LN2_HI;
    let lo = kf * LN2_LO;
    let r = hi - lo;
    let rr = r * r;
    let c = r - rr * (P1 + rr * P2);
    let y = 1.0 + (r * c / (2.0 - c) - lo + hi);
    // In two steps, of which only the second can round: k goes down to -150.
    let half = k / 2;
    let scaled = y * power_of_two(half) * power_of_two(k - half);
    let near_one = magnitude <= TINY;
    let value = if near_one { 1.0 + bounded } else { scaled };
    let value = if x <= LEAST { 0.0 } else { value };
    if x.is_nan() { x } else { value }
}

/// `2ᵏ` for `k` from -126 to 127.
#[inline(always)]
fn power_of_two(k: i32) -> f32 {
    f32::from_bits(((k + 127) as u32) << 23)
}

/// At and below this, `libm` gives 0.
const LEAST: f32 = f32::from_bits(0xc2cf_f1b5);
/// Magnitudes, as bits: `3/2 ln 2`, `½ ln 2`, and where `1 + x` will do.
const THREE_HALF_LN2: u32 = 0x3f85_1592;
const HALF_LN2: u32 = 0x3eb1_7218;
const TINY: u32 = 0x3900_0000;
const INV_LN2: f32 = f32::from_bits(0x3fb8_aa3b);
const LN2_HI: f32 = f32::from_bits(0x3f31_7200);
const LN2_LO: f32 = f32::from_bits(0x35bf_be8e);
const P1: f32 = f32::from_bits(0x3e2a_aa8f);
const P2: f32 = f32::from_bits(0xbb35_5215);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::kernels::{Backend, Lanes, Work};

    struct Exp<'a>(&'a mut Line);

    impl Work for Exp<'_> {
        #[inline(always)]
        fn run<L: Lanes>(self, _: L) {
            exp(self.0);
        }
    }

    #[test]
    fn as_libm_has_it() {
        let edges = [
            LEAST.to_bits(),
            THREE_HALF_LN2,
            HALF_LN2,
            TINY,
            0x42ae_ac50,
            0x0080_0000,
        ];
        let around = edges.map(|bits| bits | 0x8000_0000);
        let around = around.into_iter().flat_map(|bits| bits - 3..bits + 4);
        let sample = (0x8000_0000..=0xff80_0000u32).step_by(4099);
        let numbers: Vec<f32> = (around.chain(sample).chain([0, 0x7fc0_0000]))
            .map(f32::from_bits)
            .collect();
        for backend in Backend::available() {
            for chunk in numbers.chunks(16) {
                let mut line = [0.0; 16];
                line[..chunk.len()].copy_from_slice(chunk);
                backend.run(Exp(&mut line));
                for (x, y) in chunk.iter().zip(line) {
                    assert_eq!(
                        libm::expf(*x).to_bits(),
                        y.to_bits(),
                        "{x:e}, {}",
                        backend.name()
                    );
                }
            }
        }
    }
}
