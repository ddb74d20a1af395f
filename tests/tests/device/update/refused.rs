//! Models that are refused, frames that were sent before.

use super::*;
use sealnet_core::fernet::FernetKey;
use sealnet_core::mlp::Granularity;
use sealnet_core::sign::{Ed25519SigningKey, SigningKey};
use sealnet_firmware::device::{Refused, UpdateError};
use sealnet_firmware::layout::MODEL_RAM_LEN;

/// Uploads whatever it is, and gives the code of the refusal and the reason in the log.
fn refuse(machine: &mut Machine, client: &mut Client, file: &[u8]) -> (RefusalCode, UpdateError) {
    let mut reason = None;
    let log = |event| {
        if let Event::Refused(Refused::Update(error)) = event {
            reason = Some(error);
        }
    };
    match client.update(&mut machine.boot(log), file, |_| {}) {
        Err(ClientError::Refused(refusal)) => (refusal.code, reason.unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_a_newer_model_of_the_publisher_for_this_device_is_taken() {
    use RefusalCode as R;
    let identity = identity(&ed25519());
    let (old, new) = (network(1), network(2));
    let good = export(6, false).seal(&new);
    let changed = |at: usize| {
        let mut file = good.clone();
        file[at] ^= 1;
        file
    };
    let mut unsigned = good.clone();
    let end = unsigned.len() - 64;
    unsigned[end..].fill(0);
    let stranger = Export {
        signing: SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[66; 32])),
        ..export(6, false)
    };
    let other_scheme = Export {
        signing: hmac(),
        ..export(6, false)
    };
    let other_shape = Model::random([784, 32, 32, 10], Granularity::PerOutput, 1);
    // Fits the slot, but not the RAM that it would be decrypted into.
    let plain = good.len() - 256 - 64;
    let spare = MODEL_RAM_LEN + 16 - plain - 16 - 16 - 784;
    let long_names = export(6, true).with_names(&new, spare);
    assert!(long_names.len() <= SLOT_LEN);
    let cases = [
        ("a downgrade", export(4, false).seal(&new), R::ModelNotNewer),
        (
            "the same counter",
            export(5, true).seal(&new),
            R::ModelNotNewer,
        ),
        ("no signature", unsigned, R::ModelForged),
        ("another key", stranger.seal(&new), R::ModelForged),
        ("another scheme", other_scheme.seal(&new), R::ModelForged),
        ("a changed body", changed(1000), R::ModelForged),
        ("a changed counter", changed(36), R::ModelForged),
        ("a changed signature", changed(end), R::ModelForged),
        (
            "a truncated file",
            good[..good.len() - 1].to_vec(),
            R::ModelMalformed,
        ),
        (
            "half a file",
            good[..good.len() / 2].to_vec(),
            R::ModelMalformed,
        ),
        (
            "a byte too many",
            [&good[..], &[0]].concat(),
            R::ModelMalformed,
        ),
        ("nothing", Vec::new(), R::ModelMalformed),
        ("garbage", random_bytes(3000, 3), R::ModelMalformed),
        (
            "another shape",
            export(6, true).seal(&other_shape),
            R::ModelUnfit,
        ),
        ("long names", long_names, R::ModelUnfit),
        ("too long", vec![0; SLOT_LEN + 1], R::UpdateLength),
    ];
    for encrypted in [false, true] {
        let file = export(5, encrypted).seal(&old);
        let mut machine = Machine::provision(&identity, &file, 0).unwrap();
        let mut client = Client::new(&identity);
        for (what, file, code) in &cases {
            let (found, reason) = refuse(&mut machine, &mut client, file);
            assert_eq!(found, *code, "{what}: {reason}");
            let mut device = machine.boot(SILENT);
            answers(&mut device, &mut client, &old);
            let status = client.status(&mut device).unwrap();
            let untouched = (SlotName::A, UpdateOutcome::None);
            assert_eq!((status.slot, status.outcome), untouched, "{what}");
            drop(device);
            assert_eq!(security(&mut machine), 5, "{what}");
        }
        // None of that was in the way of a good one.
        machine.update(&mut client, &good, |_| {}, |_| {}).unwrap();
        answers(&mut machine.boot(SILENT), &mut client, &new);
    }
}

#[test]
fn a_model_that_this_device_cannot_decrypt_is_refused_before_any_trial() {
    let encrypted = export(6, true).seal(&network(2));
    for key in [None, Some(FernetKey::from_bytes([99; 32]))] {
        let mut keys = identity(&ed25519());
        keys.model = key;
        let file = export(5, false).seal(&network(1));
        let mut machine = Machine::provision(&keys, &file, 0).unwrap();
        let mut client = Client::new(&keys);
        let (code, reason) = refuse(&mut machine, &mut client, &encrypted);
        assert_eq!(code, RefusalCode::ModelUnfit, "{reason}");
        answers(&mut machine.boot(SILENT), &mut client, &network(1));
    }
}

/// What only the golden vectors find: the upload verifies, the trial fails, the old model is there.
#[test]
fn a_model_that_fails_its_trial_leaves_the_old_one() {
    let identity = identity(&ed25519());
    let clear = export(6, false).seal(&network(2));
    let golden = clear.len() - 256 - 64 - 32 - 16;
    for (old_encrypted, new_encrypted) in
        [(false, false), (false, true), (true, false), (true, true)]
    {
        let old = export(5, old_encrypted).seal(&network(1));
        let mut broken = export(6, new_encrypted).seal(&network(2));
        change_and_sign(&mut broken, golden, &ed25519());
        let mut machine = Machine::provision(&identity, &old, 0).unwrap();
        let mut client = Client::new(&identity);
        let mut events = Vec::new();
        let error = machine
            .update(&mut client, &broken, |event| events.push(event), |_| {})
            .unwrap_err();
        assert!(
            matches!(error, ClientError::NotUpdated(UpdateOutcome::Failed)),
            "{error}"
        );
        let golden = |event: &Event| matches!(event, Event::TrialFailed(error) if error.to_string().contains("golden"));
        assert!(events.iter().any(golden), "{events:?}");
        assert_eq!(security(&mut machine), 5);
        for _ in 0..2 {
            let mut device = machine.boot(SILENT);
            answers(&mut device, &mut client, &network(1));
            let status = client.status(&mut device).unwrap();
            assert_eq!(status.outcome, UpdateOutcome::Failed);
        }
        let good = export(6, new_encrypted).seal(&network(2));
        machine.update(&mut client, &good, |_| {}, |_| {}).unwrap();
    }
}

/// Every frame of an update, sent again: while it goes on, with requests between, after resets, and to the same
/// device provisioned anew.
#[test]
fn replayed_frames_are_refused() {
    let (mut machine, mut client, model) = machine();
    let file = export(2, true).seal(&network(2));
    let mut device = machine.boot(SILENT);
    let steps: Vec<SealedUpdate> = steps(&file)
        .into_iter()
        .map(|step| client.seal_update(step).unwrap())
        .collect();
    let replay = |device: &mut SimDevice<'_, fn(Event)>, step: &SealedUpdate| {
        refusal(device, &step.frame).code
    };
    let mut foreign = Machine::provision(&identity(&ed25519()), &file, 0).unwrap();
    let mut foreign = foreign.boot(SILENT);
    let (finish, others) = steps.split_last().unwrap();
    for (at, step) in others.iter().enumerate() {
        let response = device.exchange(&step.frame).unwrap();
        client.acknowledged(step, &response).unwrap();
        for late in [0, at / 2, at] {
            assert_eq!(replay(&mut device, &steps[late]), RefusalCode::Replay);
            assert_eq!(
                replay(&mut foreign, &steps[late]),
                RefusalCode::Provisioning
            );
        }
    }
    // What was answered to one message is not taken for the answer to another.
    let first = device.exchange(&finish.frame).unwrap();
    assert!(matches!(
        client.acknowledged(&steps[0], &first),
        Err(ClientError::Acknowledged)
    ));
    client.acknowledged(finish, &first).unwrap();
    drop(device);
    let mut device = machine.boot(SILENT);
    client.updated(&mut device, &file).unwrap();
    drop(device);
    for _ in 0..2 {
        let mut device = machine.boot(SILENT);
        for step in &steps {
            assert_eq!(replay(&mut device, step), RefusalCode::Replay);
        }
        answers(&mut device, &mut client, &network(2));
    }
    let (_, journal) = machine.flash_mut().split(JOURNAL);
    assert_eq!(Journal::open(journal).unwrap().slots().trial, Trial::None);
    drop(model);
}
