//! Training through other weights than those that are moved.

use super::parts::Part;
use crate::train::kernels::{LANES, Lanes, Work};

/// What forwards and backwards see in place of the weights, as quantisation-aware training needs it: the
/// gradient by what is seen moves the weights themselves (the straight-through estimator). Biases are seen
/// as they are.
///
/// Written anew for each step, in parts, by several threads: mark the function `#[inline(always)]` and keep it free
/// of branches, so that it is compiled for the backend.
pub trait View: Sync {
    /// Whether there is one: without, nothing is called and nothing is copied.
    const PRESENT: bool = true;

    /// What is seen of one input's weights in layer `layer` (0 to 2): `seen[o]` in place of `weights[o]`, `[outputs]`.
    fn rewrite(&self, layer: usize, weights: &[f32], seen: &mut [f32]);
}

/// The weights as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct AsIs;

impl View for AsIs {
    const PRESENT: bool = false;

    fn rewrite(&self, _: usize, weights: &[f32], seen: &mut [f32]) {
        seen.copy_from_slice(weights);
    }
}

/// Writes what is seen of a part.
pub(super) struct Rewrite<'a, V> {
    pub(super) view: &'a V,
    pub(super) layer: usize,
    pub(super) part: &'a mut Part,
    pub(super) outputs: usize,
    pub(super) lines: usize,
}

impl<V: View> Work for Rewrite<'_, V> {
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let width = self.lines * LANES;
        let Part { weights, view, .. } = self.part;
        let seen = view.flat_mut().chunks_exact_mut(width);
        for (weights, seen) in weights.flat().chunks_exact(width).zip(seen) {
            let (weights, seen) = (&weights[..self.outputs], &mut seen[..self.outputs]);
            self.view.rewrite(self.layer, weights, seen);
        }
    }
}
