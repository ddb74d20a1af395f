//! Recipes: everything that decides the weights except data, split, shape and seed.

use serde::{Deserialize, Serialize};

use super::adam::AdamOptions;

/// How to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What it is called.
    pub name: String,
    /// What becomes of a feature.
    pub input: Input,
    /// The weights to start from.
    pub init: Init,
    /// What is made small.
    pub loss: Loss,
    /// How.
    pub optimizer: Optimizer,
    /// Records a step; the last step of an epoch takes what is left.
    pub batch: u32,
    /// Times over the data, in a new order each time.
    pub epochs: u32,
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
    /// Adam at 10⁻³, batches of 32, 5 epochs.
    pub fn paper() -> Recipe {
        Recipe {
            name: "paper".into(),
            input: Input::Centred,
            init: Init::GlorotUniform,
            loss: Loss::CategoricalCrossEntropy,
            optimizer: Optimizer::Adam(AdamOptions::default()),
            batch: 32,
            epochs: 5,
        }
    }
}

/// Neurons of the two hidden layers in the paper (section 3.3.3).
pub const PAPER_HIDDEN: [usize; 2] = [64, 64];
