//! Attacks on a finished network.

use std::path::{Path, PathBuf};
use std::time::Instant;

use sealnet::attack::{Attacked, Distance, Evasion, Where};
use sealnet::dataset::{self, Dataset, LoadOptions, Part, SourceKind};
use sealnet::error::{Error, Result};
use sealnet::files;
use sealnet::train::Records;
use serde_json::{Value, json};

use super::super::{Outcome, source};
use super::victim::{self, Victim};
use crate::cli::{EvasionArgs, KeysOption};
use crate::ui::Ui;

pub(super) fn run(args: &EvasionArgs, attack: Evasion, ui: &Ui) -> Result<Outcome> {
    let compute = args.compute.compute()?;
    if let Some(path) = &args.output {
        let source = source::place(&args.source)?;
        let keys = args.keys.iter().map(PathBuf::as_path);
        let inputs: Vec<&Path> = keys.chain([&*args.model, &*source]).collect();
        files::refuse_overwriting(path, &inputs)?;
        if path.symlink_metadata().is_ok() {
            return Err(Error::input(
                format!("{} exists already", path.display()),
                "name what does not exist yet; nothing is overwritten",
            ));
        }
    }
    victim::with(args, ui, |victim| {
        let load = LoadOptions {
            form: victim.form.clone(),
            ..source::load_options(&args.data_options)
        };
        let keys = KeysOption {
            dir: args.keys.clone().unwrap_or_default(),
        };
        if args.keys.is_none() && dataset::source_kind(&args.source) == SourceKind::Store {
            return Err(Error::input(
                format!("{} is a vault, and there are no keys", args.source),
                "say --keys DIR, the folder that `sealnet keygen` made",
            ));
        }
        let source = source::load(&args.source, &keys, &args.store_options, load, ui)?;
        let data = source.dataset;
        if let Some(path) = &args.output {
            dataset::can_save(path, &data)?;
        }
        victim.check(&data, ui)?;
        let (part, which) = source::chosen(&data, args.part, args.limit)?;
        let started = Instant::now();
        let progress = ui.progress();
        let attacked = attack.attack(
            &victim.network,
            Records::from(&data),
            &which,
            compute,
            progress,
        )?;
        let seconds = started.elapsed().as_secs_f64();
        let found = Found::of(victim, &data, &which, &attacked)?;
        if let Some(path) = &args.output {
            dataset::save(path, &adversarial(&data, part, &which, attacked.features))?;
            ui.say(format!(
                "{} attacked records in {}",
                which.len(),
                path.display()
            ));
        }
        tell(
            args,
            &attack,
            &Told {
                victim,
                data: &data,
                part,
                found: &found,
                seconds,
            },
            ui,
        )?;
        Ok(Outcome::Done)
    })
}

/// What an attack achieved.
struct Found {
    records: u64,
    /// Predicted correctly before, and after.
    correct: u64,
    correct_attacked: u64,
    /// Of those correct before, taken for something else after.
    fooled: u64,
    /// The same of the network whose gradients were followed, where another answers.
    surrogate: Option<[u64; 2]>,
    /// Records that are taken for what they were to be taken for.
    reached: Option<u64>,
    distance: Distance,
}

impl Found {
    fn of(
        victim: &Victim<'_>,
        data: &Dataset,
        which: &[u32],
        attacked: &Attacked,
    ) -> Result<Found> {
        let labels: Vec<u16> = which
            .iter()
            .map(|&index| data.labels[index as usize])
            .collect();
        let clean = Records::from(data);
        let after = Records {
            features: &attacked.features,
            width: data.feature_count(),
            labels: &labels,
        };
        let all: Vec<u32> = (0..which.len() as u32).collect();
        let right = |said: &[u16]| said.iter().zip(&labels).filter(|(a, b)| a == b).count() as u64;
        let (before, said) = (
            victim.predictions(clean, which)?,
            victim.predictions(after, &all)?,
        );
        let fooled = before.iter().zip(&said).zip(&labels);
        let fooled = fooled.filter(|((before, said), label)| before == label && said != label);
        let fates = attacked.fates.as_ref();
        let original: Vec<u8> = which
            .iter()
            .flat_map(|&index| data.features_of(index as usize))
            .copied()
            .collect();
        Ok(Found {
            records: which.len() as u64,
            correct: right(&before),
            correct_attacked: right(&said),
            fooled: fooled.count() as u64,
            surrogate: match victim.integers {
                None => None,
                Some(_) => Some([
                    right(&victim.surrogate_predictions(clean, which)?),
                    right(&victim.surrogate_predictions(after, &all)?),
                ]),
            },
            reached: fates.map(|fates| {
                let reached = fates
                    .iter()
                    .zip(&said)
                    .filter(|(fate, said)| fate.target == **said);
                reached.count() as u64
            }),
            distance: Distance::between(&original, &attacked.features, data.feature_count()),
        })
    }
}

/// What is told.
struct Told<'a> {
    victim: &'a Victim<'a>,
    data: &'a Dataset,
    part: &'a str,
    found: &'a Found,
    seconds: f64,
}

