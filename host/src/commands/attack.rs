//! `sealnet attack`: records that are adversarial before anyone seals them.

mod evasion;
mod poison;
mod tamper;
mod victim;

use sealnet::attack::{Evasion, Fgsm, Jsma, Pgd, Saliency, Target, Where};
use sealnet::error::{Error, Result};

use super::Outcome;
use crate::cli::{AttackArgs, AttackCommand, JsmaArgs, SaliencyArg, TargetArg};
use crate::ui::Ui;

pub(crate) fn run(args: &AttackArgs, ui: &Ui) -> Result<Outcome> {
    let moved = |keep_background: bool| match keep_background {
        true => Where::Foreground,
        false => Where::Everywhere,
    };
    match &args.command {
        AttackCommand::Fgsm(args) => {
            let attack = Evasion::Fgsm(Fgsm {
                epsilon: steps(args.epsilon),
                moved: moved(args.keep_background),
            });
            evasion::run(&args.evasion, attack, ui)
        }
        AttackCommand::Pgd(args) => {
            let epsilon = steps(args.epsilon);
            if args.step.is_some_and(|step| steps(step) == 0) && epsilon > 0 {
                return Err(Error::input(
                    "an attack whose steps move nothing",
                    "--step is at least 1/255, 0.004",
                ));
            }
            let attack = Evasion::Pgd(Pgd {
                epsilon,
                step: args.step.map_or_else(|| epsilon.div_ceil(10), steps),
                steps: args.steps,
                moved: moved(args.keep_background),
                seed: (!args.from_record).then_some(args.seed),
            });
            evasion::run(&args.evasion, attack, ui)
        }
        AttackCommand::Jsma(args) => evasion::run(&args.evasion, Evasion::Jsma(jsma(args)?), ui),
        AttackCommand::Poison(args) => poison::run(args, ui),
        AttackCommand::Tamper(args) => tamper::run(args, ui),
    }
}

fn jsma(args: &JsmaArgs) -> Result<Jsma> {
    let theta = steps(args.theta.abs()) as i16;
    if theta == 0 || args.gamma == 0.0 {
        return Err(Error::input(
            "an attack that moves nothing",
            "--theta is at least 1/255 either way, and --gamma above 0",
        ));
    }
    if args.class.is_some() != (args.target == TargetArg::Class) {
        return Err(Error::input(
            "--class goes with --target class, and that with it",
            "give both or neither",
        ));
    }
    Ok(Jsma {
        theta: if args.theta < 0.0 { -theta } else { theta },
        gamma: args.gamma,
        saliency: match args.saliency {
            SaliencyArg::Probabilities => Saliency::Probabilities,
            SaliencyArg::Logits => Saliency::Logits,
        },
        target: match args.target {
            TargetArg::Random => Target::Random,
            TargetArg::Likeliest => Target::Likeliest,
            TargetArg::Unlikeliest => Target::Unlikeliest,
            TargetArg::Next => Target::Next,
            TargetArg::Class => Target::Class(args.class.unwrap_or_default()),
        },
        seed: args.seed,
    })
}

/// A share of a feature's range in whole steps of 255.
fn steps(share: f64) -> u8 {
    (share * 255.0).round() as u8
}
