//! What a Cortex-M executes for an image: by each kernel, in each mode, layer by layer, and by plain loops.
//!
//! Images of their own, `bench-image`, are built as the device's is, with the same core and flags: one with the device's
//! kernels and plain loops, one with the portable kernel. They run a network on given
//! features and read a timer of the board before and after. QEMU lets each instruction take 1,024 ns (`-icount
//! shift=10`), so that a timer of 25 MHz counts 25.6 ticks for it; what an empty call takes is taken off. The models lie
//! in the board's 16 MiB of memory beside that of code, as they do in the device's slots: an instruction is one there as it
//! is in flash.
//!
//! Some runs are traced: every instruction that QEMU executes is logged. That gives the layers' shares and how many words
//! were loaded, from which cycles are estimated. See [`Cost`].

mod board;
mod figures;
mod layers;
mod loads;
mod trace;
#[allow(dead_code)] // the image uses the rest
mod wire;

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use sealnet_core::mlp::{Kernel, Network, Shape};

use crate::qemu::{Board, Code, Image, Program, QemuError, build_bench, installed};
use crate::sample::SampleError;
use crate::shape::{CLASSES, INPUT, SHAPE};
use board::{Answer, Memory};
pub use figures::{Figures, Kernels, Mode, Modes, Other, Spread, Traces};
pub use layers::{LayerBoard, LayerCase, LayerResults};
pub use trace::{Cost, Traced};
use trace::{Runs, What};
use wire::Case;

/// A network, and what it is run on.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The network, of the shape that this build runs; boards are built for its weights.
    pub network: Network<'a>,
    /// `[images][input]` features.
    pub features: &'a [u8],
    /// `[images][classes]` logits, as the host has them.
    pub logits: &'a [i32],
}

/// Why nothing was counted.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The board in QEMU.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// The model could not be sealed.
    #[error("the model cannot be sealed: {0}")]
    Seal(#[from] SampleError),
    /// The image runs one shape.
    #[error("the model is {0}; this build's boards run {SHAPE} only")]
    Shape(Shape),
    /// There is no image.
    #[error("there is no image to run")]
    NoImages,
    /// The model leaves no room for images.
    #[error("the model is too large for the board's memory")]
    TooLarge,
    /// The board did not take the model.
    #[error("the board does not take the model")]
    Refused,
    /// What was traced does not have the calls that it should.
    #[error("the image's code is not cut into functions as it should be")]
    Path,
}

impl BenchError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Qemu(error) => error.hint(),
            Self::Shape(shape) => {
                format!("build with SEALNET_SHAPE={shape} in the environment")
            }
            _ => String::new(),
        }
    }
}

impl Subject<'_> {
    /// Images that there are logits for, at least one, of a network of the right shape.
    fn images(&self) -> Result<usize, BenchError> {
        let shape = self.network.shape();
        if shape != SHAPE {
            return Err(BenchError::Shape(shape));
        }
        match (self.features.len() / INPUT).min(self.logits.len() / CLASSES) {
            0 => Err(BenchError::NoImages),
            images => Ok(images),
        }
    }
}

/// All that is ready to be run.
pub struct Bench<'a> {
    main: Laid<'a>,
    /// The same network with other weights.
    other: Option<Laid<'a>>,
    images: usize,
    timeout: Duration,
    /// The portable kernel.
    portable: Image,
    /// The same on a Cortex-M3.
    portable_m3: Image,
}

/// A subject and what runs it.
struct Laid<'a> {
    subject: Subject<'a>,
    memory: Memory,
    /// The kernels with DSP instructions, and plain loops.
    kernels: Image,
}

/// What has come out so far.
struct Counting<'b> {
    bench: &'b Bench<'b>,
    done: &'b (dyn Fn(u64) + Sync),
    /// Instructions of the counting itself in the image that ran last.
    nothing: Option<(PathBuf, u64)>,
    mismatches: u64,
}

