//! A board without RAM for a model: an encrypted one stays encrypted in flash, and the device answers as any.

use sealnet::dataset::{fetch, idx};
use sealnet::progress::Silent;
use sealnet_core::artefact::ArtefactError;
use sealnet_core::fernet::FernetKey;
use sealnet_core::mlp::{Granularity, argmax};
use sealnet_core::protocol::{Kind, RefusalCode};
use sealnet_firmware::client::{Client, ClientError, Link};
use sealnet_firmware::device::BootError;
use sealnet_firmware::env::Event;
use sealnet_firmware::journal::JournalError;
use sealnet_firmware::layout::MODEL_RAM_LEN;
use sealnet_firmware::sim::Machine;
use sealnet_firmware::sim::flash::{Fault, FaultKind};

use super::support::*;
use crate::model_fixture::{Model, quantisations, random_bytes};

#[test]
fn it_boots_and_answers_with_the_hosts_logits_and_receipts() {
    for quantisation in quantisations() {
        for encrypted in [true, false] {
            for signing in [ed25519(), hmac()] {
                let model = Model::random_of(WIDTHS, quantisation, 4);
                let export = Export {
                    signing: signing.clone(),
                    encrypted,
                    counter: 3,
                    ..Export::default()
                };
                let identity = identity(&signing);
                let machine = Machine::provision(&identity, &export.seal(&model), 0).unwrap();
                let mut machine = machine.streamed();
                assert!(machine.model_ram().is_empty());
                let mut client = Client::new(&identity);
                for boot in 1..=2 {
                    let mut events = Vec::new();
                    let mut device = machine.boot(|event| events.push(event));
                    client.expect_model(device.model().unwrap().model_digest);
                    // After a reset the device has passed over counters: the client asks.
                    client.status(&mut device).unwrap();
                    for seed in 0..5 {
                        let features = random_bytes(784, seed);
                        let logits = model.oracle(&features);
                        let answer = client.infer(&mut device, &features).unwrap();
                        assert_eq!(usize::from(answer.label), argmax(&logits));
                        assert_eq!(answer.logits.as_ref(), Some(&logits));
                        assert!(answer.computed(&logits));
                        assert_eq!(
                            (answer.receipt.boot, answer.receipt.message),
                            (boot, seed + 1)
                        );
                    }
                    drop(device);
                    // The counter rises once, when the first boot has proved all.
                    let raised = events.contains(&Event::SecurityRaised { to: 3 });
                    assert_eq!(raised, boot == 1, "{events:?}");
                }
            }
        }
    }
}

/// Word for word: the same status, refusals and answers as from a device that has RAM.
#[test]
fn nobody_can_tell_from_the_wire() {
    let (machine, _, _) = machine();
    let mut in_ram = with_model(&machine, &Export::default().seal(&network(1)));
    let mut streamed = with_model(&machine, &Export::default().seal(&network(1))).streamed();
    let mut client = client_of_0001(&machine);
    let request = client.seal(&random_bytes(784, 1)).unwrap().frame;
    let queries = [
        request.clone(),
        request, // a replay
        frame(Kind::StatusQuery, &[]),
        frame(Kind::Request, &[0; 100]),
        vec![1, 2, 3, 0],
    ];
    let (mut one, mut other) = (in_ram.boot(silent), streamed.boot(silent));
    for query in queries {
        let answer = one.exchange(&query).unwrap();
        assert!(!answer.is_empty());
        assert_eq!(answer, other.exchange(&query).unwrap());
    }
}

