//! Whether what the device executes depends on its secrets.
//!
//! The image that ships runs in QEMU with many random secrets: keys, weights, biases and factors of a network,
//! features, wrong tags. Of every [`Part`] each execution must take as many instructions as any other. An answer's
//! are compared by their addresses, one by one, which says more: the same instructions in the same order. Boots are
//! counted ([`Counted`](crate::qemu::Counted)); of each kind of boot one is traced as well, for the instructions that
//! it executes.
//!
//! | part | secrets | executed |
//! |---|---|---|
//! | boot | all keys, the model | identity, HMAC-SHA-512 of the model, its Fernet open where it is encrypted, golden vectors |
//! | Fernet open of a request | wire key, features | `AuthenticCommand::open`: tag, padding, AES-CBC |
//! | dense kernel | weights, biases, factors, features | `logits` |
//! | answer | all of these | everything from there to the frame of the reply: argmax, probabilities, the receipt's HMAC-SHA-512 and the Fernet seal as well |
//! | comparison of a request's tag | wire key, right tag | all of a refusal, where a wrong tag differs in one byte, in all or at random |
//! | comparison of a model's HMAC-SHA-512 | HMAC key, right tag | all of a boot that is refused for it |
//!
//! The control is a comparison that does end at the first difference: that of the provisioning nonce, which the device
//! tells everyone. It must be found to differ, or nothing was shown. An Ed25519 signature is verified in variable time;
//! key, message and signature are public. How many cycles a flash operation takes, and how long a frame is on the
//! wire, hang on what is public too: a request's counter, and a ciphertext's bytes.
//!
//! What the proof finds about a model as a whole is not among the secrets: whether the weights of outputs that share a sum with
//! others (each second one, with int4 weights each fourth) are so small that the sum need not be taken apart on the way, and
//! its shifts such that an upper word will do. A model of either kind takes the same instructions for whatever it is asked, but another number of them; the models here are all of the
//! kind that training gives.
//!
//! # From instructions to cycles
//! QEMU counts instructions. For the same instructions a core takes the same cycles, but where
//!
//! - an instruction takes more of them for some operands. Each part says how many it executes ([`Operands`]). Integer
//!   division ends early on a Cortex-M3, M4 and M33 (2 to 12 cycles, TRM of the first two, table 3-1): none may be
//!   executed, in no part, or [`Emulated::holds`] says no. `UMULL` and `SMULL` take 3 to 5 cycles on a **Cortex-M3**, `UMLAL` and `SMLAL`
//!   4 to 7, fewer for small operands (Cortex-M3 TRM r2p1, table 3-1). Requantisation executes one of them for each
//!   output of a layer, so on that core the size of an accumulator leaks; `MUL`, `MLA` and the DSP extension's, which
//!   take the products, do not vary. On a Cortex-M4 (TRM, table 3-1) and M33 every multiplication takes the same time;
//!   a Cortex-M0+ has only 32-bit products, in 1 cycle or in 32, as the core was made, always the same. Floating-point
//!   division takes 14 cycles on a Cortex-M4. A Cortex-M3 has no FPU, and the routines in its place branch on their
//!   operands: there an answer takes a path that depends on its probabilities, and is found to.
//! - memory takes longer for some addresses. No table is read at a secret index: AES is fixsliced (the `aes` crate's
//!   `soft` backend), SHA-2 and the kernel read in order. The RAM of these cores has no cache.
//! - an instruction is left out on a condition. Arithmetic takes one cycle either way; loads, stores, long
//!   multiplications and floating-point divisions are counted ([`Operands::conditional`]). Those of the image hang on positions and lengths: a
//!   flash word's alignment, a field of a message, the blocks left of a token.

mod comparison;
mod emulated;
mod host;
mod secrets;
mod welch;

use sealnet_core::mlp::WeightType;
use serde::Serialize;

use crate::client::ClientError;
use crate::provision::ProvisionError;
use crate::qemu::{Board, Mode, QemuError};
use crate::sample::SampleError;
pub use comparison::{Operands, Part};
use emulated::Bench;
pub use host::{Host, Timed};

/// How much to execute.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Devices whose model is clear, decrypted into RAM or of int4 weights, of each kind.
    pub devices: u64,
    /// Devices whose model is streamed, which take ten times as long.
    pub streamed: u64,
    /// Devices that get wrong tags, some 40 each.
    pub tags: u64,
    /// Devices that boot with wrong signatures, some 10 each.
    pub signatures: u64,
}

