//! How long work tells of itself without knowing a terminal.

/// Hears of the progress of one piece of work after another. Shared by threads.
pub trait Progress: Sync {
    /// A new piece of work begins: `total` units, 0 when that is not known.
    fn start(&self, label: &str, total: u64);
    /// `n` more units are done.
    fn inc(&self, n: u64);
    /// The piece of work is over.
    fn finish(&self);
    /// One line that a person should read while the work goes on.
    fn note(&self, line: &str);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _label: &str, _total: u64) {}
    fn inc(&self, _n: u64) {}
    fn finish(&self) {}
    fn note(&self, _line: &str) {}
}
