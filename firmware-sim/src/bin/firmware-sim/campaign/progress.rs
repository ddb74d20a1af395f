//! How far a campaign is.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::text::say;

/// Says how far it is: on a terminal each second, elsewhere each minute.
pub(super) struct Bar {
    what: String,
    started: Instant,
    last: Mutex<Instant>,
}

impl Bar {
    pub(super) fn new(what: String) -> Self {
        let now = Instant::now();
        Self {
            what,
            started: now,
            last: Mutex::new(now),
        }
    }

    pub(super) fn at(&self, done: u64, of: u64) {
        let pause = match std::io::stderr().is_terminal() {
            true => Duration::from_secs(1),
            false => Duration::from_secs(60),
        };
        let Ok(mut last) = self.last.try_lock() else {
            return;
        };
        if done < of && last.elapsed() < pause {
            return;
        }
        *last = Instant::now();
        let elapsed = self.started.elapsed().as_secs_f64();
        let left = elapsed * (of - done.min(of)) as f64 / done.max(1) as f64;
        say(format_args!(
            "{}: {done} of {of}, {elapsed:.0} s, {left:.0} s left",
            self.what
        ));
    }
}
