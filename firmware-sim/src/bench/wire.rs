//! What the bench and its image tell each other. The image has this file too.
//!
//! Bytes on the wire: [`LOAD`] first, then [`RUN`] as often as is wanted, each answered with [`DONE`] or [`FAILED`] and a zero.
//! What to do lies at the beginning of the board's memory: a [`Job`]'s words, little-endian; offsets are in that memory.

/// Loads what the job says.
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
