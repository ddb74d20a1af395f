//! Networks that only judge: metrics, logits, and gradients.

use std::thread;

use super::parts::{Held, Net, PARTS, unpad};
use super::pass::{self, Pass};
use super::prepared::{Gathered, Prepared};
use super::step::{KEEP, Numbers};
use super::targets::Targets;
use super::view::AsIs;
use super::worker::share;
use super::{Chunk, Compute, Engine, Settings, first, no_thread};
use crate::error::Result;
use crate::train::adam::Adam;
use crate::train::input::InputMap;
use crate::train::kernels::{
    Factors, LANES, Lanes, Line, Lines, Starting, Sums, Work, lines_of, product,
};
use crate::train::metrics::{Metrics, argmax};
use crate::train::model::Network;
use crate::train::records::{Records, check_records};

/// A network laid out for judging records, by several threads where it pays, with the same bits in any case.
#[derive(Debug)]
pub struct Judge {
    net: Net,
    compute: Compute,
    input: InputMap,
    direction: bool,
}

impl Judge {
    /// Of `network` behind `input`.
    pub fn new(network: &Network, input: &InputMap, compute: impl Into<Compute>) -> Judge {
        let net = Net::new(network, input);
        let compute = compute.into();
        for index in 0..PARTS {
            let part = &mut *net.layers[0].write(index);
            let lines = net.layers[0].lines;
            compute.backend.run(first::StartFirst { part, lines });
            for layer in &net.layers[1..] {
                compute.backend.run(super::step::Transpose {
                    part: &mut layer.write(index),
                    outputs: layer.outputs,
                    lines: layer.lines,
                });
            }
        }
        Judge {
            net,
            compute,
            input: input.clone(),
            direction: false,
        }
    }

    /// The same for an attacker: an [`input_gradient`](Judge::input_gradient) is the derivative's direction, times
    /// a number above 0 that is each record's own. A derivative ends as 0 in f32 where the network is very sure of a record, which
    /// makes it no harder to attack. Targets are to be labels.
    #[must_use]
    pub fn of_directions(self) -> Judge {
        Judge {
            direction: true,
            ..self
        }
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.net.layers[2].outputs
    }

    /// How well it does on those of `records` that `which` names, by their labels.
    ///
    /// # Errors
    /// [`Error::Input`](crate::error::Error::Input) when a record does not fit the network.
    pub fn evaluate(&self, records: Records<'_>, which: &[u32]) -> Result<Metrics> {
        let mut metrics = Metrics::default();
        let keep = |pass: &Pass| (pass.losses.clone(), pass.correct.clone(), pass.count);
        self.each(records, which, keep, |(losses, correct, count)| {
            for (&loss, &correct) in losses.iter().zip(&correct).take(count) {
                metrics.add(loss, correct);
            }
        })?;
        Ok(metrics)
    }

    /// Features of a record.
    pub fn inputs(&self) -> usize {
        self.net.shape().inputs
    }

    /// What it takes those of `records` that `which` names for, `[which.len()]`.
    ///
    /// # Errors
    /// As [`evaluate`](Judge::evaluate).
    pub fn predictions(&self, records: Records<'_>, which: &[u32]) -> Result<Vec<u16>> {
        let logits = self.logits(records, which)?;
        let rows = logits.chunks_exact(self.net.layers[2].outputs);
        Ok(rows.map(|logits| argmax(logits) as u16).collect())
    }

    /// The logits, `[which.len()][classes]`.
    ///
    /// # Errors
    /// As [`evaluate`](Judge::evaluate).
    pub fn logits(&self, records: Records<'_>, which: &[u32]) -> Result<Vec<f32>> {
        let mut all = Vec::with_capacity(which.len() * self.net.layers[2].outputs);
        let keep = |pass: &Pass| self.output_of(pass, 2);
        self.each(records, which, keep, |logits| {
            all.extend_from_slice(&logits);
        })?;
        Ok(all)
    }

    /// Shows `each` batch what the layers gave: the two hidden layers after ReLU, `[B][H]`, and the logits,
    /// `[B][classes]`. Batches come in order.
    ///
    /// # Errors
    /// As [`evaluate`](Judge::evaluate).
    pub fn for_each_batch(
        &self,
        records: Records<'_>,
        which: &[u32],
        mut each: impl FnMut(&[Vec<f32>; 3]),
    ) -> Result<()> {
        let keep = |pass: &Pass| [0, 1, 2].map(|layer| self.output_of(pass, layer));
        self.each(records, which, keep, |outputs| each(&outputs))
    }

