//! The same device as a Cortex-M image in QEMU.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sealnet_core::fernet::decrypt_in_place;
use sealnet_core::mlp::{Granularity, Quantisation, WeightType};
use sealnet_core::protocol::RefusalCode;
use sealnet_firmware::client::{Client, ClientError};
use sealnet_firmware::journal::Counters;
use sealnet_firmware::provision::flash_image;
use sealnet_firmware::qemu::{Board, Image, Machine, Mode, build_telling};
use sealnet_firmware::sim::flash::SimFlash;

use super::support::*;
use crate::model_fixture::{Model, random_bytes};

/// No test waits for long: a device that does not answer within this is stuck.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a device logs, line by line.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Its lines, once one has this in it: they come by another way than answers, and later at times.
    fn lines_with(&self, part: &str) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let lines = self.0.lock().unwrap().clone();
            if lines.iter().any(|line| line.contains(part)) || Instant::now() > deadline {
                return lines;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn image(board: Board, mode: Mode) -> Image {
    image_for(board, mode, WeightType::Int8)
}

fn image_for(board: Board, mode: Mode, weights: WeightType) -> Image {
    build_telling(board, mode, weights, &|line| eprintln!("{line}"))
        .unwrap_or_else(|error| panic!("{error}\n{}", error.hint()))
}

fn power_on(image: &Image, flash: &[u8]) -> (Machine, Log) {
    let log = Log::default();
    let lines = log.clone();
    let machine = Machine::power_on(image, flash, TIMEOUT, move |line| {
        lines.0.lock().unwrap().push(line.to_owned());
    });
    (
        machine.unwrap_or_else(|error| panic!("{error}\n{}", error.hint())),
        log,
    )
}

fn flash(export: &Export, seed: u64) -> SimFlash {
    let model = export.seal(&network(seed));
    flash_image(&identity(&ed25519()), &model, Counters::default()).unwrap()
}

/// Boots, answers, is reset, answers again.
fn answers_with_the_hosts_logits(board: Board, mode: Mode) {
    answers_as(&network(1), board, mode);
}

fn answers_as(model: &Model, board: Board, mode: Mode) {
    let export = Export {
        encrypted: mode != Mode::Clear,
        ..Export::default()
    };
    let image = image_for(board, mode, model.network().quantisation().weights);
    let file = export.seal(model);
    let flash = flash_image(&identity(&ed25519()), &file, Counters::default()).unwrap();
    let (mut machine, log) = power_on(&image, flash.bytes());
    let mut client = Client::new(&identity(&ed25519()));
    for boot in 1..=2 {
        for seed in 0..20 {
            let features = random_bytes(784, 100 * u64::from(boot) + seed);
            let answer = client.infer(&mut machine, &features).unwrap();
            assert_eq!(
                answer.logits.as_deref(),
                Some(model.logits(&features).as_slice())
            );
            assert_eq!(
                (answer.receipt.boot, answer.receipt.message),
                (boot, seed + 1)
            );
        }
        machine.reset().unwrap();
        client.status(&mut machine).unwrap();
    }
    let lines = log.lines_with("Booting { boot: 2 }");
    let key = ed25519().key_id();
    assert_eq!(
        lines[..4],
        [
            "info  Booting { boot: 1 }".to_owned(),
            "info  SecurityRaised { to: 1 }".into(),
            format!("info  Serving {{ signed_by: {key}, security_counter: 1 }}"),
            "info  Answered { message: 1 }".into(),
        ]
    );
    assert!(
        lines.contains(&"info  Booting { boot: 2 }".into()),
        "{lines:?}"
    );
}

#[test]
fn a_cortex_m4_answers_from_a_clear_model() {
    answers_with_the_hosts_logits(Board::CortexM4, Mode::Clear);
}

/// Rows whose sums must be taken apart on the way, as above, and factors that are not each output's own.
#[test]
fn a_cortex_m4_answers_from_a_model_with_one_factor_a_layer() {
    let model = Model::random([784, 64, 64, 10], Granularity::PerTensor, 5);
    answers_as(&model, Board::CortexM4, Mode::Clear);
}

#[test]
fn a_cortex_m4_answers_from_an_int4_model() {
    answers_as(&int4_network(1), Board::CortexM4, Mode::Clear);
}

#[test]
fn a_cortex_m4_answers_from_an_int4_model_with_one_factor_a_layer() {
    let quantisation = Quantisation {
        granularity: Granularity::PerTensor,
        ..INT4
    };
    let model = Model::random_of(WIDTHS, quantisation, 5);
    answers_as(&model, Board::CortexM4, Mode::Clear);
}

#[test]
fn a_cortex_m4_answers_from_an_encrypted_int4_model() {
    answers_as(&int4_network(1), Board::CortexM4, Mode::Confidential);
}

#[test]
fn a_cortex_m4_answers_from_an_int4_model_that_stays_encrypted() {
    answers_as(&int4_network(1), Board::CortexM4, Mode::Streamed);
}

#[test]
fn a_cortex_m3_answers_from_an_int4_model() {
    answers_as(&int4_network(1), Board::CortexM3, Mode::Clear);
}

#[test]
fn a_cortex_m33_answers_from_an_int4_model() {
    answers_as(&int4_network(1), Board::CortexM33, Mode::Clear);
}

#[test]
fn a_cortex_m4_answers_from_an_encrypted_model() {
    answers_with_the_hosts_logits(Board::CortexM4, Mode::Confidential);
}

#[test]
fn a_cortex_m4_answers_from_a_model_that_stays_encrypted() {
    answers_with_the_hosts_logits(Board::CortexM4, Mode::Streamed);
}

#[test]
fn a_cortex_m3_answers() {
    answers_with_the_hosts_logits(Board::CortexM3, Mode::Clear);
}

#[test]
fn a_cortex_m33_answers() {
    answers_with_the_hosts_logits(Board::CortexM33, Mode::Clear);
}

/// Into the one slot and back into the other: the board resets itself after each upload.
#[test]
fn a_cortex_m4_is_updated_over_its_wire() {
    let image = image(Board::CortexM4, Mode::Clear);
    let export = |counter| Export {
        encrypted: false,
        counter,
        ..Export::default()
    };
    let (mut machine, log) = power_on(&image, flash(&export(1), 1).bytes());
    let mut client = Client::new(&identity(&ed25519()));
    for counter in 2..=3 {
        let model = network(u64::from(counter));
        let file = export(counter).seal(&model);
        client.update(&mut machine, &file, |_| {}).unwrap();
        client.updated(&mut machine, &file).unwrap();
        let features = random_bytes(784, 9);
        let answer = client.infer(&mut machine, &features).unwrap();
        assert!(answer.computed(&model.logits(&features)));
        assert_eq!(answer.receipt.boot, counter);
    }
    let mut forged = export(4).seal(&network(4));
    forged[1000] ^= 1;
    client.update(&mut machine, &forged, |_| {}).unwrap_err();
    let older = export(2).seal(&network(2));
    client.update(&mut machine, &older, |_| {}).unwrap_err();
    machine.reset().unwrap();
    client
        .updated(&mut machine, &export(3).seal(&network(3)))
        .unwrap();
    for slot in ["A", "B"] {
        let confirmed = format!("info  Confirmed {{ slot: {slot} }}");
        let lines = log.lines_with(&confirmed);
        assert!(lines.contains(&confirmed), "{lines:?}");
    }
}

/// A model with weights that the image was not built for: it is no forgery, it does not fit; and the old one is served on.
#[test]
fn an_image_takes_no_model_with_other_weights_than_its_own() {
    let export = |counter| Export {
        encrypted: false,
        counter,
        ..Export::default()
    };
    let [int8, int4] = [network(1), int4_network(1)];
    for (own, other, weights, number) in [
        (&int8, &int4, WeightType::Int8, 2),
        (&int4, &int8, WeightType::Int4, 1),
    ] {
        let image = image_for(Board::CortexM4, Mode::Clear, weights);
        let provisioned = |model: &Model| {
            let file = export(1).seal(model);
            flash_image(&identity(&ed25519()), &file, Counters::default()).unwrap()
        };
        let (mut machine, log) = power_on(&image, provisioned(own).bytes());
        let mut client = Client::new(&identity(&ed25519()));
        let refused = client.update(&mut machine, &export(2).seal(other), |_| {});
        assert!(
            matches!(&refused, Err(ClientError::Refused(refusal)) if refusal.code == RefusalCode::ModelUnfit),
            "{refused:?}"
        );
        let reason = format!("UnsupportedWeightType({number})");
        let lines = log.lines_with(&reason);
        assert!(lines.iter().any(|line| line.contains(&reason)), "{lines:?}");
        for boot in 1..=2 {
            let features = random_bytes(784, 9);
            let answer = client.infer(&mut machine, &features).unwrap();
            assert_eq!(answer.logits, Some(own.oracle(&features)));
            assert_eq!(answer.receipt.boot, boot);
            machine.reset().unwrap();
            client.status(&mut machine).unwrap();
        }

        // Nor does it boot one that lies in its flash.
        let (mut machine, log) = power_on(&image, provisioned(other).bytes());
        let mut client = Client::new(&identity(&ed25519()));
        let status = client.status(&mut machine).unwrap();
        assert_eq!(status.model, None);
        let said = format!("warn  NoModel(Model({reason}))");
        let lines = log.lines_with(&said);
        assert!(lines.contains(&said), "{lines:?}");
    }
}

#[test]
fn a_forged_model_is_refused_and_the_device_says_so() {
    let mut forged = Export {
        encrypted: false,
        ..Export::default()
    }
    .seal(&network(1));
    forged[1000] ^= 1;
    let flash = flash_image(&identity(&ed25519()), &forged, Counters::default()).unwrap();
    let (mut machine, log) = power_on(&image(Board::CortexM4, Mode::Clear), flash.bytes());
    let status = Client::new(&identity(&ed25519()))
        .status(&mut machine)
        .unwrap();
    assert_eq!(status.model, None);
    let lines = log.lines_with("NoModel(");
    assert!(
        lines.contains(&"warn  NoModel(Model(Signature))".into()),
        "{lines:?}"
    );
}

/// Blocks of `secret` that lie anywhere in the board's RAM. What could lie there by chance is no block.
fn blocks_in_ram(machine: &mut Machine, secret: &[u8]) -> usize {
    let ram = machine.memory(Board::CortexM4.ram()).unwrap();
    let ram: HashSet<&[u8]> = ram.windows(16).collect();
    let blocks = secret.as_chunks::<16>().0.iter();
    blocks
        .filter(|block| block.iter().collect::<HashSet<_>>().len() > 8)
        .filter(|block| ram.contains(block.as_slice()))
        .count()
}

/// Once it is answered, a request's features are nowhere in RAM; of a body that stays encrypted no block ever was
/// left there. A body that is decrypted into RAM is what shows that blocks are found.
#[test]
fn features_and_streamed_weights_are_wiped() {
    let file = Export::default().seal(&network(1));
    let mut token = file[256..file.len() - 64].to_vec();
    let body = decrypt_in_place(&model_key(), &mut token, None).unwrap();
    let body = body.into_plaintext();
    for mode in [Mode::Confidential, Mode::Streamed] {
        let image = image(Board::CortexM4, mode);
        let (mut machine, _) = power_on(&image, flash(&Export::default(), 1).bytes());
        let mut client = Client::new(&identity(&ed25519()));
        let features = random_bytes(784, 5);
        client.infer(&mut machine, &features).unwrap();
        let [left, kept] = [&features, &*body].map(|secret| blocks_in_ram(&mut machine, secret));
        assert_eq!(left, 0, "of the features, {mode:?}");
        let expected = match mode {
            Mode::Confidential => 3000..=body.len() / 16,
            _ => 0..=0,
        };
        assert!(expected.contains(&kept), "{kept} of the body, {mode:?}");
    }
}
