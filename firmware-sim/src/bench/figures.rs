//! What comes out, as it is told to programs.

use serde::Serialize;

use super::Traced;

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
    pub plain_loop: Traced,
}

/// What came out for the same network with other weights.
#[derive(Debug, Clone, Serialize)]
pub struct Other {
    /// `int4` or `int8`.
    pub weights: String,
    /// With DSP instructions, every product, the weights in flash.
    pub dense: Spread,
    /// Without pairs of inputs that are zero.
    pub skip: Spread,
    /// What traced runs executed by the kernel `dense`.
    pub traced_dense: Traced,
    /// By the kernel `skip`.
    pub traced_skip: Traced,
    /// Bytes of flash of both kernels.
    pub code_bytes: u64,
    /// Bytes of the sealed model, in clear.
    pub artefact_bytes: u32,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Images that were run.
    pub images: usize,
    /// `int8` or `int4`.
    pub weights: String,
    /// Bytes of the sealed model, in clear.
    pub artefact_bytes: u32,
    /// On a Cortex-M4, the weights in flash.
    pub kernels: Kernels,
    /// Plain loops over the same weights, in the same image.
    pub plain_loop: Spread,
    /// The portable kernel on a Cortex-M3, which has no DSP instructions that a compiler could take.
    pub portable_cortex_m3: Spread,
    /// Kernels by how the model is kept.
    pub modes: Modes,
    /// What was traced.
    pub traced: Traces,
    /// The same network with other weights.
    pub other: Option<Other>,
    /// Bytes of flash of both kernels with DSP instructions: all functions that they call included.
    pub code_bytes: u64,
    /// The same of the portable kernel.
    pub portable_code_bytes: u64,
    /// Runs whose logits were not the host's.
    pub mismatches: u64,
}
