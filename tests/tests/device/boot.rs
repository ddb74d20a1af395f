//! What boots and what does not, and what the device then says.

use std::mem;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use sealnet_core::artefact::{
    ArtefactError, BodySpec, ColumnScaling, NamesSpec, ReplyPolicy, Sealed, sealed_len,
};
use sealnet_core::fernet::FernetKey;
use sealnet_core::mlp::{Granularity, Kernel, argmax};
use sealnet_core::protocol::Verdict;
use sealnet_core::sign::{Ed25519SigningKey, SigningKey};
use sealnet_firmware::client::Client;
use sealnet_firmware::device::{BootError, FIRMWARE_VERSION};
use sealnet_firmware::env::Event;
use sealnet_firmware::identity::IdentityError;
use sealnet_firmware::journal::JournalError;
use sealnet_firmware::layout::{
    FLASH_LEN, IDENTITY, JOURNAL, MODEL_RAM_LEN, NAMES_MAX, ROOM_HINT, SLOT_LEN,
};
use sealnet_firmware::provision;
use sealnet_firmware::sim::Machine;
use sealnet_firmware::sim::flash::{Fault, FaultKind, SimFlash};

use super::support::*;
use crate::model_fixture::{Model, random_bytes};

#[test]
fn every_scheme_encoding_and_policy_boots_and_answers() {
    for model in [network(1), int4_network(1)] {
        boots_and_answers(&model);
    }
}

fn boots_and_answers(model: &Model) {
    let features = random_bytes(784, 5);
    let logits = model.oracle(&features);
    for signing in [ed25519(), hmac()] {
        for encrypted in [true, false] {
            for policy in [
                ReplyPolicy::Label,
                ReplyPolicy::Probabilities,
                ReplyPolicy::Logits,
            ] {
                let file = Export {
                    signing: signing.clone(),
                    encrypted,
                    counter: 3,
                    policy,
                }
                .seal(model);
                let identity = identity(&signing);
                let mut machine = Machine::provision(&identity, &file, 3).unwrap();
                let mut client = Client::new(&identity);
                let mut events = Vec::new();
                let mut device = machine.boot(|event| events.push(event));
                let digest = device.model().unwrap().model_digest;
                client.expect_model(digest);
                for message in 1..=3 {
                    let answer = client.infer(&mut device, &features).unwrap();
                    assert_eq!(usize::from(answer.label), argmax(&logits));
                    assert!(answer.computed(&logits) && !answer.computed(&logits[..9]));
                    assert_eq!(
                        answer.logits,
                        (policy == ReplyPolicy::Logits).then(|| logits.clone())
                    );
                    assert_eq!(
                        answer.probabilities.is_some(),
                        policy >= ReplyPolicy::Probabilities
                    );
                    let sum: f32 = answer.probabilities.iter().flatten().sum();
                    assert!(
                        answer.probabilities.is_none() || (sum - 1.0).abs() < 1e-5,
                        "{sum}"
                    );
                    let receipt = answer.receipt;
                    assert_eq!((receipt.boot, receipt.message), (1, message));
                    assert_eq!(receipt.firmware_version, FIRMWARE_VERSION);
                    assert_eq!(receipt.verdict, Verdict::NotEvaluated);
                    assert_eq!(receipt.model_digest, digest);
                    assert_eq!(
                        receipt.device_id.to_bytes(),
                        *b"0001\0\0\0\0\0\0\0\0\0\0\0\0"
                    );
                }
                let status = client.status(&mut device).unwrap();
                assert_eq!((status.boot, status.highest_counter), (1, 3));
                assert_eq!(status.device_id, identity.device.id());
                let serving = status.model.unwrap();
                assert_eq!(
                    (serving.digest, serving.shape.widths()),
                    (digest, [784, 64, 64, 10])
                );
                drop(device);
                assert_eq!(events.len(), 5, "{events:?}");
                assert!(matches!(
                    events[1],
                    Event::Serving {
                        security_counter: 3,
                        ..
                    }
                ));
            }
        }
    }
}

