//! `sealnet train`: verified records to weights with a signed receipt.

use std::io::Write;
use std::path::Path;

use sealnet::dataset::Dataset;
use sealnet::error::{Error, Result};
use sealnet::files::{self, AtomicFile};
use sealnet::keys::KeyFolder;
use sealnet::receipt;
use sealnet::train::log::EpochLog;
use sealnet::train::recipe::file;
use sealnet::train::session::{Finished, Session, SessionOptions};
use sealnet::train::{Compute, EpochDone, Recipe};
use serde_json::json;

use super::resuming::{Resumed, Resuming};
use super::watching::{Watching, distinct};
use super::{Outcome, source};
use crate::cli::TrainArgs;
use crate::ui::Ui;

pub(crate) fn run(args: &TrainArgs, ui: &Ui) -> Result<Outcome> {
    let compute = args.compute.compute()?;
    let keys = KeyFolder::open(&args.keys.dir)?;
    let owner = keys.owner_signing()?;
    let name = file_name(&args.output)?;
    let receipt_path = args
        .receipt
        .clone()
        .unwrap_or_else(|| receipt::path_beside(&args.output));
    let source = source::place(&args.source)?;
    let recipe = recipe(args)?;
    let mut inputs = vec![source.as_path(), &args.keys.dir];
    inputs.extend(file::as_path(&args.recipe));
    for output in [&args.output, &receipt_path] {
        files::refuse_overwriting(output, &inputs)?;
        // A place that cannot be written to is better known before the work than after it.
        drop(AtomicFile::create(output)?);
    }
    distinct(&receipt_path, &[&args.output])?;
    let outputs = [&*args.output, &receipt_path];
    let resuming = Resuming::prepare(args, &inputs, &outputs)?;
    let outputs = [outputs[0], outputs[1], resuming.path()];
    let watching = Watching::prepare(args, &inputs, &outputs)?;
    let data = source::load(
        &args.source,
        &args.keys,
        &args.store_options,
        source::load_options(&args.data_options),
        ui,
    )?;
    let options = SessionOptions {
        recipe,
        hidden: [args.hidden.0, args.hidden.1].map(usize::from),
        seed: args.seed,
        split_seed: args.split_seed,
        backend: compute.backend,
        threads: compute.threads,
    };
    let session = Session::new(&args.source, &data, &options)?;
    let resumed = resuming.start(&session, &keys, ui)?;
    let mut log = watching.log(resumed.rows())?;
    let mut watch = |phase: &str, done: &EpochDone| log.add(phase, done);
    let mut keep = resumed.keep(ui);
    let finished = session
        .run(resumed.from.clone(), ui.progress(), &mut watch, &mut keep)
        .and_then(|finished| {
            // Both are on the disk before either replaces what was there: a full disk leaves the old pair whole.
            let staged = |path: &Path, bytes: &[u8]| {
                let mut file = AtomicFile::create(path)?;
                file.write_all(bytes).map_err(Error::io("write", path))?;
                file.sync()?;
                Ok::<_, Error>(file)
            };
            let weights = staged(&args.output, &finished.weights)?;
            let receipt = staged(&receipt_path, &finished.receipt(&name, &owner))?;
            weights.commit()?;
            receipt.commit()?;
            Ok(finished)
        })
        .inspect_err(|e| match e {
            // It would again: nothing is worth going on from.
            Error::Diverged { .. } => resumed.finish(ui),
            _ => resumed.stop(ui),
        })?;
    resumed.finish(ui);
    let told = Told {
        args,
        receipt: &receipt_path,
        resumed: &resumed,
        watching: &watching,
    };
    told.tell(log, &finished, &data.dataset, compute, ui)
        .inspect_err(|e| {
            if !matches!(e, Error::ClosedPipe) {
                ui.warn(format!(
                    "training is done all the same: {} and its receipt are whole",
                    args.output.display()
                ));
            }
        })?;
    Ok(Outcome::Done)
}

/// What the result is told with.
struct Told<'a> {
    args: &'a TrainArgs,
    receipt: &'a Path,
    resumed: &'a Resumed,
    watching: &'a Watching,
}

impl Told<'_> {
    fn tell(
        &self,
        log: EpochLog,
        finished: &Finished,
        data: &Dataset,
        compute: Compute,
        ui: &Ui,
    ) -> Result<()> {
        let Told {
            args,
            receipt,
            resumed,
            watching,
        } = *self;
        let training = &finished.training;
        let watched = watching.finish(log, finished, data, compute)?;

        let digest = hex::encode(finished.weights_digest);
        ui.line(format!(
            "{}: {}, recipe {}, seed {}",
            args.output.display(),
            training.network,
            training.recipe.name,
            args.seed,
        ))?;
        let set_aside = match training.data.quarantined.len() {
            0 => String::new(),
            count => format!(", {count} tampered ones set aside"),
        };
        ui.line(format!(
            "data: {} of {}, {} records{set_aside}",
            training.data.origin, training.data.name, training.data.records,
        ))?;
        ui.line(format!(
            "accuracy: {:.2} % of {} test records, {:.2} % of {} validation records",
            100.0 * finished.test.accuracy(),
            finished.test.records,
            100.0 * finished.validation.accuracy(),
            finished.validation.records,
        ))?;
        ui.line(format!("weights: SHA-512 {digest}"))?;
        ui.line(format!("receipt: {}", receipt.display()))?;
        watching.tell(&watched, ui)?;
        ui.say(format!(
            "trained in {:.1} s on {} records",
            finished.elapsed.as_secs_f64(),
            training.split.training
        ));
        let mut document = json!({
            "weights": args.output,
            "receipt": receipt,
            "data": training.data,
            "network": training.network,
            "split": training.split,
            "history": training.epochs,
            "teacher_history": training.teacher_epochs,
            "recipe": training.recipe.name,
            "seed": args.seed,
            "epochs": training.epochs.len(),
            "seconds": finished.elapsed.as_secs_f64(),
            "validation_accuracy": training.validation.accuracy,
            "test_accuracy": training.test.accuracy,
            "weights_sha512": digest,
        });
        watching.describe(&watched, &mut document);
        resumed.describe(&mut document);
        ui.document(&document)
    }
}

/// The recipe that the options ask for.
fn recipe(args: &TrainArgs) -> Result<Recipe> {
    let mut recipe = file::find(&args.recipe)?.recipe;
    if let Some(epochs) = args.epochs {
        recipe = recipe.with_epochs(epochs);
    }
    if let Some(weights) = args.weights {
        if recipe.adversarial.is_some() {
            return Err(Error::input(
                format!(
                    "--weights does not go with recipe {}, which attacks its records",
                    recipe.name
                ),
                "leave it out: `sealnet export --weights` quantises such weights too",
            ));
        }
        recipe = recipe.with_weights(weights.into());
    }
    recipe.check().map_err(|wrong| {
        Error::input(
            wrong.to_string(),
            "as --epochs and --weights have it; `sealnet recipe best` explains the fields",
        )
    })?;
    Ok(recipe)
}

fn file_name(path: &Path) -> Result<String> {
    match path.file_name().and_then(|name| name.to_str()) {
        Some(name) => Ok(name.to_owned()),
        None => Err(Error::input(
            format!("{} does not name a file in UTF-8", path.display()),
            "name a file for the weights, as in -o model.safetensors",
        )),
    }
}
