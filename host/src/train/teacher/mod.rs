//! The teacher: a convolutional network that a small one learns from.
//!
//! It is trained like everything here, to the bit (the order of sums below), on the same records, and is then only
//! asked for its logits. Arithmetic is that of [training](super); what is particular to it:
//!
//! - **Network.** `u / 255` goes through three convolutions of 3 by 3 (the image within a border of zeros), each
//!   followed by ReLU and the largest of every 2 by 2 positions, a hidden layer with ReLU, and the logits. Each sum
//!   starts at the bias and takes its factors by line, column and channel. Pooling leaves out a last odd line or column.
//!   First weights are uniform in `[-l, l)`, `l = √(6 / inputs)` of a layer, `√(3 / inputs)` of the last, in f64, drawn
//!   from [`Stream::TeacherInit`] layer by layer, by input (line, column, channel), then output; biases are 0.
//! - **Backwards**, from `δ = (p ⊖ t) ⊗ (1 ⊘ B)` at the logits: a derivative by an input starts at 0 and takes the patches
//!   around it by line, column and output; of a pool the first of the largest gets it, if it is above 0.
//! - **Gradients.** A batch is cut into groups of 16 images. A group's gradient starts at 0 and takes its
//!   images in order, of each the positions in order; the batch's is the sum of the groups' in order, from 2⁻⁵⁰. So any number
//!   of threads gives the same bits.
//! - **Dropout.** A neuron of the hidden layer counts `1 / (1 - rate)` times or, with probability `rate`, not at all.
//! - **Steps** are [Adam](super::adam)'s at Keras's β₁, β₂ and ε, with decoupled weight decay but of biases. What teaches
//!   is the moving average of the weights: `a = fma(w ⊖ a, k, a)` after step `t`, `k` the larger of `1 - average` and
//!   `1 / (t + 10)`, in f64.
//!
//! An image's changes, then its dropout by neuron, draw from [`Stream::Teacher`] by epoch (from 1) and record; the order
//! of an epoch from [`Stream::TeacherShuffle`].

mod form;
mod gemm;
mod group;
mod network;
mod pool;
mod state;
mod update;

#[cfg(test)]
mod tests;

pub use state::TeacherState;

use std::time::Instant;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::form::{Form, Packed, Weights};
use self::group::{Forward, GROUP, GroupJob, GroupRoom, judged};
use self::network::Workspace;
use self::update::Optimiser;
use super::augment::{Augmentation, Room};
use super::kernels::Backend;
use super::metrics::{Metrics, argmax};
use super::model::Layer;
use super::recipe::Annealing;
use super::trainer::diverged;
use super::{Epoch, EpochDone, Records, epoch_line};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::random::{Random, Stream};

/// How a teacher is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherRecipe {
    /// Channels after each convolution, multiples of 32.
    pub channels: [usize; 3],
    /// Neurons of its hidden layer, a multiple of 32.
    pub hidden: usize,
    /// Times over the data.
    pub epochs: u32,
    /// Records a step.
    pub batch: u32,
    /// Step size at its highest.
    pub learning_rate: f64,
    /// How the step size rises and falls.
    pub schedule: Annealing,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Share of the hidden layer's neurons that a step leaves out.
    pub dropout: f32,
    /// How slowly the average of the weights moves, below 1.
    pub average: f64,
    /// How far images are changed.
    pub augmentation: Augmentation,
}

impl TeacherRecipe {
    /// What its widths are multiples of.
    pub const WIDTHS: usize = gemm::PANEL;

    /// What a record of an epoch takes, next to one of a small network's: about.
    pub(super) fn work(&self) -> u64 {
        (self.multiplications() / 74_000).max(1)
    }

    /// What the answer to a record takes, which is forwards alone.
    pub(super) fn asking(&self) -> u64 {
        (self.multiplications() / 222_000).max(1)
    }

