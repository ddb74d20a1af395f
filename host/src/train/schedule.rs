//! Learning rates that change while training goes on.

use serde::{Deserialize, Serialize};

/// What the rate does after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// It stays.
    Constant,
    /// It falls in a straight line, to 0 one step after the last.
    Linear,
    /// It falls as half a cosine, to 0 one step after the last.
    Cosine,
}

/// The rate of each step.
///
/// Of `total` steps the first `warm_up` climb in a straight line: step `t` (from 0) has
/// `peak · (t + 1) / warm_up`. After that, with `x = (t - warm_up) / (total - warm_up)` in `[0, 1)`: `peak`,
/// `peak · (1 - x)` or `peak · ½ · (1 + cos πx)`. All in f64, one rounding an operation from left to right;
/// `cos` is the `libm` crate's. Steps after the last have the rate of the end: `peak` or 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The highest rate.
    pub peak: f64,
    /// Steps of the warm-up.
    pub warm_up: u64,
    /// Steps in all.
    pub total: u64,
    /// What comes after the warm-up.
    pub shape: Shape,
}

impl Schedule {
    /// `peak` throughout.
    pub fn constant(peak: f64) -> Schedule {
        Schedule {
            peak,
            warm_up: 0,
            total: 0,
            shape: Shape::Constant,
        }
    }

    /// The rate of step `step`, from 0.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warm_up {
            return self.peak * (step + 1) as f64 / self.warm_up as f64;
        }
        let rest = self.total.saturating_sub(self.warm_up);
        let done = step - self.warm_up;
        let x = if done < rest {
            done as f64 / rest as f64
        } else {
            1.0
        };
        match self.shape {
            Shape::Constant => self.peak,
            Shape::Linear => self.peak * (1.0 - x),
            Shape::Cosine => self.peak * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * x)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_climb_and_fall() {
        let schedule = |shape| Schedule {
            peak: 0.5,
            warm_up: 4,
            total: 12,
            shape,
        };
        let rates = |shape| [0, 3, 4, 8, 11, 12, 99].map(|step| schedule(shape).rate(step));
        assert_eq!(
            rates(Shape::Constant),
            [0.125, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
        );
        assert_eq!(
            rates(Shape::Linear),
            [0.125, 0.5, 0.5, 0.25, 0.0625, 0.0, 0.0]
        );
        let [first, peak, fourth, half, last, end, after] = rates(Shape::Cosine);
        assert_eq!(
            [first, peak, fourth, end, after],
            [0.125, 0.5, 0.5, 0.0, 0.0]
        );
        assert!((half - 0.25).abs() < 1e-15);
        assert!((last - 0.25 * (1.0 + (7.0 / 8.0 * std::f64::consts::PI).cos())).abs() < 1e-15);
        assert_eq!(Schedule::constant(0.1).rate(5), 0.1);
    }
}
