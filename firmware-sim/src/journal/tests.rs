mod slots;

use super::*;
use embedded_storage::nor_flash::{ErrorType, ReadNorFlash};

use crate::sim::flash::{Fault, FaultKind, FlashError, NorRegion, PAGE_LEN, SimFlash};

const REGION: usize = 2 * PAGE_LEN;
const PLACES: usize = PAGE_LEN / RECORD_LEN;

fn formatted() -> SimFlash {
    let mut flash = SimFlash::new(vec![0xFF; REGION]);
    Journal::format(flash.split(0).1, Counters::default()).unwrap();
    flash
}

fn open(flash: &mut SimFlash) -> Result<Journal<NorRegion<'_>>, JournalError> {
    Journal::open(flash.split(0).1)
}

#[test]
fn counters_survive_many_page_changes() {
    let mut flash = formatted();
    for boot in 1..=5 * PLACES as u32 {
        let mut journal = open(&mut flash).unwrap();
        let before = journal.counters();
        assert_eq!(journal.begin_boot(), Ok(boot));
        journal.raise_security(boot / 3).unwrap();
        journal.raise_security(boot / 9).unwrap();
        assert_eq!(journal.admit(before.requests), Err(AdmitError::OutOfWindow));
        journal.admit(before.requests + 1).unwrap();
        assert_eq!(
            journal.admit(before.requests + 1),
            Err(AdmitError::OutOfWindow)
        );
        let counters = Counters {
            boot,
            security: boot / 3,
            requests: before.requests + REQUEST_BLOCK,
        };
        assert_eq!(journal.counters(), counters);
    }
}

#[test]
fn one_write_serves_a_block_of_requests() {
    let mut flash = formatted();
    let before = flash.operations();
    let mut journal = open(&mut flash).unwrap();
    for counter in 1..=REQUEST_BLOCK {
        journal.admit(counter).unwrap();
    }
    // The record, and its copy.
    assert_eq!(flash.operations() - before, (2 * RECORD_LEN / 8) as u64);
    assert_eq!(open(&mut flash).unwrap().highest_request(), REQUEST_BLOCK);
}

#[test]
fn a_counter_far_ahead_is_not_admitted() {
    let mut flash = formatted();
    let mut journal = open(&mut flash).unwrap();
    for counter in [0, MAX_REQUEST_STEP + 1, u64::MAX] {
        assert_eq!(journal.admit(counter), Err(AdmitError::OutOfWindow));
    }
    journal.admit(MAX_REQUEST_STEP).unwrap();
    journal.admit(2 * MAX_REQUEST_STEP).unwrap();
}

#[test]
fn a_region_without_a_record_is_not_a_fresh_device() {
    for fill in [0xFF, 0x00, 0x53] {
        let mut flash = SimFlash::new(vec![fill; REGION]);
        assert_eq!(
            open(&mut flash).map(|journal| journal.counters()),
            Err(JournalError::NoRecord)
        );
    }
    let mut flash = SimFlash::new(vec![0xFF; PAGE_LEN]);
    let region = flash.split(0).1;
    assert_eq!(
        Journal::open(region).map(|journal| journal.counters()),
        Err(JournalError::Geometry)
    );
}

#[test]
fn counters_end_instead_of_wrapping() {
    let mut flash = formatted();
    let mut journal = open(&mut flash).unwrap();
    journal
        .append(
            Counters {
                boot: u32::MAX,
                security: u32::MAX,
                requests: u64::MAX - 1,
            },
            Slots::default(),
        )
        .unwrap();
    let mut journal = open(&mut flash).unwrap();
    assert_eq!(journal.begin_boot(), Err(JournalError::Exhausted));
    journal.admit(u64::MAX).unwrap();
    assert_eq!(journal.admit(u64::MAX), Err(AdmitError::OutOfWindow));
    journal.sequence = u32::MAX;
    assert_eq!(
        journal.append(Counters::default(), Slots::default()),
        Err(JournalError::Exhausted)
    );
}

/// What a device has let out: nothing of it may ever come again.
#[derive(Debug, Clone, Default)]
struct Seen {
    boot: u32,
    security: u32,
    request: u64,
}

/// One life of a device: boots, raises its security counter, admits requests until power goes.
fn live(flash: &mut SimFlash, seen: &mut Seen, requests: u64) -> Result<(), AdmitError> {
    let mut journal = open(flash).map_err(AdmitError::Journal)?;
    let found = journal.counters();
    assert!(
        found.boot >= seen.boot && found.security >= seen.security,
        "{found:?} after {seen:?}"
    );
    assert!(
        journal.highest_request() >= seen.request,
        "{found:?} after {seen:?}"
    );
    let boot = journal.begin_boot().map_err(AdmitError::Journal)?;
    assert!(boot > seen.boot, "boot {boot} after {seen:?}");
    seen.boot = boot;
    journal
        .raise_security(boot / 2)
        .map_err(AdmitError::Journal)?;
    seen.security = boot / 2;
    for _ in 0..requests {
        let counter = journal.highest_request() + REQUEST_BLOCK;
        journal.admit(counter)?;
        assert!(counter > seen.request);
        seen.request = counter;
    }
    Ok(())
}

