//! The two products that a convolution's training is made of, over rows that need not lie side by side.
//!
//! A *row* is the input of one output position: for a convolution the patch of channels around it. Its factors
//! are read in blocks of [`BLOCK`] that lie together, each block at the same distance from the row's start in
//! every row, so that a convolution reads its input where it lies.
//!
//! Each number that comes out is one sum, of one fused multiply-add a factor, in the order stated. Vectors only
//! take several outputs side by side, and tiles several rows, so neither changes a bit.

use crate::train::kernels::{LANES, Lanes, Line};

/// Factors that lie together in a row.
pub(super) const BLOCK: usize = 16;

/// Where rows and their factors lie in a source.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Where each row starts.
    pub(super) rows: Vec<usize>,
    /// How far from a row's start each of its blocks lies.
    pub(super) blocks: Vec<usize>,
}

impl Layout {
    /// `count` rows of `width` factors, one after the other.
    pub(super) fn dense(count: usize, width: usize) -> Layout {
        Layout {
            rows: (0..count).map(|row| row * width).collect(),
            blocks: (0..width / BLOCK).map(|block| block * BLOCK).collect(),
        }
    }

    /// The 3 by 3 patches of an image of `height` by `width` positions of `channels`, which lies within a border
    /// one position wide; by position, and within a patch by line, column and channel.
    pub(super) fn patches(height: usize, width: usize, channels: usize) -> Layout {
        let line = (width + 2) * channels;
        let positions = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
        let taps = (0..3).flat_map(|y| (0..3).map(move |x| (y, x)));
        Layout {
            rows: positions.map(|(y, x)| y * line + x * channels).collect(),
            blocks: taps
                .flat_map(|(y, x)| {
                    let tap = y * line + x * channels;
                    (0..channels / BLOCK).map(move |block| tap + block * BLOCK)
                })
                .collect(),
        }
    }
}

/// Outputs that a product takes side by side; every layer's are padded to a multiple.
pub(super) const PANEL: usize = 2 * LANES;

/// A matrix `[factors][outputs]` in the order in which products read it: by panel, then factor.
#[derive(Debug, Default)]
pub(super) struct Panels(Vec<[Line; 2]>);

impl Panels {
    /// Takes over `matrix`, whose rows are `outputs` wide.
    pub(super) fn fill(&mut self, matrix: &[f32], outputs: usize) {
        self.0.clear();
        for panel in 0..outputs / PANEL {
            let rows = matrix.chunks_exact(outputs);
            self.0.extend(rows.map(|row| *pair(row, panel)));
        }
    }
}

/// `out[r][o] = bias[o] + Σₖ source[r][k]·matrix[k][o]`, `k` ascending from the bias. `out` is `[rows][outputs]`.
#[inline(always)]
pub(super) fn product<L: Lanes>(
    lanes: L,
    source: &[f32],
    layout: &Layout,
    matrix: &Panels,
    bias: &[f32],
    out: &mut [f32],
) {
    // Sums of as many rows as leave the registers room for a piece of the matrix and one factor.
    if L::WIDE {
        product_tiles::<L, 8>(lanes, source, layout, matrix, bias, out);
    } else {
        product_tiles::<L, 2>(lanes, source, layout, matrix, bias, out);
    }
}

#[inline(always)]
fn product_tiles<L: Lanes, const ROWS: usize>(
    lanes: L,
    source: &[f32],
    layout: &Layout,
    Panels(matrix): &Panels,
    bias: &[f32],
    out: &mut [f32],
) {
    let outputs = bias.len();
    let panels = matrix.chunks_exact(layout.blocks.len() * BLOCK);
    for (panel, matrix) in panels.enumerate() {
        let bias = load(lanes, pair(bias, panel));
        let tiles = out.chunks_mut(ROWS * outputs);
        for (rows, out) in layout.rows.chunks(ROWS).zip(tiles) {
            // The last tile's missing rows are its last one, worked out and thrown away.
            let mut starts = [rows[rows.len() - 1]; ROWS];
            starts[..rows.len()].copy_from_slice(rows);
            let mut sums = [bias; ROWS];
            for (block, matrix) in layout.blocks.iter().zip(matrix.as_chunks::<BLOCK>().0) {
                let factors: [&[f32; BLOCK]; ROWS] =
                    starts.map(|start| piece(source, start + block));
                for k in 0..BLOCK {
                    let terms = load(lanes, &matrix[k]);
                    for (sums, factors) in sums.iter_mut().zip(factors) {
                        fma(lanes, sums, factors[k], terms);
                    }
                }
            }
            for (out, sums) in out.chunks_exact_mut(outputs).zip(sums) {
                store(lanes, sums, pair_mut(out, panel));
            }
        }
    }
}

/// `gradient[k][o] += Σᵣ source[r][k]·delta[r][o]`, `r` ascending from what is there. `delta` is `[rows][outputs]`.
#[inline(always)]
pub(super) fn outer_products<L: Lanes>(
    lanes: L,
    source: &[f32],
    layout: &Layout,
    delta: &[f32],
    outputs: usize,
    gradient: &mut [f32],
) {
    if L::WIDE {
        outer_tiles::<L, 8>(lanes, source, layout, delta, outputs, gradient);
    } else {
        outer_tiles::<L, 2>(lanes, source, layout, delta, outputs, gradient);
    }
}

