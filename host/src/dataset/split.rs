//! Training, validation and test records, the same for the same seed everywhere.

use std::ops::Range;

use super::Dataset;
use crate::error::{Error, Result};
use crate::random::{Random, Stream};

/// Record indices by purpose; disjoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// To learn from.
    pub train: Vec<u32>,
    /// To choose by.
    pub validation: Vec<u32>,
    /// To report; never looked at before.
    pub test: Vec<u32>,
}

/// Splits a data set.
///
/// With parts `train` and `test`, the test records are the official ones, and a sixth of the training
/// records validate: the last ones (MNIST: 50,000 and 10,000, as the paper's section 3.1.3 has it), or
/// with a seed ones drawn at random. Without parts the order may well be by class, so the records are
/// always drawn at random, with seed 0 when none is given: a sixth for the test, a sixth for validation.
///
/// # Errors
/// [`Error::Input`] when there are too few records for each purpose to have one.
pub fn split(data: &Dataset, seed: Option<u64>) -> Result<Split> {
    let (mut rest, test) = match (data.part("train"), data.part("test")) {
        (Some(train), Some(test)) => {
            let mut rest = indices(train.range());
            if let Some(seed) = seed {
                shuffle(&mut rest, seed);
            }
            (rest, indices(test.range()))
        }
        _ => {
            let mut rest = indices(0..data.count());
            shuffle(&mut rest, seed.unwrap_or(0));
            let test = rest.split_off(rest.len() - rest.len() / 6);
            (rest, test)
        }
    };
    // A sixth of all: a fifth of what the test left over.
    let validation = match data.part("test").zip(data.part("train")) {
        Some(_) => rest.len() / 6,
        None => rest.len() / 5,
    };
    let validation = rest.split_off(rest.len() - validation);
    if rest.is_empty() || validation.is_empty() || test.is_empty() {
        return Err(Error::input(
            format!("{} has too few records to train on", data.name),
            "at least 6 are needed: for training, validation and test",
        ));
    }
    Ok(Split {
        train: rest,
        validation,
        test,
    })
}

fn shuffle(items: &mut [u32], seed: u64) {
    Random::new(seed, Stream::Split).shuffle(items);
}

fn indices(range: Range<usize>) -> Vec<u32> {
    // Below 2^32, see `MAX_RECORDS`.
    range.map(|index| index as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Part;
    use super::*;

    fn data(parts: &[(&str, u64)]) -> Dataset {
        let mut start = 0;
        let parts: Vec<Part> = parts
            .iter()
            .map(|&(name, len)| {
                let part = Part {
                    name: name.into(),
                    start,
                    len,
                };
                start += len;
                part
            })
            .collect();
        Dataset {
            name: "x".into(),
            shape: vec![1],
            classes: 1,
            features: vec![0; start as usize],
            labels: vec![0; start as usize],
            parts,
            scaling: None,
            class_names: None,
            headings: None,
        }
    }

    #[test]
    fn official_parts() {
        let data = data(&[("train", 60), ("test", 10)]);
        let first = split(&data, None).unwrap();
        assert_eq!(first.train, indices(0..50));
        assert_eq!(first.validation, indices(50..60));
        assert_eq!(first.test, indices(60..70));
        let drawn = split(&data, Some(3)).unwrap();
        assert_eq!(drawn, split(&data, Some(3)).unwrap());
        assert_ne!(drawn.train, first.train);
        assert_eq!(drawn.test, first.test);
        let mut all = [drawn.train, drawn.validation].concat();
        all.sort_unstable();
        assert_eq!(all, indices(0..60));
    }

    #[test]
    fn one_part_is_always_drawn() {
        let split_ = split(&data(&[("all", 60)]), None).unwrap();
        assert_eq!(
            (
                split_.train.len(),
                split_.validation.len(),
                split_.test.len()
            ),
            (40, 10, 10)
        );
        assert_ne!(split_.test, indices(50..60));
        let mut all = [split_.train, split_.validation, split_.test].concat();
        all.sort_unstable();
        assert_eq!(all, indices(0..60));
        assert!(split(&data(&[("all", 5)]), None).is_err());
    }
}
