//! What each thread does in a run.

use std::ops::Range;
use std::sync::RwLock;

use super::barrier::Barrier;
use super::first::{StartFirst, StepFirst, SumFirst};
use super::parts::{Net, PARTS, Part, first_rows, read, write};
use super::pass::{self, Pass};
use super::prepared::{Gathered, Prepared};
use super::step::{Numbers, StepBias, StepDense, SumBias, Transpose};
use super::targets::Targets;
use super::view::{Rewrite, View};
use crate::train::kernels::{Backend, LANES, Lines};
use crate::train::metrics::Metrics;

/// What all threads of a run see. `MODE` says what a step is.
pub(super) struct Shared<'a, V, const MODE: u8> {
    pub(super) net: &'a Net,
    pub(super) prepared: &'a Prepared,
    pub(super) targets: Targets<'a>,
    pub(super) order: &'a [u32],
    pub(super) batch: usize,
    /// One a step.
    pub(super) numbers: &'a [Numbers],
    pub(super) view: &'a V,
    pub(super) backend: Backend,
    pub(super) barrier: Barrier,
    /// One a thread.
    pub(super) passes: &'a [RwLock<Pass>],
}

/// What a thread needs besides: room.
#[derive(Debug)]
pub(super) struct Scratch {
    joined: Pass,
    tile: Lines,
    /// This thread's parts of the first layer, of the batch and of the next.
    now: Gathered,
    next: Gathered,
    /// `[16][lines]` of the widest layer.
    gradient: Lines,
    /// Each layer's `[lines]`.
    bias_gradients: [Lines; 3],
}

impl Scratch {
    /// Of thread `thread` of `threads`.
    pub(super) fn new(net: &Net, batch: usize, thread: usize, threads: usize) -> Scratch {
        let widest = net.layers.iter().map(|layer| layer.lines).max();
        let widest = widest.unwrap_or(0);
        let inputs = net.layers[0].inputs;
        let parts = share(PARTS, thread, threads);
        let row = |part: usize| (part * first_rows(inputs)).min(inputs);
        let rows = row(parts.start)..row(parts.end);
        Scratch {
            joined: Pass::new(net, batch),
            tile: Lines::zeros(4 * batch),
            now: Gathered::new(rows.clone(), batch),
            next: Gathered::new(rows, batch),
            gradient: Lines::zeros(LANES * widest),
            bias_gradients: net.layers.each_ref().map(|layer| Lines::zeros(layer.lines)),
        }
    }
}

/// Share `thread` of `threads` of `count` things.
pub(super) fn share(count: usize, thread: usize, threads: usize) -> Range<usize> {
    count * thread / threads..count * (thread + 1) / threads
}

