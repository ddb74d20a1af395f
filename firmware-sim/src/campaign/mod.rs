//! Campaigns: the same fault at every place where it can strike, with counts.

pub mod power;

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
