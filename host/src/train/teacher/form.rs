//! What a teacher's layers look like, and their weights.

use super::gemm::{BLOCK, PANEL, Panels};
use crate::random::Random;
use crate::train::model::Layer;

/// Convolutions.
pub(super) const CONVOLUTIONS: usize = 3;
/// Layers with weights.
pub(super) const LAYERS: usize = CONVOLUTIONS + 2;

/// What a teacher looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// Lines and columns of an image.
    pub(super) image: [usize; 2],
    /// Channels after each convolution, multiples of [`PANEL`].
    pub(super) channels: [usize; CONVOLUTIONS],
    /// Neurons of the hidden layer, a multiple of [`PANEL`].
    pub(super) hidden: usize,
    /// Classes.
    pub(super) classes: usize,
}

impl Form {
    /// Lines and columns that each convolution works on, and at last those that the hidden layer sees.
    pub(super) fn sizes(&self) -> [[usize; 2]; CONVOLUTIONS + 1] {
        let mut sizes = [self.image; CONVOLUTIONS + 1];
        for stage in 1..sizes.len() {
            sizes[stage] = sizes[stage - 1].map(|length| length / 2);
        }
        sizes
    }

    /// Inputs and outputs of each layer, as they are stored.
    pub(super) fn widths(&self) -> [[usize; 2]; LAYERS] {
        let [first, second, third] = self.channels;
        let [.., [height, width]] = self.sizes();
        [
            [BLOCK, first],
            [9 * first, second],
            [9 * second, third],
            [height * width * third, self.hidden],
            [self.hidden, self.classes.next_multiple_of(PANEL)],
        ]
    }

    /// A network of zeros.
    pub(super) fn zeros(&self) -> Weights {
        Weights(
            self.widths()
                .map(|[inputs, outputs]| Layer::zeros(inputs, outputs)),
        )
    }

    /// He's uniform initialisation: each weight uniform in `[-l, l)` with `l = √(6 / inputs)` of its layer (√(3 /
    /// inputs) of the last, which no ReLU follows); biases zero. Drawn layer by layer in order of input, then output.
    pub(super) fn initial(&self, random: &mut Random) -> Weights {
        let mut weights = self.zeros();
        for (index, layer) in weights.0.iter_mut().enumerate() {
            let inputs = if index == 0 { TAPS } else { layer.inputs };
            let last = index == LAYERS - 1;
            let outputs = if last { self.classes } else { layer.outputs };
            let limit = (if last { 3.0 } else { 6.0 } / inputs as f64).sqrt() as f32;
            for row in layer.weights.chunks_exact_mut(layer.outputs).take(inputs) {
                for weight in &mut row[..outputs] {
                    *weight = (2.0 * random.unit() - 1.0) * limit;
                }
            }
        }
        weights
    }
}

/// The weights of each layer, `[inputs][outputs]`; a convolution's inputs are a patch's, by line, column and
/// channel, the first one's padded to [`BLOCK`]. A gradient has the same form.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weights(pub(super) [Layer; LAYERS]);

/// Weights in the order in which products read them.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// Forwards.
    pub(super) ahead: [Panels; LAYERS],
    /// From a layer's deltas to those of its inputs; the first layer's are of no use.
    pub(super) back: [Panels; LAYERS],
}

impl Packed {
    /// Takes over `weights`.
    pub(super) fn fill(&mut self, weights: &Weights) {
        let mut turned = Vec::new();
        for (index, layer) in weights.0.iter().enumerate() {
            self.ahead[index].fill(&layer.weights, layer.outputs);
            if index == 0 {
                continue;
            }
            let taps = if index < CONVOLUTIONS { TAPS } else { 1 };
            let channels = layer.inputs / taps;
            turned.clear();
            turned.resize(layer.weights.len(), 0.0);
            // The patch around an input sees each tap from the other side.
            for (tap, from) in layer
                .weights
                .chunks_exact(channels * layer.outputs)
                .enumerate()
            {
                let to = &mut turned[(taps - 1 - tap) * layer.outputs * channels..];
                for (channel, row) in from.chunks_exact(layer.outputs).enumerate() {
                    for (output, &weight) in row.iter().enumerate() {
                        to[output * channels + channel] = weight;
                    }
                }
            }
            self.back[index].fill(&turned, channels);
        }
    }
}

/// Positions of a 3 by 3 patch.
pub(super) const TAPS: usize = 9;
