//! Sealed models to attack: both schemes, both encodings. Offsets are written out from the format's
//! tables, not taken from the code under test.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part

pub mod layout;

use sealnet_core::artefact::{
    ArtefactError, Body, BodySpec, Claims, ColumnScaling, Encryption, Name, NamesSpec, Provenance,
    ReplyPolicy, Sealed, seal, sealed_len, write_body,
};
use sealnet_core::fernet::{self, FernetKey, Iv};
use sealnet_core::mlp::{Granularity, Kernel, Quantisation, WeightType};
use sealnet_core::sign::{Domain, Ed25519SigningKey, HmacKey, SigningKey, sha512};

use crate::model_fixture::Model;

/// Small enough to change every bit, odd enough to need padding everywhere. Hidden width 1 is a
/// power of two, so that one flipped bit makes it zero.
pub const WIDTHS: [usize; 4] = [19, 8, 7, 5];
pub const COUNTER: u32 = 41;
pub const CREATED: u64 = 1_700_000_000;
pub const GOLDEN_SEED: u64 = 0x0123_4567_89AB_CDEF;
/// 3 vectors of 5 logits are 60 bytes: padding.
pub const GOLDEN_COUNT: u16 = 3;
pub const LOGIT_SCALE: f32 = 0.03125;
pub const RECEIPT: [u8; 64] = [0xC3; 64];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Hmac,
    Ed25519,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    pub scheme: Scheme,
    pub encrypted: bool,
    pub weights: WeightType,
}

impl Case {
    const fn new(scheme: Scheme, encrypted: bool, weights: WeightType) -> Self {
        Self {
            scheme,
            encrypted,
            weights,
        }
    }

    /// The type of the section that such layers are in, by the format's table.
    pub fn layers(self) -> u16 {
        layers_section(self.weights)
    }
}

pub const CASES: [Case; 8] = [
    Case::new(Scheme::Hmac, false, WeightType::Int8),
    Case::new(Scheme::Hmac, true, WeightType::Int8),
    Case::new(Scheme::Ed25519, false, WeightType::Int8),
    Case::new(Scheme::Ed25519, true, WeightType::Int8),
    Case::new(Scheme::Hmac, false, WeightType::Int4),
    Case::new(Scheme::Hmac, true, WeightType::Int4),
    Case::new(Scheme::Ed25519, false, WeightType::Int4),
    Case::new(Scheme::Ed25519, true, WeightType::Int4),
];

/// Those of models with such weights.
pub fn cases(weights: WeightType) -> impl Iterator<Item = Case> {
    CASES
        .into_iter()
        .filter(move |case| case.weights == weights)
}

pub fn layers_section(weights: WeightType) -> u16 {
    match weights {
        WeightType::Int4 => 2,
        _ => 1,
    }
}

pub fn signing_key(scheme: Scheme) -> SigningKey {
    match scheme {
        Scheme::Hmac => SigningKey::Hmac(HmacKey::from_bytes([0x11; 64])),
        Scheme::Ed25519 => SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[0x22; 32])),
    }
}

pub fn model_key() -> FernetKey {
    FernetKey::from_bytes([0x33; 32])
}

pub fn model(weights: WeightType) -> Model {
    let quantisation = Quantisation {
        weights,
        granularity: Granularity::PerOutput,
    };
    Model::random_of(WIDTHS, quantisation, 5)
}

pub fn scaling() -> Vec<ColumnScaling> {
    let column = |i: usize| ColumnScaling {
        offset: -(i as f32),
        scale: 0.5,
    };
    (0..WIDTHS[0]).map(column).collect()
}

/// A name for each column and each class, of many lengths, the longest among them.
pub fn names() -> (Vec<String>, Vec<String>) {
    let columns = (0..WIDTHS[0]).map(|n| "c".repeat(n + 1)).collect();
    let mut classes: Vec<String> = (0..WIDTHS[3]).map(|n| format!("Klasse „{n}“")).collect();
    classes[1] = "ä".repeat(127) + "!";
    (columns, classes)
}

pub fn plaintext(model: &Model) -> Vec<u8> {
    body(model, &mut Vec::new()).bytes().to_vec()
}

fn body<'b>(model: &Model, out: &'b mut Vec<u8>) -> Body<'b> {
    let columns = scaling();
    let (column_names, class_names) = names();
    let column_names: Vec<&str> = column_names.iter().map(String::as_str).collect();
    let class_names: Vec<&str> = class_names.iter().map(String::as_str).collect();
    let network = model.network();
    let spec = BodySpec {
        network,
        logit_scale: LOGIT_SCALE,
        golden_seed: GOLDEN_SEED,
        golden_count: GOLDEN_COUNT,
        policy: ReplyPolicy::Logits,
        kernel: Kernel::Dense,
        scaling: Some(&columns),
        names: Some(NamesSpec {
            columns: &column_names,
            classes: &class_names,
        }),
    };
    // Whatever lay in the buffer before must not show.
    out.resize(spec.body_len(), 0xEE);
    let mut scratch = vec![0; network.shape().golden_scratch_len()];
    let mut logits = vec![0; usize::from(network.shape().output())];
    write_body(out, &spec, &mut scratch, &mut logits).unwrap()
}

