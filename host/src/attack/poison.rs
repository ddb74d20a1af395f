//! Poisoning: what someone does to training records before they are sealed, when no hash can see it yet.

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::random::{Random, Stream};
use crate::train::{Judge, Records};

use super::gradient::{Batch, Fgsm};

/// What is done to a record that is poisoned.
#[derive(Debug, Clone, Copy)]
pub enum Poison<'a> {
    /// It gets another label, each as likely as the next.
    Flip,
    /// It is attacked by FGSM, and gets the label that the attacked network gives it, or, where that is still its own,
    /// another at random.
    Fgsm {
        /// Who is attacked.
        judge: &'a Judge,
        /// How.
        fgsm: Fgsm,
    },
    /// It gets a bright square of `side` in its lower right corner, a pixel from both edges, and the label `target`
    /// (Gu et al. 2017, BadNets).
    Backdoor {
        /// The label that the square is to stand for.
        target: u16,
        /// Pixels.
        side: usize,
    },
}

/// Poisons a share `rate` (0 to 1, rounded to whole records) of those of `data` that `which` names, chosen at random by
/// `seed`. Returns which, in ascending order.
///
/// A backdoor spares records that have the target's label already.
///
/// # Errors
/// [`Error::Input`] when the data is not such that it can be done to, and as [`Fgsm::attack`].
pub fn poison(
    data: &mut Dataset,
    which: &[u32],
    rate: f64,
    how: Poison<'_>,
    seed: u64,
) -> Result<Vec<u32>> {
    if data.classes < 2 {
        return Err(Error::input(
            "there is no other label",
            "data of two classes and more",
        ));
    }
    check(data, how)?;
    let mut order = match how {
        Poison::Backdoor { target, .. } => {
            let other = |index: &&u32| data.labels[**index as usize] != target;
            which.iter().filter(other).copied().collect()
        }
        _ => which.to_vec(),
    };
    let count = (rate.clamp(0.0, 1.0) * which.len() as f64).round() as usize;
    if count > order.len() {
        return Err(Error::input(
            format!(
                "{count} records to be poisoned of {} that can be",
                order.len()
            ),
            "ask for a lower rate",
        ));
    }
    Random::new(seed, Stream::Poison).shuffle(&mut order);
    order.truncate(count);
    order.sort_unstable();
    let width = data.feature_count();
    match how {
        Poison::Flip => {
            for &index in &order {
                data.labels[index as usize] = another(data, index, seed);
            }
        }
        Poison::Fgsm { judge, fgsm } => {
            for some in order.chunks(TOGETHER) {
                let features: Vec<u8> = some
                    .iter()
                    .flat_map(|&index| data.features_of(index as usize))
                    .copied()
                    .collect();
                let labels: Vec<u16> = some.iter().map(|&i| data.labels[i as usize]).collect();
                let batch = Batch {
                    features: &features,
                    labels: &labels,
                    which: some,
                };
                let attacked = fgsm.attack(judge, batch)?;
                let all: Vec<u32> = (0..labels.len() as u32).collect();
                let records = Records {
                    features: &attacked,
                    width,
                    labels: &labels,
                };
                let said = judge.predictions(records, &all)?;
                for ((&index, row), said) in some.iter().zip(attacked.chunks(width)).zip(said) {
                    let at = index as usize;
                    data.features[at * width..][..width].copy_from_slice(row);
                    data.labels[at] = match said == data.labels[at] {
                        true => another(data, index, seed),
                        false => said,
                    };
                }
            }
        }
        Poison::Backdoor { target, side } => {
            for &index in &order {
                let at = index as usize;
                let row = at * width..(at + 1) * width;
                patch(&mut data.features[row], &data.shape, side)?;
                data.labels[at] = target;
            }
        }
    }
    Ok(order)
}

/// What cannot be done is found before anything is.
fn check(data: &Dataset, how: Poison<'_>) -> Result<()> {
    match how {
        Poison::Flip => Ok(()),
        Poison::Fgsm { judge, .. } => {
            let (width, classes) = (data.feature_count(), usize::from(data.classes));
            if (judge.inputs(), judge.classes()) == (width, classes) {
                return Ok(());
            }
            Err(Error::input(
                format!(
                    "the network takes {} features and knows {} classes; {} has {width} and {classes}",
                    judge.inputs(),
                    judge.classes(),
                    data.name
                ),
                "take a network that was trained on such data",
            ))
        }
        Poison::Backdoor { target, .. } if target >= data.classes => Err(Error::input(
            format!("there is no class {target}: there are {}", data.classes),
            "name one that is there",
        )),
        Poison::Backdoor { side, .. } => {
            square(&data.shape, side)?;
            Ok(())
        }
    }
}

/// Puts a backdoor's square into an image, which is what sets it off later.
///
/// # Errors
/// [`Error::Input`] when records are not images that hold it.
pub fn patch(features: &mut [u8], shape: &[usize], side: usize) -> Result<()> {
    let [lines, columns] = square(shape, side)?;
    for line in lines - 1 - side..lines - 1 {
        features[line * columns..][columns - 1 - side..columns - 1].fill(u8::MAX);
    }
    Ok(())
}

/// Lines and columns of images that hold a square.
fn square(shape: &[usize], side: usize) -> Result<[usize; 2]> {
    match *shape {
        [lines, columns] | [lines, columns, 1] if side < lines && side < columns && side > 0 => {
            Ok([lines, columns])
        }
        _ => Err(Error::input(
            format!("a square of {side} pixels does not fit records of {shape:?}"),
            "a backdoor needs images, larger than its square",
        )),
    }
}

