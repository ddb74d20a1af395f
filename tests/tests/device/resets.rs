//! What must hold across resets, power cuts and dead flash.

use std::collections::HashSet;

use sealnet_core::artefact::ArtefactError;
use sealnet_core::protocol::{Kind, Refusal, RefusalCode};
use sealnet_firmware::client::{Client, ClientError, Link, SealedRequest};
use sealnet_firmware::device::BootError;
use sealnet_firmware::journal::{JournalError, REQUEST_BLOCK};
use sealnet_firmware::layout::JOURNAL;
use sealnet_firmware::provision;
use sealnet_firmware::sim::Machine;
use sealnet_firmware::sim::flash::{Fault, FaultKind, SimFlash};

use super::support::*;
use crate::model_fixture::random_bytes;

#[test]
fn replays_and_reordering_are_refused_also_after_resets() {
    let (mut machine, mut client, _) = machine();
    let mut device = machine.boot(SILENT);
    let requests: Vec<SealedRequest> = (0..4)
        .map(|seed| client.seal(&random_bytes(784, seed)).unwrap())
        .collect();
    let replay = |counter| Refusal {
        code: RefusalCode::Replay,
        highest_counter: counter,
    };
    // The second before the first: the first comes too late.
    for sent in [1, 2] {
        let response = device.exchange(&requests[sent].frame).unwrap();
        client.open(&requests[sent], &response).unwrap();
        for late in 0..=sent {
            assert_eq!(
                refusal(&mut device, &requests[late].frame),
                replay(requests[sent].counter)
            );
        }
    }
    drop(device);
    // A reset burns the rest of the reserved block, so even the request never sent is refused.
    for _ in 0..3 {
        let mut device = machine.boot(SILENT);
        for request in &requests {
            assert_eq!(
                refusal(&mut device, &request.frame),
                replay(REQUEST_BLOCK + 1)
            );
        }
        assert_eq!(
            client.status(&mut device).unwrap().highest_counter,
            REQUEST_BLOCK + 1
        );
    }
    let mut device = machine.boot(SILENT);
    assert_eq!(
        client.infer(&mut device, &[0; 784]).unwrap().receipt.boot,
        5
    );
}

#[test]
fn reply_ivs_never_repeat_over_many_resets() {
    let (mut machine, mut client, _) = machine();
    let mut ivs = HashSet::new();
    for _ in 0..150 {
        let mut device = machine.boot(SILENT);
        client.status(&mut device).unwrap();
        for _ in 0..3 {
            let request = client.seal(&[0; 784]).unwrap();
            let response = device.exchange(&request.frame).unwrap();
            assert!(ivs.insert(reply_iv(&response)));
            client.open(&request, &response).unwrap();
        }
    }
    assert_eq!(ivs.len(), 450);
}

/// Two flash images made from the same keys, and one made from the other.
#[test]
fn a_device_provisioned_again_answers_no_old_request_and_repeats_no_iv() {
    let (mut machine, mut client, model) = machine();
    let identity = identity(&ed25519());
    let file = |counter| {
        Export {
            counter,
            ..Export::default()
        }
        .seal(&model)
    };
    let mut device = machine.boot(SILENT);
    let request = client.seal(&[3; 784]).unwrap();
    let first = device.exchange(&request.frame).unwrap();
    let old = client.open(&request, &first).unwrap().receipt;
    drop(device);

    // Counters lost with the old flash, or begun anew after another device's: the old request is refused all
    // the same, by the nonce alone.
    let mut forgetful = Machine::provision(&identity, &file(1), 0).unwrap();
    let mut device = forgetful.boot(SILENT);
    let another = Refusal {
        code: RefusalCode::Provisioning,
        highest_counter: 0,
    };
    assert_eq!(refusal(&mut device, &request.frame), another);
    // So is a new one of a client that has not noticed; it asks, and is answered.
    let error = client.infer(&mut device, &[3; 784]).unwrap_err();
    assert!(
        matches!(error, ClientError::Refused(refusal) if refusal == another)
            && !error.is_verification(),
        "{error}"
    );
    client.status(&mut device).unwrap();
    let request_2 = client.seal(&[3; 784]).unwrap();
    let second = device.exchange(&request_2.frame).unwrap();
    let new = client.open(&request_2, &second).unwrap().receipt;
    // Boot and message are what they were; the IV is another, and the receipt says of which provisioning it is.
    assert_eq!((new.boot, new.message), (old.boot, old.message));
    assert_ne!(new.nonce, old.nonce);
    assert_ne!(reply_iv(&first), reply_iv(&second));
    drop(device);

    // Counters carried over: boots go on, the older model boots no more.
    let mut machine = with_model(&machine, &file(7));
    assert!(machine.boot(SILENT).model().is_ok());
    let counters = provision::counters_of(machine.flash_mut(), &identity)
        .unwrap()
        .unwrap();
    assert_eq!((counters.boot, counters.security), (2, 7));
    let again = |counter| {
        Machine::new(provision::flash_image(&identity, &file(counter), counters).unwrap())
    };
    assert_eq!(
        boot_error(&mut again(6), &mut stranger_to_0001()),
        BootError::Model(ArtefactError::Rollback {
            found: 6,
            minimum: 7
        })
    );
    let mut again = again(7);
    let mut device = again.boot(SILENT);
    assert_eq!(
        refusal(&mut device, &request.frame),
        Refusal {
            code: RefusalCode::Provisioning,
            highest_counter: REQUEST_BLOCK
        }
    );
    client.status(&mut device).unwrap();
    // The client that saw the first receipt takes the new one for newer.
    assert_eq!(
        client.infer(&mut device, &[3; 784]).unwrap().receipt.boot,
        3
    );
}

