//! Training, to the bit.
//!
//! The same records, recipe, seed, split and shape give the same weights on every machine, because every
//! operation and its order is defined, here:
//!
//! - Numbers are IEEE 754 binary32, rounded to nearest, subnormals kept; `fma(a, b, c)` is `a·b + c` with
//!   one rounding. `exp` and `ln` are those of the `libm` crate, never the platform's. Random numbers are
//!   those of [`random`](crate::random).
//! - **Forwards.** A feature `u` counts as `u/255 - ½`. In the first layer the half is taken out:
//!   `c[o] = fma(S[o], -½, bias[o])` with `S[o] = Σᵢ w[i][o]` in order of `i`, then
//!   `z[o] = c[o] ⊕ (u[i]/255)·w[i][o]`, one `fma` for each `i` in order. In exact arithmetic this is
//!   `bias[o] + Σᵢ (u[i]/255 - ½)·w[i][o]`. The other layers start at `bias[o]`. Hidden layers end in
//!   ReLU (`z` where `z > 0`, else 0). With `m` the largest logit and `s = Σ exp(z - m)` in order of class,
//!   the last gives `p = exp(z - m) / s` and the loss `ln s - (z[label] - m)`.
//! - **Backwards.** `δ = (p - y) / B` at the last layer for a batch of `B`; below it
//!   `δ[j] = Σₖ δ[k]·w[j][k]`, one `fma` for each `k` in order from 0, and 0 where ReLU gave 0. The
//!   gradient of a bias is the sum of `δ` in order of record; that of a weight is
//!   `Σ_b x[b][i]·δ[b][o]`, one `fma` a record in order from 0; in the first layer `x` is `u/255` and at
//!   the end comes `fma(bias gradient, -½, ·)`.
//! - Terms whose factor `u`, `x` or `δ[k]` is zero are left out: [`kernels`] skips a digit's background.
//! - **Steps.** The records' order starts as given and is shuffled anew each epoch; batches are taken in
//!   order, the last one short. Then [Adam](adam).
//!
//! Sums run over one index in one order and never across the vector: several outputs side by side give
//! the same bits as one after the other.

mod backprop;

pub mod adam;
pub mod confusion;
pub mod hardest;
pub mod init;
pub mod kernels;
pub mod log;
pub mod metrics;
pub mod model;
pub mod numerics;
pub mod recipe;
pub mod report;
pub mod session;
pub mod watch;

pub use backprop::Records;
pub use kernels::Backend;
pub use metrics::Metrics;
pub use model::{Layer, Network, Shape};
pub use recipe::Recipe;
pub use watch::EpochDone;

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::random::{Random, Stream};
use adam::Adam;
use backprop::{Differentiate, Judge, Learn, Workspace};
use recipe::{Init, Optimizer};

/// What to train on, how, and from where.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// All records.
    pub records: Records<'a>,
    /// Those to learn from, in the order that the first shuffle starts from.
    pub training: &'a [u32],
    /// Those to judge each epoch by.
    pub validation: &'a [u32],
    /// The widths; the first is the records'.
    pub shape: Shape,
    /// How.
    pub recipe: &'a Recipe,
    /// Decides the first weights and the order of the records.
    pub seed: u64,
    /// What computes it; has no influence on the result.
    pub backend: Backend,
}

/// A trained network and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The network.
    pub network: Network,
    /// One entry an epoch.
    pub history: Vec<Epoch>,
}

/// What one epoch gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Over the training records, each judged just before the step that learnt from it (as Keras does).
    pub training: Metrics,
    /// Over the validation records, after the epoch.
    pub validation: Metrics,
}

/// Trains as the module's page defines.
///
/// # Errors
/// [`Error::Input`] when there is nothing to learn from, a record does not fit the shape, or the weights
/// leave the finite numbers.
pub fn train(plan: &Plan<'_>, progress: &dyn Progress) -> Result<Trained> {
    train_watched(plan, progress, &mut |_| ())
}

/// The same, showing `watch` each epoch when it is done.
///
/// # Errors
/// As [`train`].
pub fn train_watched(
    plan: &Plan<'_>,
    progress: &dyn Progress,
    watch: &mut dyn FnMut(&EpochDone),
) -> Result<Trained> {
    check(plan)?;
    let Init::GlorotUniform = plan.recipe.init;
    let Optimizer::Adam(options) = plan.recipe.optimizer;
    let mut network = init::glorot_uniform(&plan.shape, plan.seed);
    let mut gradient = Network::zeros(&plan.shape);
    let mut adam = Adam::new(options, &network);
    let mut workspace = Workspace::new(&plan.shape);
    let mut order = plan.training.to_vec();
    let mut random = Random::new(plan.seed, Stream::Shuffle);
    let mut history = Vec::new();
    let epochs = plan.recipe.epochs;
    for epoch in 1..=epochs {
        random.shuffle(&mut order);
        progress.start(&format!("epoch {epoch}/{epochs}"), order.len() as u64);
        let mut training = Metrics::default();
        for batch in order.chunks(plan.recipe.batch as usize) {
            plan.backend.run(Learn {
                network: &mut network,
                gradient: &mut gradient,
                adam: &mut adam,
                records: plan.records,
                batch,
                workspace: &mut workspace,
                metrics: &mut training,
            });
            progress.inc(batch.len() as u64);
        }
        progress.finish();
        if !network.is_finite() || !training.loss_sum.is_finite() {
            return Err(Error::input(
                format!("training diverged in epoch {epoch}: its numbers are no longer finite"),
                "try another seed; if it stays, the data are not for this recipe",
            ));
        }
        let validation = evaluate(&network, plan.records, plan.validation, plan.backend)?;
        progress.note(&epoch_line(epoch, epochs, &training, &validation));
        let result = Epoch {
            training,
            validation,
        };
        watch(&EpochDone {
            epoch,
            epochs,
            learning_rate: options.learning_rate,
            result,
        });
        history.push(result);
    }
    Ok(Trained { network, history })
}

