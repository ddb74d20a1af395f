//! The integer core over many records, beside the real network.

use rayon::prelude::*;
use sealnet_core::mlp;

use crate::error::{Error, Result};
use crate::train::{self, Backend, Network, Records, metrics};

/// Real and integer network over the same records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Records compared.
    pub records: u64,
    /// Of those, predicted correctly by the real network.
    pub real_correct: u64,
    /// Of those, predicted correctly by the integer network.
    pub integer_correct: u64,
    /// Of those, predicted differently by the two.
    pub changed: u64,
}

impl Comparison {
    /// The integer network's share of correct predictions, 0 to 1; 0 over no records.
    pub fn integer_accuracy(&self) -> f64 {
        self.integer_correct as f64 / self.records.max(1) as f64
    }

    /// The real network's share of correct predictions, 0 to 1; 0 over no records.
    pub fn real_accuracy(&self) -> f64 {
        self.real_correct as f64 / self.records.max(1) as f64
    }

    /// Accuracy lost to integers, in percentage points; negative when they gain.
    pub fn loss_points(&self) -> f64 {
        let lost = self.real_correct as f64 - self.integer_correct as f64;
        100.0 * lost / self.records.max(1) as f64
    }
}

/// Runs both networks over those of `records` that `which` names.
///
/// # Errors
/// [`Error::Input`] when a record does not fit the networks.
pub fn compare(
    network: &Network,
    integer: &mlp::Network<'_>,
    records: Records<'_>,
    which: &[u32],
    backend: Backend,
) -> Result<Comparison> {
    let classes = network.shape().classes;
    let real = train::logits(network, records, which, backend)?;
    let integer = integer_logits(integer, records, which)?;
    let mut comparison = Comparison::default();
    let pairs = real
        .chunks_exact(classes)
        .zip(integer.chunks_exact(classes));
    for ((real, integer), &index) in pairs.zip(which) {
        let label = usize::from(records.labels[index as usize]);
        let (real, integer) = (metrics::argmax(real), mlp::argmax(integer));
        comparison.records += 1;
        comparison.real_correct += u64::from(real == label);
        comparison.integer_correct += u64::from(integer == label);
        comparison.changed += u64::from(real != integer);
    }
    Ok(comparison)
}

/// The integer network's logits, `[which.len()][classes]`, of those of `records` that `which` names. Uses
/// all cores.
///
/// # Errors
/// [`Error::Input`] when the records do not have the network's number of features, or one is not there.
pub fn integer_logits(
    integer: &mlp::Network<'_>,
    records: Records<'_>,
    which: &[u32],
) -> Result<Vec<i32>> {
    let shape = integer.shape();
    if records.width != usize::from(shape.input()) {
        return Err(Error::input(
            format!(
                "the records have {} features, the model takes {}",
                records.width,
                shape.input()
            ),
            "the data and the model must be of one kind",
        ));
    }
    let classes = usize::from(shape.output());
    let mut logits = vec![0; which.len() * classes];
    // Whoever can time this has the records.
    let batch = mlp::Batch::new(integer, mlp::Kernel::Skip);
    logits
        .par_chunks_mut(TOGETHER * classes)
        .zip(which.par_chunks(TOGETHER))
        .try_for_each(|(logits, which)| {
            let features = which.iter().map(|&index| records.features_of(index));
            batch.logits(&features.collect::<Vec<_>>(), logits)
        })
        .map_err(|e| Error::input(format!("the model does not take the records: {e}"), ""))?;
    Ok(logits)
}

/// Records that a core takes at a time.
const TOGETHER: usize = 256;
