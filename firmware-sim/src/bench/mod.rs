//! What a Cortex-M executes for an image: by each kernel, in each mode, layer by layer, and by plain loops.
//!
//! An image of its own, `bench-image`, is built as the device's is, with the same core and flags. It runs a network on given
//! features and reads a timer of the board before and after. QEMU lets each instruction take 1,024 ns (`-icount
//! shift=10`), so that a timer of 25 MHz counts 25.6 ticks for it; what an empty call takes is taken off. The models lie
//! in the board's 16 MiB of memory beside that of code, as they do in the device's slots: an instruction is one there as it
//! is in flash.
//!
//! Some runs are traced: every instruction that QEMU executes is logged. That gives the layers' shares and how many words
//! were loaded, from which cycles are estimated. See [`Cost`].

mod board;
mod loads;
mod trace;

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use sealnet_core::artefact::SealError;
use sealnet_core::mlp::{Kernel, Network, Shape};
use serde::Serialize;

use crate::qemu::{Board, Code, Image, QemuError, build_bench, installed};
use crate::shape::{CLASSES, INPUT, SHAPE};
use board::{Answer, Case, Memory};
use trace::Runs;
pub use trace::{Cost, Traced};

/// A network, and what it is run on.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The network, of the shape that this build runs.
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
    Seal(#[from] SealError),
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

/// Instructions of many runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// On average.
    pub mean: f64,
    /// The fewest.
    pub min: u64,
    /// The most.
    pub max: u64,
    /// Runs.
    pub images: usize,
}

/// Instructions of the three kernels, the weights in flash.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Kernels {
    /// With DSP instructions, every product.
    pub dense: Spread,
    /// With DSP instructions, without pairs of inputs that are zero.
    pub skip: Spread,
    /// The reference, in portable Rust.
    pub portable: Spread,
}

/// Instructions of the kernels with DSP instructions where a model is kept in one way.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Mode {
    /// Every product.
    pub dense: Spread,
    /// Without pairs of inputs that are zero; none where no kernel skips.
    pub skip: Option<Spread>,
}

/// Ways of keeping a model.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Modes {
    /// In flash.
    pub clear: Mode,
    /// Decrypted into RAM.
    pub confidential: Mode,
    /// In flash, encrypted: each run decrypts it.
    pub streamed: Mode,
}

/// What traced runs executed.
#[derive(Debug, Clone, Serialize)]
pub struct Traces {
    /// How many images were traced: the first ones.
    pub images: usize,
    /// By the kernel `dense`.
    pub dense: Traced,
    /// By the kernel `skip`.
    pub skip: Traced,
    /// By the portable kernel.
    pub portable: Traced,
    /// By plain loops.
    pub plain: Traced,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Images that were run.
    pub images: usize,
    /// On a Cortex-M4, the weights in flash.
    pub kernels: Kernels,
    /// Plain loops over the same weights, in the same image.
    pub plain: Spread,
    /// The portable kernel on a Cortex-M3, which has no DSP instructions that a compiler could take.
    pub portable_cortex_m3: Spread,
    /// Kernels by how the model is kept.
    pub modes: Modes,
    /// What was traced.
    pub traced: Traces,
    /// Bytes of flash of both kernels with DSP instructions: all functions that they call included.
    pub code_bytes: u64,
    /// The same of the portable kernel.
    pub portable_code_bytes: u64,
    /// Runs whose logits were not the host's.
    pub mismatches: u64,
}

/// All that is ready to be run.
pub struct Bench<'a> {
    subject: Subject<'a>,
    images: usize,
    memory: Memory,
    timeout: Duration,
    m4: Image,
    m3: Image,
}

/// What has come out so far.
struct Counting<'b> {
    bench: &'b Bench<'b>,
    done: &'b (dyn Fn(u64) + Sync),
    mismatches: u64,
}

impl<'a> Bench<'a> {
    /// Builds the images and seals the network; what takes long is told, a line each. No answer of a board, to some hundred
    /// images, may take longer than `timeout`.
    ///
    /// # Errors
    /// [`BenchError`].
    pub fn ready(
        subject: Subject<'a>,
        timeout: Duration,
        tell: &dyn Fn(&str),
    ) -> Result<Self, BenchError> {
        let shape = subject.network.shape();
        if shape != SHAPE {
            return Err(BenchError::Shape(shape));
        }
        let images = (subject.features.len() / INPUT).min(subject.logits.len() / CLASSES);
        if images == 0 {
            return Err(BenchError::NoImages);
        }
        installed()?;
        Ok(Self {
            subject,
            images,
            memory: Memory::of(&subject.network)?,
            timeout,
            m4: build_bench(Board::CortexM4, tell)?,
            m3: build_bench(Board::CortexM3, tell)?,
        })
    }

