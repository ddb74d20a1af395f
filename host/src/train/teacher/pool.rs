//! What happens to an image between a teacher's products: patches, ReLU and pooling, and back.

use super::form::TAPS;
use super::gemm::BLOCK;

/// The patches around each position of an image, padded to [`BLOCK`]: features as `u / 255`.
#[inline(always)]
pub(super) fn first_patches(image: &[u8], [height, width]: [usize; 2], patches: &mut [f32]) {
    let positions = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
    for ((y, x), patch) in positions.zip(patches.chunks_exact_mut(BLOCK)) {
        for (tap, to) in patch[..TAPS].iter_mut().enumerate() {
            // One beyond, so that the border is below the image too.
            let (line, column) = (y + tap / 3, x + tap % 3);
            let inside = (1..=height).contains(&line) && (1..=width).contains(&column);
            *to = if inside {
                f32::from(image[(line - 1) * width + column - 1]) / 255.0
            } else {
                0.0
            };
        }
    }
}

/// ReLU of the largest of each 2 by 2 positions; a last odd line or column is left out.
#[inline(always)]
pub(super) fn largest(
    sums: &[f32],
    width: usize,
    channels: usize,
    [lines, columns]: [usize; 2],
    border: usize,
    pooled: &mut [f32],
) {
    for line in 0..lines {
        for column in 0..columns {
            let at = ((line + border) * (columns + 2 * border) + column + border) * channels;
            let corners = corners(line, column, width, channels).map(|at| &sums[at..][..channels]);
            let [a, b, c, d] = corners;
            for (i, to) in pooled[at..][..channels].iter_mut().enumerate() {
                *to = larger(larger(larger(larger(0.0, a[i]), b[i]), c[i]), d[i]);
            }
        }
    }
}

/// The derivative by each position: that of the pooled one for the first of the largest, where it is above zero, else 0.
#[inline(always)]
pub(super) fn to_largest(
    sums: &[f32],
    width: usize,
    channels: usize,
    [lines, columns]: [usize; 2],
    border: usize,
    (pooled, above): (&[f32], &[f32]),
    deltas: &mut [f32],
) {
    // Odd last lines and columns are in no pool.
    if lines * 2 * width * channels < deltas.len() || columns * 2 < width {
        deltas.fill(0.0);
    }
    for line in 0..lines {
        for column in 0..columns {
            let at = ((line + border) * (columns + 2 * border) + column + border) * channels;
            let pooled = &pooled[at..][..channels];
            let above = &above[(line * columns + column) * channels..][..channels];
            let [a, b, c, d] = corners(line, column, width, channels);
            for i in 0..channels {
                let mut left = if pooled[i] > 0.0 { above[i] } else { 0.0 };
                for at in [a, b, c, d] {
                    let hit = sums[at + i] == pooled[i];
                    deltas[at + i] = if hit { left } else { 0.0 };
                    left = if hit { 0.0 } else { left };
                }
            }
        }
    }
}

/// Where the four positions of a pool lie.
#[inline(always)]
fn corners(line: usize, column: usize, width: usize, channels: usize) -> [usize; 4] {
    let at = (2 * line * width + 2 * column) * channels;
    let below = at + width * channels;
    [at, at + channels, below, below + channels]
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Adds rows to `sums`, in order.
#[inline(always)]
pub(super) fn add_rows(rows: &[f32], sums: &mut [f32]) {
    for row in rows.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
}
