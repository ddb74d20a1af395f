//! Adam (Kingma and Ba 2015) in the form that Keras computes, with decoupled weight decay (Loshchilov and
//! Hutter 2019, "AdamW").
//!
//! For step `t` = 1, 2, …, at `rate`, with gradient `g` and parameter `w`:
//!
//! ```text
//! a = rate · √(1 - β₂ᵗ) / (1 - β₁ᵗ)
//! m = m + (g - m) · (1 - β₁)                  fma(g ⊖ m, 1 - β₁, m)
//! v = v + (g² - v) · (1 - β₂)                 fma(g ⊗ g ⊖ v, 1 - β₂, v)
//! w = w - rate · decay · w                    fma(w, -(rate · decay), w); weights only, when decay is not zero
//! w = w - a · m / (√v + ε)                    fma(m ⊘ (√v ⊕ ε), -a, w)
//! ```
//!
//! so that ε is added to the uncorrected root (the "ε hat" of the paper's section 2). On the right is what
//! is computed in f32, one rounding for each circled operation, `fma` and root. The numbers `a`, `1 - β₁`,
//! `1 - β₂`, `ε` and `rate · decay` are computed in f64, βᵗ by repeated multiplication, and rounded to f32.
//!
//! Every gradient is a sum that begins at 2⁻⁵⁰ in place of 0. The averages of a hidden unit that nothing reaches
//! would decay for ever, and arithmetic on the subnormals that they end at takes many times as long; so they end at
//! 2⁻⁵⁰ and 2⁻¹⁰⁰, far enough above the smallest normal number that what they still change by is none either. They
//! move a weight by less than 10⁻⁶ of the rate at the smallest ε that a recipe may have.

use serde::{Deserialize, Serialize};

/// What gradients begin at: 2⁻⁵⁰.
pub const BEGIN: f32 = f32::from_bits((127 - 50) << 23);

/// The hyper-parameters; the rate belongs to each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Decay of the mean of gradients.
    pub beta_1: f64,
    /// Decay of the mean of squared gradients.
    pub beta_2: f64,
    /// Keeps the division away from zero; above 0.
    pub epsilon: f64,
    /// Share of a weight that a step takes off it, times the rate; 0 is plain Adam.
    pub weight_decay: f64,
}

impl Default for Adam {
    /// Keras's defaults.
    fn default() -> Adam {
        AdamOptions::default().into()
    }
}

/// A recipe's hyper-parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamOptions {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the mean of gradients.
    pub beta_1: f64,
    /// Decay of the mean of squared gradients.
    pub beta_2: f64,
    /// Keeps the division away from zero.
    pub epsilon: f64,
    /// Share of a weight that a step takes off it, times the rate; 0 is plain Adam.
    #[serde(default, skip_serializing_if = "super::recipe::is_zero")]
    pub weight_decay: f64,
}

impl Default for AdamOptions {
    /// Keras's defaults.
    fn default() -> AdamOptions {
        AdamOptions {
            learning_rate: 1e-3,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-7,
            weight_decay: 0.0,
        }
    }
}

impl From<AdamOptions> for Adam {
    fn from(options: AdamOptions) -> Adam {
        Adam {
            beta_1: options.beta_1,
            beta_2: options.beta_2,
            epsilon: options.epsilon,
            weight_decay: options.weight_decay,
        }
    }
}
