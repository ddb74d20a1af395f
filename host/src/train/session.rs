//! A training run from records to signed weights.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sealnet_core::sign::{Digest512, SigningKey, sha512};

use super::checkpoint::{Checkpoint, Identity};
use super::numerics::Numerics;
use super::trainer::diverged;
use super::{Backend, Compute, EpochDone, Metrics, Network, Plan, Recipe, Records, Shape, Sitting};
use crate::dataset::split;
use crate::error::{Error, Result};
use crate::progress::{Progress, Whole};
use crate::receipt::{self, Data, MAX_QUARANTINED, Run, Software, Split, Training};
use crate::vault::SourceData;
use crate::weights;

/// What a run needs besides records.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// How to train.
    pub recipe: Recipe,
    /// Widths of the hidden layers.
    pub hidden: [usize; 2],
    /// Decides the first weights and the order of the records.
    pub seed: u64,
    /// Draws training and validation records at random; none takes the first and the last.
    pub split_seed: Option<u64>,
    /// What computes it; has no influence on the result.
    pub backend: Backend,
    /// Threads; 0 takes as many as pay. No influence either.
    pub threads: usize,
}

/// A run that is over.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The network.
    pub network: Network,
    /// Which records it was tested on.
    pub test_records: Vec<u32>,
    /// The weight file's bytes.
    pub weights: Vec<u8>,
    /// Their SHA-512.
    pub weights_digest: Digest512,
    /// What the receipt will say.
    pub training: Training,
    /// After the last epoch.
    pub validation: Metrics,
    /// After the last epoch, on records that decided nothing.
    pub test: Metrics,
    /// How long the training took, all sittings together.
    pub elapsed: Duration,
}

/// Splits, trains and tests, in one sitting. `source` is where the records came from, as it was typed.
///
/// # Errors
/// As [`Session::new`] and [`Session::run`].
pub fn run(
    source: &str,
    data: &SourceData,
    options: &SessionOptions,
    progress: &dyn Progress,
) -> Result<Finished> {
    let session = Session::new(source, data, options)?;
    session.run(None, progress, &mut |_, _| (), &mut |_| ())
}

/// A run that is about to begin.
#[derive(Debug)]
pub struct Session<'a> {
    data: &'a SourceData,
    options: &'a SessionOptions,
    split: split::Split,
    described: Data,
    identity: Identity,
}

impl<'a> Session<'a> {
    /// Splits the records. `source` is where they came from, as it was typed.
    ///
    /// # Errors
    /// As [`split`](split::split), and when more records were set aside than a receipt names or the widths are out of
    /// range.
    pub fn new(
        source: &str,
        data: &'a SourceData,
        options: &'a SessionOptions,
    ) -> Result<Session<'a>> {
        let set_aside = data.quarantined().len();
        if set_aside > MAX_QUARANTINED {
            return Err(Error::input(
                format!(
                    "{source}: {set_aside} records were set aside; a training receipt names at most {MAX_QUARANTINED}"
                ),
                "seal the data anew from where it is whole",
            ));
        }
        let dataset = &data.dataset;
        let inputs = dataset.feature_count();
        let shape = Shape::new(inputs, options.hidden, usize::from(dataset.classes))?;
        options.recipe.fits(dataset.image())?;
        weights::fits(&shape)?;
        let split = split::split(dataset, options.split_seed)?;
        let described = Data::of(source, data);
        let identity = Identity {
            records_sha512: described.records_sha512.clone(),
            split: Split::of(options.split_seed, &split),
            network: shape.into(),
            recipe: options.recipe.clone(),
            seed: options.seed,
            numerics: Numerics::this(),
        };
        Ok(Session {
            data,
            options,
            split,
            described,
            identity,
        })
    }

    /// Which training it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Trains and tests, from the start or from where an earlier sitting stopped. `watch` is shown each epoch when
    /// it is done, with the name of the phase that it belongs to, and `keep` is given what a later sitting could go
    /// on from.
    ///
    /// # Errors
    /// As [`train_on`](super::train_on).
    pub fn run(
        self,
        from: Option<Checkpoint>,
        progress: &dyn Progress,
        watch: &mut (dyn FnMut(&str, &EpochDone) + Send),
        keep: &mut (dyn FnMut(Checkpoint) + Send),
    ) -> Result<Finished> {
        let Session {
            data,
            options,
            split,
            described,
            identity,
        } = self;
        let dataset = &data.dataset;
        let records = Records::from(dataset);
        let started = Instant::now();
        let before = from.as_ref().map_or(0.0, |from| from.seconds);
        let seconds = || before + started.elapsed().as_secs_f64();
        let plan = Plan {
            records,
            training: &split.train,
            validation: &split.validation,
            shape: Shape {
                inputs: identity.network.inputs,
                hidden: identity.network.hidden,
                classes: identity.network.classes,
            },
            image: dataset.image(),
            recipe: &options.recipe,
            seed: options.seed,
            backend: options.backend,
            threads: options.threads,
        };
        let count = split.train.len();
        let whole = Whole::start(progress, "training", options.recipe.work(count));
        if let Some(from) = &from {
            progress.resume(from.snapshot.work(&options.recipe, count));
        }
        let sitting = Sitting {
            from: from.map(|from| from.snapshot),
            progress: &whole,
            watch: &mut |phase, done| {
                whole.detail(&format!("loss {:.4}", done.result.training.loss()));
                watch(phase, done);
            },
            keep: &mut |snapshot| {
                keep(Checkpoint {
                    identity: identity.clone(),
                    seconds: seconds(),
                    snapshot,
                });
            },
        };
        let trained = super::train_on(&plan, sitting)?;
        drop(whole);
        let seconds = seconds();
        let compute = Compute {
            backend: options.backend,
            threads: options.threads,
        };
        let judge = |which: &[u32]| super::evaluate(&trained.network, records, which, compute);
        let validation = judge(&split.validation)?;
        let test = judge(&split.test)?;
        if !test.loss_sum.is_finite() {
            return Err(diverged(
                "what was trained says nothing of the test records",
            ));
        }
        let weights = weights::to_safetensors(&trained.network, &options.recipe);
        let training = Training {
            data: described,
            split: identity.split,
            network: identity.network,
            recipe: identity.recipe,
            seed: identity.seed,
            numerics: identity.numerics,
            epochs: trained.history.into_iter().map(Into::into).collect(),
            teacher_epochs: trained.teacher.into_iter().map(Into::into).collect(),
            validation: validation.into(),
            test: test.into(),
            software: Software::this(),
            run: Run {
                backend: options.backend.name().into(),
                threads: compute.most_threads(),
                machine: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
                seconds,
                created: now(),
            },
        };
        Ok(Finished {
            weights_digest: sha512(&[&weights]),
            weights,
            training,
            validation,
            test,
            elapsed: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
            network: trained.network,
            test_records: split.test,
        })
    }
}

impl Finished {
    /// The signed receipt for these weights; `name` is what the weight file is called.
    pub fn receipt(&self, name: &str, owner: &SigningKey) -> Vec<u8> {
        receipt::sign(&self.training, name, &self.weights, owner)
    }
}

/// Seconds since the Unix epoch; 0 on a machine whose clock is before it.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
