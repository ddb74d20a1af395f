//! The instruction sets that training runs on, all with the same bits.
//!
//! Every sum of training runs over one index, in one order, with one rounding a term (IEEE 754 `fma`),
//! and never across a vector: a vector only holds several sums side by side. So each [`Backend`] gives
//! the same bits, whatever its width.
//!
//! Where the target has no such instruction (the portable backend on x86-64), `f32::mul_add` calls the C
//! library's `fmaf`. It gives the same bits wherever that rounds once, as C99 (F.10.10.1) asks and as glibc,
//! musl and macOS do; on a platform whose `fmaf` rounds twice nothing is trained (`rounds_once`).
//!
//! What runs inside `Backend::run` is compiled once for each instruction set. It must therefore be
//! inlined all the way: hence `#[inline(always)]` on every function that is called from there.

mod exp;
mod lanes;
mod lines;
mod product;

pub(crate) use exp::exp;
pub(crate) use lanes::{LANES, Lanes, Line};
pub(crate) use lines::Lines;
pub(crate) use product::{Edges, Factors, Starting, Sums, lines_of, product};

use std::hint::black_box;

use lanes::Wide;
use pulp::{Scalar512b, Simd, WithSimd};

/// Which instructions do the arithmetic. All give the same bits.
#[derive(Debug, Clone, Copy)]
pub enum Backend {
    /// Whatever the target has without asking: the reference.
    Portable,
    /// 256-bit vectors with fused multiply-add (x86-64-v3). The value within is the proof that this
    /// processor has them.
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    /// 512-bit vectors (x86-64-v4), likewise.
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
}

impl Backend {
    /// The names of all, the reference first, whether this machine has them or not.
    pub const NAMES: [&'static str; 3] = ["portable", "avx2", "avx512"];

    /// The fastest that this processor has.
    pub fn detect() -> Backend {
        *Backend::available().last().unwrap_or(&Backend::Portable)
    }

    /// Every one that this processor has, the reference first.
    pub fn available() -> Vec<Backend> {
        let mut backends = vec![Backend::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            backends.extend(pulp::x86::V3::try_new().map(Backend::Avx2));
            backends.extend(pulp::x86::V4::try_new().map(Backend::Avx512));
        }
        backends
    }

    /// The one called `name`, one of [`Backend::NAMES`]; none where the processor lacks it.
    pub fn named(name: &str) -> Option<Backend> {
        let mut all = Backend::available().into_iter();
        all.find(|backend| backend.name() == name)
    }

    /// Its name: `portable`, `avx2`, `avx512`.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512(_) => "avx512",
        }
    }

    /// Runs `work` compiled for this instruction set.
    pub(crate) fn run<W: Work>(self, work: W) {
        match self {
            Backend::Portable => Scalar512b.vectorize(Vectorised::<W, 1>(work)),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2(v3) => Simd::vectorize(v3, Vectorised::<W, 2>(work)),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512(v4) => Simd::vectorize(v4, Vectorised::<W, 1>(work)),
        }
    }
}

/// Whether `f32::mul_add` rounds once here, seen by a sum that lies just above the middle of two numbers.
pub(crate) fn rounds_once() -> bool {
    // (1 + 2⁻¹²)² is the middle of 1 + 2⁻¹¹ and the next number; in f64 what lies above it is lost.
    let (factor, above) = (1.0 + 2f32.powi(-12), 2f32.powi(-80));
    let sum = black_box(factor).mul_add(black_box(factor), black_box(above));
    sum.to_bits() == (1.0 + 2f32.powi(-11)).to_bits() + 1
}

/// A piece of work for `Backend::run`: mark its `run` `#[inline(always)]`.
pub(crate) trait Work {
    /// Does it.
    fn run<L: Lanes>(self, lanes: L);
}

struct Vectorised<W, const REGISTERS: usize>(W);

impl<W: Work, const REGISTERS: usize> WithSimd for Vectorised<W, REGISTERS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.run(Wide::<S, REGISTERS>(simd));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_rounds_once() {
        assert!(rounds_once());
        // What is asked would notice: by way of f64 it is rounded twice.
        let factor = 1.0 + 2f64.powi(-12);
        let twice = (factor * factor + 2f64.powi(-80)) as f32;
        assert_eq!(twice, 1.0 + 2f32.powi(-11));
    }
}
