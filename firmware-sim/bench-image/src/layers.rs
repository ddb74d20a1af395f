//! Layers of any widths, each with each of its records in each way that the kernel has.

use sealnet_core::mlp::{
    AnyWidth, DenseRef, Granularity, Input, Kernel, LayerBytes, Quantisation, WeightType,
};

use crate::job::{Job, bytes};
use crate::wire::LayerJob;
use crate::{Serve, board};

/// Runs what lies in memory, if it can be run.
pub(crate) fn load(_: &Job, _: &mut [u8], _: Serve<'_>) -> Result<(), ()> {
    run().ok_or(())
}

fn run() -> Option<()> {
    let count = board::word(0) as usize;
    (0..count).try_for_each(|at| {
        let mut words = [0; LayerJob::WORDS];
        for (word, at) in words
            .iter_mut()
            .zip((4 + 4 * LayerJob::WORDS * at..).step_by(4))
        {
            *word = board::word(at);
        }
        layer(&LayerJob::of(words))
    })
}

#[inline(never)]
fn layer(job: &LayerJob) -> Option<()> {
    let [inputs, outputs] = job.widths.map(|width| width as usize);
    let quantisation = Quantisation {
        weights: WeightType::WIDEST,
        granularity: match job.per_tensor {
            0 => Granularity::PerOutput,
            _ => Granularity::PerTensor,
        },
    };
    let factors = quantisation.granularity.factors(outputs);
    let [biases, multipliers, shifts, weights] = job.arrays;
    let parameters = LayerBytes {
        biases: bytes(biases, 4 * outputs),
        multipliers: bytes(multipliers, 4 * factors),
        shifts: bytes(shifts, factors),
        weights: bytes(weights, quantisation.weights.packed_len(inputs, outputs)),
    };
    let layer = DenseRef::new(inputs, outputs, quantisation, parameters).ok()?;
    let [records, count] = job.records;
    let records = bytes(records, inputs.checked_mul(count as usize)?).chunks_exact(inputs);
    let mut any = AnyWidth::<INPUTS>::new();
    let mut activations = [0; OUTPUTS];
    let activations = activations.get_mut(..outputs)?;
    let mut at = job.results as usize;
    for (kernel, features) in LayerJob::HIDDEN {
        for record in records.clone() {
            let input = match features {
                true => Input::Features(record),
                false => Input::Activations(record),
            };
            any.hidden(&layer, self::kernel(kernel), input, activations)
                .ok()?;
            for activation in &*activations {
                board::set_byte(at, *activation);
                at += 1;
            }
        }
    }
    at = job.results as usize + job.hidden_len();
    let mut logits = [0; OUTPUTS];
    let logits = logits.get_mut(..outputs)?;
    for kernel in LayerJob::OUTPUT {
        for record in records.clone() {
            let input = Input::Activations(record);
            any.output(&layer, self::kernel(kernel), input, logits)
                .ok()?;
            for logit in &*logits {
                board::set_word(at, *logit as u32);
                at += 4;
            }
        }
    }
    Some(())
}

const fn kernel(number: u32) -> Kernel {
    match number {
        0 => Kernel::Dense,
        _ => Kernel::Skip,
    }
}

/// The widest layer.
const INPUTS: usize = 4400;
const OUTPUTS: usize = 1024;