#[test]
fn what_must_not_boot_does_not_and_says_why() {
    let model = network(1);
    let export = Export {
        encrypted: false,
        counter: 5,
        ..Export::default()
    };
    let clear = export.seal(&model);
    let encrypted = Export {
        encrypted: true,
        ..export.clone()
    }
    .seal(&model);
    let identity = identity(&ed25519());
    let error_of = |identity: &_, file: &[u8], min_counter| {
        let mut machine = Machine::provision(identity, file, min_counter).unwrap();
        let error = boot_error(&mut machine, &mut Client::new(identity));
        (error, error.to_string(), error.is_verification())
    };

    let (error, _, verification) = error_of(&identity, &[], 0);
    assert_eq!((error, verification), (BootError::EmptySlot, false));
    for offset in [0, 9, 36, 40, 300, clear.len() - 65, clear.len() - 1] {
        let mut changed = clear.clone();
        changed[offset] ^= 1;
        let (error, _, verification) = error_of(&identity, &changed, 0);
        assert!(
            matches!(error, BootError::Model(_)) && verification,
            "{offset}: {error}"
        );
    }
    let (_, text, _) = error_of(&identity, &clear[..clear.len() - 1], 0);
    // The slot's erased byte takes the place of the signature's last one.
    assert!(text.contains("signature"), "{text}");

    let forged = Export {
        signing: SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[66; 32])),
        ..export.clone()
    };
    let (error, _, _) = error_of(&identity, &forged.seal(&model), 0);
    assert!(
        matches!(error, BootError::Model(ArtefactError::SigningKey { .. })),
        "{error}"
    );
    let other_scheme = Export {
        signing: hmac(),
        ..export.clone()
    };
    let (error, _, _) = error_of(&identity, &other_scheme.seal(&model), 0);
    assert!(
        matches!(
            error,
            BootError::Model(ArtefactError::SchemeMismatch { .. })
        ),
        "{error}"
    );
    let (error, _, _) = error_of(&identity, &clear, 6);
    assert_eq!(
        error,
        BootError::Model(ArtefactError::Rollback {
            found: 5,
            minimum: 6
        })
    );

    // Signed by the publisher, but the golden logits are not what the weights give.
    let golden = clear.len() - 256 - 64 - 32 - 16;
    let mut broken = clear.clone();
    change_and_sign(&mut broken, golden, &ed25519());
    let (error, _, verification) = error_of(&identity, &broken, 0);
    assert_eq!(
        (error, verification),
        (BootError::Model(ArtefactError::Golden { vector: 1 }), true)
    );

    let mut other_key = identity.clone();
    other_key.model = Some(FernetKey::from_bytes([99; 32]));
    let (error, _, _) = error_of(&other_key, &encrypted, 0);
    assert!(
        matches!(error, BootError::Model(ArtefactError::ModelKey { .. })),
        "{error}"
    );
    let mut clear_only = identity.clone();
    clear_only.model = None;
    let (error, _, verification) = error_of(&clear_only, &encrypted, 0);
    assert_eq!((error, verification), (BootError::NoModelKey, false));
    assert!(
        Machine::provision(&clear_only, &clear, 0)
            .unwrap()
            .boot(silent)
            .model()
            .is_ok()
    );
}

#[test]
fn a_model_of_another_shape_is_refused_with_both_shapes_and_the_command() {
    let identity = identity(&ed25519());
    for widths in [[784, 32, 32, 10], [784, 64, 64, 9], [30, 16, 16, 2]] {
        let model = Model::random(widths, Granularity::PerTensor, 1);
        let mut machine =
            Machine::provision(&identity, &Export::default().seal(&model), 0).unwrap();
        let error = boot_error(&mut machine, &mut Client::new(&identity));
        let [a, b, c, d] = widths;
        let expected = format!(
            "the model is {a}-{b}-{c}-{d}, this firmware was built for 784-64-64-10; \
             rebuild it with SEALNET_SHAPE={a}-{b}-{c}-{d} cargo build --release"
        );
        assert_eq!(
            (error.to_string(), error.is_verification()),
            (expected, false)
        );
    }
}

#[test]
fn the_longest_model_fits_slot_and_ram() {
    let network = network(1);
    let long = "n".repeat(100);
    let names: [&str; 10] = std::array::from_fn(|n| if n == 0 { &long[..98] } else { &long });
    let spec = BodySpec {
        network: network.network(),
        logit_scale: 1.0,
        golden_seed: 0,
        golden_count: 16,
        policy: ReplyPolicy::Logits,
        kernel: Kernel::Dense,
        scaling: Some(
            &[ColumnScaling {
                offset: 0.0,
                scale: 1.0,
            }; 784],
        ),
        names: Some(NamesSpec {
            columns: &[],
            classes: &names,
        }),
    };
    assert_eq!(
        names.map(|name| 1 + name.len()).iter().sum::<usize>() + 16,
        NAMES_MAX
    );
    assert_eq!(spec.body_len(), MODEL_RAM_LEN);
    assert!(sealed_len(spec.body_len(), true) <= SLOT_LEN);
    assert_eq!(SLOT_LEN, 65_536);
}