/// Power is cut before, halfway through and after every flash operation of lives that boot a newer model,
/// answer requests and change the journal's page. Whatever happens: no IV comes twice, no request is
/// answered twice, and once the newer model has been served the older one boots no more.
#[test]
fn power_cuts_at_every_flash_operation() {
    let (machine, mut client, model) = machine();
    let old = Export::default().seal(&model);
    let mut machine = with_model(
        &machine,
        &Export {
            counter: 2,
            ..Export::default()
        }
        .seal(&model),
    );
    // Fill the journal's first page but for a few records: each life below writes three.
    let start = loop {
        let before = machine.flash().bytes().to_vec();
        let mut ivs = HashSet::new();
        live(
            &mut machine,
            &mut stranger_to_0001(),
            &mut ivs,
            &mut Vec::new(),
        )
        .unwrap();
        live(
            &mut machine,
            &mut stranger_to_0001(),
            &mut ivs,
            &mut Vec::new(),
        )
        .unwrap();
        if machine.flash().bytes()[JOURNAL + 4096..] != before[JOURNAL + 4096..] {
            break before;
        }
    };
    let start = with_model(
        &Machine::new(SimFlash::new(start)),
        &Export {
            counter: 9,
            ..Export::default()
        }
        .seal(&model),
    );
    let start = start.flash().bytes().to_vec();
    let mut clean = Machine::new(SimFlash::new(start.clone()));
    for _ in 0..3 {
        live(
            &mut clean,
            &mut client,
            &mut HashSet::new(),
            &mut Vec::new(),
        )
        .unwrap();
    }
    let total = clean.flash().operations();
    assert_eq!(
        total,
        7 * 2 * 4 + 1,
        "seven records of four words, each with its copy, and the other page erased"
    );
    // On flash whose code refuses to read a torn word, too.
    let kinds = [
        (FaultKind::CutBefore, false),
        (FaultKind::CutMidway(1), false),
        (FaultKind::CutMidway(1), true),
        (FaultKind::CutMidway(2), true),
        (FaultKind::CutAfter, false),
        (FaultKind::Fails, false),
        (FaultKind::Lies(3), false),
        (FaultKind::Lies(3), true),
    ];
    for operation in 0..total {
        for (kind, ecc) in kinds {
            let (mut ivs, mut answered) = (HashSet::new(), Vec::new());
            let mut client = stranger_to_0001();
            let mut machine = Machine::new(SimFlash::new(start.clone()));
            machine.flash_mut().set_ecc(ecc);
            machine.flash_mut().inject(Some(Fault { operation, kind }));
            let mut served = false;
            for _ in 0..5 {
                served |= live(&mut machine, &mut client, &mut ivs, &mut answered).is_ok();
            }
            assert!(
                served && machine.boot(silent).model().is_ok(),
                "{kind:?} at {operation}, ecc {ecc}"
            );
            let error = boot_error(&mut with_model(&machine, &old), &mut client);
            assert_eq!(
                error,
                BootError::Model(ArtefactError::Rollback {
                    found: 1,
                    minimum: 9
                })
            );
        }
    }
}

/// One life: a boot, every request that was answered in earlier lives once more, and two new ones until
/// power goes.
fn live(
    machine: &mut Machine,
    client: &mut Client,
    ivs: &mut HashSet<[u8; 16]>,
    answered: &mut Vec<Vec<u8>>,
) -> Result<(), ClientError> {
    let mut device = machine.boot(silent);
    client.status(&mut device)?;
    for frame in answered.iter() {
        assert_refused(&device.exchange(frame)?);
    }
    for _ in 0..2 {
        let request = client.seal(&[3; 784])?;
        let response = device.exchange(&request.frame)?;
        client.open(&request, &response)?;
        assert!(ivs.insert(reply_iv(&response)), "an IV came twice");
        let again = device.exchange(&request.frame);
        answered.push(request.frame);
        assert_refused(&again?);
    }
    Ok(())
}

fn assert_refused(response: &[u8]) {
    assert_eq!(
        frames(response)[0].0,
        Kind::Refused,
        "a replay was answered"
    );
}

/// Flash that takes no more writes: what was reserved is still answered, nothing after it.
#[test]
fn a_dead_flash_stops_answers_but_not_the_device() {
    let (mut machine, mut client, _) = machine();
    // The records of the boot, of the security counter and of a block of requests, each with its copy.
    let operation = machine.flash().operations() + 3 * 8;
    machine.flash_mut().inject(Some(Fault {
        operation,
        kind: FaultKind::Dies,
    }));
    let mut device = machine.boot(SILENT);
    for _ in 0..REQUEST_BLOCK {
        client.infer(&mut device, &[0; 784]).unwrap();
    }
    for _ in 0..3 {
        let request = client.seal(&[0; 784]).unwrap();
        let refused = refusal(&mut device, &request.frame);
        assert_eq!(
            refused,
            Refusal {
                code: RefusalCode::NotReady,
                highest_counter: REQUEST_BLOCK
            }
        );
    }
    drop(device);
    let error = boot_error(&mut machine, &mut client);
    assert_eq!(error, BootError::Journal(JournalError::Flash));
}
