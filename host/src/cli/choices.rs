//! Values on the command line that are one of a few words.

use clap::ValueEnum;
use sealnet::train::recipe;
use sealnet_core::mlp::{Kernel, WeightType};

/// A data set that `fetch` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KnownData {
    /// 70,000 handwritten digits, 28 by 28 pixels
    Mnist,
}

/// How a vault is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Keyed tags, Merkle root, signed manifest
    Default,
    /// As published: plain SHA-512 tags, no manifest; for comparison only
    Paper,
}

/// How a record is tagged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TagSchemeArg {
    /// Plain SHA-512, as the paper has it: whoever has the Fernet key can forge it
    Sha512,
    /// HMAC-SHA-512 under a key that storage never sees
    HmacSha512,
}

/// What computes the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendArg {
    /// The fastest that this processor has
    Auto,
    /// 512-bit vectors (x86-64-v4)
    Avx512,
    /// 256-bit vectors (x86-64-v3)
    Avx2,
    /// What every processor has: far slower where it is without fused multiply-add
    Portable,
}

/// How a model is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemeArg {
    /// One signature for all devices, which hold the public key alone
    Ed25519,
    /// HMAC-SHA-512 under one device's own key, for devices short of flash
    Hmac,
}

/// How fine weights are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WeightsArg {
    /// 8 bits
    Int8,
    /// 4 bits: half the flash, some of the accuracy
    Int4,
}

impl From<WeightsArg> for WeightType {
    fn from(weights: WeightsArg) -> Self {
        match weights {
            WeightsArg::Int8 => Self::Int8,
            WeightsArg::Int4 => Self::Int4,
        }
    }
}

impl From<WeightsArg> for recipe::Weights {
    fn from(weights: WeightsArg) -> Self {
        match weights {
            WeightsArg::Int8 => Self::Int8,
            WeightsArg::Int4 => Self::Int4,
        }
    }
}

/// How finely weights are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GranularityArg {
    /// A scale for each output of a layer
    PerChannel,
    /// One scale for a layer
    PerTensor,
}

/// What a device may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReplyArg {
    /// The label alone
    Label,
    /// Label and probabilities
    Probabilities,
    /// Label, probabilities and logits
    Logits,
}

/// Which kernel a device runs a model with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KernelArg {
    /// Every product: the number of instructions does not depend on what is asked
    Dense,
    /// Without inputs and hidden activations that are zero, as an image's background is: several times faster, and
    /// the time that an answer takes tells how many there are
    Skip,
}

impl From<KernelArg> for Kernel {
    fn from(kernel: KernelArg) -> Self {
        match kernel {
            KernelArg::Dense => Self::Dense,
            KernelArg::Skip => Self::Skip,
        }
    }
}

/// What the host runs many records with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HostKernelArg {
    /// x86-64 with AVX-512 and VNNI
    Avx512vnni,
    /// x86-64 with AVX2
    Avx2,
    /// Any machine: the reference
    Portable,
}

/// Where to run a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Place {
    /// This process, with the device's integer code
    Host,
    /// A simulated device with its own flash, through sealed requests and replies
    Sim,
    /// The same device as a Cortex-M image, on boards in QEMU
    Qemu,
}

/// Which core a board in QEMU has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BoardArg {
    /// With DSP extension and FPU
    CortexM4,
    /// Without either
    CortexM3,
    /// Armv8-M, with both
    CortexM33,
}

impl BoardArg {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CortexM4 => "cortex-m4",
            Self::CortexM3 => "cortex-m3",
            Self::CortexM33 => "cortex-m33",
        }
    }

    /// Whether it runs the kernels that are made for these instructions.
    pub(crate) fn has_dsp(self) -> bool {
        self != Self::CortexM3
    }
}

/// Which records of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartArg {
    /// The official test records
    Test,
    /// The training records
    Train,
    /// Every record
    All,
}
