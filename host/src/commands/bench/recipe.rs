//! `sealnet bench recipe`: what a recipe reaches, over several seeds.

use std::time::Instant;

use sealnet::dataset;
use sealnet::dataset::split::split;
use sealnet::error::Result;
use sealnet::export;
use sealnet::progress::Whole;
use sealnet::train::recipe::{Weights, file};
use sealnet::train::{self, Plan, Records, Shape};
use sealnet_core::mlp::{Quantisation, WeightType};
use serde::Serialize;

use crate::cli::{BenchRecipeArgs, WeightsArg};
use crate::commands::{Outcome, source};
use crate::ui::Ui;

/// All that is told.
#[derive(Debug, Serialize)]
struct Report {
    recipe: String,
    network: String,
    weights: String,
    seeds: Vec<Seed>,
    mean: Figures,
    least: Figures,
    most: Figures,
}

/// One training.
#[derive(Debug, Serialize)]
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
    let mut recipe = file::find(&args.recipe)?.recipe;
    // Without attacks inside, whatever makes weights of four bits sees them so.
    if args.weights == WeightsArg::Int4 && recipe.adversarial.is_none() {
        recipe = recipe.with_weights(Weights::Int4);
    }
    let data = dataset::load(
        &args.data,
        &source::load_options(&args.data_options),
        ui.progress(),
    )?;
    let split = split(&data, None)?;
    let hidden = [args.hidden.0, args.hidden.1].map(usize::from);
    let shape = Shape::new(data.feature_count(), hidden, data.classes.into())?;
    let weights = WeightType::from(args.weights);
    ui.line(format!(
        "recipe {}, {shape}, {} training records, weights {}",
        recipe.name,
        split.train.len(),
        weights,
    ))?;
    ui.line("seed   validation   test, f32   test, integers   changed   seconds")?;
    let mut seeds = Vec::new();
    for seed in 1..=args.seeds {
        let started = Instant::now();
        let work = recipe.work(split.train.len());
        let whole = Whole::start(ui.progress(), &format!("seed {seed}"), work);
        let plan = Plan {
            records: Records::from(&data),
            training: &split.train,
            validation: &split.validation,
            shape,
            image: data.image(),
            recipe: &recipe,
            seed,
            backend: compute.backend,
            threads: compute.threads,
        };
        let network = train::train(&plan, &whole)?.network;
        drop(whole);
        let seconds = started.elapsed().as_secs_f64();
        let quantisation = Quantisation {
            weights,
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
        ui.line(figures.row(&seed.to_string()))?;
        seeds.push(Seed { seed, figures });
    }
    let report = Report {
        recipe: recipe.name,
        network: shape.to_string(),
        weights: weights.to_string(),
        mean: over(&seeds, |values| {
            values.iter().sum::<f64>() / values.len() as f64
        }),
        least: over(&seeds, |values| {
            values.iter().copied().fold(f64::INFINITY, f64::min)
        }),
        most: over(&seeds, |values| values.iter().copied().fold(0.0, f64::max)),
        seeds,
    };
    for (name, figures) in [
        ("mean", report.mean),
        ("min", report.least),
        ("max", report.most),
    ] {
        ui.line(figures.row(name))?;
    }
    ui.document(&report)?;
    Ok(Outcome::Done)
}

impl Figures {
    fn row(&self, name: &str) -> String {
        format!(
            "{name:<4}   {:8.2} %   {:7.2} %   {:12.2} %   {:7.1}   {:7.1}",
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
