//! The same parts timed on this machine, as `dudect` does it: a fixed secret against random ones, in random order, and
//! Welch's t-test of their times.
//!
//! Time is the machine's and whatever else runs on it: this is for a person to run on a quiet machine and to read. What
//! a test can rely on are the instructions, counted in QEMU. (The crate `dudect-bencher` makes the same test, but only
//! as a program of its own that prints: it owns the command line and gives out no figure.)

use std::hint::black_box;
use std::time::Instant;

use sealnet_core::fernet::{FernetKey, Iv, binary_len, decrypt_in_place, encrypt};
use sealnet_core::mlp::{Network, ShapeError, WeightType};
use sealnet_core::protocol::request_len;
use sealnet_core::sign::{Domain, HmacKey, Message, SIGNATURE_LEN, Signature, SigningKey};
use serde::Serialize;

use super::ConstantTimeError;
use super::secrets::Secrets;
use super::welch::{Class, Welch};
use crate::client::ClientError;
use crate::sample::{Layer, SampleError};
use crate::shape::{CLASSES, INPUT, SHAPE};

/// Times of a part.
#[derive(Debug, Clone, Serialize)]
pub struct Timed {
    /// What was timed.
    pub what: &'static str,
    /// How many times.
    pub times: u64,
    /// The largest magnitude of Welch's t among all times and those cropped at a hundred percentiles.
    pub t: f64,
}

impl Timed {
    /// Above this |t| the times of the two classes probably differ.
    pub const PROBABLY: f64 = 4.5;
    /// Above this they do.
    pub const SURELY: f64 = 10.0;

    /// Whether the times depend on the secret.
    #[must_use]
    pub fn leaks(&self) -> bool {
        self.t > Self::SURELY
    }
}

/// What was found on this machine.
#[derive(Debug, Clone, Serialize)]
pub struct Host {
    /// What must not depend on secrets.
    pub parts: Vec<Timed>,
    /// A comparison that ends at the first difference.
    pub control: Timed,
}

impl Host {
    /// Times everything: some ten seconds. `done` is told after each part.
    ///
    /// # Errors
    /// [`ConstantTimeError`].
    pub fn run(mut done: impl FnMut()) -> Result<Self, ConstantTimeError> {
        let mut parts = Vec::new();
        for part in [tags, signatures, open, dense] {
            parts.push(part()?);
            done();
        }
        let control = control();
        done();
        Ok(Self { parts, control })
    }

    /// Parts that [`Host::run`] times.
    pub const PARTS: u64 = 5;

    /// Whether no part depends on secrets, and the control shows that it would have been found.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.parts.iter().any(Timed::leaks) && self.control.leaks()
    }
}

/// A short token whose tag is wrong: in its last byte alone, or in all.
fn tags() -> Result<Timed, ConstantTimeError> {
    let secrets = Secrets(FIRST);
    let key = FernetKey::from_bytes(secrets.bytes("wire"));
    let token = seal(&key, &[0; 15])?;
    let prepare = |class, seed| {
        let mut token = token.clone();
        if let Some(tag) = token.last_chunk_mut::<32>() {
            *tag = wrong(*tag, class, seed);
        }
        token
    };
    Ok(time("comparison of a tag", 100_000, prepare, |token| {
        decrypt_in_place(&key, token, None).is_ok()
    }))
}

/// A model's HMAC-SHA-512 verified as a device does it, once it has hashed the model: it is wrong in its last byte
/// alone, or in all.
fn signatures() -> Result<Timed, ConstantTimeError> {
    let secrets = Secrets(FIRST);
    let key = SigningKey::Hmac(HmacKey::from_bytes(secrets.bytes("publisher")));
    let document: [u8; INPUT] = secrets.bytes("model");
    let right = key.sign(Domain::Model, &[&document]).to_bytes();
    let (trusted, message) = (key.trusted(), Message::new(Domain::Model, &[&document]));
    let prepare = |class, seed| Signature::from_bytes(wrong(right, class, seed));
    Ok(time(
        "verification of an HMAC-SHA-512",
        100_000,
        prepare,
        |signature| trusted.verify_message(&message, signature).is_ok(),
    ))
}

/// A request's token under a fixed key with fixed features, or all random.
fn open() -> Result<Timed, ConstantTimeError> {
    let prepare = |class, seed| {
        let secrets = of(class, seed);
        let key = FernetKey::from_bytes(secrets.bytes("wire"));
        let plaintext: [u8; request_len(INPUT)] = secrets.bytes("features");
        let token = seal(&key, &plaintext).unwrap_or_default();
        (key, token)
    };
    Ok(time("Fernet open", 50_000, prepare, |(key, token)| {
        decrypt_in_place(key, token, None).is_ok()
    }))
}

