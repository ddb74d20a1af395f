//! The teacher's layers, forwards and backwards over a group of images.
//!
//! An image of one channel goes through three 3 by 3 convolutions, each followed by ReLU and the largest of
//! every 2 by 2 positions, then through a hidden layer with ReLU and dropout, then to logits.
//!
//! Images and what becomes of them lie by position, then channel. Widths are padded to a multiple of [`PANEL`](super::gemm::PANEL) so
//! that no sum is cut. What is padded is an output of no layer and a class of no image: it gets no gradient but what
//! every gradient begins at, and no real number is made of it.

use super::form::{CONVOLUTIONS, Form, Packed, Weights};
use super::gemm::{BLOCK, Layout, Panels, outer_products, product};
use super::pool::{add_rows, first_patches, largest, to_largest};
use crate::train::kernels::Lanes;
use crate::train::model::Layer;

/// A convolution's room for one group.
#[derive(Debug)]
struct Stage {
    /// Lines and columns.
    size: [usize; 2],
    /// Its input: how rows lie in one image's.
    input: Layout,
    /// Numbers of one image's input.
    input_len: usize,
    /// `[images]` inputs.
    inputs: Vec<f32>,
    /// `[images][positions][outputs]` before ReLU.
    sums: Vec<f32>,
    /// The same: the loss's derivative by each.
    deltas: Vec<f32>,
    /// One image's deltas within a border, and how the patches around positions lie there.
    bordered: Vec<f32>,
    back: Layout,
    /// One image's: the derivative by its input, without the border.
    input_deltas: Vec<f32>,
    outputs: usize,
}

/// A dense layer's room.
#[derive(Debug)]
struct Dense {
    /// `[images][inputs]`.
    inputs: Vec<f32>,
    input_deltas: Vec<f32>,
    layout: Layout,
    /// `[images][outputs]`.
    sums: Vec<f32>,
    deltas: Vec<f32>,
    back: Layout,
}

/// The room that one group of images is worked out in.
#[derive(Debug)]
pub(super) struct Workspace {
    stages: [Stage; CONVOLUTIONS],
    hidden: Dense,
    last: Dense,
    classes: usize,
    zeros: Vec<f32>,
    images: usize,
}

impl Workspace {
    /// Room for groups of up to `images`.
    pub(super) fn new(form: &Form, images: usize) -> Workspace {
        let sizes = form.sizes();
        let widths = form.widths();
        let stage = |index: usize| {
            let [height, width] = sizes[index];
            let outputs = form.channels[index];
            let channels = index.checked_sub(1).map(|before| form.channels[before]);
            let (input, input_len) = match channels {
                None => (Layout::dense(height * width, BLOCK), height * width * BLOCK),
                Some(channels) => (
                    Layout::patches(height, width, channels),
                    (height + 2) * (width + 2) * channels,
                ),
            };
            Stage {
                size: sizes[index],
                inputs: vec![0.0; images * input_len],
                input,
                input_len,
                sums: vec![0.0; images * height * width * outputs],
                deltas: vec![0.0; images * height * width * outputs],
                bordered: vec![0.0; (height + 2) * (width + 2) * outputs],
                back: Layout::patches(height, width, outputs),
                input_deltas: vec![0.0; height * width * channels.unwrap_or(0)],
                outputs,
            }
        };
        let dense = |index: usize| {
            let [inputs, outputs] = widths[index];
            Dense {
                inputs: vec![0.0; images * inputs],
                input_deltas: vec![0.0; images * inputs],
                layout: Layout::dense(images, inputs),
                sums: vec![0.0; images * outputs],
                deltas: vec![0.0; images * outputs],
                back: Layout::dense(images, outputs),
            }
        };
        let widest = widths.iter().flatten().copied().max();
        Workspace {
            stages: [stage(0), stage(1), stage(2)],
            hidden: dense(CONVOLUTIONS),
            last: dense(CONVOLUTIONS + 1),
            classes: form.classes,
            zeros: vec![0.0; widest.unwrap_or_default()],
            images,
        }
    }

    /// The logits of image `index` of the last group.
    pub(super) fn logits(&self, index: usize) -> &[f32] {
        let width = self.last.sums.len() / self.images;
        &self.last.sums[index * width..][..self.classes]
    }

    /// Where the loss's derivative by the logits of image `index` goes.
    pub(super) fn logit_deltas(&mut self, index: usize) -> &mut [f32] {
        let width = self.last.deltas.len() / self.images;
        &mut self.last.deltas[index * width..][..self.classes]
    }