impl<'a> Bench<'a> {
    /// Builds the images and seals the networks; what takes long is told, a line each. Of `other`, the same network with other
    /// weights, only the kernels with DSP instructions are run. No answer of a board, to some hundred images, may take longer
    /// than `timeout`.
    ///
    /// # Errors
    /// [`BenchError`].
    pub fn ready(
        subject: Subject<'a>,
        other: Option<Subject<'a>>,
        timeout: Duration,
        tell: &dyn Fn(&str),
    ) -> Result<Self, BenchError> {
        let images = subject.images()?;
        if let Some(other) = &other {
            other.images()?;
        }
        installed()?;
        let weights = subject.network.quantisation().weights;
        let laid = Laid::of(subject, tell)?;
        Ok(Self {
            images,
            main: laid,
            other: other.map(|subject| Laid::of(subject, tell)).transpose()?,
            timeout,
            portable: build_bench(Board::CortexM4, weights, Program::Portable, tell)?,
            portable_m3: build_bench(Board::CortexM3, weights, Program::Portable, tell)?,
        })
    }

    /// Runs that [`measure`](Self::measure) tells of.
    pub fn runs(&self) -> u64 {
        // Seven of all images, and for each image of ours a call that does nothing.
        let other = self.other.as_ref().map_or(0, |_| 2 * self.images + 1);
        (7 * self.images + self.streamed() + 3 + other) as u64
    }

    /// Images for a mode that takes hundreds of times as long.
    fn streamed(&self) -> usize {
        self.images.min(STREAMED)
    }

    /// Runs all of it. `done` is told how many more runs are done.
    ///
    /// # Errors
    /// [`BenchError`].
    pub fn measure(&self, done: &(dyn Fn(u64) + Sync)) -> Result<Figures, BenchError> {
        use Kernel::{Dense, Skip};
        let mut counting = Counting {
            bench: self,
            done,
            nothing: None,
            mismatches: 0,
        };
        let all = self.images;
        let main = &self.main;
        let clear_dense = (Case::Clear, Dense);
        let portable = counting.spread(main, &self.portable, clear_dense, all)?;
        let portable_cortex_m3 = counting.spread(main, &self.portable_m3, clear_dense, all)?;
        let mut kernels =
            |case, kernel, images| counting.spread(main, &main.kernels, (case, kernel), images);
        let plain_loop = kernels(Case::Plain, Dense, all)?;
        let clear = Mode {
            dense: kernels(Case::Clear, Dense, all)?,
            skip: Some(kernels(Case::Clear, Skip, all)?),
        };
        let confidential = Mode {
            dense: kernels(Case::Confidential, Dense, all)?,
            skip: Some(kernels(Case::Confidential, Skip, all)?),
        };
        let streamed = Mode {
            dense: kernels(Case::Streamed, Dense, self.streamed())?,
            skip: None,
        };
        let other = match &self.other {
            None => None,
            Some(other) => {
                let mut kernels =
                    |kernel| counting.spread(other, &other.kernels, (Case::Clear, kernel), all);
                let (dense, skip) = (kernels(Dense)?, kernels(Skip)?);
                let (traced, code_bytes) = self.trace_kernels(other)?;
                let [traced_dense, traced_skip] = traced;
                Some(Other {
                    weights: other.weights(),
                    dense,
                    skip,
                    traced_dense,
                    traced_skip,
                    code_bytes,
                    artefact_bytes: other.memory.artefact_len(),
                })
            }
        };
        let mismatches = counting.mismatches;
        let (traced, code_bytes, portable_code_bytes) = self.trace()?;
        Ok(Figures {
            images: all,
            kernels: Kernels {
                dense: clear.dense,
                skip: clear.skip.unwrap_or(clear.dense),
                portable,
            },
            plain_loop,
            portable_cortex_m3,
            modes: Modes {
                clear,
                confidential,
                streamed,
            },
            weights: main.weights(),
            artefact_bytes: main.memory.artefact_len(),
            other,
            traced,
            code_bytes,
            portable_code_bytes,
            mismatches,
        })
    }

