//! Training again what a receipt names, to the bit or with all that differs.
//!
//! What a receipt says decides every bit of the weights ([`receipt`](crate::receipt)): whoever has the records
//! trains again with it and compares. The records are known by their digest, so that it does not matter where
//! they are or whether they are sealed.

use sealnet_core::sign::sha512;

use crate::dataset::split::split;
use crate::error::{Error, Failure, Result};
use crate::receipt::{Alone, Data, EpochScore, Score, Split, Training};
use crate::train::numerics::Numerics;
use crate::train::session::{Finished, SessionOptions};
use crate::train::{Compute, Network};
use crate::vault::SourceData;

/// What must be trained for what `training` says; `compute` has no influence on the result.
///
/// # Errors
/// [`Error::Input`] when the receipt is of other numerics: this program cannot compute those bits, so that a
/// difference would mean nothing.
pub fn options(training: &Training, compute: Compute) -> Result<SessionOptions> {
    let (theirs, ours) = (&training.numerics, Numerics::this());
    if theirs.version != ours.version {
        let software = &training.software;
        return Err(Error::input(
            format!(
                "the weights are of numerics {}, and this program computes numerics {}: their bits differ in any case",
                theirs.version, ours.version
            ),
            format!(
                "reproduce with the program that trained them: {} {}",
                software.name, software.version
            ),
        ));
    }
    Ok(SessionOptions {
        recipe: training.recipe.clone(),
        hidden: training.network.hidden,
        seed: training.seed,
        split_seed: training.split.seed,
        backend: compute.backend,
        threads: compute.threads,
    })
}

/// Whether `data`, which lies in `place`, are the records that `training` names, split as it says. Something
/// else may vouch for them; then that is returned in words.
///
/// # Errors
/// [`Error::Verification`] with what differs, as [`Data::check_records`] and [`Split::check`].
pub fn check_data(training: &Training, place: &str, data: &SourceData) -> Result<Option<String>> {
    let here = Data::of(place, data);
    training.data.check_records(&here)?;
    let seed = training.split.seed;
    let parts = split(&data.dataset, seed)?;
    training.split.check(place, &Split::of(seed, &parts))?;
    let there = &training.data.origin;
    Ok((*there != here.origin).then(|| {
        format!(
            "the same records, which are {} here and {there} in the receipt",
            here.origin
        )
    }))
}

/// All in which `finished` differs from what the receipt says; empty when it is the same to the bit.
pub fn differences(claimed: &Alone, finished: &Finished) -> Vec<Failure> {
    let (there, here) = (claimed.training(), &finished.training);
    let mut failures = Vec::new();
    let mut differ = |place: &str, check, cause| failures.push(failure(place, check, cause));
    let digest = hex::encode(finished.weights_digest);
    if claimed.weights_sha512() != digest {
        let cause = format!(
            "SHA-512 {} in the receipt, {} here",
            short(claimed.weights_sha512()),
            short(&digest)
        );
        differ(claimed.weights_name(), "weights", cause);
    }
    if there.network != here.network {
        differ("network", "widths", "other inputs or classes".into());
    }
    for (of, there, here) in [
        ("teacher's ", &there.teacher_epochs, &here.teacher_epochs),
        ("", &there.epochs, &here.epochs),
    ] {
        match first_differing_epoch(there, here) {
            None if there.len() == here.len() => (),
            None => {
                let cause = format!("{} epochs in the receipt, {} here", there.len(), here.len());
                differ(&format!("{of}history"), "epochs", cause);
            }
            Some((number, one, other)) => {
                let cause = match one.training == other.training {
                    true => scores("validation", one.validation, other.validation),
                    false => scores("training", one.training, other.training),
                };
                differ(&format!("{of}epoch {number}"), "epochs", cause);
            }
        }
    }
    for (name, one, other) in [
        ("validation", there.validation, here.validation),
        ("test", there.test, here.test),
    ] {
        if one != other {
            differ(name, "score", scores(name, one, other));
        }
    }
    failures
}

/// That the file with the bytes `weights`, which is called `name`, is not what the receipt is about; none when
/// it is.
pub fn other_file(claimed: &Alone, name: &str, weights: &[u8]) -> Option<Failure> {
    let digest = hex::encode(sha512(&[weights]));
    (claimed.weights_sha512() != digest).then(|| {
        let cause = format!(
            "it is not the file that the receipt is about: SHA-512 {} there, {} here",
            short(claimed.weights_sha512()),
            short(&digest)
        );
        failure(name, "weights", cause)
    })
}

/// How far two networks are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// Numbers whose bits differ.
    pub differing: usize,
    /// Numbers there are.
    pub of: usize,
    /// The largest absolute difference.
    pub largest: f64,
}

/// How far `one` and `other` are apart, number by number; none when their widths differ.
pub fn distance(one: &Network, other: &Network) -> Option<Distance> {
    if one.shape() != other.shape() {
        return None;
    }
    let mut distance = Distance {
        differing: 0,
        of: one.shape().parameters(),
        largest: 0.0,
    };
    for (a, b) in one.numbers().zip(other.numbers()) {
        distance.differing += usize::from(a.to_bits() != b.to_bits());
        distance.largest = distance.largest.max((f64::from(a) - f64::from(b)).abs());
    }
    Some(distance)
}

/// The first epoch, from 1, that is in both and differs.
fn first_differing_epoch(
    there: &[EpochScore],
    here: &[EpochScore],
) -> Option<(usize, EpochScore, EpochScore)> {
    let pairs = (1..).zip(there.iter().zip(here));
    pairs
        .map(|(number, (one, other))| (number, *one, *other))
        .find(|(_, one, other)| one != other)
}

fn scores(name: &str, there: Score, here: Score) -> String {
    format!(
        "{name} loss {} and accuracy {} in the receipt, {} and {} here",
        there.loss, there.accuracy, here.loss, here.accuracy
    )
}

fn failure(place: &str, check: &'static str, cause: String) -> Failure {
    Failure {
        place: place.into(),
        check,
        cause,
        index: None,
        shard: None,
    }
}

/// The beginning of a digest, for people.
fn short(digest: &str) -> String {
    format!("{}…", digest.get(..16).unwrap_or(digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Shape;
    use crate::train::init::glorot_uniform;

    #[test]
    fn distance_counts_bits_and_measures_numbers() {
        let shape = Shape::new(5, [4, 3], 2).unwrap();
        let one = glorot_uniform(&shape, 1);
        let same = distance(&one, &one).unwrap();
        assert_eq!(
            (same.differing, same.of),
            (0, 5 * 4 + 4 + 4 * 3 + 3 + 3 * 2 + 2)
        );
        let mut other = one.clone();
        other.layers[0].weights[3] += 0.5;
        // The bits of a zero may differ, and the number does not.
        other.layers[2].bias[1] = -0.0;
        let apart = distance(&one, &other).unwrap();
        assert_eq!(apart.differing, 2);
        assert!((apart.largest - 0.5).abs() < 1e-6, "{}", apart.largest);
        let wider = Shape::new(5, [4, 4], 2).unwrap();
        assert_eq!(distance(&one, &glorot_uniform(&wider, 1)), None);
    }
}