impl Extent {
    /// A sample: less than a minute.
    pub const QUICK: Self = Self {
        devices: 5,
        streamed: 0,
        tags: 1,
        signatures: 1,
    };
    /// Some minutes.
    pub const FULL: Self = Self {
        devices: 64,
        streamed: 8,
        tags: 8,
        signatures: 8,
    };

    /// Devices in all.
    #[must_use]
    pub const fn all(&self) -> u64 {
        3 * self.devices + self.streamed + self.tags + self.signatures
    }
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Emulated {
    /// What must not depend on secrets.
    pub parts: Vec<Part>,
    /// What does depend on what it compares, and must be found to.
    pub control: Part,
}

impl Emulated {
    /// Executes everything in QEMU. `done` is told after each device.
    ///
    /// # Errors
    /// [`ConstantTimeError`].
    pub fn run(
        board: Board,
        extent: Extent,
        mut done: impl FnMut(),
    ) -> Result<Self, ConstantTimeError> {
        let clear = Bench::new(board, Mode::Clear, WeightType::Int8)?;
        let confidential = Bench::new(board, Mode::Confidential, WeightType::Int8)?;
        let mut parts = vec![
            clear.tags(extent.tags, &mut done)?,
            clear.signatures(extent.signatures, &mut done)?,
        ];
        parts.extend(clear.answers(extent.devices, &mut done)?);
        parts.extend(confidential.answers(extent.devices, &mut done)?);
        if extent.streamed > 0 {
            let streamed = Bench::new(board, Mode::Streamed, WeightType::Int8)?;
            parts.extend(streamed.answers(extent.streamed, &mut done)?);
        }
        let int4 = Bench::new(board, Mode::Clear, WeightType::Int4)?;
        parts.extend(int4.answers(extent.devices, &mut done)?);
        let control = clear.control()?;
        Ok(Self { parts, control })
    }

    /// Whether no part depends on secrets or divides integers, and the control shows that it would have been found.
    #[must_use]
    pub fn holds(&self) -> bool {
        let holds = |part: &Part| part.is_constant() && part.divides() == Some(false);
        self.parts.iter().all(holds) && !self.control.is_constant()
    }
}

/// Why nothing was found out.
#[derive(Debug, thiserror::Error)]
pub enum ConstantTimeError {
    /// The board in QEMU.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// The models.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The devices.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// A device did not answer as it should.
    #[error("the device in QEMU: {0}")]
    Client(#[from] ClientError),
    /// A device answered a request that it must refuse.
    #[error("the device in QEMU answered a request that it must refuse")]
    Answered,
    /// A frame could not be read or written: none in practice.
    #[error("a request is no frame")]
    Frame,
    /// The image has no such function, or did not come to it.
    #[error("the image did not call its function `{0}`")]
    NotCalled(&'static str),
    /// QEMU executed an instruction that its log does not name.
    #[error("QEMU's log does not say which instruction is at {0:#x}")]
    Unnamed(u32),
    /// A traced boot is not the one whose instructions were counted.
    #[error("a boot takes {counted} instructions, and its trace holds {traced}")]
    Trace {
        /// Instructions that QEMU counted.
        counted: u64,
        /// Those that its log names.
        traced: u64,
    },
}

impl ConstantTimeError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Qemu(error) => error.hint(),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_divides_or_was_not_traced_does_not_hold() {
        let part = |max, divisions: Option<u64>| Part {
            what: "boot".into(),
            executions: 2,
            min: 7,
            max,
            same_path: None,
            parted: None,
            operands: divisions.map(|divisions| Operands {
                divisions,
                ..Operands::default()
            }),
        };
        let holds = |part: Part, control: Part| {
            let parts = vec![part];
            Emulated { parts, control }.holds()
        };
        let control = part(8, Some(0));
        assert!(holds(part(7, Some(0)), control.clone()));
        assert!(!holds(part(8, Some(0)), control.clone()));
        assert!(!holds(part(7, Some(1)), control.clone()));
        assert!(!holds(part(7, None), control));
        assert!(!holds(part(7, Some(0)), part(7, Some(1))));
    }
}
