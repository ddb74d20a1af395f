//! Which values a recipe may have.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds};

use super::{Optimizer, Recipe};
use crate::train::augment::Augmentation;
use crate::train::teacher::TeacherRecipe;

/// A value that no training takes. `Display` says what is wrong, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {found}; it must be {allowed}")]
pub struct Wrong {
    /// The field, by the names of the tables around it and its own: `optimizer.adam.beta_1`.
    pub field: &'static str,
    /// What it says.
    pub found: String,
    /// What it may say.
    pub allowed: String,
}

impl Recipe {
    /// Whether the values are such that a training can begin. Whatever trains checks this first, wherever the
    /// recipe came from.
    ///
    /// # Errors
    /// The first value that is not allowed.
    pub fn check(&self) -> Result<(), Wrong> {
        check_name(&self.name)?;
        within("batch", self.batch, 1..=MAX_BATCH)?;
        within("epochs", self.epochs, 1..=MAX_EPOCHS)?;
        match &self.optimizer {
            Optimizer::Adam(adam) => {
                let rates = (Bound::Excluded(0.0), Bound::Included(MAX_RATE));
                within("optimizer.adam.learning_rate", adam.learning_rate, rates)?;
                within("optimizer.adam.beta_1", adam.beta_1, 0.0..1.0)?;
                within("optimizer.adam.beta_2", adam.beta_2, 0.0..1.0)?;
                within("optimizer.adam.epsilon", adam.epsilon, MIN_EPSILON..=1.0)?;
                within(
                    "optimizer.adam.weight_decay",
                    adam.weight_decay,
                    0.0..=MAX_DECAY,
                )?;
            }
        }
        within("label_smoothing", self.label_smoothing, 0.0..1.0)?;
        if let Some(annealing) = &self.schedule {
            within("schedule.warm_up", annealing.warm_up, 0.0..=1.0)?;
        }
        if let Some(changes) = &self.augmentation {
            check_changes(changes, &AUGMENTATION)?;
        }
        if let Some(teacher) = &self.teacher {
            check_teacher(teacher)?;
        }
        if let Some(distillation) = &self.distillation {
            within(
                "distillation.temperature",
                distillation.temperature,
                MIN_TEMPERATURE..=MAX_TEMPERATURE,
            )?;
            within(
                "distillation.variants",
                distillation.variants,
                1..=MAX_VARIANTS,
            )?;
        }
        if let Some(adversarial) = &self.adversarial {
            within("adversarial.epsilon", adversarial.epsilon, 1..=254)?;
            within("adversarial.step", adversarial.step, 1..=254)?;
            within("adversarial.steps", adversarial.steps, 1..=MAX_ATTACK_STEPS)?;
            within("adversarial.ramp", adversarial.ramp, 0..=MAX_EPOCHS)?;
        }
        if let Some(finish) = &self.finish {
            within("finish.epochs", finish.epochs, 1..=self.epochs)?;
        }
        self.check_together()
    }

    /// Sections that need each other, or exclude each other.
    fn check_together(&self) -> Result<(), Wrong> {
        let wrong = |field, found: &str, allowed: &str| {
            Err(Wrong {
                field,
                found: found.into(),
                allowed: allowed.into(),
            })
        };
        if self.teacher.is_some() != self.distillation.is_some() {
            let (field, other) = match self.teacher {
                Some(_) => ("teacher", "distillation"),
                None => ("distillation", "teacher"),
            };
            return wrong(field, "alone", &format!("there together with `{other}`"));
        }
        if self.teacher.is_some() && self.label_smoothing != 0.0 {
            return wrong("label_smoothing", "beside `teacher`", "left out there");
        }
        for (there, name) in [
            (self.teacher.is_some(), "teacher"),
            (self.finish.is_some(), "finish"),
        ] {
            if there && self.adversarial.is_some() {
                let (found, allowed) = (format!("beside `{name}`"), format!("without `{name}`"));
                return wrong("adversarial", &found, &allowed);
            }
        }
        Ok(())
    }
}

