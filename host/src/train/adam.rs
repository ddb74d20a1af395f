//! Adam (Kingma and Ba 2015) in the form that Keras computes.
//!
//! For step `t` = 1, 2, …, gradient `g` and parameter `w`:
//!
//! ```text
//! rate = learning_rate · √(1 - β₂ᵗ) / (1 - β₁ᵗ)
//! m    = m + (g - m) · (1 - β₁)
//! v    = v + (g² - v) · (1 - β₂)
//! w    = w - m · rate / (√v + ε)
//! ```
//!
//! so that ε is added to the uncorrected root (the "ε hat" of the paper's section 2). `rate` is computed
//! in f64, with βᵗ by repeated multiplication, and rounded to f32, as are `1 - β₁` and `1 - β₂`; the rest
//! is f32, one rounding an operation as written, from left to right. The hyper-parameters are taken as
//! f64.

use serde::{Deserialize, Serialize};

use super::model::Network;

/// The hyper-parameters.
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
}

impl Default for AdamOptions {
    /// Keras's defaults.
    fn default() -> AdamOptions {
        AdamOptions {
            learning_rate: 1e-3,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-7,
        }
    }
}

/// The optimiser's memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    options: AdamOptions,
    mean: Network,
    square: Network,
    /// β₁ᵗ and β₂ᵗ of the steps done.
    powers: [f64; 2],
}

impl Adam {
    /// Before the first step.
    pub fn new(options: AdamOptions, network: &Network) -> Adam {
        let zeros = Network::zeros(&network.shape());
        Adam {
            options,
            mean: zeros.clone(),
            square: zeros,
            powers: [1.0; 2],
        }
    }

    /// One step: moves `network` against `gradient`, which must have its shape.
    #[inline(always)]
    pub fn step(&mut self, network: &mut Network, gradient: &Network) {
        let AdamOptions {
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
        } = self.options;
        self.powers[0] *= beta_1;
        self.powers[1] *= beta_2;
        let step = Step {
            rate: (learning_rate * (1.0 - self.powers[1]).sqrt() / (1.0 - self.powers[0])) as f32,
            gain_1: (1.0 - beta_1) as f32,
            gain_2: (1.0 - beta_2) as f32,
            epsilon: epsilon as f32,
        };
        let averages = self.mean.layers.iter_mut().zip(&mut self.square.layers);
        let layers = network.layers.iter_mut().zip(&gradient.layers);
        for ((layer, gradient), (mean, square)) in layers.zip(averages) {
            step.apply(
                &mut layer.weights,
                &gradient.weights,
                &mut mean.weights,
                &mut square.weights,
            );
            step.apply(
                &mut layer.bias,
                &gradient.bias,
                &mut mean.bias,
                &mut square.bias,
            );
        }
    }
}

/// The numbers of one step.
struct Step {
    rate: f32,
    gain_1: f32,
    gain_2: f32,
    epsilon: f32,
}

impl Step {
    #[inline(always)]
    fn apply(&self, values: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]) {
        let averages = mean.iter_mut().zip(square);
        for ((w, &g), (m, v)) in values.iter_mut().zip(gradient).zip(averages) {
            *m += (g - *m) * self.gain_1;
            *v += (g * g - *v) * self.gain_2;
            *w -= *m * self.rate / (v.sqrt() + self.epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::model::Shape;

    #[test]
    fn the_first_step_is_the_learning_rate() {
        let shape = Shape {
            inputs: 1,
            hidden: [1, 1],
            classes: 2,
        };
        let mut network = Network::zeros(&shape);
        let mut gradient = Network::zeros(&shape);
        gradient.layers[0].weights[0] = 0.25;
        gradient.layers[2].bias[1] = -3.0;
        let mut adam = Adam::new(AdamOptions::default(), &network);
        adam.step(&mut network, &gradient);
        assert!((network.layers[0].weights[0] + 1e-3).abs() < 1e-7);
        assert!((network.layers[2].bias[1] - 1e-3).abs() < 1e-7);
        assert_eq!(network.layers[1].weights[0], 0.0);
    }

    /// The textbook form in f64, with ε scaled as Keras's form implies, over many steps.
    #[test]
    fn many_steps_agree_with_the_textbook() {
        let shape = Shape {
            inputs: 1,
            hidden: [1, 1],
            classes: 2,
        };
        let mut network = Network::zeros(&shape);
        let mut gradient = Network::zeros(&shape);
        let mut adam = Adam::new(AdamOptions::default(), &network);
        let (mut w, mut m, mut v) = (0.0f64, 0.0f64, 0.0f64);
        for t in 1..=200 {
            let g = (f64::from(t) * 0.37).sin();
            gradient.layers[1].weights[0] = g as f32;
            adam.step(&mut network, &gradient);
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let (c1, c2) = (1.0 - 0.9f64.powi(t), 1.0 - 0.999f64.powi(t));
            w -= 1e-3 * (m / c1) / ((v / c2).sqrt() + 1e-7 / c2.sqrt());
            let got = f64::from(network.layers[1].weights[0]);
            assert!((got - w).abs() < 1e-6, "{t}: {got} {w}");
        }
    }
}
