//! Which classes are taken for which.

use std::collections::BTreeMap;

use serde::Serialize;

/// Counts of true and predicted classes over some records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: u16,
    /// By true class and predicted class; what is not there is 0. Most pairs of many classes are not.
    counts: BTreeMap<(u16, u16), u64>,
}

/// How one class does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassFigures {
    /// Records that are of this class.
    pub records: u64,
    /// Records that were taken for it.
    pub predicted: u64,
    /// Records that are and were.
    pub correct: u64,
    /// `correct / predicted`, 0 to 1; 0 where nothing was taken for it.
    pub precision: f64,
    /// `correct / records`, 0 to 1; 0 where there is none.
    pub recall: f64,
}

impl Confusion {
    /// Counts pairs of true class and prediction, each below `classes`.
    pub fn new(classes: u16, pairs: impl IntoIterator<Item = (u16, u16)>) -> Confusion {
        let mut counts = BTreeMap::new();
        for pair in pairs {
            *counts.entry(pair).or_insert(0) += 1;
        }
        Confusion { classes, counts }
    }

    /// How many classes there are.
    pub fn classes(&self) -> u16 {
        self.classes
    }

    /// Records counted.
    pub fn records(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Of those, predicted correctly.
    pub fn correct(&self) -> u64 {
        (0..self.classes)
            .map(|class| self.count(class, class))
            .sum()
    }

    /// Records of class `label` that were taken for class `predicted`.
    pub fn count(&self, label: u16, predicted: u16) -> u64 {
        self.counts.get(&(label, predicted)).copied().unwrap_or(0)
    }

    /// `[true class][predicted class]`; none with more classes than [`MAX_MATRIX_CLASSES`].
    pub fn matrix(&self) -> Option<Vec<Vec<u64>>> {
        let row = |label| {
            (0..self.classes)
                .map(|predicted| self.count(label, predicted))
                .collect()
        };
        (self.classes <= MAX_MATRIX_CLASSES).then(|| (0..self.classes).map(row).collect())
    }

    /// `[classes]`: how each does.
    pub fn per_class(&self) -> Vec<ClassFigures> {
        let mut figures = vec![
            ClassFigures {
                records: 0,
                predicted: 0,
                correct: 0,
                precision: 0.0,
                recall: 0.0,
            };
            usize::from(self.classes)
        ];
        for (&(label, predicted), &count) in &self.counts {
            if let Some(class) = figures.get_mut(usize::from(label)) {
                class.records += count;
                class.correct += if label == predicted { count } else { 0 };
            }
            if let Some(class) = figures.get_mut(usize::from(predicted)) {
                class.predicted += count;
            }
        }
        for class in &mut figures {
            class.precision = class.correct as f64 / class.predicted.max(1) as f64;
            class.recall = class.correct as f64 / class.records.max(1) as f64;
        }
        figures
    }

    /// The mean precision over the classes (paper, equation 5), 0 to 1. A class that no record is of and none
    /// was taken for is left out, as scikit-learn does; 0 over no records.
    pub fn macro_precision(&self) -> f64 {
        let mut met = 0_u32;
        let mut sum = 0.0;
        for class in self.per_class() {
            if class.records + class.predicted > 0 {
                met += 1;
                sum += class.precision;
            }
        }
        sum / f64::from(met.max(1))
    }
}

/// Beyond this the whole matrix is more than anyone reads: a million numbers.
pub const MAX_MATRIX_CLASSES: u16 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_means() {
        let pairs = [(0, 0), (0, 0), (0, 1), (1, 1), (2, 1), (2, 2)];
        let confusion = Confusion::new(4, pairs);
        assert_eq!((confusion.records(), confusion.correct()), (6, 4));
        let matrix = confusion.matrix().unwrap();
        assert_eq!(
            matrix,
            [[2, 1, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
        );
        let precisions: Vec<f64> = confusion
            .per_class()
            .iter()
            .map(|class| class.precision)
            .collect();
        assert_eq!(precisions, [1.0, 1.0 / 3.0, 1.0, 0.0]);
        let recalls: Vec<f64> = confusion
            .per_class()
            .iter()
            .map(|class| class.recall)
            .collect();
        assert_eq!(recalls, [2.0 / 3.0, 1.0, 0.5, 0.0]);
        // The fourth class was never met.
        assert_eq!(confusion.macro_precision(), (1.0 + 1.0 / 3.0 + 1.0) / 3.0);
    }

    #[test]
    fn a_class_that_is_never_predicted_counts() {
        let confusion = Confusion::new(2, [(0, 0), (1, 0)]);
        assert_eq!(confusion.macro_precision(), 0.25);
        assert_eq!(Confusion::new(2, []).macro_precision(), 0.0);
    }

    #[test]
    fn a_large_matrix_is_not_written_out() {
        assert_eq!(Confusion::new(65_535, [(65_534, 3)]).matrix(), None);
        assert_eq!(Confusion::new(65_535, [(65_534, 3)]).count(65_534, 3), 1);
    }
}
