//! A board that runs images and says what each took.

use std::time::Duration;

use sealnet_core::fernet::FernetKey;
use sealnet_core::mlp::{Granularity, Kernel, Network};
use sealnet_core::sign::{HmacKey, SigningKey};

use super::BenchError;
use super::wire::{Case, DONE, Job, LOAD, RUN, WORDS};
use crate::client::Link as _;
use crate::qemu::{Image, MEMORY_LEN, Machine, QemuError, Traced, instructions};
use crate::sample::{self, Sealing};
use crate::shape::{CLASSES, INPUT};

/// A model and what it is run on, as the board's memory holds them.
pub(super) struct Memory {
    bytes: Vec<u8>,
    /// Offset and length of the models: dense and skip, in clear; then both encrypted.
    models: [(u32, u32); 4],
    keys: u32,
    plain: (u32, u32),
    images: u32,
    results: u32,
    /// Images that there is room for.
    room: usize,
}

/// What a board made of an image.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// Instructions, those of the counting included.
    pub(super) instructions: u64,
    pub(super) logits: Vec<i32>,
}

impl Memory {
    /// Seals a network in each way, and lays all out.
    pub(super) fn of(network: &Network<'_>) -> Result<Self, BenchError> {
        let mut bytes = vec![0; JOB_LEN];
        let mut put = |piece: &[u8]| {
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
            let at = bytes.len();
            bytes.extend_from_slice(piece);
            (at as u32, piece.len() as u32)
        };
        let (keys, _) = put(&[[SIGNER; 64].as_slice(), &[KEY; 32]].concat());
        let plain = put(&plain(network));
        let mut models = [(0, 0); 4];
        let ways = [false, true]
            .map(|encrypted| [Kernel::Dense, Kernel::Skip].map(|kernel| (kernel, encrypted)));
        for (model, (kernel, encrypted)) in models.iter_mut().zip(ways.as_flattened()) {
            *model = put(&sealed(network, *kernel, *encrypted)?);
        }
        let (images, _) = put(&[]);
        let left = (MEMORY_LEN as usize).saturating_sub(images as usize + ALIGNMENT);
        let room = (left / (INPUT + RESULT_LEN)).min(BATCH);
        if room == 0 {
            return Err(BenchError::TooLarge);
        }
        let results = (images as usize + room * INPUT).next_multiple_of(ALIGNMENT) as u32;
        Ok(Self {
            bytes,
            models,
            keys,
            plain,
            images,
            results,
            room,
        })
    }

    /// Length in bytes of a sealed model, in clear.
    pub(super) const fn artefact_len(&self) -> u32 {
        let [(_, len), ..] = self.models;
        len
    }