    fn output_of(&self, pass: &Pass, layer: usize) -> Vec<f32> {
        let width = self.net.layers[layer].outputs;
        let mut rows = vec![0.0; pass.count * width];
        unpad(&pass.outputs[layer], width, &mut rows);
        rows
    }

    /// The derivative of each record's own loss by its features, in units of `u / 255`,
    /// `[records][features]`. `targets` goes with `records`.
    ///
    /// # Errors
    /// As [`evaluate`](Judge::evaluate), and when the targets do not go with the records.
    pub fn input_gradient(&self, prepared: &Prepared, targets: Targets<'_>) -> Result<Vec<f32>> {
        let inputs = self.net.layers[0].inputs;
        let all: Vec<u32> = (0..prepared.len() as u32).collect();
        super::check(&self.net.shape(), prepared, &targets, &all)?;
        let columns = self.first_transposed();
        let mut gradients = vec![0.0; all.len() * inputs];
        let threads = self.threads(all.len());
        let mut rest = &mut gradients[..];
        thread::scope(|scope| {
            for index in 0..threads {
                let which = &all[share(all.len(), index, threads)];
                let (own, others) = rest.split_at_mut(which.len() * inputs);
                rest = others;
                let columns = &columns;
                let mut work = move || {
                    let mut room = Room::new(self);
                    let batches = which.chunks(BATCH).zip(own.chunks_mut(BATCH * inputs));
                    for (which, own) in batches {
                        room.pass(self, prepared, which, targets, true);
                        room.input_gradient(self, columns, own);
                    }
                };
                if index + 1 == threads {
                    work();
                } else if let Err(error) = thread::Builder::new().spawn_scoped(scope, work) {
                    return Err(no_thread(&error));
                }
            }
            Ok(())
        })?;
        Ok(gradients)
    }

    /// The first layer's weights as `[outputs][lines of inputs]`, over the scale.
    fn first_transposed(&self) -> Lines {
        let first = &self.net.layers[0];
        let lines = lines_of(first.inputs);
        let mut columns = Lines::zeros(first.outputs * lines);
        let flat = columns.flat_mut();
        for part in first.read_all() {
            let rows = part.weights.chunks_exact(first.lines).zip(part.from..);
            for (row, i) in rows {
                for (o, &weight) in row.as_flattened()[..first.outputs].iter().enumerate() {
                    flat[o * lines * LANES + i] = weight / self.input.scale();
                }
            }
        }
        columns
    }

    fn threads(&self, records: usize) -> usize {
        let work = self.net.shape().parameters() * records / 8;
        let threads = self.compute.threads_for(work / super::WORK_THAT_PAYS);
        threads.min(records.div_ceil(BATCH)).max(1)
    }

