//! How many threads run at the same time here.

use std::sync::OnceLock;
use std::thread;

/// What the system says when it is first asked, which on Linux takes reading some files; 1 where it does not say.
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}
