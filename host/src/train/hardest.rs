//! The records that a network does worst on.

use serde::Serialize;

use super::metrics::argmax;

/// A record and what the network said about it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Hard {
    /// Its index in the data set.
    pub record: u32,
    /// Its class.
    pub label: u16,
    /// The class it was taken for.
    pub predicted: u16,
    /// The probability that the network gave to the predicted class.
    pub probability: f64,
    /// The probability that it gave to the true class.
    pub label_probability: f64,
    /// `-ln` of that.
    pub loss: f64,
}

impl Hard {
    /// What `logits` say about a record.
    pub fn of(record: u32, label: u16, logits: &[f32]) -> Hard {
        let predicted = argmax(logits);
        let logit =
            |class: usize| f64::from(logits.get(class).copied().unwrap_or(f32::NEG_INFINITY));
        let most = logit(predicted);
        // In f64, where no sum of exponentials is too large once the largest is 1.
        let sum: f64 = logits.iter().map(|&z| libm::exp(f64::from(z) - most)).sum();
        let loss = libm::log(sum) - (logit(usize::from(label)) - most);
        Hard {
            record,
            label,
            // There are at most 65,535 classes.
            predicted: predicted as u16,
            probability: 1.0 / sum,
            label_probability: libm::exp(-loss),
            loss,
        }
    }
}

/// The `count` of largest loss, largest first; of equals the first ones.
pub fn hardest(judged: &[Hard], count: usize) -> Vec<Hard> {
    let mut sorted: Vec<&Hard> = judged.iter().collect();
    sorted.sort_by(|a, b| b.loss.total_cmp(&a.loss));
    sorted.into_iter().take(count).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_softmax() {
        let hard = Hard::of(7, 1, &[libm::logf(6.0), libm::logf(3.0), 0.0]);
        assert_eq!((hard.record, hard.label, hard.predicted), (7, 1, 0));
        for (found, wanted) in [
            (hard.probability, 0.6),
            (hard.label_probability, 0.3),
            (hard.loss, -libm::log(0.3)),
        ] {
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
        let far = Hard::of(0, 1, &[1000.0, -1000.0]);
        assert_eq!(
            (far.probability, far.label_probability, far.loss),
            (1.0, 0.0, 2000.0)
        );
    }

    #[test]
    fn the_largest_loss_is_first() {
        let logits = [[0.0, 1.0], [0.0, 3.0], [0.0, -1.0], [0.0, 3.0]];
        let judged: Vec<Hard> = (0..)
            .zip(&logits)
            .map(|(record, logits)| Hard::of(record, 0, logits))
            .collect();
        let records = |count| -> Vec<u32> {
            hardest(&judged, count)
                .iter()
                .map(|hard| hard.record)
                .collect()
        };
        assert_eq!(records(3), [1, 3, 0]);
        assert_eq!(records(9), [1, 3, 0, 2]);
    }
}
