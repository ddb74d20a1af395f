//! Attacks along the sign of the loss's gradient: FGSM and projected gradient descent.

use crate::error::Result;
use crate::random::{Random, Stream};
use crate::train::{Judge, Prepared, Targets};

/// What may be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Where {
    /// Every feature.
    #[default]
    Everywhere,
    /// Those that are not 0: the background stays black.
    Foreground,
}

/// The fast gradient sign method (Goodfellow et al. 2015): `u + ε · sign(∂loss/∂u)`, clipped to 0 and 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fgsm {
    /// How far a feature moves, of 255.
    pub epsilon: u8,
    /// Which ones.
    pub moved: Where,
}

/// Projected gradient descent (Madry et al. 2018): from a random place within ε of the record, or from the record itself
/// (Kurakin et al. 2017, the basic iterative method), steps as FGSM's, each cut back to what lies within ε and within 0
/// and 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pgd {
    /// How far a feature moves in all, of 255.
    pub epsilon: u8,
    /// How far in one step, of 255.
    pub step: u8,
    /// How many steps.
    pub steps: u32,
    /// Which ones.
    pub moved: Where,
    /// Decides where each record begins; at itself without.
    pub seed: Option<u64>,
}

/// Records that an attack is made on.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// `[N][width]`.
    pub features: &'a [u8],
    /// `[N]`: the labels whose loss is to rise.
    pub labels: &'a [u16],
    /// `[N]`: their numbers. A record is attacked alike whatever batch it is in.
    pub which: &'a [u32],
}

impl Fgsm {
    /// The records as attacked, `[N][width]`.
    ///
    /// # Errors
    /// As [`Judge::input_gradient`].
    pub fn attack(&self, judge: &Judge, batch: Batch<'_>) -> Result<Vec<u8>> {
        let mut features = batch.features.to_vec();
        let reach = Reach {
            original: batch.features,
            epsilon: self.epsilon,
            moved: self.moved,
        };
        ascend(
            judge,
            &mut features,
            Targets::labels(batch.labels),
            self.epsilon,
            reach,
        )?;
        Ok(features)
    }
}

impl Pgd {
    /// The records as attacked, `[N][width]`.
    ///
    /// # Errors
    /// As [`Judge::input_gradient`].
    pub fn attack(&self, judge: &Judge, batch: Batch<'_>) -> Result<Vec<u8>> {
        let mut features = batch.features.to_vec();
        let reach = Reach {
            original: batch.features,
            epsilon: self.epsilon,
            moved: self.moved,
        };
        if let Some(seed) = self.seed {
            for (row, &record) in features.chunks_mut(judge.inputs()).zip(batch.which) {
                let mut random = Random::of_record(seed, Stream::Evasion, 0, record);
                begin(row, self.epsilon, self.moved, &mut random);
            }
        }
        let targets = Targets::labels(batch.labels);
        for _ in 0..self.steps {
            ascend(judge, &mut features, targets, self.step, reach)?;
        }
        Ok(features)
    }
}

/// How far an attack may go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach<'a> {
    /// The records as they were.
    pub(crate) original: &'a [u8],
    /// Of 255.
    pub(crate) epsilon: u8,
    pub(crate) moved: Where,
}

/// Moves each feature by a random whole number from -ε to ε, one drawn for each that may move, in order.
pub(crate) fn begin(features: &mut [u8], epsilon: u8, moved: Where, random: &mut Random) {
    let reach = i32::from(epsilon);
    for feature in features {
        if moved == Where::Everywhere || *feature != 0 {
            let to = i32::from(*feature) + random.below(2 * u32::from(epsilon) + 1) as i32 - reach;
            *feature = to.clamp(0, 255) as u8;
        }
    }
}