/// How well `network` does on those of `records` that `which` names.
///
/// # Errors
/// [`Error::Input`] when a record does not fit the network.
pub fn evaluate(
    network: &Network,
    records: Records<'_>,
    which: &[u32],
    backend: Backend,
) -> Result<Metrics> {
    let mut metrics = Metrics::default();
    each_batch(network, records, which, backend, &mut metrics, |_| ())?;
    Ok(metrics)
}

/// The logits, `[which.len()][classes]`, of those of `records` that `which` names.
///
/// # Errors
/// [`Error::Input`] when a record does not fit the network.
pub fn logits(
    network: &Network,
    records: Records<'_>,
    which: &[u32],
    backend: Backend,
) -> Result<Vec<f32>> {
    let mut all = Vec::with_capacity(which.len() * network.shape().classes);
    for_each_batch(network, records, which, backend, |[_, _, logits]| {
        all.extend_from_slice(logits);
    })?;
    Ok(all)
}

/// Runs those of `records` that `which` names through the network, some at a time, and shows `each` batch
/// what the layers gave: the two hidden layers after ReLU, `[B][H]`, and the logits, `[B][classes]`.
///
/// # Errors
/// [`Error::Input`] when a record does not fit the network.
pub fn for_each_batch(
    network: &Network,
    records: Records<'_>,
    which: &[u32],
    backend: Backend,
    each: impl FnMut(&[Vec<f32>; 3]),
) -> Result<()> {
    each_batch(
        network,
        records,
        which,
        backend,
        &mut Metrics::default(),
        each,
    )
}

/// The gradient of the mean loss over the records that `batch` names, and their metrics.
///
/// # Errors
/// [`Error::Input`] when a record does not fit the network.
pub fn gradient(
    network: &Network,
    records: Records<'_>,
    batch: &[u32],
    backend: Backend,
) -> Result<(Network, Metrics)> {
    let shape = network.shape();
    check_records(&shape, &records, batch)?;
    let mut gradient = Network::zeros(&shape);
    let mut metrics = Metrics::default();
    backend.run(Differentiate {
        network,
        gradient: &mut gradient,
        records,
        batch,
        workspace: &mut Workspace::new(&shape),
        metrics: &mut metrics,
    });
    Ok((gradient, metrics))
}

fn each_batch(
    network: &Network,
    records: Records<'_>,
    which: &[u32],
    backend: Backend,
    metrics: &mut Metrics,
    mut each: impl FnMut(&[Vec<f32>; 3]),
) -> Result<()> {
    let shape = network.shape();
    check_records(&shape, &records, which)?;
    let mut workspace = Workspace::new(&shape);
    for batch in which.chunks(EVALUATION_BATCH) {
        backend.run(Judge {
            network,
            records,
            batch,
            workspace: &mut workspace,
            metrics: &mut *metrics,
        });
        each(workspace.outputs());
    }
    Ok(())
}

fn check(plan: &Plan<'_>) -> Result<()> {
    let shape = Shape::new(plan.shape.inputs, plan.shape.hidden, plan.shape.classes)?;
    plan.recipe.check().map_err(|wrong| {
        Error::input(
            format!(
                "nothing is trained by recipe {:?}: {wrong}",
                plan.recipe.name
            ),
            "`sealnet recipe paper` prints a recipe in which every field is explained",
        )
    })?;
    if plan.training.is_empty() {
        return Err(Error::input(
            "there is nothing to learn from: no training records",
            "more records are needed",
        ));
    }
    check_records(&shape, &plan.records, plan.training)?;
    check_records(&shape, &plan.records, plan.validation)
}

/// Every record named exists, has the network's width, and a label among its classes.
fn check_records(shape: &Shape, records: &Records<'_>, which: &[u32]) -> Result<()> {
    let count = records.labels.len();
    let wrong = if records.width != shape.inputs {
        format!(
            "the records have {} features, the network takes {}",
            records.width, shape.inputs
        )
    } else if count.checked_mul(records.width) != Some(records.features.len()) {
        format!(
            "{count} labels do not go with {} features",
            records.features.len()
        )
    } else if let Some(index) = which.iter().find(|&&index| index as usize >= count) {
        format!("there is no record {index}: there are {count}")
    } else if let Some((index, label)) = which
        .iter()
        .map(|&index| (index, records.labels[index as usize]))
        .find(|&(_, label)| usize::from(label) >= shape.classes)
    {
        format!(
            "record {index} has label {label}; the network has {} classes",
            shape.classes
        )
    } else {
        return Ok(());
    };
    Err(Error::input(
        wrong,
        "the data and the network must be of one kind",
    ))
}

fn epoch_line(epoch: u32, epochs: u32, training: &Metrics, validation: &Metrics) -> String {
    let mut line = format!(
        "epoch {epoch}/{epochs}  loss {:.4}  accuracy {:.2} %",
        training.loss(),
        100.0 * training.accuracy()
    );
    if validation.records > 0 {
        line += &format!(
            "  validation loss {:.4}  accuracy {:.2} %",
            validation.loss(),
            100.0 * validation.accuracy()
        );
    }
    line
}

/// Records judged at a time; has no influence on any record's result.
const EVALUATION_BATCH: usize = 128;