    /// Runs records through the network, and gives `take` what `keep` keeps of each batch, in order.
    fn each<T: Send>(
        &self,
        records: Records<'_>,
        which: &[u32],
        keep: impl Fn(&Pass) -> T + Sync,
        mut take: impl FnMut(T),
    ) -> Result<()> {
        check_records(&self.net.shape(), &records, which)?;
        let threads = self.threads(which.len());
        let judge = |which: &[u32]| {
            let mut room = Room::new(self);
            let batches = which.chunks(BATCH);
            let kept = batches.map(|which| {
                let prepared = Prepared::of(&records, which, None);
                let labels = records.labels_of(which);
                let all: Vec<u32> = (0..labels.len() as u32).collect();
                room.pass(self, &prepared, &all, Targets::labels(&labels), false);
                keep(&room.pass)
            });
            kept.collect::<Vec<T>>()
        };
        if threads == 1 {
            for which in which.chunks(ROUND) {
                judge(which).into_iter().for_each(&mut take);
            }
            return Ok(());
        }
        for round in which.chunks(ROUND * threads) {
            let batches = round.len().div_ceil(BATCH);
            thread::scope(|scope| {
                let mut working = Vec::with_capacity(threads);
                for index in 0..threads {
                    let share = share(batches, index, threads);
                    let to = (share.end * BATCH).min(round.len());
                    let which = &round[(share.start * BATCH).min(to)..to];
                    let judge = &judge;
                    let work = move || judge(which);
                    match thread::Builder::new().spawn_scoped(scope, work) {
                        Ok(thread) => working.push(thread),
                        Err(error) => return Err(no_thread(&error)),
                    }
                }
                for thread in working {
                    match thread.join() {
                        Ok(kept) => kept.into_iter().for_each(&mut take),
                        Err(panic) => std::panic::resume_unwind(panic),
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// What one thread needs for a batch.
struct Room {
    sums: [Lines; PARTS],
    gathered: Gathered,
    pass: Pass,
    inputs: Lines,
}

impl Room {
    fn new(judge: &Judge) -> Room {
        let lines = judge.net.layers[0].lines;
        Room {
            sums: std::array::from_fn(|_| Lines::zeros(BATCH * lines)),
            gathered: Gathered::default(),
            pass: Pass::new(&judge.net, BATCH),
            inputs: Lines::default(),
        }
    }

    fn pass(
        &mut self,
        judge: &Judge,
        prepared: &Prepared,
        which: &[u32],
        targets: Targets<'_>,
        back: bool,
    ) {
        let Judge { net, compute, .. } = judge;
        self.gathered.gather(prepared, which, 0..PARTS);
        for (index, sums) in self.sums.iter_mut().enumerate() {
            compute.backend.run(first::SumFirst {
                part: &net.layers[0].read(index),
                index,
                lines: net.layers[0].lines,
                prepared,
                batch: &self.gathered,
                table: &net.table,
                sums,
            });
        }
        compute.backend.run(pass::Run {
            net,
            pass: &mut self.pass,
            sums: self.sums.each_ref().map(|sums| &sums[..]),
            range: 0..which.len(),
            which,
            targets,
            // Each record's own loss, not the mean over the batch.
            batch: back.then_some(1),
            direction: judge.direction,
        });
    }

    fn input_gradient(&mut self, judge: &Judge, columns: &[Line], gradients: &mut [f32]) {
        let first = &judge.net.layers[0];
        let lines = lines_of(first.inputs);
        let count = self.pass.count;
        if self.inputs.len() != count * lines {
            self.inputs = Lines::zeros(count * lines);
        }
        judge.compute.backend.run(Inputs {
            delta: &self.pass.deltas[0],
            delta_lines: first.lines,
            columns,
            inputs: &mut self.inputs,
            lines,
        });
        unpad(&self.inputs, first.inputs, gradients);
    }
}

/// `inputs[b] = Σ delta[b][o] · columns[o]`.
struct Inputs<'a> {
    delta: &'a Lines,
    delta_lines: usize,
    columns: &'a [Line],
    inputs: &'a mut Lines,
    lines: usize,
}

impl Work for Inputs<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let factors = Factors {
            numbers: self.delta.flat(),
            row_step: self.delta_lines * LANES,
            term_step: 1,
        };
        let count = self.inputs.len() / self.lines;
        let mut sums = Sums {
            room: self.inputs,
            step: self.lines,
            count,
        };
        let columns = std::iter::once(self.columns);
        product(
            lanes,
            &mut sums,
            factors,
            columns,
            self.lines,
            &Starting(0.0),
        );
    }
}

/// The gradient of the mean loss over all of `prepared`, and the metrics.
///
/// # Errors
/// As [`Engine::run`].
pub(in crate::train) fn gradient(
    network: &Network,
    input: &InputMap,
    prepared: &Prepared,
    targets: Targets<'_>,
    compute: Compute,
) -> Result<(Network, Metrics)> {
    let order: Vec<u32> = (0..prepared.len() as u32).collect();
    let settings = Settings {
        input: input.clone(),
        adam: Adam::default(),
        batch: order.len().max(1),
        compute,
    };
    let mut engine = Engine::new(network, settings)?;
    let chunk = Chunk {
        prepared,
        targets,
        order: &order,
        rate: &|_| 0.0,
    };
    engine.check(&chunk)?;
    let mut metrics = Metrics::default();
    let steps = usize::from(!order.is_empty());
    let numbers = [Numbers::default(); 1];
    engine.work::<AsIs, KEEP>(&chunk, &numbers[..steps], &AsIs, &mut |batch| {
        metrics.merge(batch);
    })?;
    Ok((engine.net.get(Held::Mean), metrics))
}

/// Records judged at a time; has no influence on any record's result.
const BATCH: usize = 128;

/// Records that a thread judges between two times that results are taken.
const ROUND: usize = 8 * BATCH;
