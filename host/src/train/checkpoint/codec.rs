//! A checkpoint's bytes: see the [module's page](super).

use std::sync::Arc;

use sealnet_core::wire::{Reader, WireError};

use super::{Checkpoint, Identity};
use crate::dsse::from_json_strict;
use crate::error::{Error, Result};
use crate::train::engine::State;
use crate::train::snapshot::{Pool, Snapshot, Stage};
use crate::train::teacher::TeacherState;
use crate::train::{Epoch, EpochDone, Metrics, Network, Shape};

/// The bytes that are signed.
pub(super) fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    // Strings and finite numbers always serialise.
    let identity = serde_json::to_vec(&checkpoint.identity).unwrap_or_default();
    let mut out = Out(MAGIC.to_vec());
    out.0.extend(VERSION.to_le_bytes());
    let length = u32::try_from(identity.len()).unwrap_or(u32::MAX);
    out.0.extend(length.to_le_bytes());
    out.0.extend(identity);
    out.f64(checkpoint.seconds);
    let Snapshot {
        teacher,
        history,
        stage,
    } = &checkpoint.snapshot;
    out.epochs(teacher);
    out.epochs(history);
    match stage {
        Stage::Teacher(state) => {
            out.0.push(TEACHER);
            out.state(state.steps, state.powers);
            for numbers in [&state.weights, &state.mean, &state.square, &state.average] {
                out.numbers(&[numbers]);
            }
        }
        Stage::Answers { teacher, pool } => {
            out.0.push(ANSWERS);
            out.numbers(&[teacher]);
            out.pool(pool);
        }
        Stage::Training { pool, state } => {
            out.0.push(TRAINING);
            out.pool(pool);
            out.state(state.steps, state.powers);
            for network in [&state.network, &state.mean, &state.square] {
                let layers = network.layers.iter();
                let parts = layers.flat_map(|layer| [&layer.weights[..], &layer.bias]);
                out.numbers(&parts.collect::<Vec<_>>());
            }
        }
    }
    out.0
}

/// The inverse.
pub(super) fn decode(body: &[u8]) -> Result<Checkpoint> {
    let mut reader = Reader::new(body);
    let head = reader.array::<8>().and_then(|_| reader.u32());
    match head {
        Ok(VERSION) => {}
        Ok(other) => {
            return Err(wrong(&format!(
                "version {other} of a checkpoint, not {VERSION}"
            )));
        }
        Err(_) => return Err(wrong("it ends too early")),
    }
    let identity = reader
        .u32()
        .and_then(|length| reader.bytes(length as usize));
    let identity = identity.map_err(|_| wrong("it ends too early"))?;
    let identity: Identity = from_json_strict(identity).map_err(|e| wrong(&e))?;
    let body = rest(In(reader), &identity);
    let (seconds, snapshot) = body.map_err(|e| wrong(&e.to_string()))?;
    Ok(Checkpoint {
        identity,
        seconds,
        snapshot,
    })
}

fn rest(mut from: In<'_>, identity: &Identity) -> Result<(f64, Snapshot), WireError> {
    let recipe = &identity.recipe;
    let epochs = recipe.teacher.as_ref().map_or(0, |teacher| teacher.epochs);
    let seconds = from.f64()?;
    let teacher = from.epochs(epochs)?;
    let history = from.epochs(recipe.epochs)?;
    let stage = match from.0.u8()? {
        TEACHER => {
            let (steps, powers) = from.state()?;
            Stage::Teacher(TeacherState {
                steps,
                powers,
                weights: from.numbers()?,
                mean: from.numbers()?,
                square: from.numbers()?,
                average: from.numbers()?,
            })
        }
        ANSWERS => Stage::Answers {
            teacher: Arc::new(from.numbers()?),
            pool: from.pool()?,
        },
        TRAINING => {
            let widths = identity.network;
            let shape = Shape {
                inputs: widths.inputs,
                hidden: widths.hidden,
                classes: widths.classes,
            };
            let pool = from.pool()?;
            let (steps, powers) = from.state()?;
            Stage::Training {
                pool,
                state: Box::new(State {
                    steps,
                    powers,
                    network: from.network(&shape)?,
                    mean: from.network(&shape)?,
                    square: from.network(&shape)?,
                }),
            }
        }
        _ => return Err(WireError::Truncated),
    };
    from.0.finish()?;
    let snapshot = Snapshot {
        teacher,
        history,
        stage,
    };
    Ok((seconds, snapshot))
}

