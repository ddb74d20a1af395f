//! Being told to stop: by Ctrl-C, `kill`, or the terminal's closing.

use crate::ui::Ui;

/// From now on a signal that asks the program to stop has it remove what is half-written, say so in one line,
/// and exit with 128 and the signal's number: see [`sealnet_firmware::interrupt`].
#[cfg(unix)]
pub(crate) fn watch(ui: &'static Ui) {
    sealnet_firmware::interrupt::watch(move |signal| {
        let stopped = sealnet::files::remove_staged();
        (stopped, move || ui.interrupted(signal))
    });
}

/// Elsewhere the platform's own way of stopping a program holds.
#[cfg(not(unix))]
pub(crate) fn watch(_ui: &'static Ui) {}
