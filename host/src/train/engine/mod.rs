//! The engine of training: batches of prepared records forwards, back, and the optimiser's step.
//!
//! The [module's page](super) defines what is computed, to the bit; this is how. A step is two phases, with all
//! threads meeting after each:
//!
//! 1. Each thread takes some of the batch's records from the first layer's sums to the logits and back to the
//!    first layer's deltas.
//! 2. Each thread takes some parts of each layer's rows: their gradient, their step, and at once the first
//!    layer's sums of the *next* batch over them, while the rows are still in the nearest cache. So a row's
//!    weights and averages never travel between cores.

mod barrier;
mod columns;
mod first;
mod judge;
mod loss;
mod parts;
mod pass;
mod prepared;
mod step;
mod targets;
mod view;
mod worker;

pub use judge::Judge;
pub(super) use judge::gradient;
pub use prepared::Prepared;
pub(super) use step::{DECAY, Numbers, PLAIN, apply};
pub use targets::Targets;
pub use view::{AsIs, View};

use std::sync::RwLock;
use std::thread;

use super::adam::Adam;
use super::input::InputMap;
use super::kernels::Backend;
use super::metrics::Metrics;
use super::model::{Network, Shape};
use crate::cores::cores;
use crate::error::{Error, Result};
use barrier::Barrier;
use parts::{Held, Net, PARTS};
use pass::Pass;
use worker::{Scratch, Shared};

/// What computes; has no influence on any result.
#[derive(Debug, Clone, Copy)]
pub struct Compute {
    /// The instructions.
    pub backend: Backend,
    /// Threads; 0 takes as many as there are cores and as pay. A step uses 8 at most; a teacher, and changing images, as many as there are cores.
    pub threads: usize,
}

impl Default for Compute {
    /// The fastest instructions that this machine has, and as many threads as pay.
    fn default() -> Compute {
        Backend::detect().into()
    }
}

impl From<Backend> for Compute {
    fn from(backend: Backend) -> Compute {
        Compute {
            backend,
            threads: 0,
        }
    }
}

impl Compute {
    /// Threads of work that cores share evenly: no more than there are cores.
    pub(crate) fn cores(&self) -> usize {
        self.threads_for(cores()).min(cores())
    }

    /// Threads that work together at most.
    pub fn most_threads(&self) -> u32 {
        u32::try_from(self.threads_for(usize::MAX)).unwrap_or(u32::MAX)
    }

    /// Threads for work of which `most` can do a share that pays.
    fn threads_for(&self, most: usize) -> usize {
        match self.threads {
            0 => cores().min(most).max(1),
            count => count,
        }
    }

    /// Threads for a step of training of `shape` with batches of `batch`.
    fn training_threads(&self, shape: &Shape, batch: usize) -> usize {
        let work = shape.parameters() * (16 + batch);
        self.threads_for(work / WORK_THAT_PAYS).min(PARTS)
    }
}

/// How an engine trains.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What becomes of features.
    pub input: InputMap,
    /// The optimiser.
    pub adam: Adam,
    /// Records a step, at least 1; the last step of a chunk takes what is left.
    pub batch: usize,
    /// What computes it.
    pub compute: Compute,
}

/// Records for some steps.
#[derive(Clone, Copy)]
pub struct Chunk<'a> {
    /// The records.
    pub prepared: &'a Prepared,
    /// What each of them is to give.
    pub targets: Targets<'a>,
    /// Which, and in what order.
    pub order: &'a [u32],
    /// The learning rate of each step, by the steps done before it since the start of training.
    pub rate: &'a dyn Fn(u64) -> f64,
}

/// Everything that decides what an engine does next: what a checkpoint has to keep.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The weights.
    pub network: Network,
    /// The optimiser's average of gradients.
    pub mean: Network,
    /// Its average of their squares.
    pub square: Network,
    /// Steps done.
    pub steps: u64,
    /// β₁ and β₂ to the power of `steps`, by repeated multiplication.
    pub powers: [f64; 2],
}

/// A network in training.
#[derive(Debug)]
pub struct Engine {
    net: Net,
    settings: Settings,
    steps: u64,
    powers: [f64; 2],
    passes: Vec<RwLock<Pass>>,
    scratch: Vec<Scratch>,
}

impl Engine {
    /// Training that begins at `network`.
    ///
    /// # Errors
    /// [`Error::Input`] when the settings do not go with the network, or are not possible.
    pub fn new(network: &Network, settings: Settings) -> Result<Engine> {
        let shape = network.shape();
        let Adam {
            beta_1,
            beta_2,
            epsilon,
            weight_decay,
        } = settings.adam;
        let share = 0.0..1.0;
        let wrong = if !settings.input.fits(shape.inputs) {
            "an input map that does not go with the features, or is not finite"
        } else if !(share.contains(&beta_1) && share.contains(&beta_2)) {
            "averages that decay by less than 0 or by 1 and more"
        } else if !((epsilon as f32).is_normal() && epsilon > 0.0 && weight_decay.is_finite()) {
            "an epsilon or a weight decay out of range"
        } else if !(1..=MAX_BATCH).contains(&settings.batch) {
            "batches of none, or of too many"
        } else {
            let mut net = Net::new(network, &settings.input);
            net.make_room(settings.batch);
            let threads = settings.compute.training_threads(&shape, settings.batch);
            let of_each = settings.batch.div_ceil(threads);
            let passes = (0..threads).map(|_| RwLock::new(Pass::new(&net, of_each)));
            let scratch =
                (0..threads).map(|thread| Scratch::new(&net, settings.batch, thread, threads));
            return Ok(Engine {
                passes: passes.collect(),
                scratch: scratch.collect(),
                net,
                settings,
                steps: 0,
                powers: [1.0; 2],
            });
        };
        Err(Error::input(wrong, "check the recipe's numbers"))
    }

