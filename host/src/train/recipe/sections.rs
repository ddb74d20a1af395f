//! What recipes beyond the paper's say.

use sealnet_core::mlp::WeightType;
use serde::{Deserialize, Serialize};

use crate::train::schedule::{Schedule, Shape};

/// How the learning rate rises and falls over the whole training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annealing {
    /// Share of the steps over which it climbs, 0 to 1; the number of steps is rounded down.
    pub warm_up: f64,
    /// What it does then.
    pub decay: Shape,
}

impl Annealing {
    /// The rates of `total` steps, at most `peak`.
    pub fn schedule(this: Option<Annealing>, peak: f64, total: u64) -> Schedule {
        let Some(Annealing { warm_up, decay }) = this else {
            return Schedule::constant(peak);
        };
        Schedule {
            peak,
            // Within 0 and `total`: the share is.
            warm_up: (total as f64 * warm_up) as u64,
            total,
            shape: decay,
        }
    }
}

/// How a network learns from a teacher (Hinton et al. 2015), whose logits for a pool of changed records are worked
/// out once: epoch `e` (from 1) learns from variant `(e - 1) mod variants` of each record. A target is the softmax of logits,
/// `exp((z ⊖ m) ⊘ temperature)` with `m` the largest, each over their sum in order of class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distillation {
    /// What logits are divided by before the softmax, the teacher's and the network's: 0.01 to 1,000.
    pub temperature: f64,
    /// Variants of each record in the pool, 1 to 1,000.
    pub variants: u32,
}

/// Projected gradient descent on the records of each step (Madry et al. 2018): from a random place in the box of
/// `epsilon` around a record, each step adds `step` times the sign of the loss's derivative, back into the box and
/// into 0 to 255; where the derivative is 0 it stays. The random places are one [`below`](crate::random::Random::below)
/// a feature, `2ε + 1` numbers from `-ε`, record by record in the order of the epoch, from
/// [`Stream::Attack`](crate::random::Stream::Attack) of the epoch (from 1). In epoch `e` the box is
/// `ε = ⌊epsilon · min(e, ramp) / ramp⌋`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adversarial {
    /// How far a feature may move, of 255.
    pub epsilon: u8,
    /// How far it moves each time.
    pub step: u8,
    /// How often.
    pub steps: u32,
    /// Of the first epochs, while `epsilon` grows from 0.
    pub ramp: u32,
}

impl Adversarial {
    /// `epsilon` in epoch `epoch`, from 1.
    pub(crate) fn epsilon_in(&self, epoch: u32) -> u8 {
        let ramp = u64::from(self.ramp.max(1));
        let grown = u64::from(self.epsilon) * u64::from(epoch).min(ramp) / ramp;
        u8::try_from(grown).unwrap_or(self.epsilon)
    }
}

/// A quantisation-aware end ([`mod@crate::train::qat`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    /// What the weights will be.
    pub weights: Weights,
    /// The last epochs, this many.
    pub epochs: u32,
}

/// How fine weights will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// 8 bits.
    Int8,
    /// 4 bits.
    Int4,
}

impl From<Weights> for WeightType {
    fn from(weights: Weights) -> WeightType {
        match weights {
            Weights::Int8 => WeightType::Int8,
            Weights::Int4 => WeightType::Int4,
        }
    }
}

impl std::fmt::Display for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Weights::Int8 => "int8",
            Weights::Int4 => "int4",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_grows_to_its_size() {
        let grown = |epsilon, ramp| {
            let attack = Adversarial {
                epsilon,
                step: 1,
                steps: 1,
                ramp,
            };
            [1, 29, 58, 100, 101, u32::MAX].map(|epoch| attack.epsilon_in(epoch))
        };
        // In reals 100 · (29 / 100) is less than 29.
        assert_eq!(grown(100, 100), [1, 29, 58, 100, 100, 100]);
        assert_eq!(grown(28, 5), [5, 28, 28, 28, 28, 28]);
        assert_eq!(grown(255, 0), [255; 6]);
    }
}
