//! Which slot is active, through updates, power cuts and records that read well only now and then.

use super::*;
use sealnet_core::protocol::SlotName;

const UPDATED: Slots = Slots {
    active: SlotName::B,
    trial: Trial::None,
    outcome: UpdateOutcome::Confirmed,
};
const FAILED: Slots = Slots {
    active: SlotName::A,
    trial: Trial::None,
    outcome: UpdateOutcome::Failed,
};

/// A device that has served a model with counter 7.
fn device() -> SimFlash {
    let mut flash = formatted();
    let mut journal = open(&mut flash).unwrap();
    journal.begin_boot().unwrap();
    journal.raise_security(7).unwrap();
    flash
}

/// What an update does to the journal, to a model with counter 8.
fn update(flash: &mut SimFlash) -> Result<(), JournalError> {
    let mut journal = open(flash)?;
    journal.begin_boot()?;
    journal.begin_update()?;
    journal.finish_update()?;
    let mut journal = open(flash)?;
    journal.begin_boot()?;
    if journal.slots().trial == Trial::Attempted {
        journal.confirm(8)?;
    }
    Ok(())
}

fn state(flash: &mut SimFlash) -> (Slots, u32) {
    let journal = open(flash).unwrap();
    (journal.slots(), journal.counters().security)
}

#[test]
fn a_trial_is_attempted_once_and_then_confirmed_or_failed() {
    let mut flash = device();
    let mut journal = open(&mut flash).unwrap();
    assert_eq!(journal.slots(), Slots::default());
    journal.finish_update().unwrap();
    assert_eq!(journal.slots().trial, Trial::Pending);
    // Neither an older model nor one of the same counter.
    for counter in [0, 6, 7] {
        assert_eq!(journal.confirm(counter), Err(JournalError::Exhausted));
    }
    let pending = flash.clone();

    // It succeeds.
    let mut journal = open(&mut flash).unwrap();
    assert_eq!(journal.slots().trial, Trial::Pending);
    journal.begin_boot().unwrap();
    assert_eq!(journal.slots().trial, Trial::Attempted);
    journal.confirm(8).unwrap();
    assert_eq!(state(&mut flash), (UPDATED, 8));
    open(&mut flash).unwrap().begin_boot().unwrap();
    assert_eq!(state(&mut flash), (UPDATED, 8));
    // And the next one goes the other way.
    update_to(&mut flash, 9);
    let back = Slots {
        active: SlotName::A,
        ..UPDATED
    };
    assert_eq!(state(&mut flash), (back, 9));

    // It fails, by its own word or because its boot did not end.
    for says_so in [true, false] {
        let mut flash = pending.clone();
        let mut journal = open(&mut flash).unwrap();
        journal.begin_boot().unwrap();
        if says_so {
            journal.fail_trial().unwrap();
            assert_eq!(journal.slots(), FAILED);
        }
        open(&mut flash).unwrap().begin_boot().unwrap();
        assert_eq!(state(&mut flash), (FAILED, 7));
        open(&mut flash).unwrap().begin_update().unwrap();
        assert_eq!(state(&mut flash), (Slots::default(), 7));
    }
}

pub(super) fn update_to(flash: &mut SimFlash, counter: u32) {
    let mut journal = open(flash).unwrap();
    journal.begin_update().unwrap();
    journal.finish_update().unwrap();
    journal.begin_boot().unwrap();
    journal.confirm(counter).unwrap();
}

/// Whatever is cut or fails, wherever the journal's pages are changed: the counter says which slot is active.
#[test]
fn slot_and_counter_stay_together_at_every_operation() {
    let kinds = [
        FaultKind::CutBefore,
        FaultKind::CutMidway(1),
        FaultKind::CutMidway(2),
        FaultKind::CutAfter,
        FaultKind::Fails,
        FaultKind::Lies(3),
    ];
    for records in [
        0,
        PLACES - 6,
        PLACES - 5,
        PLACES - 3,
        PLACES - 2,
        PLACES - 1,
    ] {
        let mut start = device();
        while (open(&mut start).unwrap().next_place as usize) < records {
            let mut journal = open(&mut start).unwrap();
            let counters = journal.counters();
            journal.append_once(counters, Slots::default()).unwrap();
        }
        let before = start.operations();
        let mut whole = start.clone();
        update(&mut whole).unwrap();
        assert_eq!(state(&mut whole), (UPDATED, 8));
        for operation in before..whole.operations() {
            for (kind, ecc) in kinds
                .into_iter()
                .flat_map(|kind| [(kind, false), (kind, true)])
            {
                let mut flash = start.clone();
                flash.set_ecc(ecc);
                flash.inject(Some(Fault { operation, kind }));
                let _ = update(&mut flash);
                flash.power_on();
                flash.inject(None);
                for _ in 0..3 {
                    let (slots, security) = state(&mut flash);
                    let expected = match slots.active {
                        SlotName::A => 7,
                        SlotName::B => 8,
                    };
                    assert_eq!(security, expected, "{kind:?} at {operation}, ecc {ecc}");
                    open(&mut flash).unwrap().begin_boot().unwrap();
                }
                assert_eq!(open(&mut flash).unwrap().slots().trial, Trial::None);
            }
        }
    }
}

/// The confirming record is torn, the trial counts as cut, and later on the record reads well after all: slot
/// and counter come together, however many records are newer. Once another update has begun it is gone.
#[test]
fn a_confirmation_that_reads_well_later_brings_its_slot_along() {
    let mut whole = device();
    open(&mut whole).unwrap().finish_update().unwrap();
    open(&mut whole).unwrap().begin_boot().unwrap();
    let mut torn = whole.clone();
    let at = open(&mut whole).unwrap().next_place as usize * RECORD_LEN;
    open(&mut whole).unwrap().confirm(8).unwrap();
    let operation = torn.operations() + 3;
    let kind = FaultKind::CutMidway(5);
    torn.inject(Some(Fault { operation, kind }));
    assert!(open(&mut torn).unwrap().confirm(8).is_err());
    torn.power_on();
    let heal = |flash: &SimFlash| {
        let mut bytes = flash.bytes().to_vec();
        bytes[at..at + RECORD_LEN].copy_from_slice(&whole.bytes()[at..at + RECORD_LEN]);
        SimFlash::new(bytes)
    };
    for _ in 0..5 {
        open(&mut torn).unwrap().begin_boot().unwrap();
        assert_eq!(state(&mut torn), (FAILED, 7));
        let mut healed = heal(&torn);
        assert_eq!(state(&mut healed), (UPDATED, 8));
        open(&mut healed).unwrap().begin_boot().unwrap();
        assert_eq!(state(&mut healed), (UPDATED, 8));
    }
    open(&mut torn).unwrap().begin_update().unwrap();
    assert_eq!(torn.bytes()[at..at + RECORD_LEN], [0xFF; RECORD_LEN]);
    assert_eq!(state(&mut torn), (Slots::default(), 7));
}
