//! The teacher's step: Adam with decoupled weight decay, and the moving average.

use rayon::prelude::*;

use super::form::Weights;
use crate::train::adam::{Adam, BEGIN};
use crate::train::engine::{DECAY, Numbers, PLAIN, apply};
use crate::train::kernels::{Backend, LANES, Lanes, Line, Work};

/// What the optimiser remembers, and the average.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Optimiser {
    pub(super) mean: Weights,
    pub(super) square: Weights,
    /// The moving average of the weights.
    pub(super) average: Weights,
    /// β₁ᵗ and β₂ᵗ of the steps done.
    pub(super) powers: [f64; 2],
    /// Steps done.
    pub(super) steps: u64,
}

/// What a step takes besides gradients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) adam: Adam,
    pub(super) rate: f64,
    /// How slowly the average moves.
    pub(super) average: f64,
}

impl Optimiser {
    /// Before the first step of `weights`; `zeros` has their form.
    pub(super) fn new(weights: &Weights, zeros: Weights) -> Optimiser {
        Optimiser {
            mean: zeros.clone(),
            square: zeros,
            average: weights.clone(),
            powers: [1.0; 2],
            steps: 0,
        }
    }

    /// Moves `weights` against the sum of the groups' gradients, taken in order.
    pub(super) fn step(
        &mut self,
        weights: &mut Weights,
        gradients: &[&Weights],
        options: &Options,
        backend: Backend,
    ) {
        self.powers[0] *= options.adam.beta_1;
        self.powers[1] *= options.adam.beta_2;
        self.steps += 1;
        let numbers = Numbers::new(&options.adam, options.rate, self.powers);
        let follow = (1.0 - options.average).max(1.0 / (self.steps + 10) as f64) as f32;
        let layers = weights.0.iter_mut().zip(&mut self.mean.0);
        let layers = layers.zip(&mut self.square.0).zip(&mut self.average.0);
        for (index, (((layer, mean), square), average)) in layers.enumerate() {
            let of = |select: fn(&super::Layer) -> &[f32]| -> Vec<&[f32]> {
                gradients
                    .iter()
                    .map(|gradient| select(&gradient.0[index]))
                    .collect()
            };
            let (gradients, bias_gradients) = (of(|layer| &layer.weights), of(|layer| &layer.bias));
            let step = Step {
                numbers,
                follow,
                backend,
            };
            let values = [
                &mut layer.weights,
                &mut mean.weights,
                &mut square.weights,
                &mut average.weights,
            ];
            step.apply(values, &gradients);
            let step = Step {
                numbers: numbers.without_decay(),
                ..step
            };
            let values = [
                &mut layer.bias,
                &mut mean.bias,
                &mut square.bias,
                &mut average.bias,
            ];
            step.apply(values, &bias_gradients);
        }
    }
}

#[derive(Clone, Copy)]
struct Step {
    numbers: Numbers,
    follow: f32,
    backend: Backend,
}

impl Step {
    /// On all of a layer's numbers, a piece a thread.
    fn apply(self, [values, mean, square, average]: [&mut Vec<f32>; 4], gradients: &[&[f32]]) {
        let pieces = values.par_chunks_mut(PIECE).zip(mean.par_chunks_mut(PIECE));
        let pieces = pieces
            .zip(square.par_chunks_mut(PIECE))
            .zip(average.par_chunks_mut(PIECE));
        pieces
            .enumerate()
            .for_each(|(index, (((values, mean), square), average))| {
                self.backend.run(Piece {
                    step: &self,
                    values: values.as_chunks_mut().0,
                    mean: mean.as_chunks_mut().0,
                    square: square.as_chunks_mut().0,
                    average: average.as_chunks_mut().0,
                    gradients,
                    from: index * PIECE,
                });
            });
    }
}

struct Piece<'a> {
    step: &'a Step,
    values: &'a mut [Line],
    mean: &'a mut [Line],
    square: &'a mut [Line],
    average: &'a mut [Line],
    gradients: &'a [&'a [f32]],
    from: usize,
}

