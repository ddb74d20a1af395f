//! A new model over the wire: what is taken, what is refused, and what is served all the while.

mod faults;
mod refused;

use sealnet_core::protocol::{
    Acknowledgement, RefusalCode, SlotName, UpdateOutcome, UpdateState, UpdateStep,
};
use sealnet_firmware::campaign::Part;
use sealnet_firmware::campaign::power::PowerCuts;
use sealnet_firmware::client::{Client, ClientError, Link, SealedUpdate};
use sealnet_firmware::device::BootError;
use sealnet_firmware::env::Event;
use sealnet_firmware::journal::{Journal, Trial};
use sealnet_firmware::layout::{IDENTITY, JOURNAL, SLOT_B, SLOT_LEN};
use sealnet_firmware::sim::flash::{Operation, SimFlash};
use sealnet_firmware::sim::{Machine, SimDevice};

use super::support::*;
use crate::model_fixture::{Model, random_bytes};

fn export(counter: u32, encrypted: bool) -> Export {
    Export {
        counter,
        encrypted,
        ..Export::default()
    }
}

/// The device answers as this model does, bit for bit.
fn answers(device: &mut impl Link, client: &mut Client, model: &Model) {
    let features = random_bytes(784, 8);
    client.status(device).unwrap();
    let answer = client.infer(device, &features).unwrap();
    assert!(answer.computed(&model.oracle(&features)));
}

/// The stored security counter.
fn security(machine: &mut Machine) -> u32 {
    let (_, journal) = machine.flash_mut().split(JOURNAL);
    Journal::open(journal).unwrap().counters().security
}

/// Sends one step, and gives what comes back.
fn send(
    device: &mut impl Link,
    client: &mut Client,
    step: UpdateStep<'_>,
) -> Result<Acknowledgement, RefusalCode> {
    let message = client.seal_update(step).unwrap();
    let response = device.exchange(&message.frame).unwrap();
    client
        .acknowledged(&message, &response)
        .map_err(|error| match error {
            ClientError::Refused(refusal) => refusal.code,
            error => panic!("{error}"),
        })
}

/// The steps of an update.
fn steps(file: &[u8]) -> Vec<UpdateStep<'_>> {
    let total = file.len() as u32;
    let chunks = (0..).step_by(512).zip(file.chunks(512));
    [UpdateStep::Begin { total }]
        .into_iter()
        .chain(chunks.map(|(offset, data)| UpdateStep::Chunk { offset, data }))
        .chain([UpdateStep::Finish { total }])
        .collect()
}