    /// Leaves the logits of `group` in the workspace. A neuron of the hidden layer is kept, times its factor in
    /// `kept`, `[images][hidden]`.
    #[inline(always)]
    pub(super) fn forward<L: Lanes>(
        &mut self,
        lanes: L,
        weights: &Weights,
        packed: &Packed,
        group: &[&[u8]],
        kept: Option<&[f32]>,
    ) {
        let [first, ..] = &mut self.stages;
        for (image, patches) in group
            .iter()
            .zip(first.inputs.chunks_exact_mut(first.input_len))
        {
            first_patches(image, first.size, patches);
        }
        for index in 0..CONVOLUTIONS {
            let (stages, later) = self.stages.split_at_mut(index + 1);
            let stage = &mut stages[index];
            let [height, width] = stage.size;
            let positions = height * width * stage.outputs;
            for image in 0..group.len() {
                let sums = &mut stage.sums[image * positions..][..positions];
                let inputs = &stage.inputs[image * stage.input_len..][..stage.input_len];
                let layer = &weights.0[index];
                product(
                    lanes,
                    inputs,
                    &stage.input,
                    &packed.ahead[index],
                    &layer.bias,
                    sums,
                );
                let (next, border) = match later.first_mut() {
                    Some(next) => (
                        &mut next.inputs[image * next.input_len..][..next.input_len],
                        1,
                    ),
                    None => {
                        let width = self.hidden.inputs.len() / self.images;
                        (&mut self.hidden.inputs[image * width..][..width], 0)
                    }
                };
                largest(
                    sums,
                    width,
                    stage.outputs,
                    stage.size.map(|n| n / 2),
                    border,
                    next,
                );
            }
        }
        let [.., hidden, last] = &weights.0;
        let [.., hidden_packed, last_packed] = &packed.ahead;
        let dense = &mut self.hidden;
        product(
            lanes,
            &dense.inputs,
            &dense.layout,
            hidden_packed,
            &hidden.bias,
            &mut dense.sums,
        );
        for (index, (to, &sum)) in self.last.inputs.iter_mut().zip(&dense.sums).enumerate() {
            let factor = kept
                .and_then(|kept| kept.get(index))
                .copied()
                .unwrap_or(1.0);
            *to = if sum > 0.0 { sum * factor } else { 0.0 };
        }
        let dense = &mut self.last;
        product(
            lanes,
            &dense.inputs,
            &dense.layout,
            last_packed,
            &last.bias,
            &mut dense.sums,
        );
    }

    /// Adds to `gradient` what the `images` of the last group give, from the deltas of their logits.
    #[inline(always)]
    pub(super) fn backward<L: Lanes>(
        &mut self,
        lanes: L,
        packed: &Packed,
        images: usize,
        kept: Option<&[f32]>,
        gradient: &mut Weights,
    ) {
        let [convolutions @ .., hidden, last] = &mut gradient.0;
        let [.., hidden_packed, last_packed] = &packed.back;
        self.last
            .backward(lanes, last_packed, &self.zeros, images, last);
        for (index, (delta, &sum)) in self
            .hidden
            .deltas
            .iter_mut()
            .zip(&self.hidden.sums)
            .enumerate()
        {
            let factor = kept
                .and_then(|kept| kept.get(index))
                .copied()
                .unwrap_or(1.0);
            let above = self.last.input_deltas[index];
            *delta = if sum > 0.0 { above * factor } else { 0.0 };
        }
        self.hidden
            .backward(lanes, hidden_packed, &self.zeros, images, hidden);
        let width = self.hidden.inputs.len() / self.images;
        for image in 0..images {
            let mut pooled = &self.hidden.inputs[image * width..][..width];
            let mut deltas = &self.hidden.input_deltas[image * width..][..width];
            let mut border = 0;
            for (stage, (index, gradient)) in self
                .stages
                .iter_mut()
                .zip(convolutions.iter_mut().enumerate())
                .rev()
            {
                stage.backward(
                    lanes,
                    &packed.back[index],
                    &self.zeros,
                    image,
                    (pooled, deltas, border),
                    gradient,
                );
                pooled = &stage.inputs[image * stage.input_len..][..stage.input_len];
                deltas = &stage.input_deltas;
                border = 1;
            }
        }
    }
}

impl Stage {
    /// One image: from what the pooling's outputs were and the derivative by them to the weights' and the inputs'.
    #[inline(always)]
    fn backward<L: Lanes>(
        &mut self,
        lanes: L,
        packed: &Panels,
        zeros: &[f32],
        image: usize,
        (pooled, deltas_above, border): (&[f32], &[f32], usize),
        gradient: &mut Layer,
    ) {
        let [height, width] = self.size;
        let positions = height * width * self.outputs;
        let sums = &self.sums[image * positions..][..positions];
        let deltas = &mut self.deltas[image * positions..][..positions];
        let half = self.size.map(|n| n / 2);
        to_largest(
            sums,
            width,
            self.outputs,
            half,
            border,
            (pooled, deltas_above),
            deltas,
        );
        let inputs = &self.inputs[image * self.input_len..][..self.input_len];
        outer_products(
            lanes,
            inputs,
            &self.input,
            deltas,
            self.outputs,
            &mut gradient.weights,
        );
        add_rows(deltas, &mut gradient.bias);
        if self.input_deltas.is_empty() {
            return;
        }
        let line = width * self.outputs;
        let lines = self
            .bordered
            .chunks_exact_mut(line + 2 * self.outputs)
            .skip(1);
        for (to, from) in lines.zip(deltas.chunks_exact(line)) {
            to[self.outputs..][..line].copy_from_slice(from);
        }
        let channels = self.input_deltas.len() / (height * width);
        product(
            lanes,
            &self.bordered,
            &self.back,
            packed,
            &zeros[..channels],
            &mut self.input_deltas,
        );
    }
}

impl Dense {
    #[inline(always)]
    fn backward<L: Lanes>(
        &mut self,
        lanes: L,
        packed: &Panels,
        zeros: &[f32],
        images: usize,
        gradient: &mut Layer,
    ) {
        let deltas = &self.deltas[..images * gradient.outputs];
        outer_products(
            lanes,
            &self.inputs,
            &self.layout,
            deltas,
            gradient.outputs,
            &mut gradient.weights,
        );
        add_rows(deltas, &mut gradient.bias);
        let bias = &zeros[..gradient.inputs];
        product(
            lanes,
            &self.deltas,
            &self.back,
            packed,
            bias,
            &mut self.input_deltas,
        );
    }
}
