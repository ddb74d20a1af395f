//! Measuring beside peers, in one run.

pub mod host;
mod onnxruntime;
mod python;
pub mod train;

use serde::Serialize;

pub use onnxruntime::{Fastest, Said};

/// One figure over the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The rounds' median.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of the rounds' values; zeros when there are none.
    #[must_use]
    pub fn of(values: &[f64]) -> Spread {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(at(middle.saturating_sub(1)), at(middle)),
            _ => at(middle),
        };
        Spread {
            median,
            least: at(0),
            most: at(values.len().saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_two() {
        let odd = Spread::of(&[3.0, 1.0, 2.0]);
        assert_eq!((odd.least, odd.median, odd.most), (1.0, 2.0, 3.0));
        let even = Spread::of(&[4.0, 1.0, 2.0, 9.0]);
        assert_eq!((even.least, even.median, even.most), (1.0, 3.0, 9.0));
    }
}
