//! Training, to the bit.
//!
//! The same records, recipe, seed, split and shape give the same weights on every machine, with any
//! [`Backend`] and any number of threads, because every operation and its order is defined, here:
//!
//! - Numbers are IEEE 754 binary32, rounded to nearest, subnormals kept; `fma(a, b, c)` is `a·b + c` with
//!   one rounding; ⊕ ⊖ ⊗ ⊘ round each. `exp` and `ln` are those of the `libm` crate, never the platform's.
//!   Random numbers are those of [`random`](crate::random).
//! - **Input.** A feature `u` enters as `x[i] = (u/255 - offset[i]) / scale` ([`InputMap`]; the paper's is
//!   `u/255 - ½`). What is computed with is `x[i] = u ⊘ 255 ⊘ scale` and `o[i] = offset[i] ⊘ scale`, apart.
//! - **Forwards.** The `I` rows of the first layer's weights make eight parts of `⌈I/8⌉` rows, the last ones
//!   shorter or empty. Over each part, for each output, `s = fma(w[i], -o[i], s)` from 0, then
//!   `s = fma(x[i], w[i], s)`, each for every `i` in order; `z = bias ⊕ s₁ ⊕ … ⊕ s₈`. In exact arithmetic this is
//!   `bias + Σᵢ (x[i] - o[i])·w[i]`. The other layers are `z = fma(x[i], w[i], z)` for every `i` in order from
//!   `z = bias`. Hidden layers end in ReLU (`z` where `z > 0`, else 0).
//! - **Loss.** With the target `t` ([`Targets`]) and temperature `T`: `m` the largest logit `⊘ T`,
//!   `y[c] = z[c] ⊘ T ⊖ m`, `s = Σ exp(y[c])` and `h = fma(t[c], y[c], h)`, each in order of class from 0. The
//!   loss is `T² ⊗ (ln s ⊖ h)`, which is `T²` times the cross-entropy of the softmax of `z/T`, and
//!   `δ[c] = (exp(y[c]) ⊘ s ⊖ t[c]) ⊗ (T/B)` for a batch of `B`. `T²`, `T/B` and, with label smoothing `ε` over `C`
//!   classes, `t` = `ε/C` or `1 - ε + ε/C` are computed in f64 and rounded.
//! - **Backwards.** Below, `δ[j] = fma(δ[k], w[j][k], δ[j])` for each `k` in order from 0, and 0 where ReLU gave 0.
//!   The sum of `δ` in order of record from 0 is `d`; the gradient of a bias is `2⁻⁵⁰ ⊕ d`, that of a weight is
//!   `g = fma(x, δ, g)` for each record in order, from `2⁻⁵⁰`, in the first layer from `fma(-o[i], d, 2⁻⁵⁰)`
//!   ([why not from 0](adam)).
//! - In the first layer, terms with `u = 0` are left out, forwards and backwards: four of five of a digit's.
//! - **Steps.** Each epoch begins with the records as given and shuffles them by the epoch's own random numbers
//!   ([`Shuffle`](crate::random::Stream::Shuffle)); batches are taken in order, the last one short. Then [Adam](adam).
//!
//! - **Metrics** add up in f64: in training the losses of a batch in order of record, then those of the batches (a
//!   teacher's: of its groups); of validation and test records one sum in order of record.
//!
//! Beyond the paper's recipe: other first weights ([`init`]), rates ([`schedule`]), changed images ([`augment`]), a
//! teacher ([`teacher`]) whose answers are learnt from ([`recipe::Distillation`]), attacks
//! ([`recipe::Adversarial`]), and an end that sees integers ([`qat`]).
//!
//! Sums run over one index in one order and never across the vector: several outputs side by side give
//! the same bits as one after the other. `tests/tests/train_reference.rs` is this page up to here once more, in plain loops; what is beyond the paper's
//! recipe is tested where it is.

mod adversarial;
mod engine;
mod lesson;
mod records;
mod trainer;

pub mod adam;
pub mod augment;
pub mod checkpoint;
pub mod confusion;
pub mod hardest;
pub mod init;
pub mod input;
pub mod kernels;
pub mod log;
pub mod metrics;
pub mod model;
pub mod numerics;
pub mod qat;
pub mod recipe;
pub mod report;
pub mod schedule;
pub mod session;
pub mod snapshot;
pub mod teacher;
pub mod watch;

pub(crate) use engine::no_thread;
pub use engine::{AsIs, Chunk, Compute, Engine, Judge, Prepared, Settings, State, Targets, View};
pub use input::InputMap;
pub use kernels::Backend;
pub use metrics::Metrics;
pub use model::{Layer, Network, Shape};
pub use recipe::Recipe;
pub use records::Records;
pub use snapshot::{Sitting, Snapshot};
pub use watch::EpochDone;

