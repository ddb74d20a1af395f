//! `sealnet reproduce`: a training receipt's training again, and whether the same comes out.

use std::path::{Path, PathBuf};

use sealnet::dataset::csv::LabelColumn;
use sealnet::dataset::{SourceKind, source_kind};
use sealnet::error::{Error, Failure, Result};
use sealnet::files::{self, AtomicFile};
use sealnet::keys::{self, KeyFolder};
use sealnet::receipt::{self, Alone, Data, Origin};
use sealnet::reproduce::{self, Distance};
use sealnet::train::Network;
use sealnet::train::session::{self, Finished};
use sealnet::vault::SourceData;
use sealnet::weights;
use serde_json::{Value, json};

use super::{Outcome, source};
use crate::cli::{KeysOption, Profile, ReproduceArgs, StoreOptions, Tolerance};
use crate::ui::Ui;

pub(crate) fn run(args: &ReproduceArgs, ui: &Ui) -> Result<Outcome> {
    let claimed = claimed(args)?;
    let training = claimed.training();
    let options = reproduce::options(training, args.compute.compute()?)?;
    let given = args.weights.as_deref().map(weights::read).transpose()?;
    let place = args.data.as_ref().unwrap_or(&training.data.source);
    if let Some(output) = &args.output {
        let source = source::place(place)?;
        let mut inputs = vec![source.as_path(), &args.receipt];
        inputs.extend(
            [&args.keys, &args.key, &args.weights]
                .into_iter()
                .flatten()
                .map(PathBuf::as_path),
        );
        files::refuse_overwriting(output, &inputs)?;
        drop(AtomicFile::create(output)?);
    }
    ui.say(format!(
        "receipt verified: recipe {}, seed {}, {} of {}",
        training.recipe.name, training.seed, training.data.origin, training.data.name,
    ));
    let data = data(args, &claimed, place, ui)?;
    if let Some(otherwise) = reproduce::check_data(training, place, &data)? {
        ui.say(format!("note: {otherwise}"));
    }
    let finished = session::run(place, &data, &options, ui.progress())?;
    if let Some(output) = &args.output {
        files::write_atomic(output, &finished.weights)?;
    }
    tell(args, &claimed, &finished, given.as_ref(), ui)
}

/// What the receipt says, once its signature holds.
fn claimed(args: &ReproduceArgs) -> Result<Alone> {
    let owner = match (&args.key, &args.keys) {
        (Some(key), _) => keys::verification_key(key)?,
        (None, Some(folder)) => KeyFolder::open(folder)?.owner_public()?,
        // The command line asks for one of them.
        (None, None) => {
            return Err(Error::input(
                "there is no key to verify with",
                "give --keys DIR or --key FILE",
            ));
        }
    };
    let path = &args.receipt;
    let bytes = files::read_limited(path, receipt::MAX_BYTES)?;
    receipt::verify_alone(&bytes, &owner).map_err(|error| match error {
        Error::Verification { what, hint } => Error::Verification {
            what: format!("{}: {what}", path.display()),
            hint,
        },
        other => other,
    })
}

/// The records in `place`, opened as the receipt says where the arguments do not.
fn data(args: &ReproduceArgs, claimed: &Alone, place: &str, ui: &Ui) -> Result<SourceData> {
    let recorded = &claimed.training().data;
    let mut load = source::load_options(&args.data_options);
    if load.label.is_none() {
        load.label = recorded.label.clone().map(LabelColumn::Named);
    }
    let is_vault = source_kind(place) == SourceKind::Store;
    let mut store = args.store_options.clone();
    let pinned = is_vault && as_recorded(&mut store, recorded)?;
    let keys = match &args.keys {
        Some(dir) => KeysOption { dir: dir.clone() },
        None if is_vault => {
            return Err(Error::input(
                format!("{place} is a vault, and there are no keys to open it with"),
                "give them with --keys DIR, or the same records unsealed with --data DATA",
            ));
        }
        None => KeysOption {
            dir: PathBuf::new(),
        },
    };
    let data = match pinned {
        true => source::load_pinned(place, &keys, &store, load, ui),
        false => source::load(place, &keys, &store, load, ui),
    };
    data.map_err(|error| match error {
        Error::Io { .. } if args.data.is_none() => Error::input(
            format!("the receipt says that the data is {place}: {error}"),
            "say where it is now: --data STORE|DATA",
        ),
        other => other,
    })
}

