//! Recipes: everything that decides the weights except data, split, shape and seed.
//!
//! A recipe is one document with two spellings, both by the types of this page: TOML in a file ([`mod@file`]),
//! JSON in a training receipt. What a recipe may leave out has a default that changes nothing, and is left out
//! of the receipt too when it is that default. Unknown fields are errors, and [`Recipe::check`] is the one
//! place that says which values are allowed.

mod check;
pub mod file;
mod sections;

use serde::{Deserialize, Serialize};

use super::adam::AdamOptions;
use super::augment::Augmentation;
use super::teacher::TeacherRecipe;

use crate::error::{Error, Result};

pub use check::{MAX_BATCH, MAX_EPOCHS, Wrong};
pub use sections::{Adversarial, Annealing, Distillation, Finish, Weights};

/// How to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What it is called: 1 to 64 characters of printable ASCII, none of them a space at either end.
    pub name: String,
    /// Records a step, 1 to [`MAX_BATCH`]; the last step of an epoch takes what is left.
    pub batch: u32,
    /// Times over the data, 1 to [`MAX_EPOCHS`], in a new order each time.
    pub epochs: u32,
    /// What becomes of a feature.
    pub input: Input,
    /// The weights to start from.
    pub init: Init,
    /// What is made small.
    pub loss: Loss,
    /// How.
    pub optimizer: Optimizer,
    /// What a target gives away to all classes alike, 0 to below 1: `t = (1 - ε)·y + ε / classes`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub label_smoothing: f64,
    /// How the learning rate rises and falls; without, it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Annealing>,
    /// How records, which are images then, are changed each time they are seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augmentation: Option<Augmentation>,
    /// Who is learnt from, in place of labels; goes with `distillation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherRecipe>,
    /// How is learnt from the teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillation: Option<Distillation>,
    /// Records are attacked before they are learnt from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adversarial: Option<Adversarial>,
    /// The last epochs see the weights as integers will have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<Finish>,
}

/// What becomes of a feature `u` in 0..=255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// To [-0.5, 0.5] (paper, section 3.1.3).
    #[serde(rename = "u/255-0.5")]
    Centred,
    /// Less each feature's mean over the training records, in the deviation of all
    /// ([`standardised`](super::input::InputMap::standardised)). The weight file has the paper's convention all the same.
    #[serde(rename = "standardised")]
    Standardised,
}

/// The weights to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// [`glorot_uniform`](super::init::glorot_uniform), zero biases.
    GlorotUniform,
    /// [`he_uniform`](super::init::he_uniform), zero biases.
    HeUniform,
}

/// What is made small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Softmax and the mean over the batch of `-ln p[label]` (paper, section 3.3.3).
    CategoricalCrossEntropy,
}

/// The optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Optimizer {
    /// [Adam](super::adam).
    Adam(AdamOptions),
}

impl Recipe {
    /// The paper's (sections 3.1.3 and 3.3.3), Keras's defaults where it is silent: Glorot's weights,
    /// Adam at 10⁻³, batches of 32, 5 epochs. What `recipes/paper.toml` says.
    pub fn paper() -> Recipe {
        Recipe {
            name: "paper".into(),
            batch: 32,
            epochs: 5,
            input: Input::Centred,
            init: Init::GlorotUniform,
            loss: Loss::CategoricalCrossEntropy,
            optimizer: Optimizer::Adam(AdamOptions::default()),
            label_smoothing: 0.0,
            schedule: None,
            augmentation: None,
            teacher: None,
            distillation: None,
            adversarial: None,
            finish: None,
        }
    }

    /// Whether it can train on records that are such images, or none.
    ///
    /// # Errors
    /// [`Error::Input`] when it changes images and these are none, or they are too small for its teacher.
    pub fn fits(&self, image: Option<[usize; 2]>) -> Result<()> {
        match (image, &self.teacher) {
            (Some(image), Some(teacher)) => teacher.fits(image),
            (None, teacher) if teacher.is_some() || self.augmentation.is_some() => {
                Err(Error::input(
                    format!(
                        "recipe {} changes images, and these records are none",
                        self.name
                    ),
                    "take a recipe without augmentation and teacher, such as paper",
                ))
            }
            _ => Ok(()),
        }
    }

    /// What training on `records` takes, in steps of one record in a small network: about.
    pub fn work(&self, records: usize) -> u64 {
        let teacher = self.teacher.as_ref().map_or(0, |teacher| teacher.epochs);
        let variants = match self.teacher {
            Some(_) => self.variants(),
            None => 0,
        };
        self.work_of(records, [teacher, variants, self.epochs])
    }

    /// The same of so many epochs of the teacher, variants that it answers to, and epochs.
    pub(super) fn work_of(&self, records: usize, [teacher, variants, epochs]: [u32; 3]) -> u64 {
        let (training, asking) =
            (self.teacher.as_ref()).map_or((0, 0), |teacher| (teacher.work(), teacher.asking()));
        let taught = u64::from(teacher) * training;
        let asked = u64::from(variants) * asking;
        records as u64 * (taught + asked + u64::from(epochs) * self.work_of_a_step())
    }

    /// Variants of the pool that a teacher is asked about: those that the epochs see, and one where all are alike.
    pub(super) fn variants(&self) -> u32 {
        let variants = self
            .distillation
            .map_or(0, |distillation| distillation.variants);
        let different = if self.augmentation.is_some() {
            self.epochs
        } else {
            1
        };
        variants.min(different)
    }

    /// What a step of one record takes, next to one of a recipe without attacks.
    pub(super) fn work_of_a_step(&self) -> u64 {
        // An attack's steps see every feature, not only a digit's.
        self.adversarial
            .map_or(1, |adversarial| 1 + 6 * u64::from(adversarial.steps))
    }

    /// The same over another number of epochs, of which the finish takes at most all; what is not quite the recipe
    /// says so in its name.
    pub fn with_epochs(mut self, epochs: u32) -> Recipe {
        if epochs != self.epochs {
            self.name = format!("{}, {epochs} epochs", self.name);
            self.epochs = epochs;
            if let Some(finish) = &mut self.finish {
                finish.epochs = finish.epochs.min(epochs);
            }
        }
        self
    }

    /// The same for weights as fine as these: its last epochs see them so, a fifth where the recipe has no finish. What
    /// is not quite the recipe says so in its name.
    pub fn with_weights(mut self, weights: Weights) -> Recipe {
        if self.finish.map(|finish| finish.weights) != Some(weights) {
            self.name = format!("{}, {weights}", self.name);
            let epochs = self.epochs.div_ceil(5);
            self.finish = Some(match self.finish {
                Some(finish) => Finish { weights, ..finish },
                None => Finish { weights, epochs },
            });
        }
        self
    }
}

pub(super) fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// Neurons of the two hidden layers in the paper (section 3.3.3).
pub const PAPER_HIDDEN: [usize; 2] = [64, 64];
