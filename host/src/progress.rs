//! How long work tells of itself without knowing a terminal.

use std::sync::{Mutex, MutexGuard};

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
    /// What the work is at, beside how far it is: another label for the same piece of work.
    fn relabel(&self, _label: &str) {}
    /// Of the piece of work that has begun, `n` units were done before, in no time.
    fn resume(&self, n: u64) {
        self.inc(n);
    }
    /// Another phase of the work, of which a unit takes `weight` times as long as one of weight 1.
    fn phase(&self, _name: &str, _weight: u64) {}
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

/// Several pieces of work as one: their steps move a single bar, whose time left is that of all of them.
///
/// What works inside is given this as its [`Progress`] and need not know. A piece that it starts becomes the
/// bar's label, behind the phase's name if there are phases. When this is dropped, the bar is finished.
pub struct Whole<'a> {
    progress: &'a dyn Progress,
    at: Mutex<At>,
}

/// Where a [`Whole`] is.
#[derive(Debug, Default)]
struct At {
    phase: String,
    weight: u64,
    label: String,
    detail: String,
}

impl<'a> Whole<'a> {
    /// Begins work of `total` units: over all phases, the sum of each one's units times its weight.
    pub fn start(progress: &'a dyn Progress, label: &str, total: u64) -> Whole<'a> {
        progress.start(label, total);
        let at = At {
            weight: 1,
            ..At::default()
        };
        Whole {
            progress,
            at: Mutex::new(at),
        }
    }

    /// From here on it is this phase, and a unit of it takes `weight` times as long as one of weight 1.
    pub fn phase(&self, name: &str, weight: u64) {
        let mut at = self.at();
        name.clone_into(&mut at.phase);
        at.weight = weight;
        at.label.clear();
        at.detail.clear();
        self.tell(&at);
    }

    /// Something short about how it goes, shown behind the label until the next phase.
    pub fn detail(&self, detail: &str) {
        let mut at = self.at();
        detail.clone_into(&mut at.detail);
        self.tell(&at);
    }

    fn tell(&self, at: &At) {
        let parts = [&at.phase, &at.label, &at.detail];
        let said: Vec<&str> = parts
            .into_iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        self.progress.relabel(&said.join("  "));
    }

    fn at(&self) -> MutexGuard<'_, At> {
        self.at
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Progress for Whole<'_> {
    fn start(&self, label: &str, _total: u64) {
        let mut at = self.at();
        label.clone_into(&mut at.label);
        self.tell(&at);
    }

    fn inc(&self, n: u64) {
        let weight = self.at().weight;
        self.progress.inc(n.saturating_mul(weight));
    }

    fn finish(&self) {}

    fn note(&self, line: &str) {
        self.progress.note(line);
    }

    fn relabel(&self, label: &str) {
        self.start(label, 0);
    }

    fn phase(&self, name: &str, weight: u64) {
        Whole::phase(self, name, weight);
    }
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        self.progress.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes down what it hears.
    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Heard {
        fn add(&self, what: String) {
            self.0.lock().unwrap().push(what);
        }
    }

    impl Progress for Heard {
        fn start(&self, label: &str, total: u64) {
            self.add(format!("start {label} {total}"));
        }
        fn inc(&self, n: u64) {
            self.add(format!("inc {n}"));
        }
        fn finish(&self) {
            self.add("finish".into());
        }
        fn note(&self, line: &str) {
            self.add(format!("note {line}"));
        }
        fn relabel(&self, label: &str) {
            self.add(format!("label {label}"));
        }
    }

    #[test]
    fn phases_move_one_bar() {
        let heard = Heard::default();
        let whole = Whole::start(&heard, "training", 2 + 3 * 4);
        whole.start("epoch 1/1", 2);
        whole.inc(2);
        whole.finish();
        whole.detail("loss 0.5");
        whole.phase("student", 4);
        whole.start("epoch 1/1", 3);
        whole.note("a line");
        whole.inc(3);
        drop(whole);
        let heard = heard.0.into_inner().unwrap();
        assert_eq!(
            heard,
            [
                "start training 14",
                "label epoch 1/1",
                "inc 2",
                "label epoch 1/1  loss 0.5",
                "label student",
                "label student  epoch 1/1",
                "note a line",
                "inc 12",
                "finish",
            ]
        );
    }
}
