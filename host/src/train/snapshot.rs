//! Training in several sittings: what is kept between two epochs decides all that follows, to the bit.
//!
//! Everything random is drawn by seed, epoch and record, so nothing of a generator is kept. Snapshots are taken at
//! the end of each epoch of the teacher, of each variant that it was asked for, and of each epoch of the network but
//! the last: how a quantisation-aware epoch sees the weights is worked out at its start and needed for its result.

use std::sync::Arc;

use super::engine::State;
use super::recipe::Recipe;
use super::teacher::TeacherState;
use super::{EpochDone, TEACHER, TRAINING};
use crate::progress::Progress;

/// Where a training stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The teacher's epochs so far.
    pub teacher: Vec<EpochDone>,
    /// The network's.
    pub history: Vec<EpochDone>,
    /// What goes on.
    pub stage: Stage,
}

/// What goes on, and from where.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// The teacher is trained.
    Teacher(TeacherState),
    /// The teacher is asked.
    Answers {
        /// What it is: [`TeacherState::average`] at its end.
        teacher: Arc<Vec<f32>>,
        /// Its answers so far.
        pool: Pool,
    },
    /// The network is trained.
    Training {
        /// The teacher's answers, where there is one.
        pool: Pool,
        /// The network and its optimiser.
        state: Box<State>,
    },
}

/// A teacher's probabilities for variants of the training records, `[training][classes]` each.
pub type Pool = Vec<Arc<Vec<f32>>>;

/// One go at a training.
pub struct Sitting<'a> {
    /// Where an earlier one stopped; none begins.
    pub from: Option<Snapshot>,
    /// Hears of the work.
    pub progress: &'a dyn Progress,
    /// Is shown each epoch when it is done, with the name of its phase: [`TEACHER`] or [`TRAINING`].
    pub watch: &'a mut (dyn FnMut(&str, &EpochDone) + Send),
    /// Is given each snapshot.
    pub keep: &'a mut (dyn FnMut(Snapshot) + Send),
}

impl Snapshot {
    /// The name of the phase, and how far it is: so many of how many.
    pub fn place(&self, recipe: &Recipe) -> (&'static str, u32, u32) {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        match &self.stage {
            Stage::Teacher(_) => {
                let epochs = recipe.teacher.as_ref().map_or(0, |teacher| teacher.epochs);
                (TEACHER, count(self.teacher.len()), epochs)
            }
            Stage::Answers { pool, .. } => (ANSWERS, count(pool.len()), recipe.variants()),
            Stage::Training { .. } => (TRAINING, count(self.history.len()), recipe.epochs),
        }
    }

    /// What of [`Recipe::work`] is done.
    pub fn work(&self, recipe: &Recipe, records: usize) -> u64 {
        let pool = match &self.stage {
            Stage::Teacher(_) => 0,
            Stage::Answers { pool, .. } | Stage::Training { pool, .. } => pool.len(),
        };
        let done = [self.teacher.len(), pool, self.history.len()];
        recipe.work_of(records, done.map(|n| u32::try_from(n).unwrap_or(u32::MAX)))
    }
}

/// The phase in which a teacher is asked.
pub const ANSWERS: &str = "teacher's answers";