    /// Threads in use.
    pub fn threads(&self) -> usize {
        self.passes.len()
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The network as it is now.
    pub fn network(&self) -> Network {
        self.net.get(Held::Weights)
    }

    /// All that decides what comes next.
    pub fn state(&self) -> State {
        State {
            network: self.network(),
            mean: self.net.get(Held::Mean),
            square: self.net.get(Held::Square),
            steps: self.steps,
            powers: self.powers,
        }
    }

    /// Goes on from `state`, to the same bits as where it was taken.
    ///
    /// # Errors
    /// [`Error::Input`] when it is of another shape.
    pub fn restore(&mut self, state: &State) -> Result<()> {
        let shape = self.net.shape();
        if [&state.network, &state.mean, &state.square].map(Network::shape) != [shape; 3] {
            return Err(Error::input(
                format!("a training state that is not of a network {shape}"),
                "it belongs to another training",
            ));
        }
        self.net.set(Held::Weights, &state.network);
        self.net.set(Held::Mean, &state.mean);
        self.net.set(Held::Square, &state.square);
        (self.steps, self.powers) = (state.steps, state.powers);
        Ok(())
    }

    /// Trains on `chunk`, through `view` ([`AsIs`] for none). `done` is told the metrics of each batch, judged
    /// just before the step that learns from it. Returns their sum.
    ///
    /// # Errors
    /// [`Error::Input`] when the chunk does not go with the network.
    pub fn run<V: View>(
        &mut self,
        chunk: &Chunk<'_>,
        view: &V,
        done: &mut dyn FnMut(&Metrics),
    ) -> Result<Metrics> {
        self.check(chunk)?;
        let mut numbers = Vec::with_capacity(chunk.order.len().div_ceil(self.settings.batch));
        for batch in chunk.order.chunks(self.settings.batch) {
            debug_assert!(!batch.is_empty());
            let rate = (chunk.rate)(self.steps);
            self.powers[0] *= self.settings.adam.beta_1;
            self.powers[1] *= self.settings.adam.beta_2;
            self.steps += 1;
            numbers.push(Numbers::new(&self.settings.adam, rate, self.powers));
        }
        self.net.set_view(V::PRESENT);
        let mut total = Metrics::default();
        let mut done = |metrics: &Metrics| {
            total.merge(metrics);
            done(metrics);
        };
        if self.settings.adam.weight_decay == 0.0 {
            self.work::<V, PLAIN>(chunk, &numbers, view, &mut done)?;
        } else {
            self.work::<V, DECAY>(chunk, &numbers, view, &mut done)?;
        }
        Ok(total)
    }

    fn work<V: View, const MODE: u8>(
        &mut self,
        chunk: &Chunk<'_>,
        numbers: &[Numbers],
        view: &V,
        done: &mut dyn FnMut(&Metrics),
    ) -> Result<()> {
        let shared = Shared::<V, MODE> {
            net: &self.net,
            prepared: chunk.prepared,
            targets: chunk.targets,
            order: chunk.order,
            batch: self.settings.batch,
            numbers,
            view,
            backend: self.settings.compute.backend,
            barrier: Barrier::new(self.passes.len()),
            passes: &self.passes,
        };
        let Some((own, others)) = self.scratch.split_first_mut() else {
            return Ok(());
        };
        thread::scope(|scope| {
            for (scratch, thread) in others.iter_mut().zip(1..) {
                let shared = &shared;
                let work = move || shared.work(thread, scratch, &mut |_| ());
                if let Err(error) = thread::Builder::new().spawn_scoped(scope, work) {
                    shared.barrier.break_up();
                    return Err(no_thread(&error));
                }
            }
            shared.work(0, own, done);
            Ok(())
        })
    }

    fn check(&self, chunk: &Chunk<'_>) -> Result<()> {
        let shape = self.net.shape();
        check(&shape, chunk.prepared, &chunk.targets, chunk.order)
    }
}

/// The system gives no thread more.
pub(crate) fn no_thread(why: &dyn std::fmt::Display) -> Error {
    Error::input(
        format!("there is no thread to train on: {why}"),
        "take fewer with --threads",
    )
}

/// Records, targets and network go together.
fn check(shape: &Shape, prepared: &Prepared, targets: &Targets<'_>, which: &[u32]) -> Result<()> {
    let count = prepared.len();
    let wrong = if prepared.width() != shape.inputs {
        format!(
            "the records have {} features, the network takes {}",
            prepared.width(),
            shape.inputs
        )
    } else if let Some(index) = which.iter().find(|&&index| index as usize >= count) {
        format!("there is no record {index}: there are {count}")
    } else {
        targets.check(count, shape.classes)?;
        let labels = which.iter().map(|&index| (index, targets.label(index)));
        let Some((index, label)) = { labels }.find(|&(_, label)| label >= shape.classes) else {
            return Ok(());
        };
        format!(
            "record {index} has label {label}; the network has {} classes",
            shape.classes
        )
    };
    Err(Error::input(
        wrong,
        "the data and the network must be of one kind",
    ))
}

impl std::fmt::Debug for Chunk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunk")
            .field("records", &self.order.len())
            .finish_non_exhaustive()
    }
}

/// Far more than a recipe may ask for.
const MAX_BATCH: usize = 1 << 24;

/// Parameters times records of a batch, above which another thread pays: about ten microseconds of one.
const WORK_THAT_PAYS: usize = 500_000;
