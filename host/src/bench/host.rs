//! Batches of records on this machine: the integer network with each kernel, beside ONNX Runtime in the same run.
//!
//! A time is that of all records as one batch, from features as bytes to logits; weights were packed, and the peer's
//! session was made, before. Rounds alternate between all that is measured, so that what else the machine does falls on
//! all alike. A round's time is that of the fastest of its batches, which was disturbed least; a figure is the median of the
//! rounds.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use sealnet_core::mlp::{self, Batch, HostKernel, Kernel};
use serde::Serialize;

use super::Spread;
use super::onnxruntime::{Peer, Said, interpreter};
use crate::cores::cores;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::quantise::{CALIBRATION_RECORDS, Quantised};
use crate::train::{Network, Records};

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// In reals.
    pub network: &'a Network,
    /// In integers.
    pub quantised: &'a Quantised,
    /// All records.
    pub records: Records<'a>,
    /// The batch.
    pub which: &'a [u32],
    /// Training records, of which the peer calibrates on the first [`CALIBRATION_RECORDS`].
    pub training: &'a [u32],
    /// Times that all is measured, at least 1.
    pub rounds: u32,
    /// The fastest that this machine has.
    pub kernel: HostKernel,
    /// Where ONNX Runtime is.
    pub peer: &'a Beside,
}

/// Where ONNX Runtime is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beside {
    /// In the cache; installed there if need be.
    Cache,
    /// This Python interpreter has it.
    Python(PathBuf),
    /// It is left out.
    Nothing,
}

/// Images a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rates {
    /// The rounds' median.
    pub median: f64,
    /// The slowest round's.
    pub least: f64,
    /// The fastest round's.
    pub most: f64,
}

/// What so many cores do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cores {
    /// How many.
    pub cores: usize,
    /// The integer network without groups of zeros.
    pub skip: Rates,
    /// The integer network, every product taken.
    pub dense: Rates,
    /// The peer's fastest int8 form.
    pub onnxruntime_int8: Option<Rates>,
    /// The peer in reals.
    pub onnxruntime_f32: Option<Rates>,
    /// `skip` to the peer's int8.
    pub skip_ratio: Option<f64>,
    /// `dense` to the peer's int8.
    pub dense_ratio: Option<f64>,
}

/// One kernel on one core, every product taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Other {
    /// Its name.
    pub kernel: &'static str,
    /// Images a second.
    pub images_per_second: f64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The widths.
    pub network: String,
    /// Records in a batch.
    pub images: usize,
    /// Times that all was measured.
    pub rounds: u32,
    /// Batches that a round takes of each.
    pub batches: u32,
    /// The integer network's kernel.
    pub kernel: &'static str,
    /// What `int8_images_per_second` is of: what the host evaluates with.
    pub mode: &'static str,
    /// On one core.
    pub int8_images_per_second: f64,
    /// On one core, its fastest form.
    pub onnxruntime_int8_images_per_second: Option<f64>,
    /// The former to the latter.
    pub ratio: Option<f64>,
    /// By number of cores.
    pub cores: Vec<Cores>,
    /// The other kernels that this machine has.
    pub other_kernels: Vec<Other>,
    /// Logits compared with the portable kernel's: of all kernels, both ways, all numbers of cores.
    pub compared: usize,
    /// Of those, how many differ.
    pub mismatches: usize,
    /// Of the integer network, 0 to 1.
    pub accuracy: f64,
    /// The share of groups of four features that are all zero, 0 to 1: what `skip` leaves out.
    pub zero_groups: f64,
    /// What packing the weights for a kernel takes, once.
    pub pack_seconds: f64,
    /// What the peer says of itself.
    pub onnxruntime: Option<Said>,
}

