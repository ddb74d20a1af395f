//! What each epoch learns from: the records, changed where the recipe says so, and what they are to give.

use std::sync::Arc;

use rayon::prelude::*;

use super::augment::Room;
use super::engine::{Compute, Prepared, Targets, no_thread};
use super::metrics::softmax;
use super::recipe::Distillation;
use super::snapshot::{ANSWERS, Pool, Sitting, Snapshot, Stage};
use super::teacher::{self, Teacher, TeacherPlan, TeacherState};
use super::{EpochDone, Plan, TEACHER, TRAINING};
use crate::error::{Error, Result};
use crate::random::{Random, Stream};

/// The material of all epochs.
pub(super) struct Lesson<'a> {
    plan: &'a Plan<'a>,
    threads: rayon::ThreadPool,
    /// `[training]`.
    labels: Vec<u16>,
    /// The records of the epoch.
    prepared: Prepared,
    /// How is learnt from a teacher, where there is one.
    taught: Option<Distillation>,
    /// Its answers, one a variant.
    pub(super) pool: Pool,
    /// Its epochs.
    pub(super) teacher: Vec<EpochDone>,
    /// `[training][features]` of the epoch, where they are not the records' own.
    features: Vec<u8>,
}

/// Where an earlier sitting left the teacher.
enum Left {
    /// In training, or not begun.
    Training(Option<TeacherState>),
    /// Done and being asked.
    Done(Arc<Vec<f32>>),
    /// Asked for all.
    Asked,
}

impl<'a> Lesson<'a> {
    /// Gets all ready that is done once: with a recipe that has one, trains the teacher and asks it, or goes on with
    /// that where `from` left it.
    pub(super) fn new(
        plan: &'a Plan<'a>,
        from: Option<Snapshot>,
        sitting: &mut Sitting<'_>,
    ) -> Result<Lesson<'a>> {
        let recipe = plan.recipe;
        let compute = Compute {
            backend: plan.backend,
            threads: plan.threads,
        };
        let threads = rayon::ThreadPoolBuilder::new().num_threads(compute.cores());
        let threads = threads.build().map_err(|e| no_thread(&e))?;
        let mut lesson = Lesson {
            plan,
            threads,
            labels: plan.records.labels_of(plan.training),
            prepared: Prepared::default(),
            taught: None,
            pool: Vec::new(),
            teacher: Vec::new(),
            features: Vec::new(),
        };
        let mut left = Left::Training(None);
        if let Some(snapshot) = from {
            lesson.teacher = snapshot.teacher;
            (left, lesson.pool) = match snapshot.stage {
                Stage::Teacher(state) => (Left::Training(Some(state)), Vec::new()),
                Stage::Answers { teacher, pool } => (Left::Done(teacher), pool),
                Stage::Training { pool, .. } => (Left::Asked, pool),
            };
        }
        lesson.learn_from_teacher(left, sitting)?;
        if recipe.augmentation.is_none() {
            lesson.prepared = Prepared::of(&plan.records, plan.training, Some(&lesson.threads));
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
            Some(_) => (epoch - 1) % self.plan.recipe.variants(),
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
        self.prepared = Prepared::of_features(features, pixels, Some(&self.threads));
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
        let Some(distillation) = self.taught else {
            return Targets::Labels {
                labels,
                smoothing: self.plan.recipe.label_smoothing,
            };
        };
        let variant = ((epoch - 1) % self.plan.recipe.variants()) as usize;
        Targets::Soft {
            probabilities: &self.pool[variant],
            labels,
            temperature: distillation.temperature,
        }
    }

    /// Gets the teacher's answers, where there is one, from wherever that was left.
    fn learn_from_teacher(&mut self, left: Left, sitting: &mut Sitting<'_>) -> Result<()> {
        let plan = self.plan;
        let (Some(recipe), Some(distillation), Some(image)) =
            (&plan.recipe.teacher, plan.recipe.distillation, plan.image)
        else {
            return Ok(());
        };
        let progress = sitting.progress;
        let teacher_plan = TeacherPlan {
            records: plan.records,
            training: plan.training,
            validation: plan.validation,
            image,
            classes: plan.shape.classes,
            recipe,
            seed: plan.seed,
            backend: plan.backend,
        };
        self.taught = Some(distillation);
        let teacher = match left {
            Left::Training(from) => {
                progress.phase(TEACHER, recipe.work());
                let epochs = &mut self.teacher;
                let Sitting { watch, keep, .. } = sitting;
                Some(self.threads.install(|| {
                    teacher::train(
                        &teacher_plan,
                        from.as_ref(),
                        progress,
                        &mut |done, state| {
                            epochs.push(*done);
                            watch(TEACHER, done);
                            keep(Snapshot {
                                teacher: epochs.clone(),
                                history: Vec::new(),
                                stage: Stage::Teacher(state),
                            });
                        },
                    )
                })?)
            }
            Left::Done(numbers) => Some(Teacher::of(&teacher_plan, &numbers)?),
            Left::Asked => None,
        };
        if let Some(teacher) = teacher {
            progress.phase(ANSWERS, recipe.asking());
            self.ask(&teacher, distillation, sitting);
        }
        progress.phase(TRAINING, 1);
        let size = self.labels.len() * plan.shape.classes;
        let variants = plan.recipe.variants() as usize;
        if self.pool.len() != variants || self.pool.iter().any(|answers| answers.len() != size) {
            return Err(Error::input(
                "a teacher's answers that are not to these records",
                "they belong to another training",
            ));
        }
        Ok(())
    }

    /// Asks for a teacher's probabilities for the variants of the training records that are not in the pool yet.
    fn ask(&mut self, teacher: &Teacher, distillation: Distillation, sitting: &mut Sitting<'_>) {
        let Plan {
            records,
            training,
            seed,
            shape,
            backend,
            recipe,
            image,
            ..
        } = *self.plan;
        let numbers = Arc::new(teacher.numbers());
        let from = u32::try_from(self.pool.len()).unwrap_or(u32::MAX);
        for variant in from..recipe.variants() {
            let mut logits = self.threads.install(|| {
                teacher.logits(training.len(), backend, |place, room, to| {
                    let index = training[place];
                    let original = records.features_of(index);
                    match (&recipe.augmentation, image) {
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
            self.pool.push(Arc::new(logits));
            sitting.progress.inc(training.len() as u64);
            (sitting.keep)(Snapshot {
                teacher: self.teacher.clone(),
                history: Vec::new(),
                stage: Stage::Answers {
                    teacher: numbers.clone(),
                    pool: self.pool.clone(),
                },
            });
        }
    }
}

/// Images that a thread changes at a time.
const TOGETHER: usize = 256;