/// A network of zeros that gets zeros, or random ones that get random features.
fn dense() -> Result<Timed, ConstantTimeError> {
    // In turn, so that neither class has the better places in memory and in the processor's caches.
    let layers: Vec<_> = (0..NETWORKS)
        .flat_map(|i| [Secrets(0), Secrets(FIRST + i)])
        .map(|secrets| secrets.layers(WeightType::Int8))
        .collect();
    let networks: Result<Vec<_>, _> = layers.iter().map(network).collect();
    let networks = networks?;
    let prepare = |class, seed: u64| {
        let second = u64::from(class == Class::Random);
        let network = networks.get((seed % NETWORKS * 2 + second) as usize);
        let features = of(class, seed).bytes::<INPUT>("features");
        (network.copied(), features)
    };
    let mut scratch = vec![0; SHAPE.scratch_len()];
    let mut logits = [0; CLASSES];
    Ok(time(
        "dense kernel",
        50_000,
        prepare,
        |(network, features)| {
            let network = network.as_ref().ok_or(ShapeError::Dimensions);
            let done =
                network.and_then(|network| network.infer(features, &mut scratch, &mut logits));
            black_box(&logits);
            done.is_ok()
        },
    ))
}

fn network(layers: &[Layer; 3]) -> Result<Network<'_>, SampleError> {
    let [first, second, third] = layers;
    let layers = [first.as_ref()?, second.as_ref()?, third.as_ref()?];
    Ok(Network::new(layers)?)
}

/// 64 bytes compared up to the first difference, which is at the end or anywhere.
fn control() -> Timed {
    let right: [u8; SIGNATURE_LEN] = Secrets(FIRST).bytes("signature");
    let prepare = |class, seed| wrong(right, class, seed);
    time(
        "control: comparison up to the first difference",
        100_000,
        prepare,
        |bytes| {
            (0..REPEAT).fold(true, |equal, _| {
                let mut pairs = black_box(&*bytes).iter().zip(black_box(&right));
                equal & pairs.all(|(one, other)| black_box(one) == other)
            })
        },
    )
}

/// Times `run` on secrets of either class, in random order.
fn time<S>(
    what: &'static str,
    times: u64,
    mut prepare: impl FnMut(Class, u64) -> S,
    mut run: impl FnMut(&mut S) -> bool,
) -> Timed {
    let mut seed = FIRST;
    let mut batch = || {
        // Made before the first is timed, all alike.
        let mut secrets: Vec<(Class, S)> = (0..BATCH)
            .map(|_| {
                seed += 1;
                let [coin] = Secrets(seed).bytes("class");
                let class = if coin % 2 == 0 {
                    Class::Fixed
                } else {
                    Class::Random
                };
                (class, prepare(class, seed))
            })
            .collect();
        let timed = |(class, secret): &mut (Class, S)| {
            let start = Instant::now();
            black_box(run(black_box(secret)));
            let time = start.elapsed().as_nanos();
            (*class, u64::try_from(time).unwrap_or(u64::MAX))
        };
        secrets.iter_mut().map(timed).collect::<Vec<_>>()
    };
    // The first batch warms the caches, and shows which times are common.
    let mut welch = Welch::new(batch().into_iter().map(|(_, time)| time).collect());
    for _ in 0..times.div_ceil(BATCH) {
        for (class, time) in batch() {
            welch.take(class, time);
        }
    }
    Timed {
        what,
        times,
        t: welch.t(LEAST),
    }
}

fn of(class: Class, seed: u64) -> Secrets {
    match class {
        Class::Fixed => Secrets(FIRST),
        Class::Random => Secrets(seed),
    }
}

/// A tag changed in its last byte, or in all.
fn wrong<const N: usize>(mut tag: [u8; N], class: Class, seed: u64) -> [u8; N] {
    let mut change = match class {
        Class::Fixed => [0; N],
        Class::Random => Secrets(seed).bytes("tag"),
    };
    if let Some(last) = change.last_mut() {
        *last |= 1;
    }
    for (byte, change) in tag.iter_mut().zip(change) {
        *byte ^= change;
    }
    tag
}

fn seal(key: &FernetKey, plaintext: &[u8]) -> Result<Vec<u8>, ConstantTimeError> {
    let mut token = vec![0; binary_len(plaintext.len())];
    let iv = Iv::try_random(&mut getrandom::SysRng).map_err(ClientError::Random)?;
    encrypt(key, 0, iv, plaintext, &mut token).map_err(|_| ConstantTimeError::Frame)?;
    Ok(token)
}

/// The first seed that gives random bytes.
const FIRST: u64 = 2;
/// Networks of either class.
const NETWORKS: u64 = 2;
/// Times measured together: no more than a processor's second cache holds secrets for.
const BATCH: u64 = 250;
/// Comparisons in one time, since a clock has no finer ticks.
const REPEAT: u32 = 16;
/// Times that a test needs of either class to say anything.
const LEAST: f64 = 5_000.0;
