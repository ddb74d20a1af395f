//! Layers of any widths on a board: what its kernels make of them.

use std::time::Duration;

use sealnet_core::mlp::{DenseRef, Granularity, WeightType};

use super::BenchError;
use super::board::ask;
use super::wire::{LOAD, LayerJob};
use crate::qemu::{Board, MEMORY_LEN, Machine, Program, build_bench, installed};

/// A layer and what it is run on.
#[derive(Debug, Clone, Copy)]
pub struct LayerCase<'a> {
    /// Of no more than 4,400 inputs and 1,024 outputs, with the weights that the board is built for.
    pub layer: DenseRef<'a>,
    /// `[records][inputs]`.
    pub records: &'a [u8],
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerResults {
    /// `[records][outputs]` activations: by the kernel `dense`, by `skip` of features, by `skip` of activations.
    pub hidden: [Vec<u8>; 3],
    /// `[records][outputs]` logits: by `dense`, by `skip`.
    pub output: [Vec<i32>; 2],
}

/// A board that runs layers.
pub struct LayerBoard(Machine);

impl LayerBoard {
    /// Builds the image and switches the board on. No answer, to layers of some megabytes, may take longer than `timeout`.
    ///
    /// # Errors
    /// [`BenchError`].
    pub fn power_on(
        board: Board,
        weights: WeightType,
        timeout: Duration,
        tell: &dyn Fn(&str),
    ) -> Result<Self, BenchError> {
        installed()?;
        let image = build_bench(board, weights, Program::Layers, tell)?;
        Ok(Self(Machine::power_on_laid(&image, &[], timeout, &[])?))
    }

    /// Runs all layers, in order.
    ///
    /// # Errors
    /// [`BenchError`]: [`Refused`](BenchError::Refused) if the board does not take one of them.
    pub fn run(&mut self, cases: &[LayerCase<'_>]) -> Result<Vec<LayerResults>, BenchError> {
        let mut results = Vec::with_capacity(cases.len());
        let mut rest = cases;
        while !rest.is_empty() {
            let count = fit(rest);
            let (now, later) = rest.split_at_checked(count).ok_or(BenchError::TooLarge)?;
            if now.is_empty() {
                return Err(BenchError::TooLarge);
            }
            self.run_together(now, &mut results)?;
            rest = later;
        }
        Ok(results)
    }

    fn run_together(
        &mut self,
        cases: &[LayerCase<'_>],
        results: &mut Vec<LayerResults>,
    ) -> Result<(), BenchError> {
        let Self(board) = self;
        let mut memory = vec![0; 4 * (1 + LayerJob::WORDS * cases.len())];
        let mut put = |piece: &[u8]| {
            memory.resize(memory.len().next_multiple_of(ALIGNMENT), 0);
            let at = memory.len();
            memory.extend_from_slice(piece);
            at as u32
        };
        let mut jobs: Vec<LayerJob> = cases
            .iter()
            .map(|case| {
                let bytes = case.layer.bytes();
                LayerJob {
                    widths: [case.layer.inputs(), case.layer.outputs()].map(|width| width as u32),
                    per_tensor: (case.layer.granularity() == Granularity::PerTensor).into(),
                    arrays: [bytes.biases, bytes.multipliers, bytes.shifts, bytes.weights]
                        .map(&mut put),
                    records: [put(case.records), case.records_len()],
                    results: 0,
                }
            })
            .collect();
        let mut end = put(&[]);
        for job in &mut jobs {
            job.results = end;
            end += job.results_len().next_multiple_of(ALIGNMENT) as u32;
        }
        let words = jobs.iter().flat_map(LayerJob::words);
        let words = [cases.len() as u32].into_iter().chain(words);
        for (word, to) in words.zip(memory.as_chunks_mut().0) {
            *to = word.to_le_bytes();
        }
        board.write(0, &memory)?;
        ask(board, LOAD)?;
        for job in jobs {
            let mut found = vec![0; job.results_len()];
            board.read(job.results, &mut found)?;
            results.push(LayerResults::of(&job, &found));
        }
        Ok(())
    }
}

impl LayerCase<'_> {
    fn records_len(&self) -> u32 {
        (self.records.len() / self.layer.inputs()) as u32
    }

    /// Bytes that it takes in the board's memory, alignment included.
    fn len(&self) -> usize {
        let bytes = self.layer.bytes();
        let arrays = [
            bytes.biases,
            bytes.multipliers,
            bytes.shifts,
            bytes.weights,
            self.records,
        ];
        let arrays: usize = arrays.iter().map(|array| array.len() + ALIGNMENT).sum();
        let ways = LayerJob::HIDDEN.len() + 4 * LayerJob::OUTPUT.len();
        let results = ways * self.layer.outputs() * self.records_len() as usize;
        4 * LayerJob::WORDS + arrays + results + 2 * ALIGNMENT
    }
}

impl LayerResults {
    fn of(job: &LayerJob, found: &[u8]) -> Self {
        let [_, outputs] = job.widths;
        let [_, records] = job.records;
        let each = (outputs * records) as usize;
        let (hidden, output) = found.split_at(job.hidden_len());
        let mut hidden = hidden.chunks(each).map(<[u8]>::to_vec);
        let words = |bytes: &[u8]| {
            bytes
                .as_chunks()
                .0
                .iter()
                .copied()
                .map(i32::from_le_bytes)
                .collect()
        };
        let mut output = output.chunks(4 * each).map(words);
        Self {
            hidden: [(); 3].map(|()| hidden.next().unwrap_or_default()),
            output: [(); 2].map(|()| output.next().unwrap_or_default()),
        }
    }
}

/// How many of these cases, from the first on, fit into the board's memory together.
fn fit(cases: &[LayerCase<'_>]) -> usize {
    let mut left = MEMORY_LEN as usize - ALIGNMENT;
    let fits = |case: &&LayerCase<'_>| match left.checked_sub(case.len()) {
        None => false,
        Some(rest) => {
            left = rest;
            true
        }
    };
    cases.iter().take_while(fits).count()
}

/// As a body's arrays are.
const ALIGNMENT: usize = 16;
