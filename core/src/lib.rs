//! Sealnet's core: what runs on the device and what both sides must agree on.
//!
//! It knows no file, clock, random source or allocator: time, IVs and buffers come in as arguments. Only with the feature
//! `batch`, which a host turns on and no device, is there `std`: to pack a network again for the processor that there is.
//!
//! | module | holds |
//! |---|---|
//! | [`wire`] | bounded little-endian reader and writer |
//! | [`sign`] | HMAC-SHA-512 and Ed25519 signatures, domain-separated |
//! | [`fernet`] | Fernet keys, tokens, streaming decryption, key rotation |
//! | [`record`] | canonical records, tags H0 and H1, Merkle hashing |
//! | [`artefact`] | the sealed model and its chain of proofs |
//! | [`quant`] | fixed-point requantisation: one rounding rule |
//! | [`mlp`] | the integer network |
//! | [`softmax`] | probabilities for people to read |
//! | [`protocol`] | frames, requests, replies and receipts of the device |
#![no_std]
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

// For the host's kernels alone: memory, and what the processor has.
#[cfg(feature = "batch")]
extern crate std;

pub mod artefact;
pub mod fernet;
pub mod mlp;
pub mod protocol;
pub mod quant;
pub mod record;
pub mod sign;
pub mod softmax;
pub mod wire;
