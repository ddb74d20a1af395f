//! What a campaign has kept, for when it is told to stop.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sealnet_firmware::interrupt;

use crate::text::say;

/// A report as it lies in its file.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    pub(super) parts: usize,
}

/// Held while the report is written, so that a signal cuts no writing off.
static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

/// Whoever has this writes the report.
pub(super) fn writing() -> MutexGuard<'static, Option<Kept>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on a signal that asks the program to stop has it say what is kept.
pub(super) fn watch() {
    interrupt::watch(|signal| {
        // Not given back: nothing is written from here on.
        let held = writing();
        let kept = held.clone();
        let tell = move || {
            let mut err = io::stderr();
            if err.is_terminal() {
                // Over the bar.
                let _ = write!(err, "\r\x1b[2K");
            }
            match kept {
                Some(Kept { path, parts }) => say(format_args!(
                    "error: stopped by {signal}; {} kept in {}, and the same command goes on from there",
                    counted(parts),
                    Path::display(&path)
                )),
                None => say(format_args!(
                    "error: stopped by {signal}; without --report nothing is kept"
                )),
            }
        };
        (held, tell)
    });
}

fn counted(parts: usize) -> String {
    match parts {
        1 => "1 part is".into(),
        parts => format!("{parts} parts are"),
    }
}