fn wrong(cause: &str) -> Error {
    Error::input(
        format!("nothing can go on from it: {cause}"),
        "another version of the program wrote it; begin anew with --fresh",
    )
}

struct Out(Vec<u8>);

impl Out {
    fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    fn f64(&mut self, value: f64) {
        self.u64(value.to_bits());
    }

    fn state(&mut self, steps: u64, powers: [f64; 2]) {
        self.u64(steps);
        for power in powers {
            self.f64(power);
        }
    }

    fn epochs(&mut self, epochs: &[EpochDone]) {
        self.u64(epochs.len() as u64);
        for done in epochs {
            for metrics in [done.result.training, done.result.validation] {
                self.u64(metrics.records);
                self.u64(metrics.correct);
                self.f64(metrics.loss_sum);
            }
            self.f64(done.learning_rate);
            self.f64(done.seconds);
        }
    }

    fn pool(&mut self, pool: &Pool) {
        self.u64(pool.len() as u64);
        for answers in pool {
            self.numbers(&[answers]);
        }
    }

    fn numbers(&mut self, parts: &[&[f32]]) {
        let count: usize = parts.iter().map(|part| part.len()).sum();
        self.u64(count as u64);
        self.0.reserve(4 * count);
        for number in parts.iter().copied().flatten() {
            self.0.extend(number.to_le_bytes());
        }
    }
}

struct In<'a>(Reader<'a>);

impl In<'_> {
    fn f64(&mut self) -> Result<f64, WireError> {
        self.0.u64().map(f64::from_bits)
    }

    fn state(&mut self) -> Result<(u64, [f64; 2]), WireError> {
        Ok((self.0.u64()?, [self.f64()?, self.f64()?]))
    }

    /// Epochs of a phase that has `all` of them.
    fn epochs(&mut self, all: u32) -> Result<Vec<EpochDone>, WireError> {
        let count = u32::try_from(self.0.u64()?).map_err(|_| WireError::Truncated)?;
        let mut epochs = Vec::new();
        for epoch in 1..=count {
            let [training, validation] = [self.metrics()?, self.metrics()?];
            epochs.push(EpochDone {
                epoch,
                epochs: all,
                result: Epoch {
                    training,
                    validation,
                },
                learning_rate: self.f64()?,
                seconds: self.f64()?,
            });
        }
        Ok(epochs)
    }

    fn metrics(&mut self) -> Result<Metrics, WireError> {
        Ok(Metrics {
            records: self.0.u64()?,
            correct: self.0.u64()?,
            loss_sum: self.f64()?,
        })
    }

    fn pool(&mut self) -> Result<Pool, WireError> {
        let count = self.0.u64()?;
        (0..count).map(|_| self.numbers().map(Arc::new)).collect()
    }

    fn numbers(&mut self) -> Result<Vec<f32>, WireError> {
        let count = usize::try_from(self.0.u64()?).ok();
        let bytes = count.and_then(|count| count.checked_mul(4));
        let bytes = self.0.bytes(bytes.ok_or(WireError::Truncated)?)?;
        let (numbers, _) = bytes.as_chunks();
        Ok(numbers
            .iter()
            .map(|number| f32::from_le_bytes(*number))
            .collect())
    }

    fn network(&mut self, shape: &Shape) -> Result<Network, WireError> {
        if self.0.u64()? != shape.parameters() as u64 {
            return Err(WireError::Truncated);
        }
        let mut network = Network::zeros(shape);
        for layer in &mut network.layers {
            for number in layer.weights.iter_mut().chain(&mut layer.bias) {
                *number = self.0.f32()?;
            }
        }
        Ok(network)
    }
}

pub(super) const MAGIC: [u8; 8] = *b"SEALNETC";
const VERSION: u32 = 1;

const TEACHER: u8 = 1;
const ANSWERS: u8 = 2;
const TRAINING: u8 = 3;
