//! What traced runs executed: by layer, with what they loaded.

use std::collections::BTreeSet;

use serde::Serialize;

use super::BenchError;
use super::loads::loads;
use crate::qemu::Code;
use crate::shape::SHAPE;

/// What was executed, a run.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Cost {
    /// Instructions.
    pub instructions: f64,
    /// Words that they loaded; an instruction that loads many registers counts as many.
    pub loads: f64,
    /// Branches taken, calls and returns included; each refills the pipeline, in one to three cycles.
    pub branches: f64,
    /// Instructions and loads: an estimate of cycles, without what a branch takes and what flash lets a core wait.
    pub cycles: f64,
}

/// What traced runs executed, on average.
#[derive(Debug, Clone, Serialize)]
pub struct Traced {
    /// All of it.
    pub whole: Cost,
    /// First hidden, second hidden, output. What is done before the first products counts as the first layer's.
    pub layers: [Cost; 3],
}

/// What is traced.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    /// A kernel with DSP instructions.
    Dsp,
    /// The portable one.
    Portable,
    /// Plain loops.
    Plain,
}

/// Adds up traced runs of one kernel.
pub(super) struct Runs<'c> {
    code: &'c Code,
    /// Where the function of the whole is entered, and that of a tile's products.
    entries: Vec<u32>,
    tiles: Vec<u32>,
    tiles_of_layers: [usize; 3],
    /// Tiles of each layer.
    runs: u32,
    layers: [Cost; 3],
    functions: BTreeSet<u32>,
}

impl<'c> Runs<'c> {
    pub(super) fn new(code: &'c Code, what: What) -> Self {
        let ((of, name), (of_tile, tile)) = match what {
            What::Portable => (("Network", "infer"), ("mlp::kernel", "sums")),
            What::Plain => (("plain", "logits"), ("plain", "sums")),
            What::Dsp => (("Contents", "logits"), ("kernel::dsp", "sums")),
        };
        Self {
            code,
            entries: code.entries(of, name),
            tiles: code.entries(of_tile, tile),
            tiles_of_layers: match what {
                // A layer at once.
                What::Plain => [1; 3],
                _ => SHAPE.layers().map(|(_, outputs)| outputs.div_ceil(TILE)),
            },
            runs: 0,
            layers: [Cost::default(); 3],
            functions: BTreeSet::new(),
        }
    }

    /// Adds the path of a run.
    pub(super) fn add(&mut self, path: &[u32]) -> Result<(), BenchError> {
        let call = self
            .code
            .call(path, &self.entries)
            .ok_or(BenchError::Path)?;
        let starts: Vec<usize> = (0..)
            .zip(call)
            .filter(|(_, address)| self.tiles.contains(address))
            .map(|(at, _)| at)
            .collect();
        let [first, second, third] = self.tiles_of_layers;
        let (Some(hidden2), Some(output)) = (starts.get(first), starts.get(first + second)) else {
            return Err(BenchError::Path);
        };
        if starts.len() != first + second + third {
            return Err(BenchError::Path);
        }
        let ends = [0, *hidden2, *output, call.len()];
        for (layer, ends) in self.layers.iter_mut().zip(ends.windows(2)) {
            if let [start, end] = *ends {
                // With one instruction more, which says whether the last one branched.
                for (at, address) in (start..end).zip(call.get(start..end).unwrap_or_default()) {
                    let next = call.get(at + 1).copied();
                    layer.add(self.code, *address, next);
                }
            }
        }
        self.functions.extend(
            call.iter()
                .filter_map(|address| Some(self.code.function(*address)?.0.start)),
        );
        self.runs += 1;
        Ok(())
    }

    /// Where the functions begin that were executed.
    pub(super) fn functions(&self) -> &BTreeSet<u32> {
        &self.functions
    }

    pub(super) fn average(&self) -> Traced {
        let runs = f64::from(self.runs.max(1));
        let layers = self.layers.map(|layer| layer.scaled(1.0 / runs));
        let mut whole = Cost::default();
        for layer in layers {
            whole.instructions += layer.instructions;
            whole.loads += layer.loads;
            whole.branches += layer.branches;
            whole.cycles += layer.cycles;
        }
        Traced { whole, layers }
    }
}

impl Cost {
    fn add(&mut self, code: &Code, address: u32, next: Option<u32>) {
        let loaded = f64::from(loads(code.instruction(address)));
        self.instructions += 1.0;
        self.loads += loaded;
        self.cycles += 1.0 + loaded;
        // The last one returns.
        let follows = next == Some(address + code.len(address));
        self.branches += f64::from(u8::from(!follows));
    }

    fn scaled(self, by: f64) -> Self {
        Self {
            instructions: self.instructions * by,
            loads: self.loads * by,
            branches: self.branches * by,
            cycles: self.cycles * by,
        }
    }
}

/// Outputs of a tile, whose products are one call: see `mlp/packed.rs` in core.
const TILE: usize = 64;