/// A sealed model as the exporter makes it.
pub fn artefact(case: Case) -> Vec<u8> {
    let mut buffer = Vec::new();
    let body = body(&model(case.weights), &mut buffer);
    let claims = Claims {
        security_counter: COUNTER,
        provenance: Provenance::SealedData(RECEIPT),
        created: CREATED,
        name: Name::new("a small model").unwrap(),
    };
    let key = model_key();
    let encryption = case.encrypted.then(|| Encryption {
        key: &key,
        iv: Iv::from_bytes([0x44; 16]),
        time: CREATED,
    });
    let mut out = vec![0xEE; sealed_len(body.bytes().len(), case.encrypted)];
    let written = seal(
        &claims,
        body,
        &signing_key(case.scheme),
        encryption,
        &mut out,
    )
    .unwrap();
    assert_eq!(written, out.len());
    out
}

/// Signs a changed file again with the publisher's key: what is refused now is refused by its content.
pub fn sign_again(case: Case, file: &mut [u8]) {
    let (signed, signature) = file.split_last_chunk_mut::<64>().unwrap();
    *signature = signing_key(case.scheme)
        .sign(Domain::Model, &[signed])
        .to_bytes();
}

/// An artefact with this plaintext body, correct in its lengths, digest, encryption and signature.
pub fn with_body(case: Case, body: &[u8]) -> Vec<u8> {
    let stored = if case.encrypted {
        let mut token = vec![0; fernet::binary_len(body.len())];
        fernet::encrypt(
            &model_key(),
            CREATED,
            Iv::from_bytes([0x55; 16]),
            body,
            &mut token,
        )
        .unwrap();
        token
    } else {
        body.to_vec()
    };
    let mut file = artefact(case)[..256].to_vec();
    file[52..56].copy_from_slice(&u32::try_from(stored.len()).unwrap().to_le_bytes());
    file[56..60].copy_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
    file[64..128].copy_from_slice(&sha512(&[body]));
    file.extend_from_slice(&stored);
    file.extend_from_slice(&[0; 64]);
    sign_again(case, &mut file);
    file
}

/// The whole chain, with the right keys; all loaders must agree.
pub fn run(case: Case, file: &[u8]) -> Result<Vec<i32>, ArtefactError> {
    let [a, b] = [run_any(case, file), run_fixed(case, file)];
    if case.encrypted {
        assert_eq!(run_streamed(case, file), b, "streamed and in RAM disagree");
    }
    match (&a, &b) {
        // A wrong shape is told apart earlier where it is known at compile time.
        (_, Err(ArtefactError::Dimensions { .. })) => b,
        _ => {
            assert_eq!(a, b, "the two loaders disagree");
            a
        }
    }
}

pub fn features() -> [u8; WIDTHS[0]] {
    std::array::from_fn(|i| (i * 13) as u8)
}

pub fn run_any(case: Case, file: &[u8]) -> Result<Vec<i32>, ArtefactError> {
    let mut buffer = vec![0; file.len()];
    let trusted = signing_key(case.scheme).trusted();
    let verified = Sealed::parse(file)?.verify(&trusted, COUNTER)?;
    let opened = if case.encrypted {
        verified.open(&model_key(), &mut buffer)?
    } else {
        verified.open_in_place()?
    };
    let shape = opened.header().shape;
    let mut scratch = vec![0; shape.golden_scratch_len()];
    let mut logits = vec![0; usize::from(shape.output())];
    let deployed = opened.load_any(&mut scratch, &mut logits)?;
    deployed.infer(&features(), &mut scratch, &mut logits)?;
    Ok(logits)
}

pub fn run_fixed(case: Case, file: &[u8]) -> Result<Vec<i32>, ArtefactError> {
    let mut buffer = vec![0; file.len()];
    let trusted = signing_key(case.scheme).trusted();
    let verified = Sealed::parse(file)?.verify(&trusted, COUNTER)?;
    let opened = if case.encrypted {
        verified.open(&model_key(), &mut buffer)?
    } else {
        verified.open_in_place()?
    };
    let deployed = opened.load::<{ WIDTHS[0] }, { WIDTHS[1] }, { WIDTHS[2] }, { WIDTHS[3] }>()?;
    Ok(deployed.logits(&features()).to_vec())
}

/// An encrypted body as it lies.
pub fn run_streamed(case: Case, file: &[u8]) -> Result<Vec<i32>, ArtefactError> {
    let trusted = signing_key(case.scheme).trusted();
    let verified = Sealed::parse(file)?.verify(&trusted, COUNTER)?;
    let opened = verified.open_streamed(&model_key())?;
    let deployed = opened.load::<{ WIDTHS[0] }, { WIDTHS[1] }, { WIDTHS[2] }, { WIDTHS[3] }>()?;
    Ok(deployed.logits(&features()).to_vec())
}

/// The error of `trusted`'s key on an artefact under the other scheme.
pub fn mismatch(trusted: Scheme) -> ArtefactError {
    use sealnet_core::sign::Scheme::{Ed25519, HmacSha512};
    let (trusted, found) = match trusted {
        Scheme::Hmac => (HmacSha512, Ed25519),
        Scheme::Ed25519 => (Ed25519, HmacSha512),
    };
    ArtefactError::SchemeMismatch { trusted, found }
}