/// A model of the firmware's own shape that carries long names: no tampering, and no other shape helps.
#[test]
fn a_model_with_longer_names_than_fit_is_refused_for_that() {
    let identity = identity(&ed25519());
    let network = network(1);
    let plain = Export::default().seal(&network);
    let plain = Sealed::parse(&plain)
        .unwrap()
        .untrusted_header()
        .plaintext_len as usize;
    // The headers of the section and of the names in it, and the length of each name.
    let just_too_long = MODEL_RAM_LEN + 16 - plain - 16 - 16 - 784;
    for (text, in_ram) in [(just_too_long, true), (just_too_long + 2000, false)] {
        let file = Export::default().with_names(&network, text);
        let header = *Sealed::parse(&file).unwrap().untrusted_header();
        let (what, hint) = provision::obstacle(&header, file.len()).unwrap();
        assert_eq!(hint, ROOM_HINT);
        if in_ram {
            assert!(what.contains("RAM"), "{what}");
            let mut machine = Machine::provision(&identity, &file, 0).unwrap();
            let error = boot_error(&mut machine, &mut Client::new(&identity));
            let needed = header.plaintext_len;
            assert_eq!(
                error,
                BootError::Model(ArtefactError::BufferTooSmall { needed })
            );
            assert_eq!((error.is_verification(), error.hint()), (false, ROOM_HINT));
            let said = error.to_string();
            assert!(
                said.contains(&needed.to_string()) && said.contains(&MODEL_RAM_LEN.to_string()),
                "{said}"
            );
        } else {
            assert!(what.contains("slot"), "{what}");
            let error = Machine::provision(&identity, &file, 0).unwrap_err();
            assert_eq!(error.hint(), ROOM_HINT, "{error}");
        }
    }
    let file = Export::default().seal(&network);
    let header = *Sealed::parse(&file).unwrap().untrusted_header();
    assert_eq!(provision::obstacle(&header, file.len()), None);
    // A larger one fits a device that is built for it, and one that no request or reply fits has none.
    let larger = Model::random([784, 128, 128, 10], Granularity::PerOutput, 1);
    let file = Export::default().seal(&larger);
    let header = *Sealed::parse(&file).unwrap().untrusted_header();
    assert_eq!(provision::obstacle(&header, file.len()), None);
    for widths in [[4097, 1, 1, 2], [1, 1, 1, 257]] {
        let file = Export::default().seal(&Model::random(widths, Granularity::PerOutput, 1));
        let header = *Sealed::parse(&file).unwrap().untrusted_header();
        let (what, _) = provision::obstacle(&header, file.len()).unwrap();
        assert!(what.contains("4096 features and 256 classes"), "{what}");
    }
}

#[test]
fn without_keys_or_counters_the_device_reports_and_stays_alive() {
    let (machine, mut client, _) = machine();
    let cases = [
        (IDENTITY, 0xFF, BootError::Identity(IdentityError::Missing)),
        (
            IDENTITY + 4,
            0x00,
            BootError::Identity(IdentityError::Damaged),
        ),
        (JOURNAL, 0xFF, BootError::Journal(JournalError::NoRecord)),
    ];
    for (offset, fill, expected) in cases {
        let mut bytes = machine.flash().bytes().to_vec();
        bytes[offset..].fill(fill);
        let mut machine = Machine::new(SimFlash::new(bytes));
        assert_eq!(boot_error(&mut machine, &mut client), expected);
    }
}

