//! Recipes: everything that decides the weights except data, split, shape and seed.
//!
//! A recipe is one document with two spellings, both by the types of this page: TOML in a file ([`mod@file`]),
//! JSON in a training receipt. What a recipe may leave out has a default that changes nothing, and is left out
//! of the receipt too when it is that default. Unknown fields are errors, and [`Recipe::check`] is the one
//! place that says which values are allowed.

mod check;
pub mod file;

use serde::{Deserialize, Serialize};

use super::adam::AdamOptions;

pub use check::{MAX_BATCH, MAX_EPOCHS, Wrong};

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
}

/// What becomes of a feature `u` in 0..=255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// To [-0.5, 0.5] (paper, section 3.1.3).
    #[serde(rename = "u/255-0.5")]
    Centred,
}

/// The weights to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// [`glorot_uniform`](super::init::glorot_uniform), zero biases.
    GlorotUniform,
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
        }
    }

    /// The same over another number of epochs; what is not quite the recipe says so in its name.
    pub fn with_epochs(mut self, epochs: u32) -> Recipe {
        if epochs != self.epochs {
            self.name = format!("{}, {epochs} epochs", self.name);
            self.epochs = epochs;
        }
        self
    }
}

/// Neurons of the two hidden layers in the paper (section 3.3.3).
pub const PAPER_HIDDEN: [usize; 2] = [64, 64];