#[inline(always)]
fn outer_tiles<L: Lanes, const FACTORS: usize>(
    lanes: L,
    source: &[f32],
    layout: &Layout,
    delta: &[f32],
    outputs: usize,
    gradient: &mut [f32],
) {
    let starts = layout
        .blocks
        .iter()
        .flat_map(|block| (0..BLOCK / FACTORS).map(move |part| block + part * FACTORS));
    for (start, gradient) in starts.zip(gradient.chunks_exact_mut(FACTORS * outputs)) {
        for panel in 0..outputs / PANEL {
            let mut sums = [[lanes.splat(0.0); 2]; FACTORS];
            for (sums, row) in sums.iter_mut().zip(gradient.chunks_exact(outputs)) {
                *sums = load(lanes, pair(row, panel));
            }
            for (row, delta) in layout.rows.iter().zip(delta.chunks_exact(outputs)) {
                let factors: &[f32; FACTORS] = piece(source, row + start);
                let terms = load(lanes, pair(delta, panel));
                for (sums, &factor) in sums.iter_mut().zip(factors) {
                    fma(lanes, sums, factor, terms);
                }
            }
            for (sums, row) in sums.iter().zip(gradient.chunks_exact_mut(outputs)) {
                store(lanes, *sums, pair_mut(row, panel));
            }
        }
    }
}

#[inline(always)]
fn fma<L: Lanes>(lanes: L, sums: &mut [L::Reg; 2], factor: f32, [low, high]: [L::Reg; 2]) {
    let factor = lanes.splat(factor);
    sums[0] = lanes.fma(factor, low, sums[0]);
    sums[1] = lanes.fma(factor, high, sums[1]);
}

#[inline(always)]
fn load<L: Lanes>(lanes: L, [low, high]: &[Line; 2]) -> [L::Reg; 2] {
    [lanes.load(low), lanes.load(high)]
}

#[inline(always)]
fn store<L: Lanes>(lanes: L, sums: [L::Reg; 2], [low, high]: &mut [Line; 2]) {
    lanes.store(sums[0], low);
    lanes.store(sums[1], high);
}

/// The numbers of one panel in a row.
#[inline(always)]
fn pair(row: &[f32], panel: usize) -> &[Line; 2] {
    &row.as_chunks().0.as_chunks().0[panel]
}

#[inline(always)]
fn pair_mut(row: &mut [f32], panel: usize) -> &mut [Line; 2] {
    &mut row.as_chunks_mut().0.as_chunks_mut().0[panel]
}

/// The numbers at `start`; zeros where a layout names what its source does not hold.
#[inline(always)]
fn piece<const N: usize>(source: &[f32], start: usize) -> &[f32; N] {
    source
        .get(start..)
        .and_then(|rest| rest.first_chunk())
        .unwrap_or(&[0.0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Random, Stream};
    use crate::train::kernels::{Backend, Work};

    struct Both<'a> {
        source: &'a [f32],
        layout: &'a Layout,
        matrix: &'a Panels,
        bias: &'a [f32],
        out: &'a mut [f32],
        gradient: &'a mut [f32],
    }

    impl Work for Both<'_> {
        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) {
            product(
                lanes,
                self.source,
                self.layout,
                self.matrix,
                self.bias,
                self.out,
            );
            outer_products(
                lanes,
                self.source,
                self.layout,
                self.out,
                self.bias.len(),
                self.gradient,
            );
        }
    }

    /// Every number on its own, as the functions' comments say.
    #[test]
    fn every_backend_sums_in_the_stated_order() {
        let mut random = Random::new(11, Stream::Init);
        let mut numbers =
            |count: usize| -> Vec<f32> { (0..count).map(|_| random.unit() - 0.5).collect() };
        for (layout, length) in [
            (Layout::dense(13, 48), 13 * 48),
            (Layout::dense(1, 16), 16),
            (Layout::patches(3, 5, 16), 5 * 7 * 16),
            (Layout::patches(7, 7, 32), 81 * 32),
        ] {
            for outputs in [32, 96] {
                let factors = layout.blocks.len() * BLOCK;
                let (source, matrix, bias) = (
                    numbers(length),
                    numbers(factors * outputs),
                    numbers(outputs),
                );
                let start = numbers(factors * outputs);
                let factor =
                    |row: usize, k: usize| source[row + layout.blocks[k / BLOCK] + k % BLOCK];
                let mut out = Vec::new();
                for &row in &layout.rows {
                    out.extend((0..outputs).map(|o| {
                        (0..factors).fold(bias[o], |sum, k| {
                            factor(row, k).mul_add(matrix[k * outputs + o], sum)
                        })
                    }));
                }
                let gradient: Vec<f32> = (0..factors * outputs)
                    .map(|at| {
                        let rows = layout.rows.iter().zip(out.chunks_exact(outputs));
                        rows.fold(start[at], |sum, (&row, out)| {
                            factor(row, at / outputs).mul_add(out[at % outputs], sum)
                        })
                    })
                    .collect();
                let mut panels = Panels::default();
                panels.fill(&matrix, outputs);
                for backend in Backend::available() {
                    let (mut got, mut got_gradient) = (vec![9.0; out.len()], start.clone());
                    backend.run(Both {
                        source: &source,
                        layout: &layout,
                        matrix: &panels,
                        bias: &bias,
                        out: &mut got,
                        gradient: &mut got_gradient,
                    });
                    assert_eq!(got, out, "{}", backend.name());
                    assert_eq!(got_gradient, gradient, "{}", backend.name());
                }
            }
        }
    }
}