    /// What traced runs executed, and the flash of both kernels with DSP instructions and of the portable one.
    fn trace(&self) -> Result<(Traces, u64, u64), BenchError> {
        let main = &self.main;
        let ([dense, skip], code_bytes) = self.trace_kernels(main)?;
        let code = Code::read(&main.kernels)?;
        let plain = (Case::Plain, Kernel::Dense);
        let plain_loop = self.traced(main, &main.kernels, Runs::new(&code, What::Plain), plain)?;
        let code = Code::read(&self.portable)?;
        let runs = Runs::new(&code, What::Portable);
        let portable = self.traced(main, &self.portable, runs, (Case::Clear, Kernel::Dense))?;
        let traces = Traces {
            images: self.images.min(TRACED),
            dense,
            skip,
            portable: portable.average(),
            plain_loop: plain_loop.average(),
        };
        Ok((traces, code_bytes, code.bytes(portable.functions())))
    }

    /// What both kernels with DSP instructions executed, dense first, and the flash that they take.
    fn trace_kernels(&self, laid: &Laid<'_>) -> Result<([Traced; 2], u64), BenchError> {
        let code = Code::read(&laid.kernels)?;
        let kernel = |kernel| {
            let runs = Runs::new(&code, What::Dsp);
            self.traced(laid, &laid.kernels, runs, (Case::Clear, kernel))
        };
        let (dense, skip) = (kernel(Kernel::Dense)?, kernel(Kernel::Skip)?);
        // What these runs did not come to, such as layers of other widths, is code of the kernels too.
        let mut functions: BTreeSet<u32> = code.named(DSP).collect();
        functions.extend(dense.functions());
        functions.extend(skip.functions());
        Ok(([dense.average(), skip.average()], code.bytes(&functions)))
    }

    fn traced<'c>(
        &self,
        laid: &Laid<'_>,
        image: &Image,
        mut runs: Runs<'c>,
        what: (Case, Kernel),
    ) -> Result<Runs<'c>, BenchError> {
        let features = laid.features(0..self.images.min(TRACED));
        let paths = laid.memory.trace(image, what, features, self.timeout)?;
        paths.iter().try_for_each(|path| runs.add(path))?;
        Ok(runs)
    }
}

impl<'a> Laid<'a> {
    fn of(subject: Subject<'a>, tell: &dyn Fn(&str)) -> Result<Self, BenchError> {
        let weights = subject.network.quantisation().weights;
        Ok(Self {
            subject,
            memory: Memory::of(&subject.network)?,
            kernels: build_bench(Board::CortexM4, weights, Program::Kernels, tell)?,
        })
    }

    fn features(&self, images: Range<usize>) -> &'a [u8] {
        let bytes = images.start * INPUT..images.end * INPUT;
        self.subject.features.get(bytes).unwrap_or_default()
    }

    fn weights(&self) -> String {
        self.subject.network.quantisation().weights.to_string()
    }
}

