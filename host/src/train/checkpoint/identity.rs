//! Which training a checkpoint is of.

use serde::{Deserialize, Serialize};

use crate::receipt::{Split, Widths};
use crate::train::Recipe;
use crate::train::numerics::Numerics;

/// All that decides the weights: what the receipt will say of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// [`records_digest`](crate::receipt::records_digest) of the records, hexadecimal.
    pub records_sha512: String,
    /// Which of them train, validate and test.
    pub split: Split,
    /// The four widths.
    pub network: Widths,
    /// How.
    pub recipe: Recipe,
    /// Decides the first weights and all that is drawn.
    pub seed: u64,
    /// The arithmetic.
    pub numerics: Numerics,
}

impl Identity {
    /// At least as many bytes as a checkpoint of it has.
    pub(super) fn most_bytes(&self) -> u64 {
        let Widths {
            inputs,
            hidden: [first, second],
            classes,
        } = self.network;
        let layers = [(inputs, first), (first, second), (second, classes)];
        let parameters = layers.map(|(from, to)| (from as u64 + 1).saturating_mul(to as u64));
        let parameters = parameters.into_iter().fold(0, u64::saturating_add);
        let teacher = self.recipe.teacher.as_ref();
        let taught = teacher.map_or(0, |teacher| teacher.most_parameters(inputs, classes));
        let variants = u64::from(self.recipe.variants()) + 1;
        let answers = (self.split.training)
            .saturating_mul(classes as u64)
            .saturating_mul(variants);
        let epochs = u64::from(self.recipe.epochs) + teacher.map_or(0, |t| u64::from(t.epochs));
        let numbers = (parameters.saturating_mul(3))
            .saturating_add(taught.saturating_mul(4))
            .saturating_add(answers);
        (numbers.saturating_mul(4))
            .saturating_add(epochs * 64)
            .saturating_add(variants * 8)
            .saturating_add(OVERHEAD)
    }

    /// What makes `here` another training than this one, if anything does.
    pub fn other(&self, here: &Identity) -> Option<String> {
        let both = |what: &str, there: String, here: String| {
            (there != here).then(|| format!("{what} {there} there, {here} here"))
        };
        if self == here {
            return None;
        }
        let hidden = |of: &Identity| {
            let Widths {
                inputs,
                hidden: [first, second],
                classes,
            } = of.network;
            format!("{inputs}-{first}-{second}-{classes}")
        };
        let seed = |of: &Identity| of.split.seed.map_or("none".to_owned(), |s| s.to_string());
        let numerics = |of: &Identity| of.numerics.version.to_string();
        let recipe = |of: &Identity| format!("{:?}", of.recipe.name);
        let differs = both("numerics", numerics(self), numerics(here))
            .or_else(|| both("recipe", recipe(self), recipe(here)))
            .or_else(|| both("seed", self.seed.to_string(), here.seed.to_string()))
            .or_else(|| both("network", hidden(self), hidden(here)))
            .or_else(|| both("split seed", seed(self), seed(here)));
        Some(differs.unwrap_or_else(|| {
            let what = if self.recipe != here.recipe {
                "the recipe has other numbers"
            } else if self.records_sha512 != here.records_sha512 || self.split != here.split {
                "the records are others"
            } else {
                "the program's libraries are others"
            };
            what.to_owned()
        }))
    }
}

/// The identity itself, whose texts are short, and lengths and numbers beside the lists.
const OVERHEAD: u64 = 1 << 16;
