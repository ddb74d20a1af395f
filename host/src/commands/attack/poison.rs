//! Poisoned training records.

use std::path::{Path, PathBuf};

use sealnet::attack::{Fgsm, Poison, Where, poison};
use sealnet::dataset::{self, SourceKind, source_kind};
use sealnet::error::{Error, Result};
use sealnet::files;
use sealnet::train::{Backend, InputMap, Judge};
use serde_json::json;

use super::super::{Outcome, source};
use super::{steps, victim};
use crate::cli::{PoisonArg, PoisonArgs};
use crate::ui::Ui;

pub(super) fn run(args: &PoisonArgs, ui: &Ui) -> Result<Outcome> {
    check(args)?;
    let place = source::place(&args.data)?;
    let model = args.model.iter().map(PathBuf::as_path);
    let inputs: Vec<&Path> = model.chain([&*place]).collect();
    files::refuse_overwriting(&args.output, &inputs)?;
    if source_kind(&args.data) == SourceKind::Store {
        return Err(Error::input(
            format!(
                "{} is a vault: what is sealed cannot be poisoned",
                args.data
            ),
            "open it first: sealnet open STORE DATA",
        ));
    }
    let judge = match &args.model {
        None => None,
        Some(path) => {
            let network = victim::network(path, &args.input, ui)?;
            let input = InputMap::centred();
            Some(Judge::new(&network, &input, Backend::detect()).of_directions())
        }
    };
    let options = source::load_options(&args.data_options);
    let mut data = dataset::load(&args.data, &options, ui.progress())?;
    dataset::can_save(&args.output, &data)?;
    let (part, range) = match data.part("train") {
        Some(part) => ("train", part.range()),
        None => ("all", 0..data.count()),
    };
    let which: Vec<u32> = range.map(|index| index as u32).collect();
    let how = match (args.kind, &judge) {
        (PoisonArg::Flip, _) => Poison::Flip,
        (PoisonArg::Backdoor, _) => Poison::Backdoor {
            target: args.class.unwrap_or(0),
            side: args.side.unwrap_or(3),
        },
        (PoisonArg::Fgsm, Some(judge)) => Poison::Fgsm {
            judge,
            fgsm: Fgsm {
                epsilon: steps(args.epsilon.unwrap_or(0.2)),
                moved: Where::Everywhere,
            },
        },
        (PoisonArg::Fgsm, None) => {
            return Err(Error::input(
                "--kind fgsm follows a network's gradients, and there is none",
                "say --model, weights that `sealnet train` wrote",
            ));
        }
    };
    let poisoned = poison(&mut data, &which, args.rate, how, args.seed)?;
    dataset::save(&args.output, &data)?;
    let kind = match args.kind {
        PoisonArg::Flip => "flip",
        PoisonArg::Fgsm => "fgsm",
        PoisonArg::Backdoor => "backdoor",
    };
    ui.line(format!(
        "{} of {} {part} records of {} poisoned ({kind}, seed {}): {}",
        poisoned.len(),
        which.len(),
        data.name,
        args.seed,
        args.output.display(),
    ))?;
    ui.document(&json!({
        "kind": kind,
        "part": part,
        "of": which.len(),
        "poisoned": poisoned.len(),
        "seed": args.seed,
        "output": args.output,
        "records": poisoned,
    }))?;
    Ok(Outcome::Done)
}

/// Options that go with another kind do nothing, and are refused.
fn check(args: &PoisonArgs) -> Result<()> {
    let others = [
        ("--model", args.model.is_some(), PoisonArg::Fgsm, "fgsm"),
        (
            "--input",
            args.input.expression.is_some(),
            PoisonArg::Fgsm,
            "fgsm",
        ),
        ("--epsilon", args.epsilon.is_some(), PoisonArg::Fgsm, "fgsm"),
        (
            "--class",
            args.class.is_some(),
            PoisonArg::Backdoor,
            "backdoor",
        ),
        (
            "--side",
            args.side.is_some(),
            PoisonArg::Backdoor,
            "backdoor",
        ),
    ];
    match others
        .iter()
        .find(|(_, given, kind, _)| *given && *kind != args.kind)
    {
        None => Ok(()),
        Some((option, _, _, kind)) => Err(Error::input(
            format!("{option} is for --kind {kind}"),
            format!("add --kind {kind}, or leave {option} out"),
        )),
    }
}
