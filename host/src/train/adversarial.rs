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