    /// The job that runs `count` images.
    fn job(&self, case: Case, kernel: Kernel, count: usize) -> Vec<u8> {
        let encrypted = matches!(case, Case::Confidential | Case::Streamed);
        let model = 2 * usize::from(encrypted) + usize::from(kernel == Kernel::Skip);
        let (model, model_len) = self.models.get(model).copied().unwrap_or_default();
        let (plain, plain_len) = self.plain;
        let job = Job {
            case: case as u32,
            model: [model, model_len],
            keys: self.keys,
            plain: [plain, plain_len],
            images: [self.images, count as u32],
            results: self.results,
        };
        let words = job.words();
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Runs images, one after the other, and gives what became of each. `done` is told how many more are done.
    pub(super) fn run(
        &self,
        image: &Image,
        (case, kernel): (Case, Kernel),
        images: &[u8],
        timeout: Duration,
        done: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Answer>, BenchError> {
        let mut board = Machine::power_on_timed(image, &self.bytes, timeout)?;
        board.write(0, &self.job(case, kernel, 0))?;
        ask(&mut board, LOAD)?;
        let mut answers = Vec::new();
        // Fewer at once where each takes long.
        let room = match case {
            Case::Streamed => 1,
            _ => self.room,
        };
        for batch in images.chunks(room * INPUT) {
            let count = batch.len() / INPUT;
            board.write(self.images, batch)?;
            board.write(0, &self.job(case, kernel, count))?;
            ask(&mut board, RUN)?;
            let mut results = vec![0; count * RESULT_LEN];
            board.read(self.results, &mut results)?;
            let (words, _) = results.as_chunks();
            answers.extend(words.chunks(1 + CLASSES).filter_map(|words| {
                let (ticks, logits) = words.split_first()?;
                Some(Answer {
                    instructions: instructions(u32::from_le_bytes(*ticks)),
                    logits: logits
                        .iter()
                        .map(|word| i32::from_le_bytes(*word))
                        .collect(),
                })
            }));
            done(count as u64);
        }
        Ok(answers)
    }

    /// Runs images, and gives the address of every instruction executed for each, some of the image's own included.
    pub(super) fn trace(
        &self,
        image: &Image,
        (case, kernel): (Case, Kernel),
        images: &[u8],
        timeout: Duration,
    ) -> Result<Vec<Vec<u32>>, BenchError> {
        let mut board = Traced::power_on(image, &self.bytes, timeout)?;
        board.machine().write(0, &self.job(case, kernel, 1))?;
        ask(board.machine(), LOAD)?;
        let mut paths = Vec::new();
        for features in images.chunks(INPUT) {
            board.machine().write(self.images, features)?;
            let mut path = board.exchange(&[RUN]);
            for _ in 0..AGAIN {
                if !matches!(path, Err(QemuError::Gap)) {
                    break;
                }
                path = board.exchange(&[RUN]);
            }
            paths.push(path?.1);
        }
        Ok(paths)
    }
}

/// Tells the image something, which it must do.
pub(super) fn ask(board: &mut Machine, what: u8) -> Result<(), BenchError> {
    let answer = board.exchange(&[what]);
    let answer = answer.map_err(QemuError::io("talk to the board"))?;
    match *answer {
        [DONE, 0] => Ok(()),
        _ => Err(BenchError::Refused),
    }
}

/// A network as a sealed model, under keys that are worth nothing.
fn sealed(network: &Network<'_>, kernel: Kernel, encrypted: bool) -> Result<Vec<u8>, BenchError> {
    let sealing = Sealing {
        signer: SigningKey::Hmac(HmacKey::from_bytes([SIGNER; 64])),
        encrypted,
        counter: 1,
        kernel,
        weights: network.quantisation().weights,
    };
    let key = FernetKey::from_bytes([KEY; 32]);
    Ok(sample::sealed(network, 1, &key, &sealing)?)
}

/// The layers as the image's `plain.rs` takes them.
fn plain(network: &Network<'_>) -> Vec<u8> {
    let mut layers = Vec::new();
    let mut put = |array: &[u8]| {
        layers.extend_from_slice(array);
        layers.resize(layers.len().next_multiple_of(4), 0);
    };
    for layer in network.layers() {
        let (inputs, outputs, bytes) = (layer.inputs(), layer.outputs(), layer.bytes());
        let mut weights = vec![0; inputs * outputs];
        // Both have the layer's lengths.
        let weight_type = layer.weight_type();
        let _ = weight_type.unpack(inputs, outputs, bytes.weights, &mut weights);
        put(&weights);
        put(bytes.biases);
        let each = match layer.granularity() {
            Granularity::PerOutput => 1,
            Granularity::PerTensor => outputs,
        };
        put(&bytes.multipliers.repeat(each));
        put(&bytes.shifts.repeat(each));
    }
    layers
}

/// Bytes of a result: ticks and logits.
const RESULT_LEN: usize = 4 * (1 + CLASSES);
/// Room for the job, at the beginning of the memory, up to what is aligned.
const JOB_LEN: usize = 4 * WORDS;
/// As a body's arrays are.
const ALIGNMENT: usize = 16;
/// Images that are run at once, so that something is told meanwhile.
const BATCH: usize = 500;
/// How often an image is run again whose log has a gap.
const AGAIN: u32 = 3;
/// Bytes of keys that are in the open.
const SIGNER: u8 = 1;
const KEY: u8 = 2;
