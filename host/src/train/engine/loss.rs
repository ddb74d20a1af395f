//! The loss of some records, and its derivative by their logits.

use super::pass::Pass;
use super::targets::Targets;
use crate::train::kernels::{LANES, Lanes, exp, lines_of};
use crate::train::metrics::argmax;

/// What the records of a pass are to give.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The records.
    pub(super) which: &'a [u32],
    pub(super) targets: Targets<'a>,
    pub(super) classes: usize,
    /// The size of the batch, which the loss is the mean over.
    pub(super) batch: usize,
    /// Whether a record's delta is only its derivative's direction: that over the share of all classes but the label's. It
    /// is -1 at the label, and elsewhere the softmax without the label. So it is there where the network is so sure of the label
    /// that in f32 the derivative is 0. Of labels alone, and temperature 1.
    pub(super) direction: bool,
}

/// Sets a pass's losses, what was right, and the last delta from its logits.
///
/// With `z = logits / temperature`, `m` the largest of them, `s = Σ exp(z - m)` in order of class,
/// `p = exp(z - m) / s` and the target `t`, the delta is `(p - t) · temperature / batch` and the loss
/// `(ln s - Σ t · (z - m)) · temperature²`, one `fma` a class in order.
///
/// Every loop goes over all records, which do not wait for each other; within a record most of it would.
#[inline(always)]
pub(super) fn of_pass<L: Lanes>(lanes: L, wanted: Wanted<'_>, pass: &mut Pass) {
    let Wanted {
        which,
        targets,
        classes,
        batch,
        direction,
    } = wanted;
    let [.., logits] = &pass.outputs;
    let [.., delta] = &mut pass.deltas;
    let exps = &mut pass.exps;
    let temperature = targets.temperature();
    let factor = (temperature / batch as f64) as f32;
    let square = (temperature * temperature) as f32;
    let temperature = temperature as f32;
    let lines = lines_of(classes);
    let width = lines * LANES;

    let rows = delta.flat_mut().chunks_exact_mut(width);
    for (&index, target) in which.iter().zip(rows) {
        targets.write(index, &mut target[..classes]);
    }
    let rows = logits
        .chunks_exact(lines)
        .zip(delta.flat().chunks_exact(width));
    let rows = rows.zip(exps.chunks_exact_mut(lines)).zip(which);
    // Until `s` is known, a loss is its `Σ t · (z - m)`.
    let judged = pass.losses.iter_mut().zip(&mut pass.correct);
    for ((((row, target), exps), &index), (hit, correct)) in rows.zip(judged) {
        let logits = &row.as_flattened()[..classes];
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max) / temperature;
        *correct = argmax(logits) == targets.label(index);
        for (to, line) in exps.iter_mut().zip(row) {
            let scaled = lanes.div(lanes.load(line), lanes.splat(temperature));
            lanes.store(lanes.sub(scaled, lanes.splat(largest)), to);
        }
        let values = exps.as_flattened_mut();
        values[classes..].fill(0.0);
        *hit = 0.0;
        for (value, target) in values.iter().zip(&target[..classes]) {
            *hit = target.mul_add(*value, *hit);
        }
    }
    for line in exps.iter_mut().take(which.len() * lines) {
        exp(line);
    }
    let rows = delta.chunks_exact_mut(lines).zip(exps.chunks_exact(lines));
    for ((delta, exps), loss) in rows.zip(&mut pass.losses).take(which.len()) {
        let mut sum = 0.0;
        for value in &exps.as_flattened()[..classes] {
            sum += value;
        }
        for (delta, exp) in delta.iter_mut().zip(exps) {
            let share = lanes.div(lanes.load(exp), lanes.splat(sum));
            let over = lanes.sub(share, lanes.load(delta));
            lanes.store(lanes.mul(over, lanes.splat(factor)), delta);
        }
        delta.as_flattened_mut()[classes..].fill(0.0);
        *loss = square * (libm::logf(sum) - *loss);
    }
    if direction {
        let rows = delta.flat_mut().chunks_exact_mut(width);
        let rows = rows.zip(logits.flat().chunks_exact(width)).zip(which);
        for ((row, logits), &index) in rows {
            away_from(
                targets.label(index),
                &logits[..classes],
                &mut row[..classes],
            );
        }
    }
}

/// The direction in which a label's loss rises fastest.
fn away_from(label: usize, logits: &[f32], delta: &mut [f32]) {
    let others = logits
        .iter()
        .enumerate()
        .filter(|&(class, _)| class != label);
    let largest = others.fold(f32::NEG_INFINITY, |most, (_, &z)| most.max(z));
    let mut sum = 0.0;
    for (class, (delta, z)) in delta.iter_mut().zip(logits).enumerate() {
        *delta = match class == label {
            true => 0.0,
            false => libm::expf(z - largest),
        };
        sum += *delta;
    }
    for delta in &mut *delta {
        *delta /= sum;
    }
    delta[label] = -1.0;
}