/// Measures.
///
/// # Errors
/// [`Error::Input`] when this machine lacks the kernel, the records do not fit the network, or the peer cannot be had.
pub fn run(options: &Options<'_>, progress: &dyn Progress) -> Result<Report> {
    let (records, which) = (options.records, options.which);
    let network = options.quantised.network()?;
    let shape = network.shape();
    if which.is_empty() || records.width != usize::from(shape.input()) {
        return Err(Error::input(
            format!("the records do not fit a network {shape}"),
            "the data and the model must be of one kind",
        ));
    }
    let threads: Vec<usize> = (1..=cores().min(2)).collect();
    let mut peer = peer(options, &threads, progress)?;

    let started = Instant::now();
    let skip = batch(&network, Kernel::Skip, options.kernel)?;
    let pack_seconds = started.elapsed().as_secs_f64();
    let dense = batch(&network, Kernel::Dense, options.kernel)?;
    let expected = logits(
        &batch(&network, Kernel::Dense, HostKernel::Portable)?,
        options,
        1,
    )?;
    let (mut compared, mut mismatches) = (0, 0);
    let mut compare = |batch: &Batch<'_>, threads| -> Result<()> {
        let found = logits(batch, options, threads)?;
        compared += found.len();
        mismatches += expected.iter().zip(&found).filter(|(a, b)| a != b).count();
        Ok(())
    };
    for batch in [&skip, &dense] {
        for threads in &threads {
            compare(batch, *threads)?;
        }
    }
    let mut other_kernels = Vec::new();
    for kernel in HostKernel::ALL {
        if kernel == options.kernel || !kernel.is_available() {
            continue;
        }
        for mode in [Kernel::Skip, Kernel::Dense] {
            compare(&batch(&network, mode, kernel)?, 1)?;
        }
        let batch = batch(&network, Kernel::Dense, kernel)?;
        let times: Result<Vec<f64>> = (0..3).map(|_| seconds(&batch, options, 1, 1)).collect();
        other_kernels.push(Other {
            kernel: kernel.name(),
            images_per_second: Rates::of(&times?, which.len()).median,
        });
    }

    progress.start("rounds", options.rounds.into());
    // For each number of threads: skip, dense, and the peer's two.
    let mut times = vec![<[Vec<f64>; 4]>::default(); threads.len()];
    for _ in 0..options.rounds {
        for (times, &threads) in times.iter_mut().zip(&threads) {
            let [with_skip, with_dense, int8, f32] = times;
            with_skip.push(seconds(&skip, options, threads, BATCHES)?);
            with_dense.push(seconds(&dense, options, threads, BATCHES)?);
            if let Some(peer) = &mut peer {
                int8.push(peer.seconds("int8", threads, BATCHES)?);
                f32.push(peer.seconds("f32", threads, BATCHES)?);
                // Its threads keep a core busy for a while after they are done.
                thread::sleep(PAUSE);
            }
        }
        progress.inc(1);
    }
    progress.finish();

    let rates = |times: &Vec<f64>| Rates::of(times, which.len());
    let of_cores = threads.iter().zip(&times).map(|(&cores, times)| {
        let [skip, dense, int8, f32] = times;
        let (skip, dense) = (rates(skip), rates(dense));
        let beside = |times: &Vec<f64>| (!times.is_empty()).then(|| rates(times));
        let int8 = beside(int8);
        let ratio = |ours: Rates| int8.map(|peer| ours.median / peer.median);
        Cores {
            cores,
            skip,
            dense,
            onnxruntime_int8: int8,
            onnxruntime_f32: beside(f32),
            skip_ratio: ratio(skip),
            dense_ratio: ratio(dense),
        }
    });
    let cores: Vec<Cores> = of_cores.collect();
    let one = cores.first();
    let classes = usize::from(shape.output());
    let predicted = expected.chunks_exact(classes).map(mlp::argmax).zip(which);
    let correct =
        predicted.filter(|(class, index)| *class == usize::from(records.labels[**index as usize]));
    let zeros = which
        .iter()
        .flat_map(|&index| records.features_of(index).chunks(4));
    let groups = (which.len() * records.width.div_ceil(4)) as f64;
    Ok(Report {
        network: shape.to_string(),
        images: which.len(),
        rounds: options.rounds,
        batches: BATCHES,
        kernel: options.kernel.name(),
        mode: match skip.skips() {
            true => "skip",
            false => "dense",
        },
        int8_images_per_second: one.map_or(0.0, |one| one.skip.median),
        onnxruntime_int8_images_per_second: one
            .and_then(|one| one.onnxruntime_int8)
            .map(|rates| rates.median),
        ratio: one.and_then(|one| one.skip_ratio),
        compared,
        mismatches,
        accuracy: correct.count() as f64 / which.len() as f64,
        zero_groups: zeros.filter(|group| group.iter().all(|x| *x == 0)).count() as f64 / groups,
        pack_seconds,
        onnxruntime: peer.as_ref().map(|peer| peer.said().clone()),
        cores,
        other_kernels,
    })
}

