//! How far the work is: a bar, on a terminal alone.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// One piece of the work, until it is dropped.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new(what: String) -> Self {
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Self(bar.with_style(style).with_message(what))
    }

    pub(crate) fn at(&self, done: u64, of: u64) {
        self.0.set_length(of);
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