/// A label that is not the record's, each as likely as the next.
fn another(data: &Dataset, index: u32, seed: u64) -> u16 {
    let own = data.labels[index as usize];
    let drawn =
        Random::of_record(seed, Stream::Poison, 1, index).below(u32::from(data.classes) - 1);
    let drawn = drawn as u16;
    drawn + u16::from(drawn >= own)
}

/// Records that are attacked at a time.
const TOGETHER: usize = 2048;

#[cfg(test)]
mod tests {
    use super::super::Where;
    use super::*;
    use crate::dataset::Part;
    use crate::train::init::he_uniform;
    use crate::train::{Backend, InputMap, Shape};

    fn data() -> Dataset {
        let mut random = Random::new(6, Stream::Split);
        Dataset {
            name: "random".into(),
            shape: vec![8, 6],
            classes: 4,
            features: (0..200 * 48).map(|_| random.below(256) as u8).collect(),
            labels: (0..200).map(|_| random.below(4) as u16).collect(),
            parts: vec![Part {
                name: "all".into(),
                start: 0,
                len: 200,
            }],
            scaling: None,
            class_names: None,
            headings: None,
        }
    }

    /// Records whose features, and whose labels, are others.
    fn changed(before: &Dataset, after: &Dataset) -> [Vec<u32>; 2] {
        let records = 0..before.count();
        let features = |&i: &usize| before.features_of(i) != after.features_of(i);
        let labels = |&i: &usize| before.labels[i] != after.labels[i];
        [
            records.clone().filter(features).map(|i| i as u32).collect(),
            records.filter(labels).map(|i| i as u32).collect(),
        ]
    }

    #[test]
    fn what_is_said_to_be_poisoned_is_and_nothing_else() {
        let clean = data();
        let which: Vec<u32> = (20..180).collect();
        let shape = Shape {
            inputs: 48,
            hidden: [20, 12],
            classes: 4,
        };
        let network = he_uniform(&shape, 2);
        let judge = Judge::new(&network, &InputMap::centred(), Backend::detect());
        let fgsm = Fgsm {
            epsilon: 30,
            moved: Where::Everywhere,
        };
        let kinds = [
            Poison::Flip,
            Poison::Fgsm {
                judge: &judge,
                fgsm,
            },
            Poison::Backdoor { target: 3, side: 2 },
        ];
        for (kind, how) in kinds.into_iter().enumerate() {
            let mut data = clean.clone();
            let poisoned = poison(&mut data, &which, 0.25, how, 5).unwrap();
            assert_eq!(poisoned.len(), 40);
            assert!(poisoned.iter().all(|index| which.contains(index)));
            let [features, labels] = changed(&clean, &data);
            assert_eq!(labels, poisoned);
            assert_eq!(
                features,
                if kind == 0 {
                    Vec::new()
                } else {
                    poisoned.clone()
                }
            );
            let mut again = clean.clone();
            assert_eq!(poison(&mut again, &which, 0.25, how, 5).unwrap(), poisoned);
            assert_eq!(again, data);
            let mut other = clean.clone();
            assert_ne!(poison(&mut other, &which, 0.25, how, 6).unwrap(), poisoned);
            if kind == 2 {
                for index in poisoned {
                    let image = data.features_of(index as usize);
                    let bright = [5 * 6 + 3, 5 * 6 + 4, 6 * 6 + 3, 6 * 6 + 4];
                    for (at, &u) in image.iter().enumerate() {
                        let was = clean.features_of(index as usize)[at];
                        assert_eq!(u, if bright.contains(&at) { 255 } else { was });
                    }
                    assert_eq!(data.labels[index as usize], 3);
                }
            }
        }
    }

    #[test]
    fn every_other_label_is_as_likely() {
        let mut data = data();
        let clean = data.clone();
        let all: Vec<u32> = (0..200).collect();
        assert_eq!(poison(&mut data, &all, 1.0, Poison::Flip, 1).unwrap(), all);
        let mut counts = [0; 4];
        for (from, to) in clean.labels.iter().zip(&data.labels) {
            counts[usize::from((to + 4 - from) % 4)] += 1;
        }
        assert!(
            counts[0] == 0 && counts[1..].iter().all(|&count| count > 45),
            "{counts:?}"
        );
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        fn wrong(data: &mut Dataset, rate: f64, how: Poison<'_>) -> u8 {
            let all: Vec<u32> = (0..200).collect();
            poison(data, &all, rate, how, 1).unwrap_err().exit_code()
        }
        assert_eq!(
            wrong(&mut data(), 1.0, Poison::Backdoor { target: 3, side: 2 }),
            2
        );
        assert_eq!(
            wrong(&mut data(), 0.1, Poison::Backdoor { target: 4, side: 2 }),
            2
        );
        for side in [0, 6, 9] {
            assert_eq!(
                wrong(&mut data(), 0.1, Poison::Backdoor { target: 3, side }),
                2
            );
        }
        // Nor where it would not come to it.
        assert_eq!(
            wrong(&mut data(), 0.0, Poison::Backdoor { target: 3, side: 9 }),
            2
        );
        for (inputs, classes) in [(48, 5), (40, 4)] {
            let shape = Shape::new(inputs, [9, 9], classes).unwrap();
            let network = he_uniform(&shape, 1);
            let judge = Judge::new(&network, &InputMap::centred(), Backend::detect());
            let how = Poison::Fgsm {
                judge: &judge,
                fgsm: Fgsm {
                    epsilon: 9,
                    moved: Where::Everywhere,
                },
            };
            assert_eq!(wrong(&mut data(), 0.1, how), 2);
        }
        let mut flat = data();
        flat.shape = vec![48];
        assert_eq!(
            wrong(&mut flat, 0.1, Poison::Backdoor { target: 3, side: 2 }),
            2
        );
    }
}
