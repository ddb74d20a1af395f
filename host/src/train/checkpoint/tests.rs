use std::sync::Arc;
use std::time::Duration;

use sealnet_core::sign::{Domain, Ed25519SigningKey, HmacKey, SigningKey};

use super::*;
use crate::receipt::Split;
use crate::train::init::he_uniform;
use crate::train::numerics::Numerics;
use crate::train::snapshot::Stage;
use crate::train::teacher::TeacherState;
use crate::train::{Epoch, Metrics, Recipe, Shape, State};

fn owner() -> SigningKey {
    SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[1; 32]))
}

fn identity() -> Identity {
    Identity {
        records_sha512: "ab".repeat(64),
        split: Split {
            seed: None,
            training: 30,
            validation: 10,
            test: 10,
        },
        network: SHAPE.into(),
        recipe: Recipe::paper(),
        seed: 7,
        numerics: Numerics::this(),
    }
}

/// One of each stage.
fn checkpoints() -> Vec<Checkpoint> {
    let metrics = |records, loss_sum| Metrics {
        records,
        correct: records / 2,
        loss_sum,
    };
    let done = |epoch, epochs| EpochDone {
        epoch,
        epochs,
        learning_rate: 0.1 + 0.2,
        result: Epoch {
            training: metrics(30, 1.0 / 3.0),
            validation: metrics(0, 0.0),
        },
        seconds: 1e-9,
    };
    let numbers = |seed: u32| vec![0.1, -0.0, f32::MIN_POSITIVE / 8.0, seed as f32];
    let network = |seed| he_uniform(&SHAPE, seed);
    let pool = vec![Arc::new(numbers(1)), Arc::new(numbers(2))];
    let stages = [
        Stage::Teacher(TeacherState {
            steps: 9,
            powers: [0.9, 0.999],
            weights: numbers(3),
            mean: numbers(4),
            square: numbers(5),
            average: numbers(6),
        }),
        Stage::Answers {
            teacher: Arc::new(numbers(7)),
            pool: pool.clone(),
        },
        Stage::Training {
            pool,
            state: Box::new(State {
                network: network(1),
                mean: network(2),
                square: network(3),
                steps: 1 << 40,
                powers: [0.5, 1.0 / 3.0],
            }),
        },
    ];
    let whole = |stage| Checkpoint {
        identity: identity(),
        seconds: 12.5,
        snapshot: Snapshot {
            // The recipe has no teacher, so none of its epochs.
            teacher: vec![done(1, 0)],
            history: vec![done(1, 5), done(2, 5)],
            stage,
        },
    };
    stages.map(whole).into()
}

#[test]
fn what_is_written_is_read() {
    for checkpoint in checkpoints() {
        for owner in [owner(), SigningKey::Hmac(HmacKey::from_bytes([2; 64]))] {
            let bytes = checkpoint.to_bytes(&owner);
            let read = Checkpoint::from_bytes(&bytes, &owner.trusted()).unwrap();
            assert_eq!(read, checkpoint);
            assert_eq!(read.to_bytes(&owner), bytes);
        }
    }
}

#[test]
fn whatever_byte_is_changed_or_missing_it_is_refused() {
    let trusted = owner().trusted();
    for checkpoint in checkpoints() {
        let bytes = checkpoint.to_bytes(&owner());
        let refused = |bytes: &[u8]| {
            let error = Checkpoint::from_bytes(bytes, &trusted).unwrap_err();
            assert_eq!(error.exit_code(), 1, "{error}");
            assert!(error.hint().contains("--fresh"));
        };
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            refused(&changed);
            refused(&bytes[..at]);
        }
        refused(&[&bytes[..], b"\0"].concat());
    }
    let others = SigningKey::Ed25519(Ed25519SigningKey::from_seed(&[3; 32]));
    let theirs = checkpoints()[0].to_bytes(&others);
    assert!(Checkpoint::from_bytes(&theirs, &trusted).is_err());
}

