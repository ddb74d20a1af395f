//! The sealed model: one file that holds a network, who vouches for it, and what it must answer.
//!
//! # The chain of proofs
//!
//! ```text
//! &[u8] ─parse─▶ Sealed ─verify(&TrustedKey, min_counter)─▶ Verified
//!       ─open(&FernetKey, &mut buffer) | open_in_place()─▶ Opened ─load─▶ Deployed
//!       ─open_streamed(&FernetKey)─▶ OpenedStreamed ─load─▶ Deployed
//! ```
//!
//! Verifying and loading consume the value before them, opening looks at bytes that cannot change, and nothing else makes the value after it. Of all that is
//! made from an artefact only [`Deployed`] and [`DeployedAny`] can answer. An unknown version, scheme,
//! flag, type or policy is an error, never a default. Everything borrows: the weights are used where they lie.
//!
//! | mode | body | weights at an inference | what is checked when it is opened |
//! |---|---|---|---|
//! | clear | clear | read where they lie | digest |
//! | confidential | encrypted | read in the buffer that the body was decrypted into | MAC, digest |
//! | streamed | encrypted | decrypted in pieces of 128 bytes, wiped after each layer | MAC, digest |
//!
//! One parser reads all three and proves the same of them. A streamed body is read anew at each inference and its
//! MAC is not checked again: as a clear one, it must lie in memory that nobody else writes to. See [`Streamed`].
//!
//! # Version 1, byte by byte
//!
//! All numbers are little-endian. `u8`, `u16`, `u32`, `u64` are unsigned, `i8` and `i32` are two's
//! complement, `f32` is IEEE 754 binary32. A file is
//!
//! ```text
//! header[256] ‖ body[body_len] ‖ signature[64]
//! ```
//!
//! and has exactly this length. The signature is over `header ‖ body` in the domain
//! `sealnet/v1/model` (see [`sign`](crate::sign)): the scheme signs the bytes
//! `"sealnet/v1/model" ‖ 0x00 ‖ SHA-512(header ‖ body)`.
//!
//! ## Header
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 0 | u8\[8\] | magic | ASCII `SEALNETM` |
//! | 8 | u16 | version | 1 |
//! | 10 | u8 | scheme | 1 HMAC-SHA-512, 2 Ed25519 |
//! | 11 | u8 | body encoding | 1 clear, 2 Fernet token in binary form |
//! | 12 | u32 | flags | 0 |
//! | 16 | u8\[8\] | signing key id | see [`sign`](crate::sign) |
//! | 24 | u8\[8\] | model key id | id of the Fernet key; zeros if and only if the body is clear |
//! | 32 | u32 | security counter | compared with the verifier's minimum |
//! | 36 | u16 | input width | number of features, at least 1 |
//! | 38 | u16 | hidden width 1 | at least 1 |
//! | 40 | u16 | hidden width 2 | at least 1 |
//! | 42 | u16 | output width | number of classes, at least 1 |
//! | 44 | u8 | weight type | 1 int8, 2 int4 |
//! | 45 | u8 | granularity | 1 one requantisation factor a layer, 2 one an output |
//! | 46 | u8 | rounding | 1 half up, see [`quant`](crate::quant) |
//! | 47 | u8 | feature type | 1 u8 |
//! | 48 | u32 | header length | 256 |
//! | 52 | u32 | `body_len` | length of the body as stored |
//! | 56 | u32 | plaintext length | length of the body's plaintext, a multiple of 16 |
//! | 60 | u8 | provenance | 1 training receipt over sealed data, 2 training receipt over unsealed data, 3 unverified weights |
//! | 61 | u8\[3\] | reserved | zeros |
//! | 64 | u8\[64\] | model digest | SHA-512 of the body's plaintext |
//! | 128 | u8\[64\] | receipt digest | SHA-512 of the training receipt's file; zeros if and only if provenance is 3 |
//! | 192 | u64 | created | seconds since the Unix epoch |
//! | 200 | u8\[32\] | name | UTF-8 without control characters, padded with zeros |
//! | 232 | u8\[24\] | reserved | zeros |
//!
//! ## Body
//!
//! A clear body is its own plaintext, and `body_len` equals the plaintext length. An encrypted one
//! is a Fernet token before its base64url coding (see [`fernet`](crate::fernet)); with plaintext
//! length `n`, `body_len` is `57 + 16 * (n / 16 + 1)`, the division rounding down.
//!
//! The plaintext is a sequence of sections with strictly ascending types and nothing between,
//! before or after them:
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 0 | u16 | section type | see below |
//! | 2 | u16 | section version | 3 for the int8 layers, 1 for all others |
//! | 4 | u32 | payload length | without the padding |
//! | 8 | u8\[8\] | reserved | zeros |
//! | 16 | u8\[payload length\] | payload | |
//! | | u8\[0..16\] | padding | zeros, to the next multiple of 16 |
//!
//! | type | section | |
//! |---|---|---|
//! | 1 | int8 layers | required if and only if the weight type is 1 |
//! | 2 | int4 layers | required if and only if the weight type is 2 |
//! | 3 | golden logits | required |
//! | 4 | detector thresholds | reserved: refused |
//! | 5 | policy: what a reply may say, which kernel runs | required |
//! | 6 | feature scaling | optional |
//! | 7 | names | optional |
//!
//! ### 1 and 2: layers
//!
//! First
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 0 | f32 | logit scale | real value of one unit of a logit; positive and finite |
//! | 4 | u8\[12\] | reserved | zeros |
//!
//! then three layers of widths `inputs → outputs`: input width to hidden width 1, hidden width 1
//! to hidden width 2, hidden width 2 to output width. Each layer is four arrays, each followed by
//! zeros to the next multiple of 16; `n` is 1 or `outputs`, after the granularity:
//!
//! | array | type | value |
//! |---|---|---|
//! | biases | i32\[outputs\] | |
//! | multipliers | i32\[n\] | 0 to 2^31 - 1 |
//! | shifts | u8\[n\] | 1 to 62 |
//! | weights | int8: `16 * ceil(inputs / 16) * 4 * ceil(outputs / 4)` bytes | -127 to 127, packed |
//! | | int4: half as many bytes | -7 to 7, packed |
//!
//! A word of int8 weights is two halves of 16 bits, for an even input and for the next one, and each half is
//! `256 * w[odd output] + w[even output]`, signed. Outputs are taken in tiles of 64, the last of which may be
//! narrower; a tile has two inputs after two, filled up to a multiple of 16, and for each two of them its outputs, two after
//! two, filled up to a multiple of four. What fills up is zero. So a Cortex-M4 takes four products with three instructions, and a
//! body that is streamed is read once, from front to back.
//!
//! Each half of a word of int4 weights is `4096 * w[3] + 256 * (w[2] + 8) + 16 * (w[1] + 8) + (w[0] + 8)`, signed, of four
//! outputs. Outputs are taken four after four, filled up, and for each four the inputs, two after two, filled up to a multiple
//! of 16. What fills up are weights of 0.
//!
//! Every output satisfies `255 * 127 * inputs + |bias| <= 2^31 - 1`. Sections and arrays begin at
//! multiples of 16 from the plaintext's start, and the header's length is such a multiple: in a
//! clear file every array is 16-byte aligned from the file's start.
//!
//! What they compute, in integers of unlimited size, `>>` rounding down:
//!
//! ```text
//! acc[o]    = bias[o] + sum over i of weight[o][i] * x[i]
//! scaled[o] = (acc[o] * multiplier + 2^(shift - 1)) >> shift        of the layer, or of output o
//! layers 1 and 2:  next x[o] = min(max(scaled[o], 0), 255)
//! layer 3:         logit[o]  = min(max(scaled[o], -2^31), 2^31 - 1)
//! ```
//!
//! `x` is first the features, as bytes. The label is the index of the largest logit, the first of
//! equals. The real logit is `logit scale * logit`.
//!
//! ### 3: golden logits
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 0 | u64 | seed | |
//! | 8 | u16 | count | 1 to 16 |
//! | 10 | u16 | width | the header's output width |
//! | 12 | u8\[4\] | reserved | zeros |
//! | 16 | i32\[count\]\[width\] | logits | of input 0, then of input 1, … |
//!
//! The inputs are made from the seed, see [`expand`].
//!
//! ### 5: policy
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 0 | u8 | reply | 1 label, 2 label and probabilities, 3 label, probabilities and logits |
//! | 1 | u8 | kernel | which one a device runs: 0 dense, 1 skip; see [`Kernel`](crate::mlp::Kernel) |
//! | 2 | u8\[14\] | reserved | zeros |
//!
//! ### 6: feature scaling
//!
//! One pair for each feature, in order: how a real column was mapped to bytes. The device does not
//! use it.
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 8 i | f32 | offset | finite; `value = offset + scale * byte` |
//! | 8 i + 4 | f32 | scale | finite |
//!
//! ### 7: names
//!
//! What people call the columns and the classes, at least one of the two. The device does not use it.
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 0 | u16 | columns | 0 or the header's input width |
//! | 2 | u16 | classes | 0 or the header's output width |
//! | 4 | u8\[12\] | reserved | zeros |
//! | 16 | | names | of column 0, of column 1, …, then of class 0, of class 1, … |
//!
//! and each name, right after the one before,
//!
//! | offset | type | field | value |
//! |---|---|---|---|
//! | 0 | u8 | length | 1 to 255 |
//! | 1 | u8\[length\] | text | UTF-8 without control characters |

mod error;
mod golden;
mod header;
mod load;
mod names;
mod open;
mod parse;
mod plaintext;
mod seal;
pub mod section;
mod streamed;
mod text;
mod verify;

pub use error::{ArtefactError, SectionError};
pub use golden::{GOLDEN_MAX, expand, golden_logits};
pub use header::{
    BodyEncoding, FORMAT_VERSION, HEADER_LEN, Header, MAGIC, NAME_LEN, Name, Provenance,
};
pub use load::{Deployed, DeployedAny};
pub use names::{NAME_BYTES_MAX, NameList, Names, NamesSpec};
pub use open::{Opened, OpenedStreamed};
pub use parse::Sealed;
pub use seal::{
    Body, BodySpec, Claims, Encryption, SealError, body_len, seal, sealed_len, write_body,
};
pub use section::{ColumnScaling, FeatureScaling, ReplyPolicy};
pub use streamed::{Encrypted, InRam, Streamed};
pub use verify::{Hashed, Verified};
