//! Attacks inside training: projected gradient descent on the records of a step.

use super::Compute;
use super::engine::{Judge, Targets};
use super::input::InputMap;
use super::model::Network;
use super::recipe::Adversarial;
use crate::attack::gradient::{Reach, Where, ascend, begin};
use crate::error::Result;
use crate::random::Random;

/// What attacks a batch: the network as it is, and how far it may go.
pub(super) struct Attack<'a> {
    pub(super) network: &'a Network,
    pub(super) input: &'a InputMap,
    pub(super) options: Adversarial,
    /// How far a feature may move in this epoch, of 255.
    pub(super) epsilon: u8,
    pub(super) compute: Compute,
}

impl Attack<'_> {
    /// Moves `features`, `[B][width]`, to where the loss by `targets` is higher.
    ///
    /// # Errors
    /// As [`Judge::input_gradient`].
    pub(super) fn perturb(
        &self,
        features: &mut [u8],
        targets: Targets<'_>,
        random: &mut Random,
    ) -> Result<()> {
        let original = features.to_vec();
        begin(features, self.epsilon, Where::Everywhere, random);
        let judge = Judge::new(self.network, self.input, self.compute);
        let reach = Reach {
            original: &original,
            epsilon: self.epsilon,
            moved: Where::Everywhere,
        };
        for _ in 0..self.options.steps {
            ascend(&judge, features, targets, self.options.step, reach)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;
    use crate::train::init::he_uniform;
    use crate::train::model::Shape;
    use crate::train::{Backend, Prepared, gradient_of};

    #[test]
    fn attacks_stay_in_their_box_and_raise_the_loss() {
        let shape = Shape {
            inputs: 60,
            hidden: [20, 12],
            classes: 4,
        };
        let network = he_uniform(&shape, 2);
        let mut random = Random::new(6, Stream::Split);
        let original: Vec<u8> = (0..50 * 60).map(|_| random.below(256) as u8).collect();
        let labels: Vec<u16> = (0..50).map(|_| random.below(4) as u16).collect();
        let targets = Targets::labels(&labels);
        let input = InputMap::centred();
        let loss = |features: &[u8]| {
            let prepared = Prepared::from_features(features, 60);
            let of = gradient_of(&network, &input, &prepared, targets, Backend::detect());
            of.unwrap().1.loss()
        };
        let mut before = loss(&original);
        for epsilon in [0, 1, 9, 40] {
            let attack = Attack {
                network: &network,
                input: &input,
                options: Adversarial {
                    epsilon: 40,
                    step: 3,
                    steps: 20,
                    ramp: 0,
                },
                epsilon,
                compute: Backend::detect().into(),
            };
            let mut features = original.clone();
            let random = &mut Random::of_epoch(1, Stream::Attack, 1);
            attack.perturb(&mut features, targets, random).unwrap();
            let moved = features.iter().zip(&original).map(|(a, b)| a.abs_diff(*b));
            assert_eq!(moved.max(), Some(epsilon));
            let after = loss(&features);
            assert!(
                if epsilon == 0 {
                    after == before
                } else {
                    after > before
                },
                "{epsilon}"
            );
            before = after;
        }
    }
    /// The definition once more in f64 and plain loops.
    #[test]
    fn one_step_goes_where_the_loss_of_each_record_rises() {
        let (inputs, classes) = (60, 4);
        let shape = Shape {
            inputs,
            hidden: [20, 12],
            classes,
        };
        let network = he_uniform(&shape, 3);
        let mut random = Random::new(7, Stream::Split);
        let original: Vec<u8> = (0..30 * inputs).map(|_| random.below(256) as u8).collect();
        let labels: Vec<u16> = (0..30).map(|_| random.below(4) as u16).collect();
        let (epsilon, step) = (9, 7);
        let attack = Attack {
            network: &network,
            input: &InputMap::centred(),
            options: Adversarial {
                epsilon,
                step,
                steps: 1,
                ramp: 0,
            },
            epsilon,
            compute: Backend::detect().into(),
        };
        let start = || Random::of_epoch(1, Stream::Attack, 1);
        let mut moved = original.clone();
        let targets = Targets::labels(&labels);
        attack.perturb(&mut moved, targets, &mut start()).unwrap();

        let (reach, step) = (i32::from(epsilon), i32::from(step));
        let mut random = start();
        let begun = |&feature: &u8| {
            (i32::from(feature) + random.below(2 * epsilon as u32 + 1) as i32 - reach).clamp(0, 255)
        };
        let begun: Vec<i32> = original.iter().map(begun).collect();
        let (mut up, mut down) = (0, 0);
        for (record, begun) in begun.chunks(inputs).enumerate() {
            let slopes = slopes(&network, begun, labels[record].into());
            let largest = slopes
                .iter()
                .fold(0.0, |most: f64, slope| most.max(slope.abs()));
            for (input, (&begun, slope)) in begun.iter().zip(slopes).enumerate() {
                // Rounding may decide which way a slope of nearly nothing goes.
                if slope.abs() < 1e-4 * largest {
                    continue;
                }
                let at = record * inputs + input;
                let from = i32::from(original[at]);
                let to = begun + if slope > 0.0 { step } else { -step };
                let expected = to.clamp(from - reach, from + reach).clamp(0, 255);
                assert_eq!(
                    i32::from(moved[at]),
                    expected,
                    "record {record}, input {input}"
                );
                up += usize::from(slope > 0.0);
                down += usize::from(slope < 0.0);
            }
        }
        assert!(up > 600 && down > 600, "{up} up, {down} down");
    }

    /// The derivative of a record's cross entropy by its features.
    fn slopes(network: &Network, features: &[i32], label: usize) -> Vec<f64> {
        let weight = |layer: usize, i: usize, o: usize| {
            let layer = &network.layers[layer];
            f64::from(layer.weights[i * layer.outputs + o])
        };
        let mut values = vec![
            features
                .iter()
                .map(|&u| f64::from(u) / 255.0 - 0.5)
                .collect(),
        ];
        for (number, layer) in network.layers.iter().enumerate() {
            let below: &Vec<f64> = &values[number];
            let sum = |o: usize| {
                let terms = below.iter().enumerate();
                let terms = terms.map(|(i, x)| x * weight(number, i, o));
                let sum = f64::from(layer.bias[o]) + terms.sum::<f64>();
                if number < 2 { sum.max(0.0) } else { sum }
            };
            values.push((0..layer.outputs).map(sum).collect());
        }
        let total: f64 = values[3].iter().map(|z| z.exp()).sum();
        let mut delta: Vec<f64> = values[3].iter().map(|z| z.exp() / total).collect();
        delta[label] -= 1.0;
        for number in (0..3).rev() {
            let back = |(i, x): (usize, &f64)| {
                let terms = delta.iter().enumerate();
                let sum: f64 = terms.map(|(o, delta)| delta * weight(number, i, o)).sum();
                if number > 0 && *x <= 0.0 { 0.0 } else { sum }
            };
            delta = values[number].iter().enumerate().map(back).collect();
        }
        delta
    }
}
