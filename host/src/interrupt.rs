//! Being told to stop: by Ctrl-C, `kill`, or the terminal's closing.

use std::sync::{Arc, Mutex};

use sealnet::train::checkpoint::Keeper;

#[cfg(unix)]
use crate::ui::Ui;

/// What holds the training that is going on.
static KEEPER: Mutex<Option<Arc<Keeper>>> = Mutex::new(None);

/// From now on a signal that asks the program to stop has `keeper` write its checkpoint first.
pub(crate) fn keep(keeper: &Arc<Keeper>) {
    let mut held = KEEPER
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    *held = Some(Arc::clone(keeper));
}

/// From now on a signal that asks the program to stop has it keep a training, remove what is half-written, say so in
/// one line, and exit with 128 and the signal's number: see [`sealnet_firmware::interrupt`].
#[cfg(unix)]
pub(crate) fn watch(ui: &'static Ui) {
    sealnet_firmware::interrupt::watch(move |signal| {
        let keeper = KEEPER
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .take();
        let kept = keeper.and_then(|keeper| keeper.stop());
        let stopped = sealnet::files::remove_staged();
        (stopped, move || ui.interrupted(signal, kept.as_ref()))
    });
}

/// Elsewhere the platform's own way of stopping a program holds.
#[cfg(not(unix))]
pub(crate) fn watch(_ui: &'static crate::ui::Ui) {}
