//! Training through other weights than those that are moved.

use super::parts::Part;
use crate::train::kernels::{LANES, Lanes, Line, Work};

/// What forwards and backwards see in place of the weights, as quantisation-aware training needs it: the
/// gradient by what is seen moves the weights themselves (the straight-through estimator). Biases are seen
/// as they are.
///
/// Written anew for each step, in parts, by several threads: mark both functions `#[inline(always)]` and
/// keep them free of branches, so that they are compiled for the backend.
pub trait View: Sync {
    /// Whether there is one: without, nothing is called and nothing is copied.
    const PRESENT: bool = true;

    /// Gets the largest magnitude of each output's weights in layer `layer` (0 to 2), `[outputs]`, and
    /// leaves in their place what [`rewrite`](View::rewrite) is to get.
    fn scales(&self, layer: usize, largest: &mut [f32]);

    /// What is seen of one input's weights: `seen[o]` in place of `weights[o]`, `[outputs]`.
    fn rewrite(&self, layer: usize, scales: &[f32], weights: &[f32], seen: &mut [f32]);
}

/// The weights as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct AsIs;

impl View for AsIs {
    const PRESENT: bool = false;

    fn scales(&self, _: usize, _: &mut [f32]) {}

    fn rewrite(&self, _: usize, _: &[f32], weights: &[f32], seen: &mut [f32]) {
        seen.copy_from_slice(weights);
    }
}

/// Sets a part's largest magnitudes.
pub(super) struct Largest<'a> {
    pub(super) part: &'a mut Part,
    pub(super) lines: usize,
}

impl Work for Largest<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        for (at, largest) in self.part.largest.iter_mut().enumerate() {
            let mut most = lanes.splat(0.0);
            for row in self.part.weights.chunks_exact(self.lines) {
                most = lanes.max_abs(lanes.load(&row[at]), most);
            }
            lanes.store(most, largest);
        }
    }
}

/// Writes what is seen of a part.
pub(super) struct Rewrite<'a, V> {
    pub(super) view: &'a V,
    pub(super) layer: usize,
    pub(super) part: &'a mut Part,
    pub(super) outputs: usize,
    pub(super) lines: usize,
    /// `[lines]`: the largest magnitudes over all parts.
    pub(super) scales: &'a mut [Line],
}

impl<V: View> Work for Rewrite<'_, V> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let scales = &mut self.scales.as_flattened_mut()[..self.outputs];
        self.view.scales(self.layer, scales);
        let width = self.lines * LANES;
        let Part { weights, view, .. } = self.part;
        let seen = view.flat_mut().chunks_exact_mut(width);
        for (weights, seen) in weights.flat().chunks_exact(width).zip(seen) {
            let (weights, seen) = (&weights[..self.outputs], &mut seen[..self.outputs]);
            self.view.rewrite(self.layer, scales, weights, seen);
        }
    }
}
