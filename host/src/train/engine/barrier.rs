//! Where threads wait for each other, some hundred thousand times in a training.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::cores::cores;

/// A barrier that spins, since a step takes less than waking a thread; where cores are fewer than threads,
/// and where others need them, it yields.
#[derive(Debug)]
pub(super) struct Barrier {
    threads: usize,
    spins: u32,
    waiting: AtomicUsize,
    round: AtomicUsize,
    broken: AtomicBool,
}

impl Barrier {
    /// For `threads` threads.
    pub(super) fn new(threads: usize) -> Barrier {
        Barrier {
            threads,
            spins: if threads > cores() { 0 } else { SPINS },
            waiting: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        }
    }

    /// Returns once all threads have come here; at once and false when one of them panicked.
    #[must_use]
    pub(super) fn wait(&self) -> bool {
        if self.threads == 1 {
            return true;
        }
        let round = self.round.load(Ordering::Acquire);
        if self.waiting.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.waiting.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
        }
        let mut spins = 0;
        while self.round.load(Ordering::Acquire) == round {
            if self.broken.load(Ordering::Relaxed) {
                return false;
            }
            if spins < self.spins {
                spins += 1;
                spin_loop();
            } else {
                thread::yield_now();
            }
        }
        true
    }

    /// Lets all go, with false: nobody is to wait for a thread that does not come.
    pub(super) fn break_up(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// What each thread holds while it works: lets the others go if it panics.
    pub(super) fn guard(&self) -> Guard<'_> {
        Guard(self)
    }
}

/// See [`Barrier::guard`].
pub(super) struct Guard<'a>(&'a Barrier);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.break_up();
        }
    }
}

/// A microsecond or two: a share of a step is about as long on every core, and where a thread waits for longer it is
/// because another needs this core.
const SPINS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_passes_alone_however_many_threads() {
        for threads in [1, 2, 5] {
            let (barrier, count) = (Barrier::new(threads), AtomicUsize::new(0));
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        for round in 1..=500 {
                            count.fetch_add(1, Ordering::Relaxed);
                            assert!(barrier.wait());
                            assert_eq!(count.load(Ordering::Relaxed), round * threads);
                            assert!(barrier.wait());
                        }
                    });
                }
            });
        }
    }

    #[test]
    fn a_panic_lets_the_others_go() {
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            let panics = scope.spawn(|| {
                let _guard = barrier.guard();
                panic!("on purpose");
            });
            assert!(!barrier.wait());
            assert!(panics.join().is_err());
        });
    }
}
