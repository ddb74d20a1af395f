//! What is tried besides skipped instructions: pieces of a campaign, each in parts, after each of which the report is
//! kept.

use std::num::NonZero;
use std::time::Duration;

use sealnet_firmware::campaign::power::PowerCuts;
use sealnet_firmware::campaign::{Part, Tally, flips, frames, skip};
use sealnet_firmware::journal::Counters;
use sealnet_firmware::provision::flash_image;
use sealnet_firmware::qemu::{Board, Machine, Mode, Stack, build};
use sealnet_firmware::sample::{self, Sealing};

use super::FaultKind;
use super::report::Found;
use crate::failure::Failure;
use crate::progress::Bar;

/// A piece of a campaign.
pub(super) struct Piece {
    /// What it is called in a report.
    pub(super) name: &'static str,
    /// For people.
    what: &'static str,
    pub(super) kind: FaultKind,
    pub(super) is_in_qemu: bool,
    /// Into how many parts all of it is divided.
    parts: usize,
    try_part: fn(bool, Part, &Bar) -> Result<Found, Failure>,
}

/// All of them.
pub(super) const PIECES: [Piece; 7] = [
    Piece {
        name: "flips-clear",
        what: "bit flips, clear",
        kind: FaultKind::Flips,
        is_in_qemu: false,
        parts: 16,
        try_part: |quick, part, bar| bit_flips(false, quick, part, bar),
    },
    Piece {
        name: "flips-encrypted",
        what: "bit flips, encrypted",
        kind: FaultKind::Flips,
        is_in_qemu: false,
        parts: 16,
        try_part: |quick, part, bar| bit_flips(true, quick, part, bar),
    },
    Piece {
        name: "flips-qemu",
        what: "bit flips, on a Cortex-M4 in QEMU",
        kind: FaultKind::Flips,
        is_in_qemu: true,
        parts: 32,
        try_part: bit_flips_in_qemu,
    },
    Piece {
        name: "cuts-clear",
        what: "power cuts, clear",
        kind: FaultKind::Cuts,
        is_in_qemu: false,
        parts: 16,
        try_part: |quick, part, bar| power_cuts(false, quick, part, bar),
    },
    Piece {
        name: "cuts-encrypted",
        what: "power cuts, encrypted",
        kind: FaultKind::Cuts,
        is_in_qemu: false,
        parts: 16,
        try_part: |quick, part, bar| power_cuts(true, quick, part, bar),
    },
    Piece {
        name: "frames",
        what: "frames",
        kind: FaultKind::Frames,
        is_in_qemu: false,
        parts: 10,
        try_part: wire_frames,
    },
    Piece {
        name: "frames-qemu",
        what: "frames, to a Cortex-M4 in QEMU",
        kind: FaultKind::Frames,
        is_in_qemu: true,
        parts: 10,
        try_part: wire_frames_in_qemu,
    },
];

impl Piece {
    /// Into how many parts it is divided; the sample is no long piece of work.
    pub(super) const fn parts(&self, quick: bool) -> NonZero<usize> {
        number(if quick { QUICK_PARTS } else { self.parts })
    }

    /// Tries a part.
    pub(super) fn run(&self, quick: bool, which: usize) -> Result<Found, Failure> {
        let of = self.parts(quick);
        let bar = Bar::new(format!("{}, part {} of {of}", self.what, which + 1));
        (self.try_part)(quick, Part { which, of }, &bar)
    }
}

fn bit_flips(encrypted: bool, quick: bool, part: Part, bar: &Bar) -> Result<Found, Failure> {
    let sealing = Sealing {
        encrypted,
        ..Sealing::default()
    };
    let (identity, model) = (sample::identity()?, sample::model(1, &sealing)?);
    let step = if quick { QUICK_FLIPS } else { EVERY };
    let found = flips::run(&identity, &model, step, part, |done, of| bar.at(done, of))?;
    Ok(found.into())
}

fn bit_flips_in_qemu(quick: bool, part: Part, bar: &Bar) -> Result<Found, Failure> {
    let step = if quick { QUICK_QEMU_FLIPS } else { QEMU_FLIPS };
    let (found, stack) = skip::flips(step, part, |done, of| bar.at(done, of))?;
    Ok(Found {
        stack: Some(stack),
        ..found.into()
    })
}

