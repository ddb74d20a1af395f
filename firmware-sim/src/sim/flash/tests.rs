use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

use super::*;

fn flash() -> SimFlash {
    SimFlash::new(vec![0xFF; 3 * PAGE_LEN])
}

#[test]
fn a_word_is_programmed_once_between_erasures() {
    let mut flash = flash();
    let (mapped, mut region) = flash.split(PAGE_LEN);
    assert_eq!(mapped.len(), PAGE_LEN);
    region.write(8, &[0x0F; 16]).unwrap();
    assert_eq!(
        region.write(16, &[0; 8]),
        Err(FlashError::Rule {
            offset: PAGE_LEN as u32 + 16
        })
    );
    assert_eq!(
        region.write(0, &[0; 16]),
        Err(FlashError::Rule {
            offset: PAGE_LEN as u32 + 8
        })
    );
    region.erase(0, PAGE_LEN as u32).unwrap();
    region.write(0, &[0; 24]).unwrap();
    assert_eq!(
        region.write(4, &[0; 8]),
        Err(FlashError::Access(NorFlashErrorKind::NotAligned))
    );
    assert_eq!(
        region.write(2 * PAGE_LEN as u32, &[0; 8]),
        Err(FlashError::Access(NorFlashErrorKind::OutOfBounds))
    );
    assert_eq!(
        flash.bytes()[PAGE_LEN..PAGE_LEN + 32],
        [[0; 24].as_slice(), &[0xFF; 8]].concat()
    );
}

#[test]
fn contents_that_were_there_count_as_programmed() {
    let mut flash =
        SimFlash::new([vec![0xFF; 8], vec![0xFE; 8], vec![0xFF; PAGE_LEN - 16]].concat());
    let (_, mut region) = flash.split(0);
    assert!(region.write(0, &[0; 8]).is_ok());
    assert!(region.write(8, &[0; 8]).is_err());
}

#[test]
fn faults_strike_once_where_they_were_told_to() {
    let kinds = [
        FaultKind::CutBefore,
        FaultKind::CutMidway(1),
        FaultKind::CutAfter,
        FaultKind::Fails,
        FaultKind::Dies,
        FaultKind::Lies(1),
    ];
    for kind in kinds {
        let mut flash = flash();
        flash.inject(Some(Fault { operation: 1, kind }));
        let (_, mut region) = flash.split(0);
        let result = region.write(0, &[0; 24]);
        let again = region.write(24, &[0; 8]);
        let second = flash.bytes()[8..16].to_vec();
        assert_eq!(flash.bytes()[..8], [0; 8]);
        let third = if matches!(kind, FaultKind::Lies(_)) {
            0
        } else {
            0xFF
        };
        assert_eq!(flash.bytes()[16..24], [third; 8]);
        match kind {
            FaultKind::Lies(_) => assert_eq!((result, again), (Ok(()), Ok(()))),
            FaultKind::Fails => assert_eq!((result, again), (Err(FlashError::Failed), Ok(()))),
            FaultKind::Dies => assert_eq!(
                (result, again),
                (Err(FlashError::Failed), Err(FlashError::Failed))
            ),
            _ => assert_eq!(
                (result, again),
                (Err(FlashError::PowerLost), Err(FlashError::PowerLost))
            ),
        }
        match kind {
            FaultKind::CutBefore | FaultKind::Fails | FaultKind::Dies => {
                assert_eq!(second, [0xFF; 8]);
            }
            FaultKind::CutMidway(_) | FaultKind::Lies(_) => {
                assert!(second != [0xFF; 8] && second != [0; 8]);
            }
            FaultKind::CutAfter => assert_eq!(second, [0; 8]),
        }
        flash.power_on();
        flash.inject(None);
        let (_, mut region) = flash.split(0);
        assert!(region.write(32, &[0; 8]).is_ok());
    }
}

#[test]
fn a_page_erased_halfway_must_be_erased_again() {
    let mut flash = flash();
    let (_, mut region) = flash.split(0);
    region.write(0, &[0; PAGE_LEN]).unwrap();
    let operation = flash.operations();
    flash.inject(Some(Fault {
        operation,
        kind: FaultKind::CutMidway(7),
    }));
    let (_, mut region) = flash.split(0);
    assert_eq!(region.erase(0, PAGE_LEN as u32), Err(FlashError::PowerLost));
    assert!(
        flash.bytes()[..PAGE_LEN]
            .iter()
            .any(|byte| ![0, 0xFF].contains(byte))
    );
    flash.power_on();
    flash.inject(None);
    let (_, mut region) = flash.split(0);
    assert!(matches!(
        region.write(0, &[0; 8]),
        Err(FlashError::Rule { .. })
    ));
    region.erase(0, PAGE_LEN as u32).unwrap();
    region.write(0, &[0; 8]).unwrap();
    assert_eq!(flash.violations(), 1);
}