#[test]
fn a_device_goes_from_model_to_model_and_from_slot_to_slot() {
    // From int8 weights to int4 ones and back, too.
    let models = [1, 2, 3, 4, 5].map(|seed| match seed % 2 {
        0 => int4_network(seed),
        _ => network(seed),
    });
    for encrypted in [false, true] {
        let identity = identity(&ed25519());
        let first = export(1, encrypted).seal(&models[0]);
        let mut machine = Machine::provision(&identity, &first, 0).unwrap();
        let mut client = Client::new(&identity);
        let mut former = (&models[0], first);
        for (model, counter) in models.iter().zip([1, 2, 3, 7, 9]).skip(1) {
            // From clear to encrypted and back, too.
            let file = export(counter, encrypted ^ (counter == 7)).seal(model);
            let mut device = machine.boot(SILENT);
            answers(&mut device, &mut client, former.0);
            let before = client.status(&mut device).unwrap();
            for step in steps(&file) {
                let step = client.seal_update(step).unwrap();
                let response = device.exchange(&step.frame).unwrap();
                let said = client.acknowledged(&step, &response).unwrap();
                let complete = said.state == UpdateState::Complete;
                assert_eq!(complete, device.resetting());
                if !complete {
                    // The old model goes on answering.
                    let answer = client.infer(&mut device, &[7; 784]).unwrap();
                    assert!(answer.computed(&former.0.oracle(&[7; 784])));
                }
            }
            let error = device.exchange(&[0]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            drop(device);

            let mut events = Vec::new();
            let mut device = machine.boot(|event| events.push(event));
            client.updated(&mut device, &file).unwrap();
            let status = client.status(&mut device).unwrap();
            assert_eq!(status.slot, before.slot.other());
            assert_eq!(status.outcome, UpdateOutcome::Confirmed);
            answers(&mut device, &mut client, model);
            drop(device);
            let slot = status.slot;
            assert!(matches!(events[1], Event::Trying { slot: found } if found == slot));
            assert_eq!(events[2], Event::Confirmed { slot });
            assert_eq!(events[3], Event::SecurityRaised { to: counter });
            assert!(
                matches!(events[4], Event::Serving { security_counter, .. } if security_counter == counter)
            );

            // And after any reset; the old one never again.
            answers(&mut machine.boot(SILENT), &mut client, model);
            assert_eq!(security(&mut machine), counter);
            let refused = machine
                .update(&mut client, &former.1, |_| {}, |_| {})
                .unwrap_err();
            assert!(
                matches!(refused, ClientError::Refused(refusal) if refusal.code == RefusalCode::ModelNotNewer),
                "{refused}"
            );
            former = (model, file);
        }
    }
}

/// Before any other step than begin, and after a reset, there is nothing to go on with.
#[test]
fn steps_come_in_order_or_are_refused() {
    let (mut machine, mut client, model) = machine();
    let file = export(2, false).seal(&network(2));
    let total = file.len() as u32;
    let mut device = machine.boot(SILENT);
    let chunk = |offset: u32, len: usize| UpdateStep::Chunk {
        offset,
        data: &file[offset as usize..][..len],
    };
    let order = Err(RefusalCode::UpdateOrder);
    let begin = UpdateStep::Begin { total };
    for step in [chunk(0, 512), UpdateStep::Finish { total }] {
        assert_eq!(send(&mut device, &mut client, step), order);
    }
    let too_long = UpdateStep::Begin {
        total: SLOT_LEN as u32 + 1,
    };
    let refused = send(&mut device, &mut client, too_long);
    assert_eq!(refused, Err(RefusalCode::UpdateLength));
    assert_eq!(send(&mut device, &mut client, chunk(0, 512)), order);

    assert_eq!(send(&mut device, &mut client, begin).unwrap().received, 0);
    let received = send(&mut device, &mut client, chunk(0, 512)).unwrap();
    assert_eq!(received.received, 512);
    // A gap, an overlap, half a word; another piece in the place of one that is there; too early.
    let other = UpdateStep::Chunk {
        offset: 0,
        data: &[9; 512],
    };
    let wrong = [
        chunk(1024, 512),
        chunk(504, 16),
        chunk(512, 511),
        chunk(512, 4),
        other,
        UpdateStep::Finish { total },
        UpdateStep::Finish { total: 512 },
    ];
    for step in wrong {
        assert_eq!(send(&mut device, &mut client, step), order, "{step:?}");
    }
    // The same piece again, and a part of it: their answers may have been lost.
    for step in [chunk(0, 512), chunk(8, 100), chunk(504, 8)] {
        assert_eq!(send(&mut device, &mut client, step).unwrap().received, 512);
    }
    let short = send(&mut device, &mut client, chunk(512, 8)).unwrap();
    assert_eq!(short.received, 520);
    // Begun again, it starts at zero; what is announced is all that fits.
    let short = UpdateStep::Begin { total: 100 };
    send(&mut device, &mut client, short).unwrap();
    assert_eq!(send(&mut device, &mut client, chunk(520, 512)), order);
    assert_eq!(send(&mut device, &mut client, chunk(0, 104)), order);
    send(&mut device, &mut client, chunk(0, 100)).unwrap();
    let early = send(&mut device, &mut client, UpdateStep::Finish { total: 100 });
    assert_eq!(early, Err(RefusalCode::ModelMalformed));
    answers(&mut device, &mut client, &model);
    drop(device);

    // A reset forgets the upload.
    let mut device = machine.boot(SILENT);
    client.status(&mut device).unwrap();
    send(&mut device, &mut client, begin).unwrap();
    send(&mut device, &mut client, chunk(0, 512)).unwrap();
    drop(device);
    let mut device = machine.boot(SILENT);
    client.status(&mut device).unwrap();
    assert_eq!(send(&mut device, &mut client, chunk(512, 512)), order);
    answers(&mut device, &mut client, &model);
}

#[test]
fn without_a_model_the_device_takes_one_without_keys_it_takes_none() {
    let identity = identity(&ed25519());
    let model = network(2);
    let file = export(1, true).seal(&model);
    let mut forged = export(5, true).seal(&network(1));
    forged[1000] ^= 1;
    for nothing in [&[][..], &forged] {
        let mut machine = Machine::provision(&identity, nothing, 0).unwrap();
        let mut client = Client::new(&identity);
        boot_error(&mut machine, &mut client);
        machine.update(&mut client, &file, |_| {}, |_| {}).unwrap();
        answers(&mut machine.boot(SILENT), &mut client, &model);

        // Damaged after its confirmation: no model, never the one before it; then a newer one.
        let mut bytes = machine.flash().bytes().to_vec();
        bytes[SLOT_B + 1000] ^= 1;
        bytes[..SLOT_LEN].fill(0xFF);
        let older = export(0, true).seal(&network(1));
        bytes[..older.len()].copy_from_slice(&older);
        let mut machine = Machine::new(SimFlash::new(bytes));
        let mut client = Client::new(&identity);
        let error = boot_error(&mut machine, &mut client);
        assert!(matches!(error, BootError::Model(_)), "{error}");
        let newer = export(2, false).seal(&network(3));
        machine.update(&mut client, &newer, |_| {}, |_| {}).unwrap();
        answers(&mut machine.boot(SILENT), &mut client, &network(3));
    }
    for lost in [IDENTITY, JOURNAL] {
        let (machine, mut client, _) = machine();
        let mut bytes = machine.flash().bytes().to_vec();
        bytes[lost..lost + 4096].fill(0xFF);
        let mut machine = Machine::new(SimFlash::new(bytes));
        let mut device = machine.boot(SILENT);
        let begin = UpdateStep::Begin { total: 1000 };
        let refused = send(&mut device, &mut client, begin);
        assert_eq!(refused, Err(RefusalCode::NotReady), "{lost:#x}");
    }
}

/// The quick form of the campaign; the full one takes every word of the model and more seeds.
#[test]
fn power_cuts_of_an_update_leave_the_old_model_or_the_new_one() {
    let identity = identity(&ed25519());
    let [old, new] =
        [(1, 3), (2, 4)].map(|(seed, counter)| export(counter, seed == 2).seal(&network(seed)));
    let cuts = PowerCuts::record(&identity, &old, &new).unwrap();
    // Nothing in the whole update but whole words and pages, in the spare slot and the journal.
    let words = new.len().div_ceil(8);
    let count = cuts.operations().len();
    // Both boots, a block of counters each, begin (two pages besides), finish, confirmation, each record with its copy;
    // the slot's pages.
    assert_eq!(count, words + 16 + (7 * 8 + 2), "{count}");
    let tally = cuts.run(true, Part::WHOLE, |_, _| {});
    assert_eq!((tally.failures, tally.examples.as_slice()), (0, &[][..]));
    println!("{} power cuts, none of them bad", tally.trials);
    assert!(tally.trials > 3000, "{}", tally.trials);

    // It finds what it is there to find. A device that confirms first and programs then:
    let operations = cuts.operations().to_vec();
    let confirmation = count - 16..count - 8;
    let first_word = operations
        .iter()
        .position(|operation| matches!(operation, Operation::Program { offset, .. } if *offset < IDENTITY))
        .unwrap();
    let mut hasty = operations.clone();
    let record: Vec<Operation> = hasty.drain(confirmation).collect();
    // At the place where the journal was then, so that it is the record that counts.
    hasty.splice(first_word..first_word, record);
    let cuts = cuts.with_operations(hasty);
    let tally = cuts.run(true, Part::WHOLE, |_, _| {});
    assert!(tally.failures > 100, "{tally:?}");
    assert!(tally.examples[0].contains("no model"), "{tally:?}");
    // And one whose flash changes a word of the new model once it is there.
    let mut broken = operations;
    if let Operation::Program { word, .. } = &mut broken[first_word + 900] {
        word[0] ^= 1;
    }
    let tally = cuts
        .with_operations(broken)
        .run(true, Part::WHOLE, |_, _| {});
    assert!(tally.failures > 20, "{tally:?}");
}
