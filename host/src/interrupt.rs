//! Being told to stop: by Ctrl-C, `kill`, or the terminal's closing.

use crate::ui::Ui;

/// From now on a signal that asks the program to stop has it remove what is half-written, say so in one line,
/// and exit with 128 and the signal's number, as shells expect. Signals that whoever started the program has
/// it ignore (`nohup`, a shell's background job) stay ignored.
#[cfg(unix)]
pub(crate) fn watch(ui: &'static Ui) {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use sealnet::files;
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let ignored = ignored();
    let heeded = [SIGINT, SIGTERM, SIGHUP].into_iter();
    let heeded = heeded.filter(|signal| ignored & (1 << (signal - 1)) == 0);
    // Without this the signals end the program all the same; the next run sweeps what it leaves.
    let Ok(mut signals) = Signals::new(heeded) else {
        return;
    };
    thread::spawn(move || {
        let Some(signal) = signals.forever().next() else {
            return;
        };
        let _stopped = files::remove_staged();
        let (said, heard) = channel();
        thread::spawn(move || {
            let name = match signal {
                SIGINT => "SIGINT",
                SIGTERM => "SIGTERM",
                _ => "SIGHUP",
            };
            ui.interrupted(name);
            // Nobody listens any more if it took too long.
            let _ = said.send(());
        });
        // Standard error may be a pipe that nobody reads: that must not keep the program alive.
        let _ = heard.recv_timeout(Duration::from_millis(500));
        std::process::exit(128 + signal);
    });
}

/// Elsewhere the platform's own way of stopping a program holds.
#[cfg(not(unix))]
pub(crate) fn watch(_ui: &'static Ui) {}

/// The signals that were ignored when the program began, one bit each: bit 0 is signal 1. Known on Linux,
/// see proc(5).
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
