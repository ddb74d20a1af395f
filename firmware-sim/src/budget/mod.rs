//! What the device costs: flash, RAM with stack, and instructions, on a Cortex-M4.
//!
//! Nothing in the image takes part, and the image is the one that ships. Sizes are read off its ELF file. The stack
//! is painted by the runtime before `main`, and its memory read back after a session that takes every path: boot,
//! status, answers, refusals, an update refused and one accepted, and the boot that tries it. Instructions are
//! QEMU's own count ([`Counted`]): of a boot from reset to sleep, so with the runtime's start, which fills 128 KiB;
//! of an inference as of the boot's first golden
//! vector, where its function is entered and left; of a sealed request from sleep to sleep, each byte of it waking
//! the core; of a verification as what a boot with a changed body, which is refused for its signature, takes more
//! than one with an empty slot.
//!
//! Models are the [`sample`]s: always the same, of the shape that this build runs, signed with Ed25519.

mod footprint;
mod request;
mod session;

use std::time::Duration;

use sealnet_core::mlp::{Kernel, WeightType};
use serde::Serialize;

use crate::client::ClientError;
use crate::journal::Counters;
use crate::provision::{ProvisionError, flash_image};
use crate::qemu::{Board, Counted, Image, Mode, QemuError, build, build_for};
use crate::sample::{self, SampleError, Sealing};
use crate::sim::flash::SimFlash;
use footprint::Footprint;

/// What the device costs: with int8 weights, unless it says otherwise.
#[derive(Debug, Clone, Serialize)]
pub struct Budget {
    /// Bytes of flash without model: the larger image's.
    pub flash_bytes: u64,
    /// Bytes of RAM, stack included.
    pub ram_bytes: Modes,
    /// Bytes of stack at its highest, of all modes: the deepest one.
    pub stack_bytes: u64,
    /// Instructions to verify a clear model of `verify_bytes` once.
    pub verify_instructions: u64,
    /// Length in bytes of that model.
    pub verify_bytes: usize,
    /// Instructions from reset until the device waits for a request.
    pub boot_instructions: Modes,
    /// Instructions to run the network once.
    pub inference_instructions: Modes,
    /// Instructions for a sealed request, from its first byte to the last one of its sealed answer.
    pub request_instructions: Modes,
    /// With int4 weights, the model in flash, in clear.
    pub int4: Int4,
}

/// What a device for int4 weights costs.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Int4 {
    /// Bytes of flash without model: the larger image's, that with RAM for an encrypted model among them.
    pub flash_bytes: u64,
    /// Bytes of RAM, stack included.
    pub ram_bytes: u64,
    /// Instructions from reset until the device waits for a request.
    pub boot_instructions: u64,
    /// Instructions to run the network once.
    pub inference_instructions: u64,
    /// Instructions for a sealed request.
    pub request_instructions: u64,
}

/// A figure for each way of keeping a model.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Modes {
    /// The model lies in flash, in clear.
    pub clear: u64,
    /// It is decrypted into RAM.
    pub confidential: u64,
    /// It lies in flash, encrypted, and is decrypted in pieces as it runs.
    pub streamed: u64,
}

/// A figure and what it should be.
#[derive(Debug, Clone)]
pub struct Line {
    /// What is measured.
    pub what: String,
    /// How much of it.
    pub figure: u64,
    /// The most that it may be, if there is a goal.
    pub goal: Option<u64>,
}

/// Why the device was not measured.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// The board in QEMU.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// The image is not what it should be.
    #[error("cannot measure the image {0}")]
    Image(String),
    /// The sample model.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The sample device.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The device did not answer as it should.
    #[error("the device in QEMU: {0}")]
    Client(#[from] ClientError),
    /// The device took what it must refuse.
    #[error("the device in QEMU took {0}")]
    Took(&'static str),
}

impl BudgetError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Qemu(error) => error.hint(),
            _ => String::new(),
        }
    }
}

/// What one mode costs.
struct Measured {
    flash: u64,
    ram: u64,
    stack: u64,
    boot: u64,
    inference: u64,
    request: u64,
}

impl Budget {
    /// Builds the images and measures them: some minutes.
    ///
    /// # Errors
    /// [`BudgetError`].
    pub fn measure() -> Result<Self, BudgetError> {
        let (verify_bytes, verify_instructions) = verify(&build(BOARD, Mode::Clear)?)?;
        let clear = Measured::of(Mode::Clear, WeightType::Int8)?;
        let confidential = Measured::of(Mode::Confidential, WeightType::Int8)?;
        let streamed = Measured::of(Mode::Streamed, WeightType::Int8)?;
        let int4 = Measured::of(Mode::Clear, WeightType::Int4)?;
        let image = build_for(BOARD, Mode::Confidential, WeightType::Int4)?;
        let confidential_int4 = Footprint::read(&image)?;
        let modes = |figure: fn(&Measured) -> u64| Modes {
            clear: figure(&clear),
            confidential: figure(&confidential),
            streamed: figure(&streamed),
        };
        Ok(Self {
            flash_bytes: clear.flash.max(confidential.flash).max(streamed.flash),
            ram_bytes: modes(|mode| mode.ram),
            stack_bytes: clear.stack.max(confidential.stack).max(streamed.stack),
            verify_instructions,
            verify_bytes,
            boot_instructions: modes(|mode| mode.boot),
            inference_instructions: modes(|mode| mode.inference),
            request_instructions: modes(|mode| mode.request),
            int4: Int4 {
                flash_bytes: int4.flash.max(confidential_int4.flash),
                ram_bytes: int4.ram,
                boot_instructions: int4.boot,
                inference_instructions: int4.inference,
                request_instructions: int4.request,
            },
        })
    }

