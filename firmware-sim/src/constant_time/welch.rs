//! Welch's t-test of times, as `dudect` makes it: Reparaz, Balasch and Verbauwhede, "Dude, is my code constant
//! time?", DATE 2017.

/// Times of two classes of secrets, taken in as they are measured.
#[derive(Debug, Clone, Default)]
pub(super) struct Welch {
    /// For all times, then for those up to each threshold.
    tests: Vec<Test>,
    thresholds: Vec<u64>,
}

/// Count, mean and sum of squared deviations of either class (Welford, 1962).
#[derive(Debug, Clone, Copy, Default)]
struct Test([Moments; 2]);

#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

/// Which class a secret is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The same each time.
    Fixed,
    /// Random each time.
    Random,
}

impl Welch {
    /// Crops times at percentiles of the first ones, `1 - 0.5^(10 (i+1) / 100)` for `i` in `0..100` as the authors' own
    /// program does: the operating system's interruptions hide in the longest.
    pub(super) fn new(mut first: Vec<u64>) -> Self {
        first.sort_unstable();
        let thresholds: Vec<u64> = (1..=CROPS)
            .filter_map(|i| {
                let rank = 1.0 - 0.5_f64.powf(10.0 * f64::from(i) / f64::from(CROPS));
                first.get((rank * first.len() as f64) as usize).copied()
            })
            .collect();
        Self {
            tests: vec![Test::default(); 1 + thresholds.len()],
            thresholds,
        }
    }

    /// Takes in a time.
    pub(super) fn take(&mut self, class: Class, time: u64) {
        let Some((all, cropped)) = self.tests.split_first_mut() else {
            return;
        };
        all.take(class, time);
        for (test, threshold) in cropped.iter_mut().zip(&self.thresholds) {
            if time < *threshold {
                test.take(class, time);
            }
        }
    }

    /// The largest magnitude of t among the tests of at least `least` times of either class.
    pub(super) fn t(&self, least: f64) -> f64 {
        self.tests
            .iter()
            .filter(|Test(classes)| classes.iter().all(|class| class.count >= least))
            .map(|test| test.t().abs())
            .fold(0.0, f64::max)
    }
}

impl Test {
    fn take(&mut self, class: Class, time: u64) {
        let Self([fixed, random]) = self;
        match class {
            Class::Fixed => fixed.take(time as f64),
            Class::Random => random.take(time as f64),
        }
    }

    /// `(mean0 - mean1) / sqrt(variance0 / n0 + variance1 / n1)`; 0 where all times are the same.
    fn t(&self) -> f64 {
        let Self([fixed, random]) = self;
        let difference = fixed.mean - random.mean;
        let error = (fixed.variance() / fixed.count + random.variance() / random.count).sqrt();
        if error > 0.0 {
            difference / error
        } else if difference == 0.0 {
            0.0
        } else {
            f64::INFINITY.copysign(difference)
        }
    }
}

impl Moments {
    fn take(&mut self, time: f64) {
        self.count += 1.0;
        let before = time - self.mean;
        self.mean += before / self.count;
        self.squares += before * (time - self.mean);
    }

    fn variance(&self) -> f64 {
        self.squares / (self.count - 1.0)
    }
}

const CROPS: i32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn test(fixed: &[u64], random: &[u64]) -> Test {
        let mut test = Test::default();
        fixed.iter().for_each(|time| test.take(Class::Fixed, *time));
        random
            .iter()
            .for_each(|time| test.take(Class::Random, *time));
        test
    }

    /// `scipy.stats.ttest_ind(fixed, random, equal_var=False).statistic`, SciPy 1.17.1.
    #[test]
    fn t_is_scipys() {
        for (fixed, random, t) in [
            (
                &[10, 12, 11, 13, 12, 30],
                &[14, 15, 13, 16, 15],
                0.021_254_957_300_560_564,
            ),
            (
                &[100, 101, 102, 103],
                &[100, 101, 102, 104],
                -0.233_549_683_248_456_9,
            ),
            (
                &[1001, 1004, 1007, 1013, 1016],
                &[1002, 1003, 1005],
                1.667_510_004_914_031,
            ),
        ] as [(&[u64], &[u64], f64); 3]
        {
            let found = test(fixed, random).t();
            assert!((found - t).abs() < 1e-12 * t.abs(), "{found} is not {t}");
        }
    }

    #[test]
    fn times_without_any_spread() {
        assert_eq!(test(&[5, 5], &[5, 5]).t(), 0.0);
        assert_eq!(test(&[5, 5], &[6, 6]).t(), f64::NEG_INFINITY);
    }

    #[test]
    fn a_difference_is_found_below_rare_interruptions() {
        // Every hundredth time is an interruption, a hundred thousand times the difference.
        let time = |i: u64, class| {
            let own = 1000 + i * 7 % 13 + u64::from(class == Class::Random);
            own + u64::from(i % 100 == 3) * (100_000 + i * 37 % 997)
        };
        let mut welch = Welch::new((0..1000).map(|i| time(i, Class::Fixed)).collect());
        for i in 0..20_000 {
            welch.take(Class::Fixed, time(i, Class::Fixed));
            welch.take(Class::Random, time(i, Class::Random));
        }
        assert!(welch.tests.first().unwrap().t().abs() < 1.0);
        assert!(welch.t(5_000.0) > 10.0, "{}", welch.t(5_000.0));
        // Tests of too few times say nothing.
        assert_eq!(welch.t(1e9), 0.0);
    }
}
