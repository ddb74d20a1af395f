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
    /// Whether a label's delta is what the other classes' leave: `p - 1` is 0 where the network is surer than a number is
    /// fine, and a derivative with 0 there points elsewhere.
    pub(super) exact: bool,
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
        exact,
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
    if exact {
        let rows = delta.flat_mut().chunks_exact_mut(width);
        for (row, &index) in rows.zip(which) {
            let label = targets.label(index);
            row[label] = 0.0;
            row[label] = -row[..classes].iter().sum::<f32>();
        }
    }
}
