//! Bit flips: each bit of a sealed model changed in its slot, one at a time. No device may serve what results.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::{Part, Tally};
use crate::identity::Identity;
use crate::layout::SLOT_A;
use crate::provision::ProvisionError;
use crate::sim::Machine;

/// Boots a device once for every `step`-th bit of `model`, of those for a part. `progress` is told the trials done and
/// all of them.
///
/// # Errors
/// [`ProvisionError`] if the model does not fit the device.
pub fn run(
    identity: &Identity,
    model: &[u8],
    step: NonZero<usize>,
    part: Part,
    progress: impl Fn(u64, u64) + Sync,
) -> Result<Tally, ProvisionError> {
    let machine = Machine::provision(identity, model, 0)?;
    let bits = model.len() * 8;
    let bits: Vec<usize> = part.of((0..bits).step_by(step.get())).collect();
    let total = bits.len() as u64;
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let done = AtomicU64::new(0);
    let (bits, done, progress) = (&bits, &done, &progress);
    Ok(thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let original = machine.flash().clone();
                scope.spawn(move || {
                    let mut tally = Tally::default();
                    for &bit in bits.iter().skip(worker).step_by(threads) {
                        let mut flash = original.clone();
                        flash.flip(SLOT_A + bit / 8, bit % 8);
                        let mut machine = Machine::new(flash);
                        let served = machine.boot(|_| {}).model().is_ok();
                        tally.count(match served {
                            true => Err(format!("bit {bit} changed, and the model was served")),
                            false => Ok(()),
                        });
                        progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
                    }
                    tally
                })
            })
            .collect();
        let mut all = Tally::default();
        for worker in workers {
            // A worker panics if the device does: that is a failure too.
            all.add(worker.join().unwrap_or_else(|_| Tally {
                trials: 1,
                failures: 1,
                examples: vec!["the device panicked".into()],
            }));
        }
        all
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, Sealing};

    #[test]
    fn no_changed_bit_boots() {
        let identity = sample::identity().unwrap();
        for encrypted in [false, true] {
            let sealing = Sealing {
                encrypted,
                ..Sealing::default()
            };
            let model = sample::model(1, &sealing).unwrap();
            let step = NonZero::new(4099).unwrap();
            let mut tally = Tally::default();
            for which in 0..3 {
                let of = NonZero::new(3).unwrap();
                let part = Part { which, of };
                tally.add(run(&identity, &model, step, part, |_, _| {}).unwrap());
            }
            assert_eq!(tally.trials as usize, (model.len() * 8).div_ceil(4099));
            assert_eq!(tally.failures, 0, "{:?}", tally.examples);
        }
    }

    #[test]
    fn a_flip_that_changes_nothing_is_found() {
        let identity = sample::identity().unwrap();
        // Behind the model's end nothing is looked at: a campaign over it finds that every flip boots.
        let mut slot = sample::model(1, &Sealing::default()).unwrap();
        let len = slot.len();
        slot.resize(len + 2, 0xFF);
        let step = NonZero::new(8 * len).unwrap();
        let tally = run(&identity, &slot, step, Part::WHOLE, |_, _| {}).unwrap();
        assert_eq!((tally.trials, tally.failures), (2, 1), "{tally:?}");
    }
}