fn cuts(kind: FaultKind) -> bool {
    !matches!(kind, FaultKind::Fails | FaultKind::Lies(_))
}

/// Power is cut before, halfway through and after every single operation of lives that fill and leave
/// pages; then again at each operation of the recovery. No counter ever goes back or comes twice.
#[test]
fn power_cuts_at_every_operation_and_again_in_recovery() {
    let kinds = [
        FaultKind::CutBefore,
        FaultKind::CutMidway(1),
        FaultKind::CutMidway(2),
        FaultKind::CutMidway(3),
        FaultKind::CutAfter,
        FaultKind::Fails,
        FaultKind::Lies(4),
        FaultKind::Lies(5),
    ];
    // Nearly full, so that the lives below cross the change of pages, in both directions.
    for full in [Page::First, Page::Second] {
        let mut start = formatted();
        let mut seen_before = Seen::default();
        if full == Page::Second {
            // From then on a record and its copy come to lie in different pages.
            let mut journal = open(&mut start).unwrap();
            journal
                .append_once(Counters::default(), Slots::default())
                .unwrap();
        }
        loop {
            live(&mut start, &mut seen_before, 5).unwrap();
            let journal = open(&mut start).unwrap();
            if journal.page == full && journal.next_place as usize > PLACES - 10 {
                break;
            }
        }
        let start = start.bytes().to_vec();
        let total = {
            let mut flash = SimFlash::new(start.clone());
            let mut seen = seen_before.clone();
            for _ in 0..3 {
                live(&mut flash, &mut seen, 5).unwrap();
            }
            assert_eq!(open(&mut flash).unwrap().page, full.other());
            flash.operations()
        };
        for (operation, ecc) in (0..total).flat_map(|n| [(n, false), (n, true)]) {
            for kind in kinds {
                for second in 0..16 {
                    let mut flash = SimFlash::new(start.clone());
                    flash.set_ecc(ecc);
                    let mut seen = seen_before.clone();
                    flash.inject(Some(Fault { operation, kind }));
                    while !flash.power().lost() && flash.operations() < total {
                        let result = live(&mut flash, &mut seen, 5);
                        assert!(
                            result.is_ok() || flash.power().lost() || !cuts(kind),
                            "{result:?} at {operation}, {kind:?}"
                        );
                    }
                    flash.power_on();
                    flash.inject(None);
                    let kind_again = kinds[second as usize % kinds.len()];
                    let operation = flash.operations() + second;
                    flash.inject(Some(Fault {
                        operation,
                        kind: kind_again,
                    }));
                    let _ = live(&mut flash, &mut seen, 2);
                    flash.power_on();
                    flash.inject(None);
                    for _ in 0..2 {
                        live(&mut flash, &mut seen, 2).unwrap();
                    }
                    // Only flash that lies about an erasure makes the journal write to a word twice.
                    if cuts(kind) && cuts(kind_again) {
                        assert_eq!(flash.violations(), 0, "{kind:?} at {operation}");
                    }
                }
            }
        }
    }
}

/// Whichever record is lost after it was read back, no counter goes back and no slot changes.
#[test]
fn a_record_that_is_lost_takes_nothing_with_it() {
    let mut flash = formatted();
    let mut seen = Seen::default();
    // Over two changes of pages.
    while seen.boot < 2 * PLACES as u32 / 4 {
        live(&mut flash, &mut seen, 3).unwrap();
        let slots = open(&mut flash).unwrap().slots();
        for place in 0..2 * PLACES {
            let mut bytes = flash.bytes().to_vec();
            bytes[place * RECORD_LEN] = 0;
            let mut decayed = SimFlash::new(bytes);
            let journal = open(&mut decayed).unwrap();
            assert_eq!(journal.slots(), slots, "{place} after {seen:?}");
            live(&mut decayed, &mut seen.clone(), 1).unwrap();
        }
        if seen.boot % 3 == 0 {
            slots::update_to(&mut flash, seen.security + 1);
        }
    }
}

/// Flash that takes no more writes: nothing is admitted, nothing goes back.
#[test]
fn dead_flash_admits_nothing() {
    let mut flash = formatted();
    live(&mut flash, &mut Seen::default(), 3).unwrap();
    let operation = flash.operations();
    flash.inject(Some(Fault {
        operation,
        kind: FaultKind::Dies,
    }));
    let mut journal = open(&mut flash).unwrap();
    let before = journal.counters();
    for _ in 0..PLACES {
        let counter = before.requests + 1;
        assert_eq!(
            journal.admit(counter),
            Err(AdmitError::Journal(JournalError::Flash))
        );
        assert_eq!(journal.begin_boot(), Err(JournalError::Flash));
        assert_eq!(journal.raise_security(u32::MAX), Err(JournalError::Flash));
    }
    assert_eq!(
        (journal.counters(), journal.highest_request()),
        (before, before.requests)
    );
    flash.power_on();
    flash.inject(None);
    assert_eq!(open(&mut flash).unwrap().counters(), before);
}

