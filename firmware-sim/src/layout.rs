//! The flash map. Everything starts on a page of 4 KiB, the unit of erasure.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | [`SLOT_LEN`] | slot A: the sealed model, from its first byte |
//! | [`SLOT_B`] | [`SLOT_LEN`] | slot B, the spare one: blank, and not read |
//! | [`IDENTITY`] | 4 KiB | the device's keys ([`identity`](crate::identity)), written once by provisioning |
//! | [`JOURNAL`] | 2 × 4 KiB | counters ([`journal`](crate::journal)) |
//!
//! A slot is 64 KiB unless the shape compiled in needs more; with 784-64-64-10 the whole map is 140 KiB.
//! The device maps the slots and the identity page into memory for reading and programs the journal
//! alone.

use sealnet_core::mlp::Shape;

use crate::shape::SHAPE;

/// The unit of erasure in bytes.
pub const PAGE_LEN: usize = 4096;
/// Bytes a model slot: 64 KiB, or more if the longest model of this shape needs it.
pub const SLOT_LEN: usize = {
    let needed = MODEL_LEN_MAX.next_multiple_of(PAGE_LEN);
    if needed > 65_536 { needed } else { 65_536 }
};
/// Offset of slot A.
pub const SLOT_A: usize = 0;
/// Offset of slot B.
pub const SLOT_B: usize = SLOT_A + SLOT_LEN;
/// Offset of the identity page.
pub const IDENTITY: usize = SLOT_B + SLOT_LEN;
/// Offset of the journal.
pub const JOURNAL: usize = IDENTITY + PAGE_LEN;
/// Bytes the journal takes: two pages.
pub const JOURNAL_LEN: usize = 2 * PAGE_LEN;
/// Bytes of the whole map.
pub const FLASH_LEN: usize = JOURNAL + JOURNAL_LEN;

/// RAM in bytes that a confidential model (a Fernet body) is decrypted into.
pub const MODEL_RAM_LEN: usize = body_len_max(SHAPE);

/// Bytes of the longest sealed model of this shape.
pub const MODEL_LEN_MAX: usize = HEADER + FERNET_OVERHEAD + body_len_max(SHAPE) + SIGNATURE;

/// Bytes of the longest body of a shape: a factor an output, all golden vectors, feature scaling, and
/// names as long as [`NAMES_MAX`]. The sizes are those of the [artefact's sections](sealnet_core::artefact).
const fn body_len_max(shape: Shape) -> usize {
    let [(in1, out1), (in2, out2), (in3, out3)] = shape.layers();
    let layers = layer_len(in1, out1) + layer_len(in2, out2) + layer_len(in3, out3);
    let golden = 16 + GOLDEN_VECTORS_MAX * 4 * out3;
    let policy = 16;
    let scaling = 8 * in1;
    section_len(16 + layers)
        + section_len(golden)
        + section_len(policy)
        + section_len(scaling)
        + section_len(NAMES_MAX)
}

/// Bias i32, multiplier i32, shift u8 for each output, weights i8; each padded to 16.
const fn layer_len(inputs: usize, outputs: usize) -> usize {
    let words = (4 * outputs).next_multiple_of(16);
    2 * words + outputs.next_multiple_of(16) + (inputs * outputs).next_multiple_of(16)
}

const fn section_len(payload: usize) -> usize {
    16 + payload.next_multiple_of(16)
}

const HEADER: usize = 256;
const SIGNATURE: usize = 64;
const GOLDEN_VECTORS_MAX: usize = 16;
/// Room for names, which a device carries but does not use: some 60 columns. A model with longer ones
/// fits where it leaves other room unused, and is refused as too long where it does not.
pub const NAMES_MAX: usize = 1024;
/// Version, timestamp, IV, padding of a whole block, MAC.
const FERNET_OVERHEAD: usize = 1 + 8 + 16 + 16 + 32;