    /// Whether it can look at images of so many lines and columns.
    ///
    /// # Errors
    /// [`Error::Input`] when they are too small, or a step's would take more memory than a machine should need.
    pub(super) fn fits(&self, [lines, columns]: [usize; 2]) -> Result<()> {
        if lines.min(columns) < 8 {
            return Err(Error::input(
                format!("a teacher for images of {lines} by {columns} pixels"),
                "images must have 8 pixels either way at least; take a recipe without a teacher",
            ));
        }
        let [first, second, third] = self.channels.map(|channels| channels as u64);
        let positions = 4 * first + second + third / 4;
        // Four numbers for each channel of each position.
        let bytes = u64::from(self.batch) * (lines * columns) as u64 / 4 * positions * 16;
        if bytes > MOST_MEMORY {
            return Err(Error::input(
                format!(
                    "a step of such a teacher takes some {} GB of memory",
                    bytes >> 30
                ),
                "give the teacher fewer channels, or a smaller batch",
            ));
        }
        Ok(())
    }

    /// At least as many numbers as it has for images of so many pixels.
    pub(super) fn most_parameters(&self, pixels: usize, classes: usize) -> u64 {
        let [first, second, third] = self.channels.map(|channels| channels as u64);
        let (hidden, pixels, classes) = (self.hidden as u64, pixels as u64, classes as u64);
        let convolved = 32 * first + 10 * second * (first + third);
        convolved + (pixels / 64 * third + 1 + classes + 64) * hidden + classes + 64
    }

    /// Of one image of 28 by 28 forwards.
    fn multiplications(&self) -> u64 {
        let [first, second, third] = self.channels.map(|channels| channels as u64);
        let hidden = self.hidden as u64;
        let convolved = 784 * first + 196 * first * second + 49 * second * third;
        9 * (convolved + third * hidden)
    }
}

/// For a step: two hundred times what recipe `best` takes.
const MOST_MEMORY: u64 = 8 << 30;

/// What a teacher is trained on.
#[derive(Debug, Clone, Copy)]
pub struct TeacherPlan<'a> {
    /// All records, each an image of one channel.
    pub records: Records<'a>,
    /// Those to learn from, in the order that the first shuffle starts from.
    pub training: &'a [u32],
    /// Those to judge each epoch by.
    pub validation: &'a [u32],
    /// Lines and columns of an image.
    pub image: [usize; 2],
    /// Classes.
    pub classes: usize,
    /// How.
    pub recipe: &'a TeacherRecipe,
    /// Decides the first weights, the order of the records and their changes.
    pub seed: u64,
    /// What computes it; has no influence on the result.
    pub backend: Backend,
}

/// A trained teacher.
#[derive(Debug, Clone, PartialEq)]
pub struct Teacher {
    form: Form,
    weights: Weights,
}