    /// The figures beside their goals.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let line = |what: &str, figure, goal| Line {
            what: what.into(),
            figure,
            goal,
        };
        let modes = |what: &str, figures: Modes, goals: [Option<u64>; 3]| {
            let Modes {
                clear,
                confidential,
                streamed,
            } = figures;
            let figures = [clear, confidential, streamed].into_iter().zip(goals);
            let names = ["clear", "confidential", "streamed"].into_iter();
            names
                .zip(figures)
                .map(|(name, (figure, goal))| line(&format!("{what}, {name}"), figure, goal))
                .collect::<Vec<_>>()
        };
        let kib = |n: u64| Some(n * 1024);
        let mut lines = vec![line("flash, bytes", self.flash_bytes, kib(48))];
        lines.extend(modes(
            "RAM with stack, bytes",
            self.ram_bytes,
            [kib(16), kib(76), kib(20)],
        ));
        lines.push(line("stack, bytes", self.stack_bytes, None));
        let verify = format!("instructions to verify {} bytes", self.verify_bytes);
        lines.push(line(&verify, self.verify_instructions, Some(8_000_000)));
        let clear_boot = Some(18_000_000);
        let boots = [clear_boot, Some(45_000_000), None];
        lines.extend(modes(
            "instructions of a boot",
            self.boot_instructions,
            boots,
        ));
        let none = [None; 3];
        lines.extend(modes(
            "instructions of an inference",
            self.inference_instructions,
            none,
        ));
        lines.extend(modes(
            "instructions of a request",
            self.request_instructions,
            none,
        ));
        let Int4 {
            flash_bytes,
            ram_bytes,
            boot_instructions,
            inference_instructions,
            request_instructions,
        } = self.int4;
        lines.extend([
            line("flash, int4 weights, bytes", flash_bytes, kib(48)),
            line("RAM with stack, int4, clear, bytes", ram_bytes, kib(16)),
            line(
                "instructions of a boot, int4, clear",
                boot_instructions,
                clear_boot,
            ),
            line(
                "instructions of an inference, int4, clear",
                inference_instructions,
                None,
            ),
            line(
                "instructions of a request, int4, clear",
                request_instructions,
                None,
            ),
        ]);
        lines
    }
}

impl Measured {
    fn of(mode: Mode, weights: WeightType) -> Result<Self, BudgetError> {
        let image = &build_for(BOARD, mode, weights)?;
        let encrypted = mode != Mode::Clear;
        let footprint = Footprint::read(image)?;
        let sealing = |counter| Sealing {
            encrypted,
            counter,
            weights,
            ..Sealing::default()
        };
        let model = sample::model(1, &sealing(1))?;
        let flash = flash_of(&model)?;
        let boot = Counted::boot(image, flash.bytes(), "Serving", TIMEOUT)?;
        let inference = Counted::call(image, flash.bytes(), &footprint.inferences, TIMEOUT)?;
        let request = request::instructions(image, flash.bytes(), &footprint.waits)?;
        // One of them for each kernel.
        let newer = Sealing {
            kernel: Kernel::Skip,
            ..sealing(2)
        };
        let newer = sample::model(2, &newer)?;
        let stack = session::stack(image, flash.bytes(), &newer)?;
        Ok(Self {
            flash: footprint.flash,
            ram: footprint.variables + stack,
            stack,
            boot,
            inference,
            request,
        })
    }
}

/// Bytes of stack at its highest in a session with clear models that takes every path.
///
/// # Errors
/// [`BudgetError`].
pub fn stack() -> Result<u64, BudgetError> {
    let model = |seed, counter, kernel| {
        let sealing = Sealing {
            counter,
            kernel,
            ..Sealing::default()
        };
        sample::model(seed, &sealing)
    };
    let flash = flash_of(&model(1, 1, Kernel::Dense)?)?;
    let image = build(BOARD, Mode::Clear)?;
    session::stack(&image, flash.bytes(), &model(2, 2, Kernel::Skip)?)
}

/// Length of a clear model, and instructions to verify it.
fn verify(image: &Image) -> Result<(usize, u64), BudgetError> {
    let boot = |model: &[u8], said| {
        let flash = flash_of(model)?;
        Ok::<_, BudgetError>(Counted::boot(image, flash.bytes(), said, TIMEOUT)?)
    };
    let mut model = sample::model(1, &Sealing::default())?;
    if let Some(byte) = model.get_mut(CHANGED) {
        *byte ^= 1;
    }
    let refused = boot(&model, "NoModel(Model(Signature))")?;
    let blank = boot(&[], "NoModel(EmptySlot)")?;
    Ok((model.len(), refused.saturating_sub(blank)))
}

/// A sample device's flash with this model.
fn flash_of(model: &[u8]) -> Result<SimFlash, BudgetError> {
    Ok(flash_image(
        &sample::identity()?,
        model,
        Counters::default(),
    )?)
}

const BOARD: Board = Board::CortexM4;
/// No boot or answer takes as long.
const TIMEOUT: Duration = Duration::from_secs(120);
/// A byte among the weights.
const CHANGED: usize = 1000;