/// The fields of an [`Augmentation`] by their whole names.
struct AugmentationNames {
    share: &'static str,
    rotation: &'static str,
    scale: &'static str,
    shear: &'static str,
    shift: &'static str,
    elastic: &'static str,
}

fn check_changes(changes: &Augmentation, names: &AugmentationNames) -> Result<(), Wrong> {
    within(names.share, changes.share, 0.0..=1.0)?;
    within(names.rotation, changes.rotation, 0.0..=180.0)?;
    within(names.scale, changes.scale, 0.0..=0.9)?;
    within(names.shear, changes.shear, 0.0..=1.0)?;
    within(names.shift, changes.shift, 0.0..=MAX_PIXELS)?;
    within(names.elastic, changes.elastic, 0.0..=MAX_PIXELS)
}

fn check_teacher(teacher: &TeacherRecipe) -> Result<(), Wrong> {
    let widths = teacher.channels.map(|width| ("teacher.channels", width));
    for (field, width) in widths
        .into_iter()
        .chain([("teacher.hidden", teacher.hidden)])
    {
        if width == 0 || width > MAX_WIDTH || width % TeacherRecipe::WIDTHS != 0 {
            return Err(Wrong {
                field,
                found: width.to_string(),
                allowed: format!(
                    "a multiple of {}, at most {MAX_WIDTH}",
                    TeacherRecipe::WIDTHS
                ),
            });
        }
    }
    within("teacher.epochs", teacher.epochs, 1..=MAX_EPOCHS)?;
    within("teacher.batch", teacher.batch, 1..=MAX_TEACHER_BATCH)?;
    let rates = (Bound::Excluded(0.0), Bound::Included(MAX_RATE));
    within("teacher.learning_rate", teacher.learning_rate, rates)?;
    within(
        "teacher.weight_decay",
        teacher.weight_decay,
        0.0..=MAX_DECAY,
    )?;
    within(
        "teacher.schedule.warm_up",
        teacher.schedule.warm_up,
        0.0..=1.0,
    )?;
    within("teacher.dropout", teacher.dropout, 0.0..1.0)?;
    within("teacher.average", teacher.average, 0.0..1.0)?;
    check_changes(&teacher.augmentation, &TEACHER_AUGMENTATION)
}

/// A name goes into the weight file and into what is told on a terminal.
fn check_name(name: &str) -> Result<(), Wrong> {
    let printable = name.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    if printable && name.trim() == name && (1..=MAX_NAME).contains(&name.len()) {
        return Ok(());
    }
    Err(Wrong {
        field: "name",
        found: format!("{name:?}"),
        allowed: format!(
            "1 to {MAX_NAME} characters of printable ASCII, without a space at either end"
        ),
    })
}