/// Flash with an error-correcting code refuses to read a torn place: it counts as torn, and the device
/// lives on; but where nothing can be read, no counter is made up.
#[test]
fn places_that_cannot_be_read_count_as_torn() {
    let mut flash = formatted();
    flash.set_ecc(true);
    let mut boots = 0;
    for round in 0..3 * PLACES as u64 {
        let operation = flash.operations() + round % 4;
        let kind = FaultKind::CutMidway(round);
        flash.inject(Some(Fault { operation, kind }));
        let cut = open(&mut flash).unwrap().begin_boot();
        assert_eq!(cut, Err(JournalError::Flash), "round {round}");
        flash.power_on();
        flash.inject(None);
        let boot = open(&mut flash).unwrap().begin_boot().unwrap();
        assert!(boot > boots);
        boots = boot;
    }
    // The only record of a region, torn.
    let mut flash = SimFlash::new(vec![0xFF; REGION]);
    flash.set_ecc(true);
    let kind = FaultKind::CutMidway(1);
    flash.inject(Some(Fault { operation: 3, kind }));
    assert!(Journal::format(flash.split(0).1, Counters::default()).is_err());
    flash.power_on();
    let error = open(&mut flash).map(|journal| journal.counters());
    assert_eq!(error, Err(JournalError::Flash));
}

/// A passing read error must not hide the newest record.
#[test]
fn a_read_that_fails_now_and_then_is_tried_again() {
    let mut flash = formatted();
    let boot = open(&mut flash).unwrap().begin_boot().unwrap();
    let region = Flaky {
        region: flash.split(0).1,
        reads: 0,
    };
    assert_eq!(Journal::open(region).unwrap().counters().boot, boot);
}

/// Two of three reads fail.
struct Flaky<'f> {
    region: NorRegion<'f>,
    reads: usize,
}

impl ErrorType for Flaky<'_> {
    type Error = FlashError;
}

impl ReadNorFlash for Flaky<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.reads += 1;
        if !self.reads.is_multiple_of(READS) {
            return Err(FlashError::Failed);
        }
        self.region.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.region.capacity()
    }
}

impl NorFlash for Flaky<'_> {
    const WRITE_SIZE: usize = NorRegion::WRITE_SIZE;
    const ERASE_SIZE: usize = NorRegion::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.region.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.region.write(offset, bytes)
    }
}

/// Cells programmed only weakly before a power cut may read as a whole record later on. Then two records
/// have the same sequence number; neither's counters may be lost.
#[test]
fn a_torn_record_that_reads_well_later_lowers_nothing() {
    let mut flash = formatted();
    // Without copies, which would bear the loss.
    let write = |flash: &mut SimFlash, change: fn(&mut Counters)| {
        let mut journal = open(flash).unwrap();
        let mut counters = journal.counters();
        change(&mut counters);
        journal.append_once(counters, Slots::default()).unwrap();
    };
    while open(&mut flash).unwrap().next_place as usize != PLACES - 1 {
        write(&mut flash, |counters| counters.boot += 1);
    }
    let mut whole = SimFlash::new(flash.bytes().to_vec());
    write(&mut whole, |counters| counters.requests = REQUEST_BLOCK);
    let last = PAGE_LEN - RECORD_LEN..PAGE_LEN;
    // The same write, cut short: the device changes pages when it boots again.
    let mut bytes = flash.bytes().to_vec();
    bytes[last.start] = 0;
    let mut torn = SimFlash::new(bytes);
    write(&mut torn, |counters| counters.boot += 1);
    let Counters { boot, requests, .. } = open(&mut torn).unwrap().counters();
    assert_eq!(requests, 0);

    let mut bytes = torn.bytes().to_vec();
    bytes[last.clone()].copy_from_slice(&whole.bytes()[last]);
    let mut healed = SimFlash::new(bytes);
    let counters = Counters {
        boot,
        security: 0,
        requests: REQUEST_BLOCK,
    };
    let journal = open(&mut healed).unwrap();
    assert_eq!((journal.counters(), journal.page), (counters, Page::Second));
    // And the next record takes both along.
    open(&mut healed).unwrap().raise_security(5).unwrap();
    let (_, mut region) = healed.split(0);
    embedded_storage::nor_flash::NorFlash::erase(&mut region, 0, PAGE_LEN as u32).unwrap();
    let counters = Counters {
        security: 5,
        ..counters
    };
    assert_eq!(open(&mut healed).unwrap().counters(), counters);
}
