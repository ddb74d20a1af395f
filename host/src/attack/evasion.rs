//! Attacks on finished networks over many records, and what came of them.

use rayon::prelude::*;

use super::differentiable::Differentiable;
use super::gradient::{Batch, Fgsm, Pgd};
use super::jsma::{Fate, Jsma};
use crate::error::Result;
use crate::progress::Progress;
use crate::train::{Compute, InputMap, Judge, Network, Records, no_thread};

/// An attack that moves records over a network's borders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Evasion {
    /// One step along the gradient's sign.
    Fgsm(Fgsm),
    /// Many, from a random place.
    Pgd(Pgd),
    /// Few features, far.
    Jsma(Jsma),
}

/// Records as attacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attacked {
    /// `[N][width]`.
    pub features: Vec<u8>,
    /// Of an attack that aims at a class, what became of each record, `[N]`.
    pub fates: Option<Vec<Fate>>,
}

/// How far records were moved, means over those that were.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Distance {
    /// Records in which a feature is another.
    pub records: u64,
    /// Features that are.
    pub features: f64,
    /// Euclid's, in units of `u / 255`.
    pub l2: f64,
    /// The largest over all records, of 255.
    pub largest: u8,
}

impl Evasion {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Evasion::Fgsm(_) => "fgsm",
            Evasion::Pgd(_) => "pgd",
            Evasion::Jsma(_) => "jsma",
        }
    }

    /// Attacks those of `records` that `which` names as `network` sees them, which takes `u / 255 - ½`. The same bytes
    /// by any number of threads.
    ///
    /// # Errors
    /// [`Error::Input`](crate::error::Error::Input) when a record does not fit the network, there is no class that it aims
    /// at, or the system gives no thread.
    pub fn attack(
        &self,
        network: &Network,
        records: Records<'_>,
        which: &[u32],
        compute: Compute,
        progress: &dyn Progress,
    ) -> Result<Attacked> {
        let input = InputMap::centred();
        let judge = Judge::new(network, &input, compute).of_directions();
        // What is not there, or does not fit, is found before anything is done.
        judge.evaluate(records, which)?;
        self.check(judge.classes())?;
        let width = records.width;
        let mut features = Vec::with_capacity(which.len() * width);
        for &index in which {
            features.extend_from_slice(records.features_of(index));
        }
        progress.start(self.name(), which.len() as u64);
        let mut fates = None;
        if let Evasion::Jsma(jsma) = self {
            let threads = rayon::ThreadPoolBuilder::new().num_threads(compute.cores());
            let threads = threads.build().map_err(|e| no_thread(&e))?;
            let network = Differentiable::new(network, &input);
            let rows = features.par_chunks_mut(width).zip(which);
            let attack = |(row, &index): (&mut [u8], &u32)| {
                let fate = jsma.attack(&network, row, index);
                progress.inc(1);
                fate
            };
            fates = Some(threads.install(|| rows.map(attack).collect()));
        } else {
            let pieces = features
                .chunks_mut(TOGETHER * width)
                .zip(which.chunks(TOGETHER));
            for (piece, which) in pieces {
                let labels: Vec<u16> = which
                    .iter()
                    .map(|&index| records.labels[index as usize])
                    .collect();
                let batch = Batch {
                    features: piece,
                    labels: &labels,
                    which,
                };
                let attacked = match self {
                    Evasion::Fgsm(fgsm) => fgsm.attack(&judge, batch)?,
                    Evasion::Pgd(pgd) => pgd.attack(&judge, batch)?,
                    Evasion::Jsma(_) => continue,
                };
                piece.copy_from_slice(&attacked);
                progress.inc(which.len() as u64);
            }
        }
        progress.finish();
        Ok(Attacked { features, fates })
    }
}

impl Evasion {
    fn check(&self, classes: usize) -> Result<()> {
        match self {
            Evasion::Jsma(jsma) => jsma.check(classes),
            Evasion::Fgsm(_) | Evasion::Pgd(_) => Ok(()),
        }
    }
}

impl Distance {
    /// Between records before and after, `[N][width]` each.
    pub fn between(before: &[u8], after: &[u8], width: usize) -> Distance {
        let mut distance = Distance::default();
        for (before, after) in before.chunks_exact(width).zip(after.chunks_exact(width)) {
            let moved = before.iter().zip(after).map(|(a, b)| a.abs_diff(*b));
            let largest = moved.clone().max().unwrap_or(0);
            if largest == 0 {
                continue;
            }
            distance.records += 1;
            distance.largest = distance.largest.max(largest);
            distance.features += moved.clone().filter(|&moved| moved != 0).count() as f64;
            let square: u64 = moved.map(|moved| u64::from(moved).pow(2)).sum();
            distance.l2 += (square as f64).sqrt() / 255.0;
        }
        let records = distance.records.max(1) as f64;
        distance.features /= records;
        distance.l2 /= records;
        distance
    }
}

/// Records that are attacked at a time.
const TOGETHER: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_by_hand() {
        let before = [0, 10, 20, 5, 5, 5, 1, 1, 1];
        let after = [3, 10, 16, 5, 5, 5, 1, 1, 0];
        let distance = Distance::between(&before, &after, 3);
        assert_eq!((distance.records, distance.largest), (2, 4));
        assert!((distance.features - 1.5).abs() < 1e-12);
        assert!((distance.l2 - (5.0 + 1.0) / 255.0 / 2.0).abs() < 1e-12);
        assert_eq!(Distance::between(&before, &before, 3), Distance::default());
    }
}