/// One step of `step` along the gradient's sign, within `reach`.
///
/// # Errors
/// As [`Judge::input_gradient`].
pub(crate) fn ascend(
    judge: &Judge,
    features: &mut [u8],
    targets: Targets<'_>,
    step: u8,
    reach: Reach<'_>,
) -> Result<()> {
    let prepared = Prepared::from_features(features, judge.inputs());
    let gradient = judge.input_gradient(&prepared, targets)?;
    let (step, epsilon) = (i32::from(step), i32::from(reach.epsilon));
    for ((feature, &from), slope) in features.iter_mut().zip(reach.original).zip(gradient) {
        if reach.moved == Where::Foreground && from == 0 {
            continue;
        }
        let by = i32::from(slope > 0.0) - i32::from(slope < 0.0);
        let from = i32::from(from);
        let to = (i32::from(*feature) + by * step).clamp(from - epsilon, from + epsilon);
        *feature = to.clamp(0, 255) as u8;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::init::he_uniform;
    use crate::train::{Backend, InputMap, Records, Shape};

    struct Setting {
        shape: Shape,
        judge: Judge,
        features: Vec<u8>,
        labels: Vec<u16>,
    }

    fn setting() -> Setting {
        let shape = Shape {
            inputs: 40,
            hidden: [20, 12],
            classes: 4,
        };
        let mut random = Random::new(6, Stream::Split);
        let feature = |random: &mut Random| match random.below(3) {
            0 => 0,
            _ => random.below(256) as u8,
        };
        Setting {
            shape,
            judge: Judge::new(
                &he_uniform(&shape, 2),
                &InputMap::centred(),
                Backend::detect(),
            ),
            features: (0..90 * 40).map(|_| feature(&mut random)).collect(),
            labels: (0..90).map(|_| random.below(4) as u16).collect(),
        }
    }

    impl Setting {
        fn loss(&self, features: &[u8]) -> f64 {
            let records = Records {
                features,
                width: 40,
                labels: &self.labels,
            };
            let all: Vec<u32> = (0..90).collect();
            self.judge.evaluate(records, &all).unwrap().loss()
        }
    }

    #[test]
    fn the_loss_rises_within_reach() {
        let setting = setting();
        let which: Vec<u32> = (0..90).collect();
        let batch = Batch {
            features: &setting.features,
            labels: &setting.labels,
            which: &which,
        };
        for moved in [Where::Everywhere, Where::Foreground] {
            let mut loss = setting.loss(&setting.features);
            let fgsm = Fgsm { epsilon: 60, moved };
            let pgd = Pgd {
                epsilon: 60,
                step: 12,
                steps: 30,
                moved,
                seed: Some(3),
            };
            for attacked in [
                fgsm.attack(&setting.judge, batch).unwrap(),
                pgd.attack(&setting.judge, batch).unwrap(),
            ] {
                let rows = attacked.iter().zip(&setting.features);
                let most = rows.clone().map(|(a, b)| a.abs_diff(*b)).max();
                assert_eq!(most, Some(60));
                let painted = rows.filter(|&(&a, &b)| b == 0 && a != 0).count();
                assert_eq!(painted == 0, moved == Where::Foreground);
                // Many steps find more than one.
                let higher = setting.loss(&attacked);
                assert!(higher > loss + 0.01, "{higher} after {loss}");
                loss = higher;
            }
        }
        let nothing = Fgsm {
            epsilon: 0,
            moved: Where::Everywhere,
        };
        assert_eq!(
            nothing.attack(&setting.judge, batch).unwrap(),
            setting.features
        );
    }

    #[test]
    fn who_is_sure_is_attacked_too() {
        let setting = setting();
        let which: Vec<u32> = (0..90).collect();
        // What the network says, so that its loss is next to nothing.
        let records = Records {
            features: &setting.features,
            width: 40,
            labels: &setting.labels,
        };
        let labels = setting.judge.predictions(records, &which).unwrap();
        let batch = Batch {
            features: &setting.features,
            labels: &labels,
            which: &which,
        };
        let fgsm = Fgsm {
            epsilon: 9,
            moved: Where::Everywhere,
        };
        let moved = |scale: f32, directions: bool| {
            let mut network = he_uniform(&setting.shape, 2);
            let [.., last] = &mut network.layers;
            last.weights.iter_mut().for_each(|weight| *weight *= scale);
            let mut judge = Judge::new(&network, &InputMap::centred(), Backend::detect());
            if directions {
                judge = judge.of_directions();
            }
            let attacked = fgsm.attack(&judge, batch).unwrap();
            let rows = attacked.chunks(40).zip(setting.features.chunks(40));
            rows.filter(|(a, b)| a != b).count()
        };
        assert_eq!((moved(1.0, true), moved(1.0, false)), (90, 90));
        // Its derivatives are 0 by then.
        assert!(moved(1e3, false) < 45);
        assert_eq!(moved(1e3, true), 90);
    }

    #[test]
    fn a_record_is_attacked_alike_in_any_company() {
        let setting = setting();
        let which: Vec<u32> = (500..590).collect();
        let pgd = Pgd {
            epsilon: 20,
            step: 5,
            steps: 3,
            moved: Where::Everywhere,
            seed: Some(3),
        };
        let attack = |from: usize, to: usize| {
            let batch = Batch {
                features: &setting.features[from * 40..to * 40],
                labels: &setting.labels[from..to],
                which: &which[from..to],
            };
            pgd.attack(&setting.judge, batch).unwrap()
        };
        let whole = attack(0, 90);
        assert_eq!([attack(0, 7), attack(7, 90)].concat(), whole);
        assert_ne!(attack(0, 1), attack(1, 2));
    }
}