impl Counting<'_> {
    /// Runs the first images, without the instructions of the counting itself.
    fn spread(
        &mut self,
        laid: &Laid<'_>,
        image: &Image,
        what: (Case, Kernel),
        images: usize,
    ) -> Result<Spread, BenchError> {
        let nothing = match self.nothing {
            Some((ref of, nothing)) if *of == image.path => nothing,
            _ => {
                let answers = self.answers(laid, image, (Case::Nothing, Kernel::Dense), 0..1)?;
                let nothing = answers.first().map_or(0, |answer| answer.instructions);
                self.nothing = Some((image.path.clone(), nothing));
                nothing
            }
        };
        let half = images / 2;
        let answers = thread::scope(|scope| {
            let this = &*self;
            let first = scope.spawn(move || this.answers(laid, image, what, 0..half));
            let second = this.answers(laid, image, what, half..images);
            let mut answers = first.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            answers.extend(second?);
            Ok::<_, BenchError>(answers)
        })?;
        let expected = laid.subject.logits.chunks(CLASSES);
        let same = answers.iter().zip(expected);
        let same = same.filter(|(answer, expected)| answer.logits == *expected);
        self.mismatches += (images - same.count()) as u64;
        let counts = answers
            .iter()
            .map(|answer| answer.instructions.saturating_sub(nothing));
        Ok(Spread {
            mean: counts.clone().sum::<u64>() as f64 / images as f64,
            min: counts.clone().min().unwrap_or(0),
            max: counts.max().unwrap_or(0),
            images,
        })
    }

    fn answers(
        &self,
        laid: &Laid<'_>,
        image: &Image,
        what: (Case, Kernel),
        images: Range<usize>,
    ) -> Result<Vec<Answer>, BenchError> {
        let timeout = self.bench.timeout;
        laid.memory
            .run(image, what, laid.features(images), timeout, self.done)
    }
}

/// Images that are traced.
const TRACED: usize = 20;
/// Images for a mode in which each takes some 13 million instructions.
const STREAMED: usize = 20;
/// What all functions of the kernels with DSP instructions have in their names.
const DSP: &str = "mlp::kernel::dsp::";

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use sealnet_core::artefact::Sealed;

    use super::*;
    use crate::journal::Counters;
    use crate::provision::flash_image;
    use crate::qemu::{self, Counted};
    use crate::sample::{self, Sealing};

    /// What the bench counts in its own image is what the device's image executes, and a logit that is another is found.
    #[test]
    fn it_counts_what_the_device_executes_and_compares_logits() {
        let model = sample::model(1, &Sealing::default()).unwrap();
        let trusted = sample::publisher(1).trusted();
        let verified = Sealed::parse(&model).unwrap().verify(&trusted, 0).unwrap();
        let (mut scratch, mut room) = (vec![0; SHAPE.golden_scratch_len()], [0; CLASSES]);
        let opened = verified.open_in_place().unwrap();
        let deployed = opened.load_any(&mut scratch, &mut room).unwrap();
        let network = *deployed.network();
        let features = [0, 1].map(sample::features);
        let mut logits = [[0; CLASSES]; 2];
        for (features, logits) in features.iter().zip(&mut logits) {
            network.infer(features, &mut scratch, logits).unwrap();
        }
        logits[1][CLASSES - 1] ^= 1;
        let subject = Subject {
            network,
            features: features.as_flattened(),
            logits: logits.as_flattened(),
        };
        let bench = Bench::ready(subject, None, TIMEOUT, &|_| {}).unwrap();
        let done = AtomicU64::new(0);
        let tell = |runs| {
            done.fetch_add(runs, Ordering::Relaxed);
        };
        let figures = bench.measure(&tell).unwrap();
        // Of the second image every run: seven, and a streamed one.
        assert_eq!(figures.mismatches, 8);
        assert_eq!(done.into_inner(), bench.runs());

        let identity = sample::identity().unwrap();
        let flash = flash_image(&identity, &model, Counters::default()).unwrap();
        let device = qemu::build(Board::CortexM4, qemu::Mode::Clear).unwrap();
        let entries = Code::read(&device).unwrap().entries("Contents", "logits");
        let executed = Counted::call(&device, flash.bytes(), &entries, TIMEOUT).unwrap();
        let dense = figures.traced.dense.whole.instructions;
        assert!((dense - executed as f64).abs() < 8.0, "{dense} {executed}");
        // The bench's timer sees what calls that function as well: a copy of the logits.
        let beside = figures.kernels.dense.mean - dense;
        assert!((0.0..300.0).contains(&beside), "{beside}");
    }

    const TIMEOUT: Duration = Duration::from_secs(120);
}
