//! `sealnet bench recipe`: what a recipe reaches, over several seeds.

use std::time::Instant;

use sealnet::dataset;
use sealnet::dataset::split::split;
use sealnet::error::Result;
use sealnet::export;
use sealnet::progress::Whole;
use sealnet::train::recipe::{Weights, file};
use sealnet::train::{self, Network, Plan, Recipe, Records, Shape, Sitting, Snapshot};
use sealnet_core::mlp::{Quantisation, WeightType};
use serde::Serialize;

use crate::cli::{BenchRecipeArgs, WeightsArg};
use crate::commands::{Outcome, source};
use crate::ui::Ui;

/// All that is told.
#[derive(Debug, Serialize)]
struct Report {
    network: String,
    results: Vec<Results>,
}

/// All seeds with weights of one type.
#[derive(Debug, Serialize)]
struct Results {
    recipe: String,
    weights: String,
    seeds: Vec<Seed>,
    mean: Figures,
    least: Figures,
    most: Figures,
}

/// One training.
#[derive(Debug, Clone, Serialize)]
struct Seed {
    seed: u64,
    #[serde(flatten)]
    figures: Figures,
}

/// Accuracies from 0 to 1.
#[derive(Debug, Clone, Copy, Serialize)]
struct Figures {
    validation_accuracy: f64,
    f32_test_accuracy: f64,
    test_accuracy: f64,
    changed_predictions: f64,
    seconds: f64,
}

pub(crate) fn run(args: &BenchRecipeArgs, ui: &Ui) -> Result<Outcome> {
    let compute = args.compute.compute()?;
    let recipe = file::find(&args.recipe)?.recipe;
    let recipes: Vec<(Recipe, WeightsArg)> = (args.weights.iter())
        .map(|&weights| {
            // Without attacks inside, whatever makes weights of four bits sees them so.
            let seen = weights == WeightsArg::Int4 && recipe.adversarial.is_none();
            let recipe = recipe.clone();
            let recipe = if seen {
                recipe.with_weights(Weights::Int4)
            } else {
                recipe
            };
            (recipe, weights)
        })
        .collect();
    let data = dataset::load(
        &args.data,
        &source::load_options(&args.data_options),
        ui.progress(),
    )?;
    // Better known before the work than after it.
    export::names(&data)?;
    let split = split(&data, None)?;
    let hidden = [args.hidden.0, args.hidden.1].map(usize::from);
    let shape = Shape::new(data.feature_count(), hidden, data.classes.into())?;
    ui.line(format!(
        "recipe {}, {shape}, {} training records",
        recipe.name,
        split.train.len(),
    ))?;
    ui.line("weights   seed   validation   test, f32   test, integers   changed   seconds")?;
    let alike = alike(recipes.iter().map(|(recipe, _)| recipe));
    let mut all = vec![Vec::new(); recipes.len()];
    for seed in 1..=args.seeds {
        let mut shared = None;
        for ((recipe, weights), seeds) in recipes.iter().zip(&mut all) {
            let plan = Plan {
                records: Records::from(&data),
                training: &split.train,
                validation: &split.validation,
                shape,
                image: data.image(),
                recipe,
                seed,
                backend: compute.backend,
                threads: compute.threads,
            };
            let (network, seconds) = train(&plan, alike, &mut shared, ui)?;
            let quantisation = Quantisation {
                weights: (*weights).into(),
                ..Quantisation::default()
            };
            let prepared = export::prepare(&network, &data, &split, quantisation, f64::INFINITY)?;
            let figures = Figures {
                validation_accuracy: prepared.validation.integer_accuracy(),
                f32_test_accuracy: prepared.test.real_accuracy(),
                test_accuracy: prepared.test.integer_accuracy(),
                changed_predictions: prepared.test.changed as f64,
                seconds,
            };
            ui.line(figures.row(*weights, &seed.to_string()))?;
            seeds.push(Seed { seed, figures });
        }
    }
    let results = recipes.into_iter().zip(all);
    let report = Report {
        network: shape.to_string(),
        results: results
            .map(|((recipe, weights), seeds)| Results::of(recipe.name, weights, seeds))
            .collect(),
    };
    for (results, &weights) in report.results.iter().zip(&args.weights) {
        for (name, figures) in [
            ("mean", results.mean),
            ("min", results.least),
            ("max", results.most),
        ] {
            ui.line(figures.row(weights, name))?;
        }
    }
    ui.document(&report)?;
    Ok(Outcome::Done)
}

