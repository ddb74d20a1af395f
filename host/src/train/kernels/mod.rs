//! The one sum that training is made of, and the processors it runs on.
//!
//! Everything large in training is `sum_terms`: add multiples of rows to a row. Each element of the
//! result is its own sum, in the order of the terms, one fused multiply-add (IEEE 754 `fma`, one
//! rounding) a term. A vector kernel only does several elements side by side, so every [`Backend`] gives
//! the same bits, whatever its width.
//!
//! Where the target has no such instruction (the portable backend on x86-64), `f32::mul_add` calls the C
//! library's `fmaf`. It gives the same bits wherever that rounds once, as C99 (F.10.10.1) asks and as glibc,
//! musl and macOS do; on a platform whose `fmaf` rounds twice, the portable backend's weights are its own.
//!
//! What runs inside `Backend::run` is compiled once for each instruction set. It must therefore be
//! inlined all the way: hence `#[inline(always)]` on every function that is called from there.

use pulp::NullaryFnOnce;

mod terms;

pub(crate) use terms::TermLists;

/// One multiple of a row: `value * rows[row]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// Which row.
    pub row: u32,
    /// How many times it is added. Never zero: such terms are left out.
    pub value: f32,
}

/// Which instructions do the arithmetic. All give the same bits.
#[derive(Debug, Clone, Copy)]
pub enum Backend {
    /// Whatever the target has without asking: the reference.
    Portable,
    /// 256-bit vectors with fused multiply-add (x86-64-v3). The value within is the proof that this
    /// processor has them.
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
}

impl Backend {
    /// The fastest that this processor has.
    pub fn detect() -> Backend {
        *Backend::available().last().unwrap_or(&Backend::Portable)
    }

    /// Every one that this processor has, the reference first.
    pub fn available() -> Vec<Backend> {
        let mut backends = vec![Backend::Portable];
        #[cfg(target_arch = "x86_64")]
        backends.extend(pulp::x86::V3::try_new().map(Backend::Avx2));
        backends
    }

    /// Its name: `portable`, `avx2`.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2(_) => "avx2",
        }
    }

    /// Runs `work` compiled for this instruction set.
    pub(crate) fn run<W: Work>(self, work: W) {
        match self {
            Backend::Portable => work.run(),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2(v3) => v3.vectorize(Vectorised(work)),
        }
    }
}

/// A piece of work for `Backend::run`: mark its `run` `#[inline(always)]`.
pub(crate) trait Work {
    /// Does it.
    fn run(self);
}

struct Vectorised<W>(W);

impl<W: Work> NullaryFnOnce for Vectorised<W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.0.run();
    }
}

/// `sums[o] += Σ value · rows[row][o]` over `terms` in their order, one fused multiply-add each.
///
/// `sums` is `[O]`, `rows` is `[N][O]` row-major and every term's row is below `N`.
#[inline(always)]
pub(crate) fn sum_terms(sums: &mut [f32], rows: &[f32], terms: &[Term]) {
    // 64 sums fill half of AVX2's registers, and eight chains hide the multiply-add's latency.
    let done = tiles::<64>(sums, 0, rows, terms);
    let done = tiles::<16>(sums, done, rows, terms);
    let done = tiles::<8>(sums, done, rows, terms);
    let done = tiles::<2>(sums, done, rows, terms);
    tiles::<1>(sums, done, rows, terms);
}

/// Does `sums[from..]` in tiles of `TILE` as far as they go; returns where they end.
#[inline(always)]
fn tiles<const TILE: usize>(sums: &mut [f32], from: usize, rows: &[f32], terms: &[Term]) -> usize {
    let width = sums.len();
    let (whole, _) = sums[from..].as_chunks_mut::<TILE>();
    let mut column = from;
    for tile in whole {
        // A copy, so that the sums stay in registers over all terms.
        let mut registers = *tile;
        for term in terms {
            let start = term.row as usize * width + column;
            if let Some(row) = rows[start..].first_chunk::<TILE>() {
                for (sum, &weight) in registers.iter_mut().zip(row) {
                    *sum = weight.mul_add(term.value, *sum);
                }
            }
        }
        *tile = registers;
        column += TILE;
    }
    column
}

/// `sums[o] += Σ rows[n][o]` over all rows in order. `rows` is `[N][O]`, `sums` `[O]`.
#[inline(always)]
pub(crate) fn sum_rows(sums: &mut [f32], rows: &[f32]) {
    for row in rows.chunks_exact(sums.len().max(1)) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
}

/// `transposed[c][r] = matrix[r][c]`; `matrix` is `[R][columns]`.
#[inline(always)]
pub(crate) fn transpose(matrix: &[f32], columns: usize, transposed: &mut [f32]) {
    let rows = matrix.len() / columns.max(1);
    for (r, row) in matrix.chunks_exact(columns.max(1)).enumerate() {
        for (c, &value) in row.iter().enumerate() {
            transposed[c * rows + r] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Random, Stream};

    struct Sum<'a>(&'a mut [f32], &'a [f32], &'a [Term]);

    impl Work for Sum<'_> {
        #[inline(always)]
        fn run(self) {
            sum_terms(self.0, self.1, self.2);
        }
    }

    #[test]
    fn every_backend_sums_as_the_definition_says() {
        let mut random = Random::new(3, Stream::Init);
        let mut number = || random.unit() - 0.5;
        for width in [1, 2, 7, 8, 10, 16, 23, 64, 65, 100, 128, 200] {
            let rows: Vec<f32> = (0..40 * width).map(|_| number()).collect();
            let start: Vec<f32> = (0..width).map(|_| number()).collect();
            let terms: Vec<Term> = (0..40)
                .filter(|row| row % 3 != 0)
                .map(|row| Term {
                    row,
                    value: number(),
                })
                .collect();
            let mut expected = start.clone();
            for (o, sum) in expected.iter_mut().enumerate() {
                for term in &terms {
                    *sum = term
                        .value
                        .mul_add(rows[term.row as usize * width + o], *sum);
                }
            }
            for backend in Backend::available() {
                let mut sums = start.clone();
                backend.run(Sum(&mut sums, &rows, &terms));
                assert_eq!(sums, expected, "{} {width}", backend.name());
            }
        }
    }

    #[test]
    fn transposing() {
        let mut transposed = [0.0; 6];
        transpose(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, &mut transposed);
        assert_eq!(transposed, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let mut sums = [1.0; 3];
        sum_rows(&mut sums, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(sums, [6.0, 8.0, 10.0]);
    }
}
