//! A model that stays encrypted answers as one in memory, bit for bit: over shapes that fill no piece and no
//! block, with every section there may be.

mod model_fixture;

use model_fixture::{Model, quantisations, random_bytes};
use sealnet_core::artefact::{
    ArtefactError, BodySpec, Claims, ColumnScaling, Encryption, Name, NamesSpec, Provenance,
    ReplyPolicy, Sealed, seal, sealed_len, write_body,
};
use sealnet_core::fernet::{FernetKey, Iv};
use sealnet_core::mlp::{Granularity, Kernel};
use sealnet_core::sign::{HmacKey, SigningKey};

fn signing_key() -> SigningKey {
    SigningKey::Hmac(HmacKey::from_bytes([1; 64]))
}

fn model_key() -> FernetKey {
    FernetKey::from_bytes([2; 32])
}

/// A sealed, encrypted model with what a device does not use, or without.
fn sealed(model: &Model, beside: bool) -> Vec<u8> {
    let network = model.network();
    let [input, .., output] = network.shape().widths().map(usize::from);
    let scaling: Vec<ColumnScaling> = (0..input)
        .map(|column| ColumnScaling {
            offset: -1.5,
            scale: column as f32,
        })
        .collect();
    let names: Vec<String> = (0..output).map(|n| "ü".repeat(1 + n % 127)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let spec = BodySpec {
        network,
        logit_scale: 0.5,
        golden_seed: 3,
        golden_count: 3,
        policy: ReplyPolicy::Probabilities,
        kernel: Kernel::Dense,
        scaling: beside.then_some(scaling.as_slice()),
        names: beside.then_some(NamesSpec {
            columns: &[],
            classes: &names,
        }),
    };
    let mut body = vec![0; spec.body_len()];
    let mut scratch = vec![0; network.shape().golden_scratch_len()];
    let mut logits = vec![0; output];
    let body = write_body(&mut body, &spec, &mut scratch, &mut logits).unwrap();
    let claims = Claims {
        security_counter: 1,
        provenance: Provenance::Unverified,
        created: 0,
        name: Name::new("streamed").unwrap(),
    };
    let encryption = Encryption {
        key: &model_key(),
        iv: Iv::from_bytes([3; 16]),
        time: 0,
    };
    let mut file = vec![0; sealed_len(spec.body_len(), true)];
    seal(&claims, body, &signing_key(), Some(encryption), &mut file).unwrap();
    file
}

fn agree<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>() {
    for quantisation in quantisations() {
        for beside in [false, true] {
            let model = Model::random_of([IN, H1, H2, OUT], quantisation, (IN * OUT) as u64);
            let file = sealed(&model, beside);
            let trusted = signing_key().trusted();
            let verified = || Sealed::parse(&file).unwrap().verify(&trusted, 0).unwrap();
            let mut buffer = vec![0; file.len()];
            let in_ram = verified().open(&model_key(), &mut buffer).unwrap();
            let in_ram = in_ram.load::<IN, H1, H2, OUT>().unwrap();
            let streamed = verified().open_streamed(&model_key()).unwrap();
            let streamed = streamed.load::<IN, H1, H2, OUT>().unwrap();

            assert_eq!(streamed.header().shape, in_ram.header().shape);
            assert_eq!(streamed.header().quantisation, quantisation);
            assert_eq!(streamed.model_digest(), in_ram.model_digest());
            assert_eq!(streamed.policy(), in_ram.policy());
            assert_eq!(streamed.logit_scale(), in_ram.logit_scale());
            let mut inputs = vec![[0; IN], [255; IN]];
            inputs
                .extend((0..20).map(|seed| <[u8; IN]>::try_from(random_bytes(IN, seed)).unwrap()));
            for features in inputs {
                let logits = streamed.logits(&features);
                assert_eq!(logits, in_ram.logits(&features));
                assert_eq!(logits.as_slice(), model.oracle(&features));
            }
        }
    }
}

#[test]
fn streamed_and_in_ram_agree_on_every_shape() {
    agree::<1, 1, 1, 1>();
    agree::<2, 3, 5, 7>();
    agree::<15, 16, 17, 1>();
    agree::<16, 16, 16, 16>();
    agree::<31, 33, 1, 65>();
    // Around one and two tiles of 64 outputs, and odd widths.
    agree::<63, 64, 65, 63>();
    agree::<127, 128, 129, 10>();
    agree::<129, 127, 256, 2>();
    agree::<255, 257, 128, 257>();
    agree::<784, 64, 64, 10>();
    agree::<4096, 1, 2, 3>();
}

#[test]
fn a_streamed_model_is_opened_with_its_own_key_and_shape_alone() {
    let model = Model::random([7, 6, 5, 4], Granularity::PerOutput, 1);
    let file = sealed(&model, true);
    let trusted = signing_key().trusted();
    let verified = || Sealed::parse(&file).unwrap().verify(&trusted, 0).unwrap();
    let (given, found) = (FernetKey::from_bytes([9; 32]), model_key().key_id());
    assert_eq!(
        verified().open_streamed(&given).unwrap_err(),
        ArtefactError::ModelKey {
            given: given.key_id(),
            found
        }
    );
    let opened = verified().open_streamed(&model_key()).unwrap();
    assert_eq!(opened.header().plaintext_len % 16, 0);
    assert!(!format!("{opened:?}").contains("token"));
    let error = opened.load::<7, 6, 4, 5>().unwrap_err();
    assert!(matches!(error, ArtefactError::Dimensions { .. }), "{error}");
}

/// What was decrypted lives as long as the model that uses it.
#[test]
fn a_decrypted_body_is_wiped_with_its_model() {
    let model = Model::random([7, 6, 5, 4], Granularity::PerTensor, 1);
    let file = sealed(&model, true);
    let mut ram = vec![0; file.len()];
    for (loads, widths) in [(true, 4), (false, 3)] {
        let verified = Sealed::parse(&file)
            .unwrap()
            .verify(&signing_key().trusted(), 0)
            .unwrap();
        let opened = verified.open(&model_key(), &mut ram).unwrap();
        let loaded = match widths {
            4 => opened.load::<7, 6, 5, 4>().map(drop),
            _ => opened.load::<7, 6, 5, 3>().map(drop),
        };
        assert_eq!(loaded.is_ok(), loads);
        assert!(ram.iter().all(|byte| *byte == 0));
    }
}