/// How a training began that others go on from.
struct Beginning {
    snapshot: Snapshot,
    seconds: f64,
}

/// Epochs that trainings by `recipes`, which differ in their finish alone, begin alike with.
fn alike<'a>(recipes: impl Iterator<Item = &'a Recipe>) -> u32 {
    let before_finish = recipes.map(|recipe| {
        let finish = recipe.finish.map_or(0, |finish| finish.epochs);
        recipe.epochs.saturating_sub(finish)
    });
    before_finish.min().unwrap_or(0)
}

/// Trains, from where `shared` left off if it holds something; else leaves there how the first `alike` epochs went.
/// Returns the network and what its training takes from the very start.
fn train(
    plan: &Plan<'_>,
    alike: u32,
    shared: &mut Option<Beginning>,
    ui: &Ui,
) -> Result<(Network, f64)> {
    let started = Instant::now();
    let label = format!("seed {}", plan.seed);
    let count = plan.training.len();
    let whole = Whole::start(ui.progress(), &label, plan.recipe.work(count));
    let (from, before) = match shared {
        Some(beginning) => (Some(beginning.snapshot.clone()), beginning.seconds),
        None => (None, 0.0),
    };
    let first = from.is_none();
    if let Some(snapshot) = &from {
        ui.progress().resume(snapshot.work(plan.recipe, count));
    }
    let sitting = Sitting {
        from,
        progress: &whole,
        watch: &mut |_, _| (),
        keep: &mut |snapshot| {
            if first && snapshot.history.len() <= alike as usize {
                *shared = Some(Beginning {
                    snapshot,
                    seconds: started.elapsed().as_secs_f64(),
                });
            }
        },
    };
    let network = train::train_on(plan, sitting)?.network;
    drop(whole);
    Ok((network, before + started.elapsed().as_secs_f64()))
}

impl Results {
    fn of(recipe: String, weights: WeightsArg, seeds: Vec<Seed>) -> Results {
        Results {
            recipe,
            weights: WeightType::from(weights).to_string(),
            mean: over(&seeds, |values| {
                values.iter().sum::<f64>() / values.len() as f64
            }),
            least: over(&seeds, |values| {
                values.iter().copied().fold(f64::INFINITY, f64::min)
            }),
            most: over(&seeds, |values| values.iter().copied().fold(0.0, f64::max)),
            seeds,
        }
    }
}

impl Figures {
    fn row(&self, weights: WeightsArg, name: &str) -> String {
        format!(
            "{:<7}   {name:<4}   {:8.2} %   {:7.2} %   {:12.2} %   {:7.1}   {:7.1}",
            WeightType::from(weights).to_string(),
            100.0 * self.validation_accuracy,
            100.0 * self.f32_test_accuracy,
            100.0 * self.test_accuracy,
            self.changed_predictions,
            self.seconds,
        )
    }
}

/// Each figure over all seeds.
fn over(seeds: &[Seed], by: impl Fn(&[f64]) -> f64) -> Figures {
    let of = |figure: fn(&Figures) -> f64| {
        let values: Vec<f64> = seeds.iter().map(|seed| figure(&seed.figures)).collect();
        by(&values)
    };
    Figures {
        validation_accuracy: of(|figures| figures.validation_accuracy),
        f32_test_accuracy: of(|figures| figures.f32_test_accuracy),
        test_accuracy: of(|figures| figures.test_accuracy),
        changed_predictions: of(|figures| figures.changed_predictions),
        seconds: of(|figures| figures.seconds),
    }
}
