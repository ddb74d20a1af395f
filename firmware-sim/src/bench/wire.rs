//! What the bench and its image tell each other. The image has this file too.
//!
//! Bytes on the wire: [`LOAD`] first, then [`RUN`] as often as is wanted, each answered with [`DONE`] or [`FAILED`] and a zero.
//! What to do lies at the beginning of the board's memory: a [`Job`]'s words, little-endian; offsets are in that memory.

/// Loads what the job says; or runs layers, where there is their number instead of a [`Job`], and a [`LayerJob`] for each.
pub(crate) const LOAD: u8 = b'L';
/// Runs the images that the job says.
pub(crate) const RUN: u8 = b'R';

/// It is done.
pub(crate) const DONE: u8 = b'd';
/// It could not be loaded.
pub(crate) const FAILED: u8 = b'f';

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// A call that does nothing: what the counting itself takes.
    Nothing = 0,
    /// The model as it lies, in clear, by its own kernel or, in that image, the portable one.
    Clear = 1,
    /// The model, decrypted into RAM.
    Confidential = 2,
    /// The model, decrypted as it runs.
    Streamed = 3,
    /// Plain loops.
    Plain = 4,
}

/// What to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    /// Which [`Case`].
    pub(crate) case: u32,
    /// Offset and length of a sealed model.
    pub(crate) model: [u32; 2],
    /// Offset of the keys: HMAC, 64 bytes, then Fernet, 32 bytes.
    pub(crate) keys: u32,
    /// Offset and length of the layers for plain loops.
    pub(crate) plain: [u32; 2],
    /// Offset of the images, one after the other, and how many.
    pub(crate) images: [u32; 2],
    /// Offset for a result of each: ticks, then logits, a word each.
    pub(crate) results: u32,
}

impl Job {
    /// In their order in memory.
    pub(crate) const fn words(&self) -> [u32; WORDS] {
        let Self {
            case,
            model: [model, model_len],
            keys,
            plain: [plain, plain_len],
            images: [images, count],
            results,
        } = *self;
        [
            case, model, model_len, keys, plain, plain_len, images, count, results,
        ]
    }

    /// The job of these words.
    pub(crate) const fn of(words: [u32; WORDS]) -> Self {
        let [
            case,
            model,
            model_len,
            keys,
            plain,
            plain_len,
            images,
            count,
            results,
        ] = words;
        Self {
            case,
            model: [model, model_len],
            keys,
            plain: [plain, plain_len],
            images: [images, count],
            results,
        }
    }
}

/// Words of a job.
pub(crate) const WORDS: usize = 9;

/// A layer and its records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerJob {
    /// Inputs and outputs.
    pub(crate) widths: [u32; 2],
    /// 1 where all outputs share a factor.
    pub(crate) per_tensor: u32,
    /// Offsets of biases, multipliers, shifts, weights.
    pub(crate) arrays: [u32; 4],
    /// Offset of the records, one after the other, and how many.
    pub(crate) records: [u32; 2],
    /// Offset for the results: for each of [`HIDDEN`](Self::HIDDEN) the activations of each record, then, from a multiple of
    /// four on, for each of [`OUTPUT`](Self::OUTPUT) the logits.
    pub(crate) results: u32,
}

impl LayerJob {
    /// Ways in which a hidden layer is run: by which [`Kernel`](sealnet_core::mlp::Kernel), and whether of features.
    pub(crate) const HIDDEN: [(u32, bool); 3] = [(0, true), (1, true), (1, false)];
    /// Those of an output layer, of activations.
    pub(crate) const OUTPUT: [u32; 2] = [0, 1];
    /// Words of it in memory.
    pub(crate) const WORDS: usize = 10;

    /// In their order in memory.
    pub(crate) const fn words(&self) -> [u32; Self::WORDS] {
        let Self {
            widths: [inputs, outputs],
            per_tensor,
            arrays: [biases, multipliers, shifts, weights],
            records: [records, count],
            results,
        } = *self;
        [
            inputs,
            outputs,
            per_tensor,
            biases,
            multipliers,
            shifts,
            weights,
            records,
            count,
            results,
        ]
    }

    /// The job of these words.
    pub(crate) const fn of(words: [u32; Self::WORDS]) -> Self {
        let [
            inputs,
            outputs,
            per_tensor,
            biases,
            multipliers,
            shifts,
            weights,
            records,
            count,
            results,
        ] = words;
        Self {
            widths: [inputs, outputs],
            per_tensor,
            arrays: [biases, multipliers, shifts, weights],
            records: [records, count],
            results,
        }
    }

    /// Bytes of the activations, up to where logits begin.
    pub(crate) const fn hidden_len(&self) -> usize {
        let [_, outputs] = self.widths;
        let [_, records] = self.records;
        (Self::HIDDEN.len() * outputs as usize * records as usize).next_multiple_of(4)
    }

    /// Bytes of all results.
    pub(crate) const fn results_len(&self) -> usize {
        let [_, outputs] = self.widths;
        let [_, records] = self.records;
        self.hidden_len() + 4 * Self::OUTPUT.len() * outputs as usize * records as usize
    }
}
