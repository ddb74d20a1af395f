//! Which hidden units lie side by side: a kernel that leaves out zeros takes inputs in pairs, so those that are zero for
//! the same records belong together. The order of hidden units changes no logit.

use sealnet_core::mlp::Granularity;

use super::layer::{CANNOT, QuantisedLayer};
use super::{Quantised, Records};
use crate::error::{Error, Result};

/// Puts hidden units that are zero together side by side, as they are over the first of these records.
///
/// # Errors
/// [`Error::Input`] when a record does not fit the network.
pub(super) fn arrange(
    quantised: &mut Quantised,
    records: Records<'_>,
    which: &[u32],
) -> Result<()> {
    let [first, second] = zeros(quantised, records, which)?.map(|zeros| order(&zeros));
    let granularity = quantised.quantisation.granularity;
    for (order, new) in quantised.order.iter_mut().zip([&first, &second]) {
        *order = new.iter().map(|&unit| order[unit]).collect();
    }
    let [layer1, layer2, layer3] = &mut quantised.layers;
    layer1.reorder(&first, None, granularity)?;
    layer2.reorder(&second, Some(&first), granularity)?;
    layer3.reorder(
        &(0..layer3.outputs).collect::<Vec<_>>(),
        Some(&second),
        granularity,
    )
}

/// For each unit of both hidden layers, a bit for each record for which it is zero.
fn zeros(quantised: &Quantised, records: Records<'_>, which: &[u32]) -> Result<[Vec<Vec<u64>>; 2]> {
    let network = quantised.network()?;
    let [hidden1, hidden2] = [0, 1].map(|at: usize| quantised.layers[at].outputs);
    let which = &which[..which.len().min(RECORDS)];
    let bits = |units| vec![vec![0_u64; which.len().div_ceil(64)]; units];
    let mut zeros = [bits(hidden1), bits(hidden2)];
    let mut activations = vec![0; network.shape().scratch_len()];
    let mut logits = vec![0; quantised.layers[2].outputs];
    for (record, &index) in which.iter().enumerate() {
        let features = records.features_of(index);
        network
            .infer(features, &mut activations, &mut logits)
            .map_err(|e| Error::input(format!("a record does not fit the network: {e}"), ""))?;
        let (first, second) = activations.split_at(hidden1);
        for (zeros, activations) in zeros.iter_mut().zip([first, second]) {
            for (zeros, activation) in zeros.iter_mut().zip(activations) {
                zeros[record / 64] |= u64::from(*activation == 0) << (record % 64);
            }
        }
    }
    Ok(zeros)
}

/// The order of units: pairs of those that are zero together most often, the best pair first; then pairs exchange
/// partners as long as that makes more zeros.
fn order(zeros: &[Vec<u64>]) -> Vec<usize> {
    let units = zeros.len();
    if units > UNITS {
        return (0..units).collect();
    }
    let both = |a: usize, b: usize| -> u32 {
        let words = zeros[a].iter().zip(&zeros[b]);
        words.map(|(a, b)| (a & b).count_ones()).sum()
    };
    let mut counts = vec![0; units * units];
    for a in 0..units {
        for b in 0..a {
            counts[a * units + b] = both(a, b);
            counts[b * units + a] = counts[a * units + b];
        }
    }
    let count = |(a, b): (usize, usize)| counts[a * units + b];
    let mut candidates: Vec<(usize, usize)> = (0..units)
        .flat_map(|a| (a + 1..units).map(move |b| (a, b)))
        .collect();
    // Of equals the first: sorting is stable.
    candidates.sort_by_key(|pair| std::cmp::Reverse(count(*pair)));
    let mut free = vec![true; units];
    let mut pairs = Vec::with_capacity(units / 2);
    for (a, b) in candidates {
        if free[a] && free[b] {
            (free[a], free[b]) = (false, false);
            pairs.push((a, b));
        }
    }
    // Each exchange makes the sum larger, so it ends.
    while exchange(&mut pairs, count) {}
    let single = (0..units).filter(|unit| free[*unit]);
    pairs.sort_unstable();
    pairs
        .iter()
        .flat_map(|(a, b)| [*a, *b])
        .chain(single)
        .collect()
}

/// Whether two pairs had a better way to be two.
fn exchange(pairs: &mut [(usize, usize)], count: impl Fn((usize, usize)) -> u32) -> bool {
    let mut found = false;
    for p in 0..pairs.len() {
        for q in 0..p {
            let ((a, b), (c, d)) = (pairs[p], pairs[q]);
            let now = count((a, b)) + count((c, d));
            for (one, other) in [((a, c), (b, d)), ((a, d), (b, c))] {
                if count(one) + count(other) > now {
                    let sorted = |(a, b): (usize, usize)| (a.min(b), a.max(b));
                    (pairs[p], pairs[q]) = (sorted(one), sorted(other));
                    found = true;
                    break;
                }
            }
        }
    }
    found
}

impl QuantisedLayer {
    /// Takes outputs, and inputs where they have another order too, in this order.
    fn reorder(
        &mut self,
        outputs: &[usize],
        inputs: Option<&[usize]>,
        granularity: Granularity,
    ) -> Result<()> {
        let weights = self.unpacked();
        let row = |output: usize| &weights[output * self.inputs..][..self.inputs];
        let reordered: Vec<u8> = outputs
            .iter()
            .flat_map(|&output| match inputs {
                Some(inputs) => inputs.iter().map(|&input| row(output)[input]).collect(),
                None => row(output).to_vec(),
            })
            .collect();
        let weight_type = self.weight_type;
        weight_type
            .pack(self.inputs, self.outputs, &reordered, &mut self.weights)
            .ok_or_else(|| Error::input("a layer's rows are not all as long", CANNOT))?;
        let words = |bytes: &[u8]| -> Vec<u8> {
            let (words, _) = bytes.as_chunks::<4>();
            outputs.iter().flat_map(|&output| words[output]).collect()
        };
        self.biases = words(&self.biases);
        if granularity == Granularity::PerOutput {
            self.multipliers = words(&self.multipliers);
            self.shifts = outputs.iter().map(|&output| self.shifts[output]).collect();
        }
        Ok(())
    }
}

/// Records that are looked at.
const RECORDS: usize = 5_000;
/// Units of a layer above which their order is left alone: all pairs are counted.
const UNITS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_are_zero_together_become_neighbours() {
        // 0 with 3, 1 with 4; 2 is never zero.
        let zeros = [0b0011, 0b1100, 0b0000, 0b0011, 0b1100].map(|bits| vec![bits]);
        assert_eq!(order(&zeros), [0, 3, 1, 4, 2]);
        // The best pair first leaves the others with none: 2 + 2 is more than 3 + 0.
        let zeros = [0b0111_0011, 0b0111_1100, 0b0000_0011, 0b0000_1100].map(|bits| vec![bits]);
        assert_eq!(order(&zeros), [0, 2, 1, 3]);
    }

    #[test]
    fn what_cannot_be_counted_stays() {
        assert_eq!(order(&[]), [0_usize; 0]);
        assert_eq!(order(&[vec![1]]), [0]);
        let many = vec![vec![]; UNITS + 1];
        assert!(order(&many).iter().copied().eq(0..=UNITS));
    }
}
