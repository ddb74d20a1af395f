//! Being told to stop: by Ctrl-C, `kill`, or the terminal's closing.

use std::process::exit;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// From now on a signal that asks the program to stop has it settle its files, say so, and exit with 128 and the
/// signal's number, as shells expect. Signals that whoever started the program has it ignore (`nohup`, a shell's
/// background job) stay ignored.
///
/// `settle` is given the signal's name. What it gives first is held until the end: nothing else may begin to write
/// then. What it gives second is run to tell the user, and not waited for longer than half a second: standard error
/// may be a pipe that nobody reads.
pub fn watch<Held, Say>(settle: impl FnOnce(&'static str) -> (Held, Say) + Send + 'static)
where
    Say: FnOnce() + Send + 'static,
{
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
        let (_held, say) = settle(match signal {
            SIGINT => "SIGINT",
            SIGTERM => "SIGTERM",
            _ => "SIGHUP",
        });
        let (said, heard) = channel();
        thread::spawn(move || {
            say();
            // Nobody listens any more if it took too long.
            let _ = said.send(());
        });
        let _ = heard.recv_timeout(Duration::from_millis(500));
        exit(128 + signal);
    });
}

/// The signals that were ignored when the program began, one bit each: bit 0 is signal 1. Known on Linux,
/// see proc(5).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
