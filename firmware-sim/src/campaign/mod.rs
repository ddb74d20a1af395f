//! Campaigns: the same fault at every place where it can strike, with counts.
//!
//! | module | fault |
//! |---|---|
//! | [`flips`] | a bit of the model changed |
//! | [`frames`] | a fuzzer on the wire |
//! | [`power`] | a power cut before, amid and after each flash operation |
//! | `skip` | an instruction is not executed, on a Cortex-M4 in QEMU (Unix) |

use std::num::NonZero;

pub mod flips;
pub mod frames;
pub mod power;
#[cfg(unix)]
pub mod skip;

/// One of some equal parts of a campaign's trials: every so-manieth of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which one, from 0.
    pub which: usize,
    /// Of how many.
    pub of: NonZero<usize>,
}

impl Part {
    /// All trials.
    pub const WHOLE: Self = Self {
        which: 0,
        of: NonZero::<usize>::MIN,
    };

    /// The trials of this part, of all in their order.
    pub fn of<T>(self, trials: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        trials.skip(self.which).step_by(self.of.get())
    }
}

/// What a campaign found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Faults tried.
    pub trials: u64,
    /// After how many of them something was wrong.
    pub failures: u64,
    /// The first of those, as sentences: at most [`Tally::EXAMPLES`].
    pub examples: Vec<String>,
}

impl Tally {
    /// How many failures are described.
    pub const EXAMPLES: usize = 10;

    /// Counts a trial, and what was wrong after it.
    pub fn count(&mut self, outcome: Result<(), String>) {
        self.trials += 1;
        if let Err(what) = outcome {
            self.failures += 1;
            if self.examples.len() < Self::EXAMPLES {
                self.examples.push(what);
            }
        }
    }

    /// Adds what another part of the campaign found.
    pub fn add(&mut self, other: Self) {
        self.trials += other.trials;
        self.failures += other.failures;
        self.examples.extend(other.examples);
        self.examples.truncate(Self::EXAMPLES);
    }
}