#[test]
fn what_must_not_boot_does_not_and_says_why() {
    let model = network(1);
    let identity = identity(&ed25519());
    let export = Export::default();
    let file = export.seal(&model);
    let error_of = |identity: &_, file: &[u8], min_counter| {
        let machine = Machine::provision(identity, file, min_counter).unwrap();
        boot_error(&mut machine.streamed(), &mut Client::new(identity))
    };

    let mut clear_only = identity.clone();
    clear_only.model = None;
    let error = error_of(&clear_only, &file, 0);
    assert_eq!(
        (error, error.is_verification()),
        (BootError::NoModelKey, false)
    );
    let mut other_key = identity.clone();
    other_key.model = Some(FernetKey::from_bytes([99; 32]));
    let error = error_of(&other_key, &file, 0);
    assert!(
        matches!(error, BootError::Model(ArtefactError::ModelKey { .. })),
        "{error}"
    );
    let rollback = ArtefactError::Rollback {
        found: 1,
        minimum: 2,
    };
    assert_eq!(error_of(&identity, &file, 2), BootError::Model(rollback));
    for offset in [300, 30_000, file.len() - 65, file.len() - 1] {
        let mut changed = file.clone();
        changed[offset] ^= 1;
        let error = error_of(&identity, &changed, 0);
        assert_eq!(error, BootError::Model(ArtefactError::Signature));
    }
    // By the publisher's hand: a golden logit, and a section.
    let clear = Export {
        encrypted: false,
        ..export.clone()
    };
    let golden = clear.seal(&model).len() - 256 - 64 - 32 - 16;
    for (offset, fits) in [
        (
            golden,
            (|e| matches!(e, ArtefactError::Golden { vector: 1 })) as fn(_) -> _,
        ),
        (8, |e| matches!(e, ArtefactError::Section { .. })),
    ] {
        let mut changed = file.clone();
        change_and_sign(&mut changed, offset, &export.signing);
        let error = error_of(&identity, &changed, 0);
        assert!(matches!(error, BootError::Model(e) if fits(e)), "{error}");
    }
    let other = Model::random([784, 32, 32, 10], Granularity::PerOutput, 1);
    let error = error_of(&identity, &export.seal(&other), 0);
    assert!(
        matches!(error, BootError::Model(ArtefactError::Dimensions { .. })),
        "{error}"
    );
    // Accepted, but its security counter cannot be stored.
    let mut machine = Machine::provision(&identity, &file, 0).unwrap().streamed();
    let operation = machine.flash().operations() + 4;
    let kind = FaultKind::Dies;
    machine.flash_mut().inject(Some(Fault { operation, kind }));
    assert_eq!(
        boot_error(&mut machine, &mut Client::new(&identity)),
        BootError::Journal(JournalError::Flash)
    );
}

/// There is no RAM that it could not fit.
#[test]
fn a_body_longer_than_model_ram_is_streamed() {
    let identity = identity(&ed25519());
    let network = network(1);
    let plain = Export {
        encrypted: false,
        ..Export::default()
    };
    let plain = plain.seal(&network).len() - 256 - 64;
    // The headers of the section and of the names in it, and the length of each name.
    let file = Export::default().with_names(&network, MODEL_RAM_LEN + 16 - plain - 16 - 16 - 784);
    let machine = || Machine::provision(&identity, &file, 0).unwrap();
    let error = boot_error(&mut machine(), &mut Client::new(&identity));
    assert!(
        matches!(
            error,
            BootError::Model(ArtefactError::BufferTooSmall { needed }) if needed as usize > MODEL_RAM_LEN
        ),
        "{error}"
    );
    assert!(machine().streamed().boot(silent).model().is_ok());

    // The same when it comes over the wire, into the spare slot.
    let newer = Export {
        counter: 2,
        ..Export::default()
    };
    let newer = newer.with_names(&network, MODEL_RAM_LEN + 16 - plain - 16 - 16 - 784);
    let old = || Machine::provision(&identity, &Export::default().seal(&network), 0).unwrap();
    let mut client = Client::new(&identity);
    let refused = old().update(&mut client, &newer, silent, |_| ());
    assert!(
        matches!(&refused, Err(ClientError::Refused(refusal)) if refusal.code == RefusalCode::ModelUnfit),
        "{refused:?}"
    );
    let mut machine = old().streamed();
    let mut client = Client::new(&identity);
    machine.update(&mut client, &newer, silent, |_| ()).unwrap();
    let features = random_bytes(784, 8);
    let mut device = machine.boot(silent);
    client.status(&mut device).unwrap();
    let answer = client.infer(&mut device, &features).unwrap();
    assert_eq!(answer.logits, Some(network.oracle(&features)));
}

/// MNIST's first test images through sealed requests: every logit is the host's.
#[test]
fn a_thousand_images_have_the_hosts_logits() {
    let folder = fetch::mnist(None, None, &Silent).expect("MNIST is cached or can be fetched");
    let data = idx::read_mnist(&folder.folder).unwrap();
    let model = network(1);
    let identity = identity(&ed25519());
    let file = Export::default().seal(&model);
    let mut machine = Machine::provision(&identity, &file, 0).unwrap().streamed();
    let mut device = machine.boot(silent);
    let mut client = Client::new(&identity);
    let start = data.part("test").unwrap().range().start;
    let images = data.features.chunks_exact(784).skip(start).take(1000);
    assert_eq!(images.len(), 1000);
    for (at, image) in images.enumerate() {
        let answer = client.infer(&mut device, image).unwrap();
        assert_eq!(answer.logits, Some(model.logits(image)), "image {at}");
    }
}
