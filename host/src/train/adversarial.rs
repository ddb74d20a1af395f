//! Attacks inside training: projected gradient descent on the records of a step.

use super::Compute;
use super::engine::{Judge, Prepared, Targets};
use super::input::InputMap;
use super::model::Network;
use super::recipe::Adversarial;
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
        width: usize,
        targets: Targets<'_>,
        random: &mut Random,
    ) -> Result<()> {
        let reach = i32::from(self.epsilon);
        let original = features.to_vec();
        for feature in &mut *features {
            let moved = i32::from(*feature) + random.below(2 * reach as u32 + 1) as i32 - reach;
            *feature = moved.clamp(0, 255) as u8;
        }
        let judge = Judge::new(self.network, self.input, self.compute);
        for _ in 0..self.options.steps {
            let gradient =
                judge.input_gradient(&Prepared::from_features(features, width), targets)?;
            for ((feature, &from), slope) in features.iter_mut().zip(&original).zip(gradient) {
                let step = i32::from(self.options.step);
                let moved = i32::from(*feature)
                    + if slope > 0.0 {
                        step
                    } else if slope < 0.0 {
                        -step
                    } else {
                        0
                    };
                let from = i32::from(from);
                *feature = moved.clamp(from - reach, from + reach).clamp(0, 255) as u8;
            }
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
    use crate::train::{Backend, gradient_of};

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
            attack.perturb(&mut features, 60, targets, random).unwrap();
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
}