fn tell(args: &EvasionArgs, attack: &Evasion, told: &Told<'_>, ui: &Ui) -> Result<()> {
    let Told {
        victim,
        data,
        part,
        found,
        seconds,
    } = told;
    let share = |count: u64, of: u64| 100.0 * count as f64 / of.max(1) as f64;
    let records = found.records;
    ui.line(format!("attack   {}", described(attack)))?;
    ui.line(format!(
        "records  {records} of {}, {part}, in {seconds:.1} s",
        data.name
    ))?;
    ui.line(format!(
        "network  {} ({}): {:.2} % correct, attacked {:.2} %",
        args.model.display(),
        victim.kind,
        share(found.correct, records),
        share(found.correct_attacked, records),
    ))?;
    if let Some([before, after]) = found.surrogate {
        ui.line(format!(
            "         the real network that it rounds: {:.2} % correct, attacked {:.2} %",
            share(before, records),
            share(after, records),
        ))?;
    }
    ui.line(format!(
        "success  {} of {} that were correct are taken for something else: {:.2} %",
        found.fooled,
        found.correct,
        share(found.fooled, found.correct),
    ))?;
    if let Some(reached) = found.reached {
        ui.line(format!(
            "         {reached} are taken for their target: {:.2} %",
            share(reached, records)
        ))?;
    }
    let distance = &found.distance;
    ui.line(format!(
        "moved    {} records, in the mean {:.1} features by {:.3} in all (L2), none by more than {}/255",
        distance.records, distance.features, distance.l2, distance.largest,
    ))?;
    let ratio = |count: u64, of: u64| count as f64 / of.max(1) as f64;
    ui.document(&json!({
        "attack": options(attack),
        "model": args.model,
        "network": victim.kind,
        "part": part,
        "records": records,
        "accuracy": ratio(found.correct, records),
        "attacked_accuracy": ratio(found.correct_attacked, records),
        "surrogate": found.surrogate.map(|[before, after]| json!({
            "accuracy": ratio(before, records),
            "attacked_accuracy": ratio(after, records),
        })),
        "correct": found.correct,
        "fooled": found.fooled,
        "success": ratio(found.fooled, found.correct),
        "targets_reached": found.reached,
        "moved": {
            "records": distance.records,
            "features": distance.features,
            "l2": distance.l2,
            "largest": distance.largest,
        },
        "seconds": seconds,
        "output": args.output,
    }))
}

fn described(attack: &Evasion) -> String {
    let moved = |moved| match moved {
        Where::Everywhere => "",
        Where::Foreground => ", background kept",
    };
    let of = |steps: u8| format!("{steps}/255 ({:.4})", f64::from(steps) / 255.0);
    match attack {
        Evasion::Fgsm(fgsm) => format!("FGSM, epsilon {}{}", of(fgsm.epsilon), moved(fgsm.moved)),
        Evasion::Pgd(pgd) => format!(
            "PGD, epsilon {}, {} steps of {}, {}{}",
            of(pgd.epsilon),
            pgd.steps,
            of(pgd.step),
            match pgd.seed {
                Some(seed) => format!("seed {seed}"),
                None => "from the record".into(),
            },
            moved(pgd.moved)
        ),
        Evasion::Jsma(jsma) => format!(
            "JSMA, theta {}/255, gamma {}, saliency of {}, target {}, seed {}",
            jsma.theta, jsma.gamma, jsma.saliency, jsma.target, jsma.seed
        ),
    }
}

fn options(attack: &Evasion) -> Value {
    let background = |moved| moved == Where::Foreground;
    match attack {
        Evasion::Fgsm(fgsm) => json!({
            "name": attack.name(),
            "epsilon": f64::from(fgsm.epsilon) / 255.0,
            "keep_background": background(fgsm.moved),
        }),
        Evasion::Pgd(pgd) => json!({
            "name": attack.name(),
            "epsilon": f64::from(pgd.epsilon) / 255.0,
            "step": f64::from(pgd.step) / 255.0,
            "steps": pgd.steps,
            "keep_background": background(pgd.moved),
            "seed": pgd.seed,
        }),
        Evasion::Jsma(jsma) => json!({
            "name": attack.name(),
            "theta": f64::from(jsma.theta) / 255.0,
            "gamma": jsma.gamma,
            "saliency": jsma.saliency.to_string(),
            "target": jsma.target.to_string(),
            "seed": jsma.seed,
        }),
    }
}

/// The records as attacked, with their true labels, as a data set of one part.
fn adversarial(data: &Dataset, part: &str, which: &[u32], features: Vec<u8>) -> Dataset {
    let name = match part {
        "all" => "all",
        "train" => "train",
        _ => "test",
    };
    Dataset {
        features,
        labels: which
            .iter()
            .map(|&index| data.labels[index as usize])
            .collect(),
        parts: vec![Part {
            name: name.into(),
            start: 0,
            len: which.len() as u64,
        }],
        ..data.clone()
    }
}