/// Trains a teacher, on the threads of the [`rayon`] pool that this is called in, from the start or from where an
/// earlier sitting stopped. `watch` is shown each epoch, and where training stands then.
///
/// # Errors
/// [`Error::Input`] when the images are too small, `from` is of another training, or the weights leave the finite
/// numbers.
pub fn train(
    plan: &TeacherPlan<'_>,
    from: Option<&TeacherState>,
    progress: &dyn Progress,
    watch: &mut (dyn FnMut(&EpochDone, TeacherState) + Send),
) -> Result<Teacher> {
    let recipe = plan.recipe;
    let form = plan.form()?;
    let (mut weights, mut optimiser) = match from {
        Some(state) => state.restore(&form)?,
        None => {
            let first = form.initial(&mut Random::new(plan.seed, Stream::TeacherInit));
            let optimiser = Optimiser::new(&first, form.zeros());
            (first, optimiser)
        }
    };
    let mut packed = Packed::default();
    let batch = (recipe.batch as usize).min(plan.training.len());
    let groups = batch.div_ceil(GROUP);
    let mut rooms: Vec<_> = (0..groups).map(|_| GroupRoom::new(&form)).collect();
    let mut order = plan.training.to_vec();
    let steps_an_epoch = order.len().div_ceil(batch);
    let steps = steps_an_epoch as u64 * u64::from(recipe.epochs);
    let schedule = Annealing::schedule(Some(recipe.schedule), recipe.learning_rate, steps);
    let mut step = optimiser.steps;
    let epochs_done = u32::try_from(step / steps_an_epoch.max(1) as u64).unwrap_or(u32::MAX);
    for epoch in epochs_done.saturating_add(1)..=recipe.epochs {
        let begun = Instant::now();
        order.copy_from_slice(plan.training);
        Random::of_epoch(plan.seed, Stream::TeacherShuffle, epoch).shuffle(&mut order);
        progress.start(
            &format!("epoch {epoch}/{}", recipe.epochs),
            order.len() as u64,
        );
        let mut training = Metrics::default();
        for batch in order.chunks(batch) {
            packed.fill(&weights);
            let used = batch.len().div_ceil(GROUP);
            let job = GroupJob {
                plan,
                epoch,
                share: 1.0 / batch.len() as f32,
                weights: &weights,
                packed: &packed,
            };
            let parts = rooms
                .par_iter_mut()
                .zip(batch.par_chunks(GROUP))
                .with_max_len(1);
            parts.for_each(|(room, group)| room.learn(&job, group));
            let gradients: Vec<&Weights> =
                rooms[..used].iter().map(|room| &room.gradient).collect();
            for room in &rooms[..used] {
                training.merge(&room.metrics);
            }
            let options = update::Options {
                adam: super::adam::Adam {
                    weight_decay: recipe.weight_decay,
                    ..Default::default()
                },
                rate: schedule.rate(step),
                average: recipe.average,
            };
            optimiser.step(&mut weights, &gradients, &options, plan.backend);
            step += 1;
            progress.inc(batch.len() as u64);
        }
        let teacher = Teacher {
            form,
            weights: optimiser.average.clone(),
        };
        let validation = teacher.judge(plan.records, plan.validation, plan.backend);
        let losses = [training.loss_sum, validation.loss_sum];
        if !losses.into_iter().all(f64::is_finite) {
            return Err(diverged(&format!(
                "the teacher's training diverged in epoch {epoch}"
            )));
        }
        progress.finish();
        let (epochs, result) = (
            recipe.epochs,
            Epoch {
                training,
                validation,
            },
        );
        progress.note(&format!(
            "teacher: {}",
            epoch_line(epoch, epochs, &training, &validation)
        ));
        let learning_rate = schedule.rate(step - 1);
        let done = EpochDone {
            epoch,
            epochs,
            learning_rate,
            result,
            seconds: begun.elapsed().as_secs_f64(),
        };
        watch(&done, TeacherState::of(&weights, &optimiser));
    }
    Ok(Teacher {
        form,
        weights: optimiser.average,
    })
}

impl TeacherPlan<'_> {
    fn form(&self) -> Result<Form> {
        let TeacherRecipe {
            channels, hidden, ..
        } = *self.recipe;
        self.recipe.fits(self.image)?;
        Ok(Form {
            image: self.image,
            channels,
            hidden,
            classes: self.classes,
        })
    }
}

impl Teacher {
    /// The logits, `[images][classes]`, of images that `make` writes by their number, on all threads of the pool.
    pub(crate) fn logits(
        &self,
        images: usize,
        backend: Backend,
        make: impl Fn(usize, &mut Room, &mut [u8]) + Sync,
    ) -> Vec<f32> {
        let classes = self.form.classes;
        let pixels = self.form.image.iter().product();
        let mut packed = Packed::default();
        packed.fill(&self.weights);
        let mut logits = vec![0.0; images * classes];
        let groups = logits.par_chunks_mut(GROUP * classes).enumerate();
        let room = || {
            (
                Workspace::new(&self.form, GROUP),
                vec![0; GROUP * pixels],
                Room::default(),
            )
        };
        groups.for_each_init(room, |(workspace, images, room), (index, logits)| {
            let count = logits.len() / classes;
            for (image, to) in images.chunks_exact_mut(pixels).take(count).enumerate() {
                make(index * GROUP + image, room, to);
            }
            let group: Vec<&[u8]> = images.chunks_exact(pixels).take(count).collect();
            backend.run(Forward {
                workspace,
                weights: &self.weights,
                packed: &packed,
                group: &group,
                kept: None,
            });
            for (image, to) in logits.chunks_exact_mut(classes).enumerate() {
                to.copy_from_slice(workspace.logits(image));
            }
        });
        logits
    }

    /// How well it does on those of `records` that `which` names.
    fn judge(&self, records: Records<'_>, which: &[u32], backend: Backend) -> Metrics {
        let mut logits = self.logits(which.len(), backend, |image, _, to| {
            to.copy_from_slice(records.features_of(which[image]));
        });
        let mut metrics = Metrics::default();
        for (logits, &index) in logits.chunks_exact_mut(self.form.classes).zip(which) {
            let label = records.label_of(index);
            let hit = argmax(logits) == label;
            metrics.add(judged(logits, label), hit);
        }
        metrics
    }
}