impl<V: View, const MODE: u8> Shared<'_, V, MODE> {
    /// Works as thread `thread` until all is done. `done` is told the metrics of each batch, by thread 0.
    /// None when another thread panicked, whose panic is then the run's.
    pub(super) fn work(
        &self,
        thread: usize,
        scratch: &mut Scratch,
        done: &mut dyn FnMut(&Metrics),
    ) -> Option<()> {
        let _guard = self.barrier.guard();
        let parts = share(PARTS, thread, self.threads());
        scratch
            .next
            .gather(self.prepared, self.batch_of(0), parts.clone());
        self.begin_all(thread, &parts, scratch);
        self.meet()?;
        for (step, numbers) in self.numbers.iter().enumerate() {
            let batch = self.batch_of(step);
            let next = self.batch_of(step + 1);
            self.prepared.ask_for(next, &parts);
            let own = share(next.len(), thread, self.threads());
            self.targets.ask_for(&next[own]);
            self.pass(thread, batch);
            self.meet()?;
            std::mem::swap(&mut scratch.now, &mut scratch.next);
            scratch.next.gather(self.prepared, next, parts.clone());
            self.step(thread, &parts, scratch, batch, numbers, done);
            self.meet()?;
        }
        Some(())
    }

    fn threads(&self) -> usize {
        self.passes.len()
    }

    fn meet(&self) -> Option<()> {
        self.barrier.wait().then_some(())
    }

    /// The records of step `step`; none when there is no such step.
    fn batch_of(&self, step: usize) -> &[u32] {
        let from = (step * self.batch).min(self.order.len());
        let to = (from + self.batch).min(self.order.len());
        &self.order[from..to]
    }

    /// What forwards and back need of this thread's parts, from the weights that they use.
    fn begin_all(&self, thread: usize, parts: &Range<usize>, scratch: &Scratch) {
        for (number, layer) in self.net.layers.iter().enumerate().skip(1) {
            for index in layer.of_thread(thread, self.threads()) {
                self.begin_dense(number, &mut layer.write(index));
            }
        }
        for index in parts.clone() {
            let part = &mut *self.net.layers[0].write(index);
            self.start_first(part);
            self.begin(index, part, &scratch.next);
        }
    }

    /// A part of the second or last layer, as forwards and back use it.
    fn begin_dense(&self, number: usize, part: &mut Part) {
        let layer = &self.net.layers[number];
        self.look(number, part);
        self.backend.run(Transpose {
            part,
            outputs: layer.outputs,
            lines: layer.lines,
        });
    }

    /// A part of the first layer, and what its sums start from.
    fn start_first(&self, part: &mut Part) {
        self.look(0, part);
        let lines = self.net.layers[0].lines;
        self.backend.run(StartFirst { part, lines });
    }

    /// Writes what is seen of a part's weights, if that is something else.
    fn look(&self, number: usize, part: &mut Part) {
        if V::PRESENT {
            let layer = &self.net.layers[number];
            self.backend.run(Rewrite {
                view: self.view,
                layer: number,
                part,
                outputs: layer.outputs,
                lines: layer.lines,
            });
        }
    }

    /// The first layer's sums of one part.
    fn begin(&self, index: usize, part: &mut Part, batch: &Gathered) {
        let mut sums = std::mem::take(&mut part.sums);
        self.backend.run(SumFirst {
            part,
            index,
            lines: self.net.layers[0].lines,
            prepared: self.prepared,
            batch,
            table: &self.net.table,
            sums: &mut sums,
        });
        part.sums = sums;
    }

    /// This thread's records of a batch forwards and back.
    fn pass(&self, thread: usize, batch: &[u32]) {
        let range = share(batch.len(), thread, self.threads());
        let parts = self.net.layers[0].read_all();
        self.backend.run(pass::Run {
            net: self.net,
            pass: &mut write(&self.passes[thread]),
            sums: parts.each_ref().map(|part| &part.sums[..]),
            which: &batch[range.clone()],
            range,
            targets: self.targets,
            batch: Some(batch.len()),
            direction: false,
        });
    }

    /// The step of this thread's parts, and their sums of the next batch.
    fn step(
        &self,
        thread: usize,
        parts: &Range<usize>,
        scratch: &mut Scratch,
        batch: &[u32],
        numbers: &Numbers,
        done: &mut dyn FnMut(&Metrics),
    ) {
        let mut metrics = Metrics::default();
        let alone;
        let pass = if let [single] = self.passes {
            alone = read(single);
            alone.add_to(&mut metrics);
            &*alone
        } else {
            let mut at = 0;
            for other in self.passes {
                let other = read(other);
                scratch.joined.gather(&other, at);
                at += other.count;
                other.add_to(&mut metrics);
            }
            &scratch.joined
        };
        let layers = &self.net.layers;
        for ((layer, delta), sum) in layers
            .iter()
            .zip(&pass.deltas)
            .zip(&mut scratch.bias_gradients)
        {
            let delta = &delta[..batch.len() * layer.lines];
            self.backend.run(SumBias { delta, sum });
        }
        if thread == 0 {
            for (layer, gradient) in layers.iter().zip(&scratch.bias_gradients) {
                self.backend.run(StepBias::<MODE> {
                    bias: &mut layer.bias_mut(),
                    gradient,
                    numbers: *numbers,
                });
            }
            done(&metrics);
        }
        for (number, layer) in layers.iter().enumerate().skip(1) {
            let input_lines = layers[number - 1].lines;
            for index in layer.of_thread(thread, self.threads()) {
                let part = &mut *layer.write(index);
                self.backend.run(StepDense::<MODE> {
                    part,
                    outputs: layer.outputs,
                    lines: layer.lines,
                    inputs: &pass.outputs[number - 1],
                    input_lines,
                    delta: &pass.deltas[number][..batch.len() * layer.lines],
                    gradient: &mut scratch.gradient,
                    numbers: *numbers,
                });
                if V::PRESENT {
                    self.begin_dense(number, part);
                }
            }
        }
        for index in parts.clone() {
            let part = &mut *layers[0].write(index);
            self.backend.run(StepFirst::<MODE> {
                part,
                lines: layers[0].lines,
                table: &self.net.table,
                columns: scratch.now.columns(),
                delta: &pass.deltas[0][..batch.len() * layers[0].lines],
                tile: &mut scratch.tile,
                bias_gradient: &scratch.bias_gradients[0],
                numbers: *numbers,
            });
            if V::PRESENT {
                self.start_first(part);
            }
            self.begin(index, part, &scratch.next);
        }
    }
}
