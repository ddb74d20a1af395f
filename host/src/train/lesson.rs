//! What each epoch learns from: the records, changed where the recipe says so, and what they are to give.

use rayon::prelude::*;

use super::augment::Room;
use super::engine::{Compute, Prepared, Targets, no_thread};
use super::recipe::Distillation;
use super::teacher::{self, Teacher, TeacherPlan, TeacherRecipe};
use super::{Epoch, EpochDone, Plan, TEACHER, TRAINING};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::random::{Random, Stream};

/// The material of all epochs.
pub(super) struct Lesson<'a> {
    plan: &'a Plan<'a>,
    threads: rayon::ThreadPool,
    /// `[training]`.
    labels: Vec<u16>,
    /// The records of the epoch.
    prepared: Prepared,
    /// The pool of a teacher's answers.
    taught: Option<Pool>,
    /// The teacher's epochs.
    pub(super) teacher: Vec<Epoch>,
    /// `[training][features]` of the epoch, where they are not the records' own.
    features: Vec<u8>,
}

/// What a teacher says of variants of the training records.
struct Pool {
    distillation: Distillation,
    /// As many as epochs see.
    variants: u32,
    /// `[variants][training][classes]`.
    probabilities: Vec<f32>,
}

impl<'a> Lesson<'a> {
    /// Gets all ready that is done once: with a recipe that has one, trains the teacher and asks it.
    pub(super) fn new(
        plan: &'a Plan<'a>,
        progress: &dyn Progress,
        watch: &mut (dyn FnMut(&str, &EpochDone) + Send),
    ) -> Result<Lesson<'a>> {
        let recipe = plan.recipe;
        let changes = recipe.augmentation.is_some() || recipe.teacher.is_some();
        let compute = Compute {
            backend: plan.backend,
            threads: plan.threads,
        };
        // What changes nothing needs one thread, which costs nothing.
        let count = if changes { compute.cores() } else { 1 };
        let threads = rayon::ThreadPoolBuilder::new().num_threads(count);
        let threads = threads.build().map_err(|e| no_thread(&e))?;
        if changes && plan.image.is_none() {
            return Err(Error::input(
                format!(
                    "recipe {} changes images, and these records are none",
                    recipe.name
                ),
                "take a recipe without augmentation and teacher, such as paper",
            ));
        }
        let mut lesson = Lesson {
            plan,
            threads,
            labels: plan.records.labels_of(plan.training),
            prepared: Prepared::default(),
            taught: None,
            teacher: Vec::new(),
            features: Vec::new(),
        };
        if let (Some(teacher), Some(distillation), Some(image)) =
            (&recipe.teacher, recipe.distillation, plan.image)
        {
            progress.phase(TEACHER, TeacherRecipe::WORK);
            let teacher = TeacherPlan {
                records: plan.records,
                training: plan.training,
                validation: plan.validation,
                image,
                classes: plan.shape.classes,
                recipe: teacher,
                seed: plan.seed,
                backend: plan.backend,
            };
            let mut epochs = Vec::new();
            let teacher = lesson.threads.install(|| {
                teacher::train(&teacher, progress, &mut |done| {
                    epochs.push(done.result);
                    watch(TEACHER, done);
                })
            })?;
            lesson.teacher = epochs;
            progress.phase("teacher's answers", TeacherRecipe::ASKING);
            lesson.taught = Some(lesson.ask(&teacher, distillation, progress));
            progress.phase(TRAINING, 1);
        }
        if recipe.augmentation.is_none() {
            lesson.prepared = Prepared::of(&plan.records, plan.training.iter().copied());
        }
        Ok(lesson)
    }

    /// Gets epoch `epoch` (from 1) ready.
    pub(super) fn turn_to(&mut self, epoch: u32) {
        let (Some(augmentation), Some(image)) = (&self.plan.recipe.augmentation, self.plan.image)
        else {
            return;
        };
        let variant = match &self.taught {
            Some(pool) => (epoch - 1) % pool.variants,
            None => epoch - 1,
        };
        let Plan {
            records,
            training,
            seed,
            ..
        } = *self.plan;
        let pixels = records.width;
        let features = &mut self.features;
        features.resize(training.len() * pixels, 0);
        self.threads.install(|| {
            let images = features.par_chunks_exact_mut(pixels).zip(training);
            images
                .with_min_len(TOGETHER)
                .for_each_init(Room::default, |room, (to, &index)| {
                    let mut random = Random::of_record(seed, Stream::Augmentation, variant, index);
                    augmentation.apply(records.features_of(index), image, &mut random, to, room);
                });
        });
        self.prepared = Prepared::from_features(features, pixels);
    }

    /// The records of the epoch, `[training]`, and what each is to give.
    pub(super) fn material(&self, epoch: u32) -> (&Prepared, Targets<'_>) {
        (&self.prepared, self.targets(epoch))
    }

    /// The features of the records of the epoch as they are, `[training][features]`.
    pub(super) fn features_of(&self, place: u32) -> &[u8] {
        let plan = self.plan;
        if self.features.is_empty() {
            return plan.records.features_of(plan.training[place as usize]);
        }
        &self.features[place as usize * plan.records.width..][..plan.records.width]
    }

    /// The label of the record at `place`.
    pub(super) fn label_of(&self, place: u32) -> u16 {
        self.labels[place as usize]
    }

    /// What each record of epoch `epoch` is to give.
    fn targets(&self, epoch: u32) -> Targets<'_> {
        let labels = &self.labels;
        let Some(Pool {
            distillation,
            variants,
            probabilities,
        }) = &self.taught
        else {
            return Targets::Labels {
                labels,
                smoothing: self.plan.recipe.label_smoothing,
            };
        };
        let variant = ((epoch - 1) % variants) as usize;
        let size = labels.len() * self.plan.shape.classes;
        Targets::Soft {
            probabilities: &probabilities[variant * size..][..size],
            labels,
            temperature: distillation.temperature,
        }
    }

    /// A teacher's probabilities for all variants of the training records.
    fn ask(&self, teacher: &Teacher, distillation: Distillation, progress: &dyn Progress) -> Pool {
        let Plan {
            records,
            training,
            seed,
            shape,
            backend,
            recipe,
            ..
        } = *self.plan;
        let variants = recipe.variants();
        let mut probabilities =
            Vec::with_capacity(variants as usize * training.len() * shape.classes);
        for variant in 0..variants {
            let mut logits = self.threads.install(|| {
                teacher.logits(training.len(), backend, |place, room, to| {
                    let index = training[place];
                    let original = records.features_of(index);
                    match (&recipe.augmentation, self.plan.image) {
                        (Some(augmentation), Some(image)) => {
                            let mut random =
                                Random::of_record(seed, Stream::Augmentation, variant, index);
                            augmentation.apply(original, image, &mut random, to, room);
                        }
                        _ => to.copy_from_slice(original),
                    }
                })
            });
            for row in logits.chunks_exact_mut(shape.classes) {
                softmax(row, distillation.temperature as f32);
            }
            probabilities.extend(logits);
            progress.inc(training.len() as u64);
        }
        Pool {
            distillation,
            variants,
            probabilities,
        }
    }
}

/// Logits to probabilities: with `m` the largest, `e = exp((z - m) / temperature)`, each `e / Σ e`, in order.
fn softmax(logits: &mut [f32], temperature: f32) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in &mut *logits {
        *value = libm::expf((*value - largest) / temperature);
        sum += *value;
    }
    for value in logits {
        *value /= sum;
    }
}

/// Images that a thread changes at a time.
const TOGETHER: usize = 256;
