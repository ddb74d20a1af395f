//! One batch forwards and backwards, in the order that the [module's page](super) defines.

use super::adam::Adam;
use super::kernels::{self, TermLists, Work};
use super::metrics::{Metrics, argmax};
use super::model::{Layer, Network, Shape};
use crate::dataset::Dataset;

/// Records to learn from or to judge by.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    /// `[N][width]`, row-major.
    pub features: &'a [u8],
    /// Features of a record.
    pub width: usize,
    /// `[N]`, each below the network's classes.
    pub labels: &'a [u16],
}

impl<'a> From<&'a Dataset> for Records<'a> {
    fn from(data: &'a Dataset) -> Records<'a> {
        Records {
            features: &data.features,
            width: data.feature_count(),
            labels: &data.labels,
        }
    }
}

impl Records<'_> {
    /// The features of record `index`, which must be there.
    pub(crate) fn features_of(&self, index: u32) -> &[u8] {
        let start = index as usize * self.width;
        &self.features[start..start + self.width]
    }

    fn label_of(&self, index: u32) -> usize {
        usize::from(self.labels[index as usize])
    }
}

/// The room that batches of one network are worked out in; it grows with the first batch and is then
/// used again.
#[derive(Debug)]
pub(crate) struct Workspace {
    shape: Shape,
    /// What every sum of the first layer starts from: `bias - ½ Σ weights`, `[H1]`.
    start: Vec<f32>,
    /// The layers' inputs, a list a record.
    inputs: [TermLists; 3],
    /// Outputs of the hidden layers after ReLU and of the last before softmax, `[B][O]` each.
    outputs: [Vec<f32>; 3],
    /// The loss's derivative by each layer's sums, `[B][O]` each.
    deltas: [Vec<f32>; 3],
    /// A layer's inputs, a list an input.
    columns: TermLists,
    /// One record's delta.
    delta_terms: TermLists,
    /// A layer's weights as `[O][I]`.
    transposed: Vec<f32>,
}

impl Workspace {
    /// Room for networks of `shape`.
    pub(crate) fn new(shape: &Shape) -> Workspace {
        Workspace {
            shape: *shape,
            start: Vec::new(),
            inputs: Default::default(),
            outputs: Default::default(),
            deltas: Default::default(),
            columns: TermLists::default(),
            delta_terms: TermLists::default(),
            transposed: Vec::new(),
        }
    }

    /// The layers' outputs of the last batch, `[B][O]` each.
    pub(crate) fn outputs(&self) -> &[Vec<f32>; 3] {
        &self.outputs
    }

    #[inline(always)]
    fn forward(&mut self, network: &Network, records: &Records<'_>, batch: &[u32]) {
        let [_, widths @ ..] = self.shape.widths();
        for (outputs, width) in self.outputs.iter_mut().zip(widths) {
            outputs.resize(batch.len() * width, 0.0);
        }
        for inputs in &mut self.inputs {
            inputs.clear();
        }
        let [first, second, last] = &network.layers;
        let [pixels, hidden_1, hidden_2] = &mut self.inputs;
        let [outputs_1, outputs_2, outputs_3] = &mut self.outputs;

        self.start.clear();
        self.start.resize(first.outputs, 0.0);
        kernels::sum_rows(&mut self.start, &first.weights);
        for (start, &bias) in self.start.iter_mut().zip(&first.bias) {
            *start = start.mul_add(OFFSET, bias);
        }
        for (&index, sums) in batch.iter().zip(outputs_1.chunks_exact_mut(first.outputs)) {
            let terms = pixels.push_features(records.features_of(index));
            sums.copy_from_slice(&self.start);
            kernels::sum_terms(sums, &first.weights, terms);
            relu(sums);
        }
        dense(second, hidden_1, outputs_1, outputs_2);
        outputs_2.chunks_exact_mut(second.outputs).for_each(relu);
        dense(last, hidden_2, outputs_2, outputs_3);
    }

    /// Loss and hits of the batch, and the last layer's delta from it.
    #[inline(always)]
    fn judge(&mut self, records: &Records<'_>, batch: &[u32]) -> Metrics {
        let classes = self.shape.classes;
        let [_, _, delta] = &mut self.deltas;
        delta.resize(batch.len() * classes, 0.0);
        let logits = self.outputs[2].chunks_exact(classes);
        let mut metrics = Metrics::default();
        for ((&index, logits), delta) in batch
            .iter()
            .zip(logits)
            .zip(delta.chunks_exact_mut(classes))
        {
            let label = records.label_of(index);
            let loss = softmax(logits, label, delta);
            metrics.add(loss, argmax(logits) == label);
            for (class, value) in delta.iter_mut().enumerate() {
                let target = if class == label { 1.0 } else { 0.0 };
                *value = (*value - target) / batch.len() as f32;
            }
        }
        metrics
    }

    #[inline(always)]
    fn backward(&mut self, network: &Network, gradient: &mut Network) {
        let [first, second, last] = &network.layers;
        let [gradient_1, gradient_2, gradient_3] = &mut gradient.layers;
        let [pixels, hidden_1, hidden_2] = &self.inputs;
        let [delta_1, delta_2, delta_3] = &mut self.deltas;
        let columns = &mut self.columns;

        weights_gradient(gradient_3, columns, hidden_2, delta_3);
        back(
            last,
            &self.outputs[1],
            delta_3,
            delta_2,
            &mut self.delta_terms,
            &mut self.transposed,
        );
        weights_gradient(gradient_2, columns, hidden_1, delta_2);
        back(
            second,
            &self.outputs[0],
            delta_2,
            delta_1,
            &mut self.delta_terms,
            &mut self.transposed,
        );
        weights_gradient(gradient_1, columns, pixels, delta_1);
        for row in gradient_1.weights.chunks_exact_mut(first.outputs) {
            for (value, bias) in row.iter_mut().zip(&gradient_1.bias) {
                *value = bias.mul_add(OFFSET, *value);
            }
        }
    }
}

