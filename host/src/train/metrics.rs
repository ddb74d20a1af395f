//! How well a network does on records.

/// Loss and hits over some records.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Metrics {
    /// Records judged.
    pub records: u64,
    /// Of those, predicted correctly.
    pub correct: u64,
    /// Sum of the cross-entropies (natural logarithm), added in order in f64.
    pub loss_sum: f64,
}

impl Metrics {
    /// One more record.
    pub(crate) fn add(&mut self, loss: f32, correct: bool) {
        self.records += 1;
        self.correct += u64::from(correct);
        self.loss_sum += f64::from(loss);
    }

    /// All the records of `other` too.
    pub(crate) fn merge(&mut self, other: &Metrics) {
        self.records += other.records;
        self.correct += other.correct;
        self.loss_sum += other.loss_sum;
    }

    /// Mean cross-entropy; 0 over no records.
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.records.max(1) as f64
    }

    /// Share predicted correctly, 0 to 1; 0 over no records.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.records.max(1) as f64
    }
}

/// The index of the largest value, the first of equals; 0 when there is none. As the device does it.
#[inline(always)]
pub fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    let mut largest = f32::NEG_INFINITY;
    for (index, &value) in values.iter().enumerate() {
        if value > largest {
            (best, largest) = (index, value);
        }
    }
    best
}

/// Logits to probabilities: with `m` the largest, `e = exp((z - m) / temperature)`, each `e / Σ e`, in order of class.
/// Returns `m` and the sum.
pub(super) fn softmax(logits: &mut [f32], temperature: f32) -> (f32, f32) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in &mut *logits {
        *value = libm::expf((*value - largest) / temperature);
        sum += *value;
    }
    for value in logits {
        *value /= sum;
    }
    (largest, sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_wins() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(argmax(&[]), 0);
        assert_eq!(argmax(&[f32::NAN, -1.0]), 1);
    }

    #[test]
    fn means() {
        let mut metrics = Metrics::default();
        assert_eq!((metrics.loss(), metrics.accuracy()), (0.0, 0.0));
        metrics.add(0.5, true);
        metrics.add(1.5, false);
        assert_eq!((metrics.loss(), metrics.accuracy()), (1.0, 0.5));
    }
}
