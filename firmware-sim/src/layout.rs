//! The flash map. Everything starts on a page of 4 KiB, the unit of erasure.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | [`SLOT_LEN`] | slot A: a sealed model, from its first byte; the one that provisioning puts there |
//! | [`SLOT_B`] | [`SLOT_LEN`] | slot B: blank at first |
//! | [`IDENTITY`] | 4 KiB | the device's keys ([`identity`](crate::identity)), written once by provisioning |
//! | [`JOURNAL`] | 2 × 4 KiB | counters, and which slot is active ([`journal`](crate::journal)) |
//!
//! A slot is 64 KiB unless the shape compiled in needs more; with 784-64-64-10 the whole map is 140 KiB.
//! The device maps the slots and the identity page into memory for reading. It programs the journal, and the slot
//! that is not the active one when a new model arrives.

use sealnet_core::artefact::{GOLDEN_MAX, body_len, sealed_len};
use sealnet_core::mlp::{Granularity, Shape, WeightType};

use crate::shape::SHAPE;

/// The unit of erasure in bytes.
pub const PAGE_LEN: usize = 4096;
/// Bytes a model slot: 64 KiB, or more if the longest model of this shape needs it.
pub const SLOT_LEN: usize = slot_len(SHAPE);
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
pub const MODEL_RAM_LEN: usize = model_ram_len(SHAPE, WeightType::WIDEST.bits());

/// Room for names, which a device carries but does not use: some 60 columns. A model with longer ones
/// fits where it leaves other room unused, and is refused as too long where it does not.
pub const NAMES_MAX: usize = 1024;

/// What to do about a model of the right shape that is too long: what it carries beside the network must shrink.
pub const ROOM_HINT: &str = "shorten the names of columns and classes in the data, or leave them out, and make the model anew";

/// Bytes of a model slot in a device built for this shape: the same whatever weights it runs.
pub const fn slot_len(shape: Shape) -> usize {
    let needed = sealed_len(model_ram_len(shape, 8), true).next_multiple_of(PAGE_LEN);
    if needed > 65_536 { needed } else { 65_536 }
}

/// Bytes of RAM for a confidential model in a device built for this shape and weights of so many bits: a factor an output, all golden
/// vectors, feature scaling, and names as long as [`NAMES_MAX`].
pub const fn model_ram_len(shape: Shape, weight_bits: u32) -> usize {
    let granularity = Granularity::PerOutput;
    body_len(shape, weight_bits, granularity, GOLDEN_MAX, true, NAMES_MAX)
}