/// A number outside its range, and one that is none, is wrong.
fn within<T>(field: &'static str, value: T, range: impl RangeBounds<T>) -> Result<(), Wrong>
where
    T: PartialOrd + Display,
{
    if range.contains(&value) {
        return Ok(());
    }
    let lower = match range.start_bound() {
        Bound::Included(least) => Some(format!("at least {least}")),
        Bound::Excluded(limit) => Some(format!("above {limit}")),
        Bound::Unbounded => None,
    };
    let upper = match range.end_bound() {
        Bound::Included(most) => Some(format!("at most {most}")),
        Bound::Excluded(limit) => Some(format!("below {limit}")),
        Bound::Unbounded => None,
    };
    let bounds: Vec<String> = [lower, upper].into_iter().flatten().collect();
    Err(Wrong {
        field,
        found: value.to_string(),
        allowed: bounds.join(" and "),
    })
}

/// Most records a step: every known data set's records fit a few of them.
pub const MAX_BATCH: u32 = 1 << 16;
/// Most times over the data: a receipt names each.
pub const MAX_EPOCHS: u32 = 10_000;
/// Most bytes of a name.
const MAX_NAME: usize = 64;
/// Most bytes of a name that somebody gives: options add what they change.
pub(super) const MAX_GIVEN_NAME: usize = 40;
/// No network is trained at a step size anywhere near.
const MAX_RATE: f64 = 1e3;
/// Times a rate, far more than leaves anything of a weight.
const MAX_DECAY: f64 = 100.0;
/// Probabilities at a lower one are all 0 and 1.
const MIN_TEMPERATURE: f64 = 0.01;
const MAX_TEMPERATURE: f64 = 1e3;
/// A pool of MNIST's takes 2 MB a variant.
const MAX_VARIANTS: u32 = 1_000;
const MAX_ATTACK_STEPS: u32 = 1_000;
/// Pixels that a change may move something by.
const MAX_PIXELS: f32 = 100.0;
/// Whether a step of so many fits a machine is for the teacher's widths and the images to say.
const MAX_TEACHER_BATCH: u32 = 1 << 10;
/// Widest layer of a teacher.
const MAX_WIDTH: usize = 1024;
const AUGMENTATION: AugmentationNames = AugmentationNames {
    share: "augmentation.share",
    rotation: "augmentation.rotation",
    scale: "augmentation.scale",
    shear: "augmentation.shear",
    shift: "augmentation.shift",
    elastic: "augmentation.elastic",
};
const TEACHER_AUGMENTATION: AugmentationNames = AugmentationNames {
    share: "teacher.augmentation.share",
    rotation: "teacher.augmentation.rotation",
    scale: "teacher.augmentation.scale",
    shear: "teacher.augmentation.shear",
    shift: "teacher.augmentation.shift",
    elastic: "teacher.augmentation.elastic",
};
/// Far above what gradients begin at.
const MIN_EPSILON: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::adam::AdamOptions;
    use crate::train::recipe::Finish;

    #[test]
    fn what_is_not_allowed_is_named_with_what_is() {
        assert_eq!(Recipe::paper().check(), Ok(()));
        let said = |change: &dyn Fn(&mut Recipe)| {
            let mut recipe = Recipe::paper();
            change(&mut recipe);
            recipe.check().unwrap_err().to_string()
        };
        assert_eq!(
            said(&|r| r.batch = 0),
            "`batch` is 0; it must be at least 1 and at most 65536"
        );
        assert_eq!(
            said(&|r| r.epochs = 10_001),
            "`epochs` is 10001; it must be at least 1 and at most 10000"
        );
        for name in ["", " a", "a\u{1b}[2J", "ä", &"x".repeat(65)] {
            assert!(said(&|r| r.name = name.into()).starts_with("`name` is"));
        }
        type Change = fn(&mut AdamOptions, f64);
        let numbers: [(&str, Change, &[f64]); 4] = [
            ("learning_rate", |a, x| a.learning_rate = x, &[0.0, 1e4]),
            ("beta_1", |a, x| a.beta_1 = x, &[-0.1, 1.0]),
            ("beta_2", |a, x| a.beta_2 = x, &[-0.1, 1.0]),
            ("epsilon", |a, x| a.epsilon = x, &[0.0, 1e-40, 2.0]),
        ];
        for (field, set, wrong) in numbers {
            let never = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
            for &value in wrong.iter().chain(&never) {
                let said = said(&|r| {
                    let Optimizer::Adam(adam) = &mut r.optimizer;
                    set(adam, value);
                });
                assert!(
                    said.starts_with(&format!("`optimizer.adam.{field}` is {value};")),
                    "{said}"
                );
            }
        }
    }

    /// What is wrong in `recipe` after one line of it is another.
    fn said(recipe: &str, from: &str, to: &str) -> String {
        assert_eq!(recipe.matches(from).count(), 1, "{from}");
        let recipe: Recipe = toml::from_str(&recipe.replace(from, to)).unwrap();
        match recipe.check() {
            Ok(()) => String::new(),
            Err(wrong) => wrong.to_string(),
        }
    }

    #[test]
    fn what_the_other_recipes_say_has_its_limits_too() {
        let best = include_str!("../../../recipes/best.toml");
        let robust = include_str!("../../../recipes/robust.toml");
        let quick = include_str!("../../../recipes/quick.toml");
        for (recipe, from, to, field) in [
            (
                quick,
                "weight_decay = 0.05",
                "weight_decay = 101.0",
                "optimizer.adam.weight_decay",
            ),
            (
                quick,
                "label_smoothing = 0.05",
                "label_smoothing = 1.0",
                "label_smoothing",
            ),
            (quick, "warm_up = 0.1", "warm_up = 1.5", "schedule.warm_up"),
            (quick, "share = 1.0", "share = -0.1", "augmentation.share"),
            (
                quick,
                "rotation = 6.0",
                "rotation = 181.0",
                "augmentation.rotation",
            ),
            (quick, "scale = 0.06", "scale = 1.0", "augmentation.scale"),
            (quick, "shear = 0.06", "shear = nan", "augmentation.shear"),
            (quick, "shift = 0.7", "shift = inf", "augmentation.shift"),
            (
                quick,
                "elastic = 0.3",
                "elastic = -1.0",
                "augmentation.elastic",
            ),
            (
                best,
                "channels = [32, 64, 96]",
                "channels = [32, 33, 96]",
                "teacher.channels",
            ),
            (
                best,
                "channels = [32, 64, 96]",
                "channels = [0, 32, 96]",
                "teacher.channels",
            ),
            (best, "hidden = 128", "hidden = 2048", "teacher.hidden"),
            (best, "epochs = 15\n", "epochs = 0\n", "teacher.epochs"),
            (best, "batch = 64", "batch = 1025", "teacher.batch"),
            (
                best,
                "learning_rate = 0.0015",
                "learning_rate = 0.0",
                "teacher.learning_rate",
            ),
            (best, "dropout = 0.3", "dropout = 1.0", "teacher.dropout"),
            (best, "average = 0.998", "average = 1.0", "teacher.average"),
            (
                best,
                "scale = 0.1\n",
                "scale = 0.95\n",
                "teacher.augmentation.scale",
            ),
            (
                best,
                "temperature = 2.0",
                "temperature = 1e-9",
                "distillation.temperature",
            ),
            (
                best,
                "variants = 20",
                "variants = 0",
                "distillation.variants",
            ),
            (best, "epochs = 150", "epochs = 501", "finish.epochs"),
            (
                best,
                "loss =",
                "label_smoothing = 0.1\nloss =",
                "label_smoothing",
            ),
            (robust, "epsilon = 28", "epsilon = 0", "adversarial.epsilon"),
            (robust, "step = 8", "step = 255", "adversarial.step"),
            (robust, "steps = 7", "steps = 0", "adversarial.steps"),
            (robust, "ramp = 5", "ramp = 10001", "adversarial.ramp"),
        ] {
            let told = said(recipe, from, to);
            assert!(
                told.starts_with(&format!("`{field}` is ")),
                "{from} -> {to}: {told}"
            );
        }
        for recipe in [best, robust, quick] {
            assert_eq!(said(recipe, "beta_1 = 0.9", "beta_1 = 0.8"), "");
        }
    }

    #[test]
    fn sections_that_exclude_or_need_each_other() {
        let of = |text| toml::from_str::<Recipe>(text).unwrap();
        let best = of(include_str!("../../../recipes/best.toml"));
        let robust = of(include_str!("../../../recipes/robust.toml"));
        let said = |recipe: Recipe| recipe.check().unwrap_err().to_string();
        let alone = Recipe {
            distillation: None,
            ..best.clone()
        };
        assert!(said(alone).contains("together with `distillation`"));
        let alone = Recipe {
            teacher: None,
            ..best.clone()
        };
        assert!(said(alone).contains("together with `teacher`"));
        let both = Recipe {
            finish: best.finish.map(|finish| Finish {
                epochs: 1,
                ..finish
            }),
            ..robust.clone()
        };
        assert!(said(both).ends_with("must be without `finish`"));
        let both = Recipe {
            teacher: best.teacher,
            distillation: best.distillation,
            ..robust
        };
        assert!(said(both).ends_with("must be without `teacher`"));
    }
}