fn peer(options: &Options<'_>, threads: &[usize], progress: &dyn Progress) -> Result<Option<Peer>> {
    let python = match options.peer {
        Beside::Nothing => return Ok(None),
        Beside::Python(python) => python.clone(),
        Beside::Cache => interpreter(progress)?,
    };
    progress.note("ONNX Runtime quantises the same network in nine ways, and the fastest counts");
    let training = options.training;
    let calibration = &training[..training.len().min(CALIBRATION_RECORDS)];
    let (network, records) = (options.network, options.records);
    Peer::start(
        &python,
        network,
        records,
        options.which,
        calibration,
        threads,
    )
    .map(Some)
}

fn batch<'w>(network: &mlp::Network<'w>, mode: Kernel, kernel: HostKernel) -> Result<Batch<'w>> {
    Batch::with_kernel(network, mode, kernel)
        .map_err(|e| Error::input(e.to_string(), "leave --kernel out: the fastest is taken"))
}

/// The logits of the batch, `[records][classes]`, by so many threads.
fn logits(batch: &Batch<'_>, options: &Options<'_>, threads: usize) -> Result<Vec<i32>> {
    let classes = usize::from(options.quantised.network()?.shape().output());
    let mut logits = vec![0; options.which.len() * classes];
    infer(batch, options, threads, &mut logits)?;
    Ok(logits)
}

/// Seconds that the fastest of so many batches takes, after one that is not counted.
fn seconds(batch: &Batch<'_>, options: &Options<'_>, threads: usize, batches: u32) -> Result<f64> {
    let mut logits = logits(batch, options, threads)?;
    let mut fastest = f64::INFINITY;
    for _ in 0..batches {
        let started = Instant::now();
        infer(batch, options, threads, &mut logits)?;
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    Ok(fastest)
}

fn infer(
    batch: &Batch<'_>,
    options: &Options<'_>,
    threads: usize,
    logits: &mut [i32],
) -> Result<()> {
    let share = options.which.len().div_ceil(threads);
    let classes = logits.len() / options.which.len();
    let part = |which: &[u32], logits: &mut [i32]| {
        let features = which
            .iter()
            .map(|&index| options.records.features_of(index));
        batch.logits(&features.collect::<Vec<_>>(), logits)
    };
    let parts = options
        .which
        .chunks(share)
        .zip(logits.chunks_mut(share * classes));
    let part = &part;
    let done = thread::scope(|scope| {
        let mut parts = parts.into_iter();
        // This thread takes the first.
        let first = parts.next();
        let others: Vec<_> = parts
            .map(|(which, logits)| scope.spawn(move || part(which, logits)))
            .collect();
        let first = first.map_or(Ok(()), |(which, logits)| part(which, logits));
        others.into_iter().fold(first, |done, other| {
            // One that panicked has said so, and the scope panics.
            done.and(other.join().unwrap_or(Ok(())))
        })
    });
    done.map_err(|e| Error::input(format!("the model does not take the records: {e}"), ""))
}

impl Rates {
    /// Of rounds in which so many images took so many seconds.
    fn of(seconds: &[f64], images: usize) -> Rates {
        let rates: Vec<f64> = seconds
            .iter()
            .map(|seconds| images as f64 / seconds)
            .collect();
        let Spread {
            median,
            least,
            most,
        } = Spread::of(&rates);
        Rates {
            median,
            least,
            most,
        }
    }
}

/// Batches that a round takes of each.
const BATCHES: u32 = 20;
/// How long another's threads may wait for work before they sleep.
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_of_the_rounds() {
        let rates = Rates::of(&[0.5, 2.0, 1.0], 20);
        assert_eq!((rates.least, rates.median, rates.most), (10.0, 20.0, 40.0));
        assert_eq!(Rates::of(&[1.0, 0.25], 1).median, 2.5);
    }
}
