//! A group of a batch's images, by one thread: from their changes to their gradient.

use super::TeacherPlan;
use super::form::{Form, Packed, Weights};
use super::network::Workspace;
use crate::random::{Random, Stream};
use crate::train::augment::Room;
use crate::train::kernels::{Lanes, Work};
use crate::train::metrics::{Metrics, argmax, softmax};

/// Images of a batch whose gradients are summed up before those of others; has an influence on the bits.
pub(super) const GROUP: usize = 16;

/// What one group of a batch is worked out in.
pub(super) struct GroupRoom {
    workspace: Workspace,
    pub(super) gradient: Weights,
    images: Vec<u8>,
    kept: Vec<f32>,
    room: Room,
    pub(super) metrics: Metrics,
}

/// What all groups of a batch share.
pub(super) struct GroupJob<'a> {
    pub(super) plan: &'a TeacherPlan<'a>,
    pub(super) epoch: u32,
    /// What a record counts in the loss's mean.
    pub(super) share: f32,
    pub(super) weights: &'a Weights,
    pub(super) packed: &'a Packed,
}

impl GroupRoom {
    pub(super) fn new(form: &Form) -> GroupRoom {
        GroupRoom {
            workspace: Workspace::new(form, GROUP),
            gradient: form.zeros(),
            images: vec![0; GROUP * form.image.iter().product::<usize>()],
            kept: vec![1.0; GROUP * form.hidden],
            room: Room::default(),
            metrics: Metrics::default(),
        }
    }

    /// Sets gradient and metrics to those of `group`.
    pub(super) fn learn(&mut self, job: &GroupJob<'_>, group: &[u32]) {
        let GroupJob {
            plan,
            epoch,
            share,
            weights,
            packed,
        } = *job;
        let recipe = plan.recipe;
        for layer in &mut self.gradient.0 {
            layer.weights.fill(0.0);
            layer.bias.fill(0.0);
        }
        let pixels = plan.records.width;
        let images = self
            .images
            .chunks_exact_mut(pixels)
            .zip(self.kept.chunks_exact_mut(recipe.hidden));
        for (&index, (image, kept)) in group.iter().zip(images) {
            let mut random = Random::of_record(plan.seed, Stream::Teacher, epoch, index);
            let original = plan.records.features_of(index);
            recipe
                .augmentation
                .apply(original, plan.image, &mut random, image, &mut self.room);
            for factor in kept {
                *factor = if random.unit() < recipe.dropout {
                    0.0
                } else {
                    1.0 / (1.0 - recipe.dropout)
                };
            }
        }
        let images: Vec<&[u8]> = self.images.chunks_exact(pixels).take(group.len()).collect();
        let workspace = &mut self.workspace;
        let kept = Some(&self.kept[..]);
        plan.backend.run(Forward {
            workspace,
            weights,
            packed,
            group: &images,
            kept,
        });
        self.metrics = Metrics::default();
        for (image, &index) in group.iter().enumerate() {
            let label = plan.records.label_of(index);
            let logits = workspace.logits(image);
            let hit = argmax(logits) == label;
            let mut deltas = logits.to_vec();
            self.metrics.add(judged(&mut deltas, label), hit);
            for (class, (to, p)) in workspace
                .logit_deltas(image)
                .iter_mut()
                .zip(deltas)
                .enumerate()
            {
                *to = (p - if class == label { 1.0 } else { 0.0 }) * share;
            }
        }
        let gradient = &mut self.gradient;
        plan.backend.run(Backward {
            workspace,
            packed,
            images: group.len(),
            kept,
            gradient,
        });
    }
}

/// A group from its images to the logits.
pub(super) struct Forward<'a> {
    pub(super) workspace: &'a mut Workspace,
    pub(super) weights: &'a Weights,
    pub(super) packed: &'a Packed,
    pub(super) group: &'a [&'a [u8]],
    /// What each hidden neuron counts, where some are left out.
    pub(super) kept: Option<&'a [f32]>,
}

impl Work for Forward<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        self.workspace
            .forward(lanes, self.weights, self.packed, self.group, self.kept);
    }
}

/// A group from the deltas at its logits to its gradient.
pub(super) struct Backward<'a> {
    pub(super) workspace: &'a mut Workspace,
    pub(super) packed: &'a Packed,
    pub(super) images: usize,
    pub(super) kept: Option<&'a [f32]>,
    pub(super) gradient: &'a mut Weights,
}

impl Work for Backward<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        self.workspace
            .backward(lanes, self.packed, self.images, self.kept, self.gradient);
    }
}

/// Logits to probabilities, and the cross-entropy of `label`, as [training](super::super) defines both.
pub(super) fn judged(logits: &mut [f32], label: usize) -> f32 {
    let of_label = logits[label];
    let (largest, sum) = softmax(logits, 1.0);
    libm::logf(sum) - (of_label - largest)
}