/// Opens a vault as it was opened, where nothing else is asked for. Whether the manifest is the one that the
/// receipt names is then known by its digest.
fn as_recorded(store: &mut StoreOptions, recorded: &Data) -> Result<bool> {
    let set_aside = recorded.quarantined.len() as u64;
    if set_aside > 0 && store.max_tampered.is_none() {
        store.max_tampered = Some(Tolerance::Records(set_aside));
    }
    let of_another = store.serial.is_some()
        || store.min_serial.is_some()
        || store.manifest_digest.is_some()
        || store.dataset_id.is_some();
    match &recorded.origin {
        Origin::Manifest {
            manifest, serial, ..
        } if !of_another => {
            let digest = manifest.digest.sha512.parse().map_err(|e| {
                Error::verification(
                    format!("the receipt names no manifest digest: {e}"),
                    "name the vault's manifest with --manifest-digest",
                )
            })?;
            store.serial = Some(*serial);
            store.manifest_digest = Some(digest);
            Ok(true)
        }
        Origin::UnsignedVault { .. } => {
            store.profile = store.profile.or(Some(Profile::Paper));
            Ok(false)
        }
        Origin::Manifest { .. } | Origin::Unsealed => Ok(false),
    }
}

fn tell(
    args: &ReproduceArgs,
    claimed: &Alone,
    finished: &Finished,
    given: Option<&(Vec<u8>, Network)>,
    ui: &Ui,
) -> Result<Outcome> {
    let mut failures = reproduce::differences(claimed, finished);
    let receipt_holds = failures.is_empty();
    let mut apart = None;
    if let (Some((bytes, network)), Some(path)) = (given, &args.weights) {
        let name = path.display().to_string();
        failures.extend(reproduce::other_file(claimed, &name, bytes));
        apart = reproduce::distance(network, &finished.network);
        failures.extend(apart_from(path, apart));
    }
    let training = &finished.training;
    let digest = hex::encode(finished.weights_digest);
    let document = json!({
        "receipt": args.receipt,
        "reproduced": receipt_holds,
        "recorded_weights_sha512": claimed.weights_sha512(),
        "distance": apart.map(|apart| json!({
            "differing": apart.differing,
            "of": apart.of,
            "largest": apart.largest,
        })),
        "output": args.output,
        "data": training.data,
        "numerics": training.numerics,
        "recipe": training.recipe.name,
        "seed": training.seed,
        "seconds": finished.elapsed.as_secs_f64(),
        "test_accuracy": training.test.accuracy,
        "weights_sha512": digest,
    });
    ui.say(format!(
        "trained in {:.1} s",
        finished.elapsed.as_secs_f64()
    ));
    if !failures.is_empty() {
        let count = failures.len();
        let receipt = args.receipt.display();
        let (what, hint) = match receipt_holds {
            true => (
                format!("{receipt} is reproduced, and the weights in question are others"),
                "the receipt says nothing of these weights; look for those it names",
            ),
            false => (
                format!("{receipt} is not reproduced: something else came out"),
                "the receipt does not say what trained these weights, or one of the two machines does not compute as IEEE 754 asks",
            ),
        };
        let error = Error::Refused {
            what,
            hint: hint.into(),
            failures,
            failed: count as u64,
        };
        if let Value::Object(document) = document {
            ui.error_in(&error, document);
        }
        return Ok(Outcome::Refused);
    }
    ui.line(format!(
        "{}: reproduced to the bit: {}, recipe {}, seed {}, numerics {}",
        args.receipt.display(),
        training.network,
        training.recipe.name,
        training.seed,
        training.numerics.version,
    ))?;
    let taught = match training.teacher_epochs.len() {
        0 => String::new(),
        epochs => format!(", {epochs} of its teacher"),
    };
    ui.line(format!(
        "the same: {} epochs{taught}, {:.2} % of {} test records, {:.2} % of {} validation records",
        training.epochs.len(),
        100.0 * finished.test.accuracy(),
        finished.test.records,
        100.0 * finished.validation.accuracy(),
        finished.validation.records,
    ))?;
    ui.line(format!("weights: SHA-512 {digest}"))?;
    if let Some(output) = &args.output {
        ui.line(format!("written to {}", output.display()))?;
    }
    ui.document(&document)?;
    Ok(Outcome::Done)
}

/// How far the weights in question are from those that came out, if they are.
fn apart_from(path: &Path, apart: Option<Distance>) -> Option<Failure> {
    let cause = match apart {
        None => "its layers have other widths than what came out".to_owned(),
        Some(Distance { differing: 0, .. }) => return None,
        Some(Distance {
            differing,
            of,
            largest,
        }) => format!(
            "{differing} of {of} numbers differ from what came out, by at most {largest:.3e}"
        ),
    };
    Some(Failure {
        place: path.display().to_string(),
        check: "distance",
        cause,
        index: None,
        shard: None,
    })
}
