//! Flash that fails, wires that lose bytes.

use std::io;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use sealnet_firmware::sim::flash::{Fault, FaultKind};

use super::*;

/// Where an update touches the flash: every operation but the model's own words, and a few of those.
fn operations(start: &SimFlash, file: &[u8]) -> Vec<u64> {
    let mut machine = Machine::new(start.clone());
    let before = start.operations();
    machine.flash_mut().record();
    let mut client = client_of_0001(&machine);
    machine.update(&mut client, file, |_| {}, |_| {}).unwrap();
    let mut words = 0;
    let wanted = |operation: &Operation| match operation {
        Operation::Program { offset, .. } if *offset < IDENTITY => {
            words += 1;
            words % 1500 == 2
        }
        _ => true,
    };
    let record = machine.flash_mut().take_record();
    let wanted: Vec<bool> = record.iter().map(wanted).collect();
    (before..)
        .zip(wanted)
        .filter_map(|(at, wanted)| wanted.then_some(at))
        .collect()
}

/// Each operation fails, or lies: the device serves the old model or the new one, with its own counter, and takes
/// the next update.
#[test]
fn a_flash_that_fails_once_costs_an_update_at_most() {
    let (machine, _, _) = machine();
    let file = export(2, false).seal(&network(2));
    let start = machine.into_flash();
    let (mut updated, mut refused) = (0, 0);
    for operation in operations(&start, &file) {
        for kind in [FaultKind::Fails, FaultKind::Lies(operation)] {
            let mut machine = Machine::new(start.clone());
            let mut client = client_of_0001(&machine);
            machine.flash_mut().inject(Some(Fault { operation, kind }));
            let outcome = machine.update(&mut client, &file, |_| {}, |_| {});
            machine.flash_mut().inject(None);
            let served = security(&mut machine);
            let seed = u64::from(served);
            assert!([1, 2].contains(&served), "{kind:?} at {operation}");
            let mut client = client_of_0001(&machine);
            answers(&mut machine.boot(SILENT), &mut client, &network(seed));
            match outcome {
                Ok(()) => updated += 1,
                Err(error) => {
                    refused += 1;
                    let said = error.to_string();
                    assert!(!error.is_verification(), "{kind:?} at {operation}: {said}");
                }
            }
            let newer = export(3, true).seal(&network(3));
            machine
                .update(&mut client, &newer, |_| {}, |_| {})
                .unwrap_or_else(|error| panic!("{kind:?} at {operation}: {error}"));
            answers(&mut machine.boot(SILENT), &mut client, &network(3));
        }
    }
    // The journal helps itself to another place, a slot that was not erased or programmed is found out.
    assert!(
        updated > 10 && refused > 30,
        "{updated} updated, {refused} refused"
    );
}

#[test]
fn a_flash_that_cannot_be_erased_or_programmed_is_reported() {
    let (machine, _, model) = machine();
    let file = export(2, false).seal(&network(2));
    let start = machine.into_flash();
    // The records of the boot, of its model's security counter and of the requests, the journal's move with its
    // two pages, each record with its copy; then the slot's pages.
    let erasure = start.operations() + 4 * 8 + 2;
    let word = erasure + 16 + 700;
    for operation in [erasure, erasure + 13, word] {
        for kind in [FaultKind::Fails, FaultKind::Lies(1), FaultKind::Dies] {
            let mut machine = Machine::new(start.clone());
            let mut client = client_of_0001(&machine);
            machine.flash_mut().inject(Some(Fault { operation, kind }));
            let mut device = machine.boot(SILENT);
            let error = client.update(&mut device, &file, |_| {}).unwrap_err();
            assert!(
                matches!(error, ClientError::Refused(refusal) if refusal.code == RefusalCode::Flash),
                "{kind:?} at {operation}: {error}"
            );
            // The upload is over, the old model is not.
            let finish = UpdateStep::Finish {
                total: file.len() as u32,
            };
            let refused = send(&mut device, &mut client, finish);
            assert_eq!(refused, Err(RefusalCode::UpdateOrder));
            answers(&mut device, &mut client, &model);
            drop(device);
            machine.flash_mut().inject(None);
            answers(&mut machine.boot(SILENT), &mut client, &model);
        }
    }
}

