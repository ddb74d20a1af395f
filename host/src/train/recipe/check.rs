//! Which values a recipe may have.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds};

use super::{Optimizer, Recipe};

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
            }
        }
        Ok(())
    }
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
/// No network is trained at a step size anywhere near.
const MAX_RATE: f64 = 1e3;
/// Far above the smallest `f32` that is not 0.
const MIN_EPSILON: f64 = 1e-30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::adam::AdamOptions;

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
}
