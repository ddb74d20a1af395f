//! Axes: where ticks go and how numbers are written.

/// How an axis's numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// As they are.
    Plain,
    /// 0 to 1 as 0 % to 100 %.
    Percent,
    /// Whole numbers.
    Whole,
}

/// A range with ticks at round numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    step: f64,
    unit: Unit,
}

impl Scale {
    /// A scale with about `count` steps over `low..=high`, both widened to a tick unless they are `fixed`.
    pub(super) fn new(
        mut low: f64,
        mut high: f64,
        fixed: [bool; 2],
        count: f64,
        unit: Unit,
    ) -> Self {
        if !(low.is_finite() && high.is_finite()) {
            (low, high) = (0.0, 1.0);
        }
        if high <= low {
            // One value alone is in the middle, or at the end that is fixed.
            let room = if unit == Unit::Whole {
                0.5
            } else {
                low.abs().max(1e-6) / 2.0
            };
            (low, high) = match fixed {
                [true, true] => (low - room, low + room),
                [false, true] => (high - room, high),
                [true, false] => (low, low + room),
                [false, false] => (low - room, low + room),
            };
        }
        let step = step((high - low) / count, unit);
        if !fixed[0] {
            low = (low / step + SLACK).floor() * step;
        }
        if !fixed[1] {
            high = (high / step - SLACK).ceil() * step;
        }
        Scale {
            low,
            high,
            step,
            unit,
        }
    }

    /// The ticks.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - SLACK).ceil();
        let last = (self.high / self.step + SLACK).floor();
        let count = (last - first).clamp(-1.0, MAX_TICKS) as i32;
        (0..=count)
            .map(|at| (first + f64::from(at)) * self.step)
            .collect()
    }

    /// A tick's label, with as many decimals as tell it from the next.
    pub(super) fn label(&self, tick: f64) -> String {
        let shift = if self.unit == Unit::Percent { 2.0 } else { 0.0 };
        let decimals =
            (-(libm::log10(self.step) + shift + SLACK).floor()).clamp(0.0, 12.0) as usize;
        match self.unit {
            Unit::Percent => format!("{:.decimals$} %", 100.0 * tick + 0.0),
            Unit::Plain | Unit::Whole => format!("{:.decimals$}", tick + 0.0),
        }
    }

    /// Where a value is between the ends, 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// A value beside its line.
pub(super) fn exact(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Percent => format!("{:.2} %", 100.0 * value),
        Unit::Whole => format!("{value:.0}"),
        Unit::Plain if value.abs() >= 100.0 => format!("{value:.0}"),
        Unit::Plain if value.abs() >= 1.0 => format!("{value:.2}"),
        Unit::Plain => format!("{value:.4}"),
    }
}

/// The smallest of 1, 2, 5, 10, … times a power of ten that is not below `least`.
fn step(least: f64, unit: Unit) -> f64 {
    let least = if unit == Unit::Whole {
        least.max(1.0)
    } else {
        least
    };
    let power = libm::pow(10.0, libm::log10(least).floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|times| times * power)
        .into_iter()
        .find(|step| *step >= least * (1.0 - SLACK));
    step.unwrap_or(10.0 * power)
}

/// What rounding may have moved a number by, in steps.
const SLACK: f64 = 1e-9;

/// More ticks than there can be room for.
const MAX_TICKS: f64 = 50.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        for (low, high, fixed, unit, labels) in [
            (
                0.0,
                0.437,
                [true, false],
                Unit::Plain,
                "0.0 0.1 0.2 0.3 0.4 0.5",
            ),
            (
                0.861,
                1.0,
                [false, true],
                Unit::Percent,
                "85 % 90 % 95 % 100 %",
            ),
            (
                0.9893,
                1.0,
                [false, true],
                Unit::Percent,
                "98.5 % 99.0 % 99.5 % 100.0 %",
            ),
            (1.0, 5.0, [true, true], Unit::Whole, "1 2 3 4 5"),
            (1.0, 1.0, [true, true], Unit::Whole, "1"),
            (1.0, 100.0, [true, true], Unit::Whole, "20 40 60 80 100"),
            (
                -1.0,
                1.0,
                [false, false],
                Unit::Plain,
                "-1.0 -0.5 0.0 0.5 1.0",
            ),
        ] {
            let scale = Scale::new(low, high, fixed, 5.0, unit);
            let said: Vec<String> = scale
                .ticks()
                .iter()
                .map(|tick| scale.label(*tick))
                .collect();
            assert_eq!(said.join(" "), labels);
            assert!(scale.low <= low && scale.high >= high, "{labels}");
        }
    }

    #[test]
    fn no_range_is_too_odd() {
        for (low, high) in [
            (0.0, 0.0),
            (f64::NAN, 1.0),
            (f64::INFINITY, f64::NEG_INFINITY),
            (7.0, 7.0),
        ] {
            for fixed in [[false, false], [true, false], [false, true], [true, true]] {
                let scale = Scale::new(low, high, fixed, 5.0, Unit::Plain);
                assert!(scale.high > scale.low, "{low} {high} {fixed:?}");
                assert!(
                    (1..=50).contains(&scale.ticks().len()),
                    "{low} {high} {fixed:?} {scale:?}"
                );
            }
        }
    }
}