/// A boot that ends while it tries the new model: the next one does not try it again.
#[test]
fn a_trial_that_does_not_end_has_failed() {
    let (mut machine, mut client, model) = machine();
    let file = export(2, true).seal(&network(2));
    client
        .update(&mut machine.boot(SILENT), &file, |_| {})
        .unwrap();
    // The trial's own record is written, and its copy; its confirmation is not.
    let operation = machine.flash().operations() + 8;
    let kind = FaultKind::CutBefore;
    machine.flash_mut().inject(Some(Fault { operation, kind }));
    let mut events = Vec::new();
    drop(machine.boot(|event| events.push(event)));
    let slot = SlotName::B;
    assert_eq!(events[1], Event::Trying { slot });
    for cut in [true, false] {
        let mut events = Vec::new();
        let mut device = machine.boot(|event| events.push(event));
        answers(&mut device, &mut client, &model);
        let status = client.status(&mut device).unwrap();
        assert_eq!(status.outcome, UpdateOutcome::Failed);
        drop(device);
        assert_eq!(events.contains(&Event::TrialCut), cut, "{events:?}");
        assert_eq!(security(&mut machine), 1);
    }
    let error = client
        .updated(&mut machine.boot(SILENT), &file)
        .unwrap_err();
    assert!(matches!(
        error,
        ClientError::NotUpdated(UpdateOutcome::Failed)
    ));
    machine.update(&mut client, &file, |_| {}, |_| {}).unwrap();
}

/// A wire that loses and repeats bytes, both ways.
struct Noise<'d, D> {
    device: &'d mut D,
    random: ChaCha20Rng,
    /// One byte of so many.
    every: u32,
    damaged: u32,
}

impl<D> Noise<'_, D> {
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut passed = Vec::new();
        for byte in bytes {
            let strikes = self.random.next_u32().is_multiple_of(self.every);
            self.damaged += u32::from(strikes);
            let copies = match strikes {
                false => 1,
                true => 2 * (self.random.next_u32() % 2),
            };
            passed.extend((0..copies).map(|_| *byte));
        }
        passed
    }
}

impl<D: Link> Link for Noise<'_, D> {
    fn exchange(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let bytes = self.pass(bytes);
        let response = self.device.exchange(&bytes)?;
        Ok(self.pass(&response))
    }
}

#[test]
fn a_wire_that_loses_and_repeats_bytes_delays_an_update_and_spoils_none() {
    let (machine, _, _) = machine();
    let start = machine.into_flash();
    let file = export(2, true).seal(&network(2));
    let (mut done, mut given_up, mut damaged) = (0, 0, 0);
    for seed in 0..30 {
        let mut machine = Machine::new(start.clone());
        let mut client = client_of_0001(&machine);
        let mut device = machine.boot(SILENT);
        let mut wire = Noise {
            device: &mut device,
            random: ChaCha20Rng::seed_from_u64(seed),
            every: if seed < 20 { 4000 } else { 400 },
            damaged: 0,
        };
        let sent = client.update(&mut wire, &file, |_| {});
        damaged += wire.damaged;
        let complete = device.resetting();
        assert!(complete || sent.is_err(), "seed {seed}");
        if sent.is_ok() {
            done += 1;
        } else {
            given_up += 1;
        }
        drop(device);
        let mut device = machine.boot(SILENT);
        let mut client = client_of_0001(&Machine::new(start.clone()));
        // Whatever was heard of the last answer.
        let updated = client.updated(&mut device, &file);
        assert_eq!(updated.is_ok(), complete, "seed {seed}: {updated:?}");
        answers(&mut device, &mut client, &network(1 + u64::from(complete)));
        drop(device);
        if !complete {
            machine.update(&mut client, &file, |_| {}, |_| {}).unwrap();
        }
    }
    assert!(
        done >= 15 && given_up >= 3 && damaged > 300,
        "{done} done, {given_up} given up, {damaged}"
    );
}
