//! What can be watched while training goes on.

use super::Epoch;

/// An epoch that is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochDone {
    /// Which one, from 1.
    pub epoch: u32,
    /// How many there will be.
    pub epochs: u32,
    /// The optimiser's learning rate at its end.
    pub learning_rate: f64,
    /// What it gave.
    pub result: Epoch,
    /// How long it took, in seconds.
    pub seconds: f64,
}