impl Work for Piece<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let follow = lanes.splat(self.step.follow);
        let averages = self.mean.iter_mut().zip(self.square).zip(self.average);
        for (index, (value, ((mean, square), average))) in
            self.values.iter_mut().zip(averages).enumerate()
        {
            let at = self.from + index * LANES;
            let mut gradient = lanes.splat(BEGIN);
            for group in self.gradients {
                let line = group.get(at..).and_then(|rest| rest.first_chunk());
                gradient = lanes.add(gradient, lanes.load(line.unwrap_or(&[0.0; LANES])));
            }
            let numbers = &self.step.numbers;
            let value = if numbers.decays() {
                apply::<L, DECAY>(lanes, numbers, gradient, value, mean, square)
            } else {
                apply::<L, PLAIN>(lanes, numbers, gradient, value, mean, square)
            };
            let old = lanes.load(average);
            lanes.store(lanes.fma(lanes.sub(value, old), follow, old), average);
        }
    }
}

/// Numbers that a thread takes at a time.
const PIECE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::form::Form;
    use super::*;
    use crate::random::{Random, Stream};

    /// Adam as its page has it, weight by weight in f64; biases do not decay; the average follows.
    #[test]
    fn steps_are_those_of_plain_adam() {
        let form = Form {
            image: [9, 8],
            channels: [32; 3],
            hidden: 32,
            classes: 3,
        };
        let options = Options {
            adam: Adam {
                beta_1: 0.9,
                beta_2: 0.999,
                epsilon: 1e-7,
                weight_decay: 0.5,
            },
            rate: 0.01,
            average: 0.8,
        };
        let mut random = Random::new(5, Stream::TeacherInit);
        let drawn = |random: &mut Random| {
            let mut weights = form.initial(random);
            for layer in &mut weights.0 {
                for bias in &mut layer.bias {
                    *bias = random.unit() - 0.5;
                }
            }
            weights
        };
        let mut weights = drawn(&mut random);
        let flat = |weights: &Weights, biases: bool| -> Vec<f64> {
            let of = |layer: &super::super::Layer| {
                let values = if biases { &layer.bias } else { &layer.weights };
                values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>()
            };
            weights.0.iter().flat_map(of).collect()
        };
        let mut plain = [false, true].map(|biases| {
            let values = flat(&weights, biases);
            let zeros = vec![0.0; values.len()];
            [values.clone(), zeros.clone(), zeros, values]
        });
        let mut optimiser = Optimiser::new(&weights, form.zeros());
        for step in 1..=20 {
            let groups = [drawn(&mut random), drawn(&mut random)];
            let [one, two] = &groups;
            optimiser.step(&mut weights, &[one, two], &options, Backend::detect());
            let Adam {
                beta_1,
                beta_2,
                epsilon,
                weight_decay,
            } = options.adam;
            let corrected =
                options.rate * (1.0 - beta_2.powi(step)).sqrt() / (1.0 - beta_1.powi(step));
            let follow = (1.0 - options.average).max(1.0 / f64::from(step + 10));
            for (biases, [values, mean, square, average]) in
                [false, true].into_iter().zip(&mut plain)
            {
                let gradients = flat(one, biases).into_iter().zip(flat(two, biases));
                for (at, (one, two)) in gradients.enumerate() {
                    let gradient = one + two;
                    mean[at] += (gradient - mean[at]) * (1.0 - beta_1);
                    square[at] += (gradient * gradient - square[at]) * (1.0 - beta_2);
                    if !biases {
                        values[at] -= options.rate * weight_decay * values[at];
                    }
                    values[at] -= corrected * mean[at] / (square[at].sqrt() + epsilon);
                    average[at] += (values[at] - average[at]) * follow;
                }
            }
        }
        for (biases, [values, .., average]) in [false, true].into_iter().zip(&plain) {
            for (found, expected) in [(&weights, values), (&optimiser.average, average)] {
                let found = flat(found, biases);
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() < 2e-5, "{found} {expected}");
                }
            }
        }
    }
}
