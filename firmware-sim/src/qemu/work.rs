//! How much a QEMU has worked, and whether it has something to do, as the operating system says.

use std::fs;
use std::time::{Duration, Instant};

use super::Machine;

/// What a QEMU has worked so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    /// Time of a processor, in ticks; none where there is no `/proc`.
    ticks: Option<u64>,
    now: Instant,
}

impl Work {
    /// The time that it was at work since then. Where that cannot be said, a tenth of the time that went by.
    pub(super) fn since(self, then: Self) -> Duration {
        match self.ticks.zip(then.ticks) {
            Some((now, then)) => TICK * u32::try_from(now.saturating_sub(then)).unwrap_or(u32::MAX),
            None => (self.now - then.now) / 10,
        }
    }
}

impl Machine {
    /// What its QEMU has worked.
    pub(super) fn work(&self) -> Work {
        let stat = self
            .pid
            .and_then(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok());
        // proc(5): times in user and in kernel mode are fields 14 and 15, from 1.
        let ticks = stat.and_then(|stat| {
            let mut times = fields(&stat)?.skip(11).take(2);
            Some(times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?)
        });
        Work {
            ticks,
            now: Instant::now(),
        }
    }

    /// Whether a thread of its QEMU runs or waits for a processor; false where that cannot be said.
    pub(super) fn is_ready(&self) -> bool {
        let tasks = self
            .pid
            .and_then(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
        tasks.into_iter().flatten().flatten().any(|task| {
            let stat = fs::read_to_string(task.path().join("stat"));
            stat.is_ok_and(|stat| fields(&stat).and_then(|mut fields| fields.next()) == Some("R"))
        })
    }
}

/// The fields from the state on, field 3: the name before it may hold anything.
fn fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}

/// A hundredth of a second on Linux, whatever the processor.
const TICK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::FLASH_LEN;
    use crate::qemu::{Board, Mode, build};

    /// Where it is not known, a busy machine would be taken for a busy core.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_qemu_works_is_known() {
        let image = build(Board::CortexM4, Mode::Clear).unwrap();
        let erased = [0xFF; FLASH_LEN];
        let machine = Machine::power_on(&image, &erased, Duration::from_secs(60), |_| {}).unwrap();
        assert!(
            machine.work().ticks.is_some_and(|ticks| ticks > 0),
            "{:?}",
            machine.pid
        );
    }

    #[test]
    fn fields_are_counted_behind_any_name() {
        let stat = "42 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 1400 15 16";
        let fields: Vec<&str> = fields(stat).unwrap().collect();
        assert_eq!((fields[0], fields[11], fields[12]), ("R", "1400", "15"));
    }
}