    /// Runs that [`measure`](Self::measure) tells of.
    pub fn runs(&self) -> u64 {
        // Seven of all images, and for each core a call that does nothing.
        (7 * self.images + self.streamed() + 2) as u64
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
            mismatches: 0,
        };
        let nothing = counting.nothing(&self.m4)?;
        let mut m4 =
            |case, kernel, images| counting.spread(&self.m4, (case, kernel), images, nothing);
        let all = self.images;
        let plain = m4(Case::Plain, Dense, all)?;
        let portable = m4(Case::Portable, Dense, all)?;
        let clear = Mode {
            dense: m4(Case::Clear, Dense, all)?,
            skip: Some(m4(Case::Clear, Skip, all)?),
        };
        let confidential = Mode {
            dense: m4(Case::Confidential, Dense, all)?,
            skip: Some(m4(Case::Confidential, Skip, all)?),
        };
        let streamed = Mode {
            dense: m4(Case::Streamed, Dense, self.streamed())?,
            skip: None,
        };
        let nothing = counting.nothing(&self.m3)?;
        let portable_cortex_m3 =
            counting.spread(&self.m3, (Case::Portable, Dense), all, nothing)?;
        let mismatches = counting.mismatches;
        let (traced, code_bytes, portable_code_bytes) = self.trace()?;
        Ok(Figures {
            images: all,
            kernels: Kernels {
                dense: clear.dense,
                skip: clear.skip.unwrap_or(clear.dense),
                portable,
            },
            plain,
            portable_cortex_m3,
            modes: Modes {
                clear,
                confidential,
                streamed,
            },
            traced,
            code_bytes,
            portable_code_bytes,
            mismatches,
        })
    }

    /// What traced runs executed, and the flash of both kernels with DSP instructions and of the portable one.
    fn trace(&self) -> Result<(Traces, u64, u64), BenchError> {
        let code = Code::read(&self.m4)?;
        let images = self.images.min(TRACED);
        let features = self.features(0..images);
        let runs = |case, kernel| {
            let mut runs = Runs::new(&code, case);
            let paths = self
                .memory
                .trace(&self.m4, (case, kernel), features, self.timeout)?;
            paths.iter().try_for_each(|path| runs.add(path))?;
            Ok::<_, BenchError>(runs)
        };
        let (dense, skip) = (
            runs(Case::Clear, Kernel::Dense)?,
            runs(Case::Clear, Kernel::Skip)?,
        );
        let portable = runs(Case::Portable, Kernel::Dense)?;
        let plain = runs(Case::Plain, Kernel::Dense)?;
        // What these runs did not come to, such as layers of other widths, is code of the kernels too.
        let mut functions: BTreeSet<u32> = code.named(DSP).collect();
        functions.extend(dense.functions());
        functions.extend(skip.functions());
        let traces = Traces {
            images,
            dense: dense.average(),
            skip: skip.average(),
            portable: portable.average(),
            plain: plain.average(),
        };
        let bytes = |functions: &BTreeSet<u32>| {
            let places = functions.iter().filter_map(|start| code.function(*start));
            places.map(|(place, _)| place.len() as u64).sum()
        };
        Ok((traces, bytes(&functions), bytes(portable.functions())))
    }

    fn features(&self, images: Range<usize>) -> &'a [u8] {
        let bytes = images.start * INPUT..images.end * INPUT;
        self.subject.features.get(bytes).unwrap_or_default()
    }
}

impl Counting<'_> {
    /// Instructions of the counting itself.
    fn nothing(&mut self, image: &Image) -> Result<u64, BenchError> {
        let answers = self.answers(image, (Case::Nothing, Kernel::Dense), 0..1)?;
        Ok(answers.first().map_or(0, |answer| answer.instructions))
    }

    /// Runs the first images, without the instructions of `nothing`.
    fn spread(
        &mut self,
        image: &Image,
        what: (Case, Kernel),
        images: usize,
        nothing: u64,
    ) -> Result<Spread, BenchError> {
        let half = images / 2;
        let answers = thread::scope(|scope| {
            let this = &*self;
            let first = scope.spawn(move || this.answers(image, what, 0..half));
            let second = this.answers(image, what, half..images);
            let mut answers = first.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            answers.extend(second?);
            Ok::<_, BenchError>(answers)
        })?;
        let expected = self.bench.subject.logits.chunks(CLASSES);
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
        image: &Image,
        what: (Case, Kernel),
        images: Range<usize>,
    ) -> Result<Vec<Answer>, BenchError> {
        let Bench {
            memory, timeout, ..
        } = self.bench;
        memory.run(
            image,
            what,
            self.bench.features(images),
            *timeout,
            self.done,
        )
    }
}

/// Images that are traced.
const TRACED: usize = 20;
/// Images for a mode in which each takes some 13 million instructions.
const STREAMED: usize = 20;
/// What all functions of the kernels with DSP instructions have in their names.
const DSP: &str = "mlp::kernel::dsp::";