/// What the owner signed and no version writes: an error, however it is wrong.
#[test]
fn what_is_signed_and_malformed_is_an_error() {
    let signed = |body: &[u8], domain| {
        let mut bytes = body.to_vec();
        bytes.extend(owner().sign(domain, &[body]).to_bytes());
        Checkpoint::from_bytes(&bytes, &owner().trusted())
    };
    for checkpoint in checkpoints() {
        let body = codec::encode(&checkpoint);
        assert_eq!(signed(&body, Domain::Checkpoint).unwrap(), checkpoint);
        assert_eq!(signed(&body, Domain::Model).unwrap_err().exit_code(), 1);
        let malformed = |body: &[u8]| {
            let error = signed(body, Domain::Checkpoint).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
        };
        for end in codec::MAGIC.len()..body.len() {
            malformed(&body[..end]);
        }
        malformed(&[&body[..], b"\0"].concat());
        for at in 8..body.len() {
            // Lengths that promise more than there is must neither panic nor take memory.
            let mut changed = body.clone();
            changed[at] = 0xff;
            let _ = signed(&changed, Domain::Checkpoint);
        }
        let mut newer = body.clone();
        newer[8] = 2;
        malformed(&newer);
    }
}

#[test]
fn another_training_is_named() {
    let here = identity();
    assert_eq!(here.other(&here), None);
    let mut named = Vec::new();
    let mut case = |change: fn(&mut Identity), says: &str| {
        let mut there = identity();
        change(&mut there);
        let differs = there.other(&here).unwrap();
        assert!(differs.contains(says), "{differs}");
        named.push(differs);
    };
    case(|id| id.seed = 8, "seed 8 there, 7 here");
    case(
        |id| id.recipe = Recipe::paper().with_epochs(6),
        "\"paper, 6 epochs\" there, \"paper\" here",
    );
    case(|id| id.recipe.batch = 31, "the recipe has other numbers");
    case(
        |id| id.network.hidden[0] = 4,
        "network 5-4-2-3 there, 5-3-2-3 here",
    );
    case(
        |id| id.split.seed = Some(1),
        "split seed 1 there, none here",
    );
    case(|id| id.split.training = 31, "the records are others");
    case(|id| id.records_sha512.clear(), "the records are others");
    case(|id| id.numerics.version = 1, "numerics 1 there");
    case(|id| id.numerics.libm.clear(), "libraries");
    assert_eq!(named.len(), 9);
}

#[test]
fn a_keeper_writes_when_it_is_time_and_when_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.checkpoint");
    let [first, second, third] = <[Checkpoint; 3]>::try_from(checkpoints()).unwrap();
    let trusted = owner().trusted();
    let there = || Checkpoint::find(&path, &trusted, &identity()).unwrap();
    let keeper = |every| Keeper::new(&path, owner(), every, None);

    let at_once = keeper(Duration::ZERO);
    at_once.keep(first.clone()).unwrap();
    assert_eq!(there(), Some(first.clone()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    at_once.finish().unwrap();
    assert_eq!(there(), None);
    at_once.keep(first.clone()).unwrap();
    assert!(at_once.stop().is_none() && there().is_none(), "it is over");

    let never = keeper(Duration::from_secs(1 << 30));
    assert!(never.stop().is_none());
    let never = keeper(Duration::from_secs(1 << 30));
    never.keep(first.clone()).unwrap();
    never.keep(second.clone()).unwrap();
    assert_eq!(there(), None);
    let kept = never.stop().unwrap();
    kept.written.unwrap();
    assert_eq!(kept.path, path);
    assert_eq!(there(), Some(second.clone()));
    // What comes after the stop changes nothing.
    never.keep(third.clone()).unwrap();
    never.finish().unwrap();
    assert_eq!(there(), Some(second.clone()));

    // What was found is not written again, and still what is kept.
    let written = path.metadata().unwrap().modified().unwrap();
    let again = Keeper::new(&path, owner(), Duration::ZERO, Some(second));
    again.stop().unwrap().written.unwrap();
    assert_eq!(path.metadata().unwrap().modified().unwrap(), written);

    let nowhere = folder.path().join("none").join("model.checkpoint");
    let lost = Keeper::new(&nowhere, owner(), Duration::ZERO, None);
    assert_eq!(lost.keep(third).unwrap_err().exit_code(), 2);
    let kept = lost.stop().unwrap();
    assert!(kept.written.is_err());
    assert_eq!(kept.place, "epoch 2 of 5");
}

const SHAPE: Shape = Shape {
    inputs: 5,
    hidden: [3, 2],
    classes: 3,
};
