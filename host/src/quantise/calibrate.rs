//! What a layer's inputs look like on training records.

use super::{CALIBRATION_RECORDS, Options};
use crate::error::{Error, Result};
use crate::train::{self, Network};

/// What was seen.
#[derive(Debug)]
pub(super) struct Calibration {
    /// Of each layer's inputs: features 0 to 255, then activations of the real network.
    pub(super) inputs: [Moments; 3],
    /// Every activation of each hidden layer that is not zero, ascending, and how many there were with
    /// the zeros.
    activations: [(Vec<f32>, usize); 2],
}

impl Calibration {
    /// Runs the network over the first training records.
    pub(super) fn observe(network: &Network, options: &Options<'_>) -> Result<Calibration> {
        let shape = network.shape();
        let [inputs, first, second, _] = shape.widths();
        let most = CALIBRATION_RECORDS.min(ACTIVATIONS / first.max(second));
        let which = &options.training[..options.training.len().min(most.max(1))];
        if which.is_empty() {
            return Err(Error::input(
                "there are no training records to set the ranges of activations on",
                "give the data that the network was trained on",
            ));
        }
        let mut moments = [inputs, first, second].map(Moments::zeros);
        let mut activations = [Vec::new(), Vec::new()];
        let [features, hidden @ ..] = &mut moments;
        train::for_each_batch(
            network,
            options.records,
            which,
            options.backend,
            |outputs| {
                for ((sums, kept), values) in hidden.iter_mut().zip(&mut activations).zip(outputs) {
                    for record in values.chunks_exact(sums.means.len()) {
                        sums.add(record);
                    }
                    kept.extend(values.iter().copied().filter(|&value| value > 0.0));
                }
            },
        )?;
        for &index in which {
            let record = options.records.features_of(index);
            features.add(record);
        }
        for sums in &mut moments {
            sums.divide(which.len() as f64);
        }
        let [mut one, mut two] = activations;
        one.sort_unstable_by(f32::total_cmp);
        two.sort_unstable_by(f32::total_cmp);
        Ok(Calibration {
            inputs: moments,
            activations: [(one, which.len() * first), (two, which.len() * second)],
        })
    }

    /// The value that `percentile` percent of a hidden layer's activations do not exceed; 1 when all
    /// of them are zero.
    pub(super) fn range(&self, hidden: usize, percentile: f64) -> f64 {
        let (values, count) = &self.activations[hidden];
        let above = (*count as f64 * (1.0 - percentile / 100.0)).floor() as usize;
        let value = values.iter().rev().nth(above).or(values.first());
        value.map_or(1.0, |&value| f64::from(value))
    }
}

/// What a layer's inputs and their squares are on average.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    pub(super) means: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    fn zeros(width: usize) -> Moments {
        Moments {
            means: vec![0.0; width],
            squares: vec![0.0; width],
        }
    }

    /// Adds a record, to sums.
    fn add<T: Copy + Into<f64>>(&mut self, values: &[T]) {
        for ((sum, square), &value) in self.means.iter_mut().zip(&mut self.squares).zip(values) {
            let value = value.into();
            *sum += value;
            *square += value * value;
        }
    }

    fn divide(&mut self, count: f64) {
        for sum in self.means.iter_mut().chain(&mut self.squares) {
            *sum /= count;
        }
    }

    /// Those of inputs that stand for `scale` each.
    pub(super) fn over(&self, scale: f64) -> Moments {
        Moments {
            means: self.means.iter().map(|mean| mean / scale).collect(),
            squares: (self.squares.iter().map(|square| square / (scale * scale))).collect(),
        }
    }

    pub(super) fn variances(&self) -> impl Iterator<Item = f64> {
        let moments = self.means.iter().zip(&self.squares);
        // Rounding takes one that is all but zero below it.
        moments.map(|(mean, square)| (square - mean * mean).max(0.0))
    }
}

/// Most activations of a layer that are kept: 64 MiB of them.
const ACTIVATIONS: usize = 1 << 24;