#[test]
fn with_an_error_correcting_code_a_torn_word_cannot_be_read() {
    for ecc in [false, true] {
        let mut flash = flash();
        flash.set_ecc(ecc);
        let kind = FaultKind::CutMidway(7);
        flash.inject(Some(Fault { operation: 1, kind }));
        let (_, mut region) = flash.split(0);
        assert!(region.write(0, &[0; 24]).is_err());
        flash.power_on();
        let (_, mut region) = flash.split(0);
        let readable = |region: &mut NorRegion<'_>, offset, len| {
            region.read(offset, &mut vec![0; len]).is_ok()
        };
        assert!(readable(&mut region, 0, 8) && readable(&mut region, 16, 100));
        for (offset, len) in [(8, 8), (0, 24), (15, 1), (7, 2)] {
            assert_eq!(readable(&mut region, offset, len), !ecc, "{offset}");
        }
        region.erase(0, PAGE_LEN as u32).unwrap();
        assert!(readable(&mut region, 0, PAGE_LEN));
    }
}

#[test]
fn regions_lie_side_by_side_and_share_power() {
    let mut flash = flash();
    let (first, second) = (PAGE_LEN, 2 * PAGE_LEN);
    flash.inject(Some(Fault {
        operation: 2,
        kind: FaultKind::CutBefore,
    }));
    let [mut a, mut b] = flash.regions([first, second]);
    assert_eq!((a.capacity(), b.capacity()), (PAGE_LEN, PAGE_LEN));
    a.write(0, &[1; 8]).unwrap();
    b.write(8, &[2; 8]).unwrap();
    assert_eq!(a.write(8, &[1; 8]), Err(FlashError::PowerLost));
    assert_eq!(b.write(16, &[1; 8]), Err(FlashError::PowerLost));
    assert_eq!(a.bytes()[..16], [[1; 8], [0xFF; 8]].concat());
    assert_eq!(b.lend()[..16], [[0xFF; 8], [2; 8]].concat());
    assert_eq!(flash.bytes()[first..first + 8], [1; 8]);
    assert_eq!(flash.bytes()[second + 8..second + 16], [2; 8]);
    flash.power_on();
    let [mut whole, nothing, beyond] = flash.regions([0, 3 * PAGE_LEN, 4 * PAGE_LEN]);
    assert_eq!(whole.capacity(), 3 * PAGE_LEN);
    assert_eq!((nothing.capacity(), beyond.capacity()), (0, 0));
    assert_eq!(
        whole.write(PAGE_LEN as u32, &[0; 8]),
        Err(FlashError::Rule {
            offset: PAGE_LEN as u32
        })
    );
}

#[test]
fn what_was_recorded_gives_the_same_flash_again() {
    let start = flash();
    let mut done = start.clone();
    done.record();
    let (_, mut region) = done.split(PAGE_LEN);
    region.write(8, &[3; 24]).unwrap();
    region.erase(0, 2 * PAGE_LEN as u32).unwrap();
    region.write(8, &[4; 8]).unwrap();
    let record = done.take_record();
    assert_eq!(record.len(), 3 + 2 + 1);
    assert!(done.take_record().is_empty());
    let mut again = start.clone();
    for (number, operation) in record.iter().enumerate() {
        // As a fault struck there: only what is halfway differs from before and after.
        let before = again.clone();
        let mut cut = again.clone();
        cut.replay(operation, Some(FaultKind::CutBefore)).unwrap();
        assert!(cut.bytes() == before.bytes(), "{number}");
        let mut halfway = again.clone();
        let midway = FaultKind::CutMidway(number as u64);
        halfway.replay(operation, Some(midway)).unwrap();
        again.replay(operation, None).unwrap();
        cut = before;
        cut.replay(operation, Some(FaultKind::CutAfter)).unwrap();
        assert!(cut.bytes() == again.bytes(), "{number}");
        let blank_before = matches!(operation, Operation::Erase { offset } if *offset > PAGE_LEN);
        assert_eq!(halfway.bytes() == again.bytes(), blank_before, "{number}");
        assert!(halfway.split(0).1.write(0, &[0; 8]).is_ok());
    }
    assert!(again.bytes() == done.bytes());
    assert_eq!(
        again.replay(&record[5], None),
        Err(FlashError::Rule {
            offset: PAGE_LEN as u32 + 8
        })
    );
}