/// Forwards only: leaves logits in the workspace and adds to the metrics.
pub(crate) struct Judge<'a> {
    pub(crate) network: &'a Network,
    pub(crate) records: Records<'a>,
    pub(crate) batch: &'a [u32],
    pub(crate) workspace: &'a mut Workspace,
    pub(crate) metrics: &'a mut Metrics,
}

impl Work for Judge<'_> {
    #[inline(always)]
    fn run(self) {
        self.workspace
            .forward(self.network, &self.records, self.batch);
        let metrics = self.workspace.judge(&self.records, self.batch);
        self.metrics.merge(&metrics);
    }
}

/// Forwards and backwards: sets the gradient of the batch's mean loss.
pub(crate) struct Differentiate<'a> {
    pub(crate) network: &'a Network,
    pub(crate) gradient: &'a mut Network,
    pub(crate) records: Records<'a>,
    pub(crate) batch: &'a [u32],
    pub(crate) workspace: &'a mut Workspace,
    pub(crate) metrics: &'a mut Metrics,
}

impl Work for Differentiate<'_> {
    #[inline(always)]
    fn run(self) {
        let judge = Judge {
            network: self.network,
            records: self.records,
            batch: self.batch,
            workspace: &mut *self.workspace,
            metrics: self.metrics,
        };
        judge.run();
        self.workspace.backward(self.network, self.gradient);
    }
}

/// A training step: forwards, backwards, and the optimiser.
pub(crate) struct Learn<'a> {
    pub(crate) network: &'a mut Network,
    pub(crate) gradient: &'a mut Network,
    pub(crate) adam: &'a mut Adam,
    pub(crate) records: Records<'a>,
    pub(crate) batch: &'a [u32],
    pub(crate) workspace: &'a mut Workspace,
    pub(crate) metrics: &'a mut Metrics,
}

impl Work for Learn<'_> {
    #[inline(always)]
    fn run(self) {
        let differentiate = Differentiate {
            network: &*self.network,
            gradient: &mut *self.gradient,
            records: self.records,
            batch: self.batch,
            workspace: self.workspace,
            metrics: self.metrics,
        };
        differentiate.run();
        self.adam.step(self.network, self.gradient);
    }
}

/// `outputs[b] = bias + Σ inputs[b][i] · weights[i]`, and the lists of what is not zero in `inputs`.
#[inline(always)]
fn dense(layer: &Layer, lists: &mut TermLists, inputs: &[f32], outputs: &mut [f32]) {
    let outputs = outputs.chunks_exact_mut(layer.outputs);
    for (input, sums) in inputs.chunks_exact(layer.inputs).zip(outputs) {
        sums.copy_from_slice(&layer.bias);
        kernels::sum_terms(sums, &layer.weights, lists.push_row(input));
    }
}

/// The gradient of one layer from its inputs (a list a record) and its delta `[B][O]`.
#[inline(always)]
fn weights_gradient(
    gradient: &mut Layer,
    columns: &mut TermLists,
    inputs: &TermLists,
    delta: &[f32],
) {
    gradient.bias.fill(0.0);
    kernels::sum_rows(&mut gradient.bias, delta);
    gradient.weights.fill(0.0);
    columns.transpose(inputs, gradient.inputs);
    for (input, sums) in gradient
        .weights
        .chunks_exact_mut(gradient.outputs)
        .enumerate()
    {
        kernels::sum_terms(sums, delta, columns.list(input));
    }
}

/// The delta of the layer below: back through `layer`'s weights, and through ReLU, whose derivative is 0
/// where `below`, its output, is 0.
#[inline(always)]
fn back(
    layer: &Layer,
    below: &[f32],
    delta: &[f32],
    delta_below: &mut Vec<f32>,
    terms: &mut TermLists,
    transposed: &mut Vec<f32>,
) {
    transposed.resize(layer.weights.len(), 0.0);
    kernels::transpose(&layer.weights, layer.outputs, transposed);
    delta_below.clear();
    delta_below.resize(below.len(), 0.0);
    let sums = delta_below.chunks_exact_mut(layer.inputs);
    let records = delta
        .chunks_exact(layer.outputs)
        .zip(below.chunks_exact(layer.inputs));
    for (sums, (delta, below)) in sums.zip(records) {
        terms.clear();
        kernels::sum_terms(sums, transposed, terms.push_row(delta));
        for (sum, &activation) in sums.iter_mut().zip(below) {
            *sum = if activation > 0.0 { *sum } else { 0.0 };
        }
    }
}

/// `max(0, z)`, and 0 for -0.
#[inline(always)]
fn relu(values: &mut [f32]) {
    for value in values {
        *value = if *value > 0.0 { *value } else { 0.0 };
    }
}

/// The softmax of `logits` into `probabilities`, and the cross-entropy of `label`: with `m` the largest
/// logit and `s = Σ exp(z - m)` in order of class, `exp(z - m) / s` and `ln s - (z[label] - m)`.
#[inline(always)]
fn softmax(logits: &[f32], label: usize, probabilities: &mut [f32]) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (probability, &logit) in probabilities.iter_mut().zip(logits) {
        *probability = libm::expf(logit - largest);
        sum += *probability;
    }
    for probability in probabilities {
        *probability /= sum;
    }
    libm::logf(sum) - (logits[label] - largest)
}

/// Features enter as `u / 255 - ½` (paper, section 3.1.3); the half is taken out of the sums exactly.
const OFFSET: f32 = -0.5;