fn power_cuts(encrypted: bool, quick: bool, part: Part, bar: &Bar) -> Result<Found, Failure> {
    let model = |seed, counter| {
        let sealing = Sealing {
            encrypted,
            counter,
            ..Sealing::default()
        };
        sample::model(seed, &sealing)
    };
    let cuts = PowerCuts::record(&sample::identity()?, &model(1, 1)?, &model(2, 2)?)?;
    Ok(cuts.run(quick, part, |done, of| bar.at(done, of)).into())
}

fn wire_frames(quick: bool, part: Part, bar: &Bar) -> Result<Found, Failure> {
    let count = share(if quick { QUICK_FRAMES } else { FRAMES }, part);
    let found = frames::in_process(count, seed(part), |done| bar.at(done, count))?;
    Ok(found.into())
}

fn wire_frames_in_qemu(quick: bool, part: Part, bar: &Bar) -> Result<Found, Failure> {
    let all = if quick {
        QUICK_QEMU_FRAMES
    } else {
        QEMU_FRAMES
    };
    let count = share(all, part);
    let identity = sample::identity()?;
    let model = sample::model(1, &Sealing::default())?;
    let image = build(Board::CortexM4, Mode::Clear)?;
    let flash = flash_image(&identity, &model, Counters::default())?;
    let mut machine = Machine::power_on(&image, flash.bytes(), FRAME_TIMEOUT, |_| {})?;
    let found = frames::fuzz(&mut machine, &identity, count, seed(part), |done| {
        bar.at(done, count);
    })?;
    let stack = Stack::of(&image)?.used(&mut machine)?;
    Ok(Found {
        stack: Some(stack),
        ..found.into()
    })
}

/// How many of `all` frames a part sends.
fn share(all: u64, part: Part) -> u64 {
    let (which, of) = (part.which as u64, part.of.get() as u64);
    (all + which) / of
}

/// Each part draws frames of its own, and each of its threads: they count on from here.
fn seed(part: Part) -> u64 {
    1 + part.which as u64 * 1_000
}

impl From<Tally> for Found {
    fn from(tally: Tally) -> Self {
        Self {
            trials: tally.trials,
            failures: tally.failures,
            examples: tally.examples,
            ..Self::default()
        }
    }
}

impl From<frames::Frames> for Found {
    fn from(found: frames::Frames) -> Self {
        Self {
            panics: found.panics,
            honest: found.honest,
            ..found.forgeries.into()
        }
    }
}

/// Of the sample's pieces.
const QUICK_PARTS: usize = 4;
const EVERY: NonZero<usize> = NonZero::<usize>::MIN;
const FRAMES: u64 = 1_000_000;
const QEMU_FRAMES: u64 = 10_000;
/// How long the device may take for an answer by the clock: one that died stays silent, one whose machine has much else to
/// do must not be taken for it.
const FRAME_TIMEOUT: Duration = Duration::from_secs(60);

// The sample. Prime steps fall on every bit of a byte and on every kind of trial.
const QUICK_FLIPS: NonZero<usize> = number(61);
const QUICK_QEMU_FLIPS: NonZero<usize> = number(887);
const QEMU_FLIPS: NonZero<usize> = number(97);
const QUICK_FRAMES: u64 = 100_000;
const QUICK_QEMU_FRAMES: u64 = 1_000;

const fn number(number: usize) -> NonZero<usize> {
    match NonZero::new(number) {
        Some(number) => number,
        None => NonZero::<usize>::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_send_all_frames_and_none_the_same() {
        for (all, parts) in [(FRAMES, 10), (QUICK_QEMU_FRAMES, 4), (7, 3)] {
            let of = number(parts);
            let parts = (0..parts).map(|which| Part { which, of });
            assert_eq!(parts.map(|part| share(all, part)).sum::<u64>(), all);
        }
        let of = number(10);
        let far = seed(Part { which: 1, of }) - seed(Part { which: 0, of });
        // Threads take the numbers between.
        assert!(far >= 1_000);
    }
}