use crate::error::{Error, Result};
use crate::progress::Progress;
use records::check_records;

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
    /// Lines and columns of the records, where they are images of one channel.
    pub image: Option<[usize; 2]>,
    /// How.
    pub recipe: &'a Recipe,
    /// Decides the first weights and the order of the records.
    pub seed: u64,
    /// What computes it; has no influence on the result.
    pub backend: Backend,
    /// Threads; 0 takes as many as pay. No influence either.
    pub threads: usize,
}

/// A trained network and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The network.
    pub network: Network,
    /// One entry an epoch.
    pub history: Vec<Epoch>,
    /// One entry an epoch of the teacher, where there is one.
    pub teacher: Vec<Epoch>,
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
    let sitting = Sitting {
        from: None,
        progress,
        watch: &mut |_, _| (),
        keep: &mut |_| (),
    };
    train_on(plan, sitting)
}

/// The same in one sitting of several: from where an earlier one stopped, to the bits that one alone gives.
///
/// # Errors
/// As [`train`], and [`Error::Input`] when what an earlier sitting left is not of this plan.
pub fn train_on(plan: &Plan<'_>, sitting: Sitting<'_>) -> Result<Trained> {
    check(plan)?;
    trainer::run(plan, sitting)
}

/// How well `network`, as a weight file has it, does on those of `records` that `which` names.
///
/// # Errors
/// [`Error::Input`] when a record does not fit the network.
pub fn evaluate(
    network: &Network,
    records: Records<'_>,
    which: &[u32],
    compute: impl Into<Compute>,
) -> Result<Metrics> {
    Judge::new(network, &InputMap::centred(), compute).evaluate(records, which)
}

/// The logits, `[which.len()][classes]`, of those of `records` that `which` names.
///
/// # Errors
/// [`Error::Input`] when a record does not fit the network.
pub fn logits(
    network: &Network,
    records: Records<'_>,
    which: &[u32],
    compute: impl Into<Compute>,
) -> Result<Vec<f32>> {
    Judge::new(network, &InputMap::centred(), compute).logits(records, which)
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
    compute: impl Into<Compute>,
    each: impl FnMut(&[Vec<f32>; 3]),
) -> Result<()> {
    Judge::new(network, &InputMap::centred(), compute).for_each_batch(records, which, each)
}

/// The gradient of the mean loss over the records that `batch` names, and their metrics.
///
/// # Errors
/// [`Error::Input`] when a record does not fit the network.
pub fn gradient(
    network: &Network,
    records: Records<'_>,
    batch: &[u32],
    compute: impl Into<Compute>,
) -> Result<(Network, Metrics)> {
    check_records(&network.shape(), &records, batch)?;
    let prepared = Prepared::of(&records, batch, None);
    let labels = records.labels_of(batch);
    let targets = Targets::labels(&labels);
    gradient_of(network, &InputMap::centred(), &prepared, targets, compute)
}

/// The gradient of the mean loss over all of `prepared`, behind `input` and by `targets`, and the metrics.
///
/// # Errors
/// [`Error::Input`] when these do not go together.
pub fn gradient_of(
    network: &Network,
    input: &InputMap,
    prepared: &Prepared,
    targets: Targets<'_>,
    compute: impl Into<Compute>,
) -> Result<(Network, Metrics)> {
    engine::gradient(network, input, prepared, targets, compute.into())
}

fn check(plan: &Plan<'_>) -> Result<()> {
    let shape = Shape::new(plan.shape.inputs, plan.shape.hidden, plan.shape.classes)?;
    plan.recipe.check().map_err(|wrong| {
        Error::input(
            format!(
                "nothing is trained by recipe {:?}: {wrong}",
                plan.recipe.name
            ),
            "`sealnet recipe best` and `sealnet recipe robust` explain every field",
        )
    })?;
    if !kernels::rounds_once() {
        return Err(Error::input(
            "this platform's fused multiply-add rounds twice: its weights would be nobody else's",
            "train where `fmaf` is as C99 asks, or on a processor that has the instruction",
        ));
    }
    plan.recipe.fits(plan.image)?;
    if plan.training.is_empty() {
        return Err(Error::input(
            "there is nothing to learn from: no training records",
            "more records are needed",
        ));
    }
    check_records(&shape, &plan.records, plan.training)?;
    check_records(&shape, &plan.records, plan.validation)
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

/// The phase in which a teacher is trained.
pub const TEACHER: &str = "teacher";
/// The phase in which the network itself is.
pub const TRAINING: &str = "training";