/// What a confidential model was decrypted into is zeros again whenever no model is served.
#[test]
fn a_refused_model_leaves_nothing_in_ram() {
    let identity = identity(&ed25519());
    let model = network(1);
    let export = Export::default();
    let wiped = |machine: &Machine| machine.model_ram().iter().all(|byte| *byte == 0);
    let refuse = |machine: &mut Machine| {
        let error = boot_error(machine, &mut Client::new(&identity));
        assert!(wiped(machine), "{error}");
        error
    };
    let provision = |file: &[u8]| Machine::provision(&identity, file, 0).unwrap();

    // Refused by the golden vectors, and by a section's padding: after decryption.
    let file = export.seal(&model);
    let golden = Export {
        encrypted: false,
        ..export.clone()
    }
    .seal(&model)
    .len()
        - 256
        - 64
        - 32
        - 16;
    for (offset, fits) in [
        (
            golden,
            (|e| matches!(e, ArtefactError::Golden { .. })) as fn(_) -> _,
        ),
        (8, |e| matches!(e, ArtefactError::Section { .. })),
    ] {
        let mut changed = file.clone();
        change_and_sign(&mut changed, offset, &export.signing);
        let error = refuse(&mut provision(&changed));
        assert!(
            matches!(error, BootError::Model(e) if fits(e)),
            "{offset}: {error}"
        );
    }
    // Of another shape.
    let other = Model::random([784, 32, 32, 10], Granularity::PerOutput, 1);
    refuse(&mut provision(&export.seal(&other)));
    // Accepted, but its security counter cannot be stored.
    let mut machine = provision(&file);
    let operation = machine.flash().operations() + 4;
    let kind = FaultKind::Dies;
    machine.flash_mut().inject(Some(Fault { operation, kind }));
    assert_eq!(
        refuse(&mut machine),
        BootError::Journal(JournalError::Flash)
    );

    // Served, and there it lies; then a reset at which the device cannot count its boot.
    // It is wiped with the device, but no reset comes so far.
    let mut machine = provision(&file);
    machine.boot(silent).model().unwrap();
    assert!(wiped(&machine));
    let device = machine.boot(silent);
    device.model().unwrap();
    mem::forget(device);
    assert!(!wiped(&machine));
    let operation = machine.flash().operations();
    machine.flash_mut().inject(Some(Fault { operation, kind }));
    assert_eq!(
        refuse(&mut machine),
        BootError::Journal(JournalError::Flash)
    );
}

/// Flash of any contents: the device may refuse, it does not panic, and it answers a status query.
#[test]
fn hostile_flash_images_are_survived() {
    let (machine, mut client, _) = machine();
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut served = 0;
    for round in 0..300 {
        let mut bytes = machine.flash().bytes().to_vec();
        let mut below = |n: usize| rng.next_u32() as usize % n;
        for _ in 0..=below(3) {
            // The pages that hold structure, and anywhere.
            let (start, len) =
                [(0, 512), (IDENTITY, 280), (JOURNAL, 128), (0, FLASH_LEN)][below(4)];
            let at = start + below(len);
            let value = below(256) as u8;
            let end = (at + 1 + below(40) * (round % 2)).min(FLASH_LEN);
            bytes[at..end].fill(value);
        }
        let mut machine = Machine::new(SimFlash::new(bytes));
        let mut device = machine.boot(silent);
        served += u32::from(device.model().is_ok());
        client.status(&mut device).unwrap();
    }
    assert!((1..200).contains(&served), "{served} models served");
}

#[test]
fn an_older_model_boots_no_more_once_a_newer_one_has() {
    let (machine, mut client, model) = machine();
    let file = |counter| {
        Export {
            counter,
            ..Export::default()
        }
        .seal(&model)
    };
    let mut machine = with_model(&machine, &file(7));
    assert!(machine.boot(silent).model().is_ok());
    for counter in [1, 6] {
        let error = boot_error(&mut with_model(&machine, &file(counter)), &mut client);
        assert_eq!(
            error,
            BootError::Model(ArtefactError::Rollback {
                found: counter,
                minimum: 7
            })
        );
    }
    for counter in [7, 8] {
        assert!(
            with_model(&machine, &file(counter))
                .boot(silent)
                .model()
                .is_ok()
        );
    }
    // A newer model that fails its golden vectors raises nothing.
    let mut broken = Export {
        counter: 9,
        encrypted: false,
        ..Export::default()
    }
    .seal(&model);
    let golden = broken.len() - 256 - 64 - 32 - 16;
    change_and_sign(&mut broken, golden, &ed25519());
    let mut machine = with_model(&machine, &broken);
    boot_error(&mut machine, &mut client);
    assert!(with_model(&machine, &file(7)).boot(silent).model().is_ok());
}
