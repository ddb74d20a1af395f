//! One recipe, from the first weights to the last.

use std::time::Instant;

use super::adversarial::Attack;
use super::engine::{AsIs, Chunk, Engine, Prepared, Settings, Targets};
use super::input::InputMap;
use super::lesson::Lesson;
use super::qat::Rounding;
use super::recipe::{Adversarial, Annealing, Init, Input, Optimizer};
use super::snapshot::{Sitting, Snapshot, Stage};
use super::{
    Compute, Epoch, EpochDone, Metrics, Network, Plan, TRAINING, Trained, epoch_line, evaluate,
    init,
};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::random::{Random, Stream};

/// Trains as `plan` says, in one sitting or the last of several.
pub(super) fn run(plan: &Plan<'_>, mut sitting: Sitting<'_>) -> Result<Trained> {
    let progress = sitting.progress;
    let recipe = plan.recipe;
    let compute = Compute {
        backend: plan.backend,
        threads: plan.threads,
    };
    let Optimizer::Adam(options) = recipe.optimizer;
    let input = match recipe.input {
        Input::Centred => InputMap::centred(),
        Input::Standardised => InputMap::standardised(&plan.records, plan.training),
    };
    let first = match recipe.init {
        Init::GlorotUniform => init::glorot_uniform(&plan.shape, plan.seed),
        Init::HeUniform => init::he_uniform(&plan.shape, plan.seed),
    };
    // No step takes more than there is.
    let batch = (recipe.batch as usize).min(plan.training.len());
    let settings = Settings {
        input: input.clone(),
        adam: options.into(),
        batch,
        compute,
    };
    let mut engine = Engine::new(&first, settings)?;
    let from = sitting.from.take();
    let mut history = Vec::new();
    if let Some(snapshot) = &from {
        history.clone_from(&snapshot.history);
        if let Stage::Training { state, .. } = &snapshot.stage {
            engine.restore(state)?;
        }
    }
    let mut lesson = Lesson::new(plan, from, &mut sitting)?;
    if recipe.adversarial.is_some() {
        progress.phase("", recipe.work_of_a_step());
    }
    let count = plan.training.len();
    let epochs = recipe.epochs;
    let steps = count.div_ceil(batch) as u64 * u64::from(epochs);
    let schedule = Annealing::schedule(recipe.schedule, options.learning_rate, steps);
    let finish_from = recipe
        .finish
        .map_or(u32::MAX, |finish| epochs.saturating_sub(finish.epochs));
    let mut order: Vec<u32> = Vec::with_capacity(count);
    let mut rounding = None;
    let epochs_done = u32::try_from(history.len()).unwrap_or(u32::MAX);
    for epoch in epochs_done.saturating_add(1)..=epochs {
        let begun = Instant::now();
        order.clear();
        order.extend((0..).take(count));
        Random::of_epoch(plan.seed, Stream::Shuffle, epoch).shuffle(&mut order);
        progress.start(&format!("epoch {epoch}/{epochs}"), count as u64);
        lesson.turn_to(epoch);
        if let Some(finish) = recipe.finish.filter(|_| epoch > finish_from) {
            rounding = Some(Rounding::of(&engine.network(), finish.weights.into()));
        }
        let rate = |step| schedule.rate(step);
        let training = match (recipe.adversarial, &rounding) {
            (Some(adversarial), _) => {
                let attack = Attacked {
                    plan,
                    input: &input,
                    adversarial,
                    epoch,
                    compute,
                };
                attack.run(&mut engine, &lesson, &order, &rate, progress)?
            }
            (None, rounding) => {
                let (prepared, targets) = lesson.material(epoch);
                let chunk = Chunk {
                    prepared,
                    targets,
                    order: &order,
                    rate: &rate,
                };
                let mut done = |batch: &Metrics| progress.inc(batch.records);
                match rounding {
                    Some(rounding) => engine.run(&chunk, rounding, &mut done)?,
                    None => engine.run(&chunk, &AsIs, &mut done)?,
                }
            }
        };
        progress.finish();
        let network = seen(&engine.network(), rounding.as_ref()).folded(&input);
        let validation = evaluate(&network, plan.records, plan.validation, compute)?;
        let losses = [training.loss_sum, validation.loss_sum];
        if !network.is_finite() || !losses.into_iter().all(f64::is_finite) {
            return Err(diverged(&format!("training diverged in epoch {epoch}")));
        }
        progress.note(&epoch_line(epoch, epochs, &training, &validation));
        let result = Epoch {
            training,
            validation,
        };
        let learning_rate = schedule.rate(engine.steps().saturating_sub(1));
        let done = EpochDone {
            epoch,
            epochs,
            learning_rate,
            result,
            seconds: begun.elapsed().as_secs_f64(),
        };
        (sitting.watch)(TRAINING, &done);
        history.push(done);
        if epoch < epochs {
            (sitting.keep)(Snapshot {
                teacher: lesson.teacher.clone(),
                history: history.clone(),
                stage: Stage::Training {
                    pool: lesson.pool.clone(),
                    state: Box::new(engine.state()),
                },
            });
        }
    }
    let network = seen(&engine.network(), rounding.as_ref()).folded(&input);
    Ok(Trained {
        network,
        history: results(&history),
        teacher: results(&lesson.teacher),
    })
}

/// What is not finite is in no receipt.
pub(super) fn diverged(what: &str) -> Error {
    Error::Diverged {
        what: format!("{what}: its numbers are no longer finite"),
        hint: "give the recipe a lower learning_rate or weight_decay, or try another seed".into(),
    }
}

fn results(epochs: &[EpochDone]) -> Vec<Epoch> {
    epochs.iter().map(|done| done.result).collect()
}

/// `network` as integers will have it, where training ends so.
fn seen(network: &Network, rounding: Option<&Rounding>) -> Network {
    match rounding {
        Some(rounding) => rounding.seen(network),
        None => network.clone(),
    }
}

/// An epoch whose records are attacked, a step at a time.
struct Attacked<'a> {
    plan: &'a Plan<'a>,
    input: &'a InputMap,
    adversarial: Adversarial,
    epoch: u32,
    compute: Compute,
}

impl Attacked<'_> {
    fn run(
        &self,
        engine: &mut Engine,
        lesson: &Lesson<'_>,
        order: &[u32],
        rate: &dyn Fn(u64) -> f64,
        progress: &dyn Progress,
    ) -> Result<Metrics> {
        let recipe = self.plan.recipe;
        let width = self.plan.records.width;
        let epsilon = self.adversarial.epsilon_in(self.epoch);
        let mut random = Random::of_epoch(self.plan.seed, Stream::Attack, self.epoch);
        let mut total = Metrics::default();
        for batch in order.chunks(recipe.batch as usize) {
            let mut features: Vec<u8> = Vec::with_capacity(batch.len() * width);
            for &place in batch {
                features.extend(lesson.features_of(place));
            }
            let labels: Vec<u16> = batch.iter().map(|&place| lesson.label_of(place)).collect();
            let targets = Targets::Labels {
                labels: &labels,
                smoothing: recipe.label_smoothing,
            };
            let network = engine.network();
            let attack = Attack {
                network: &network,
                input: self.input,
                options: self.adversarial,
                epsilon,
                compute: self.compute,
            };
            attack.perturb(&mut features, targets, &mut random)?;
            let chunk = Chunk {
                prepared: &Prepared::from_features(&features, width),
                targets,
                order: &(0..batch.len() as u32).collect::<Vec<_>>(),
                rate,
            };
            total.merge(&engine.run(&chunk, &AsIs, &mut |done| progress.inc(done.records))?);
        }
        Ok(total)
    }
}
