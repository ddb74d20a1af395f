//! Sealnet's device: it verifies a sealed model, tests itself, answers sealed requests and signs what
//! it answered. The `no_std` half allocates nothing, recurses nowhere and contains no panic; it is
//! generic over [`env::Env`], so the same code runs in the simulator and on a microcontroller.
//!
//! | module | holds |
//! |---|---|
//! | [`mod@env`] | what a board lends the device: flash, port, log |
//! | [`device`] | boot, serve and update |
//! | [`shape`] | the network this build runs, 784-64-64-10 unless `SEALNET_SHAPE` says otherwise |
//! | [`layout`] | the flash map |
//! | [`identity`] | the device's keys as they lie in flash |
//! | [`journal`] | counters that survive resets and power cuts, and which slot is active |
//!
//! With feature `std` (default) also:
//!
//! | module | holds |
//! |---|---|
//! | [`sim`] | a board in this process: flash under NOR rules, faults at any operation |
//! | [`campaign`] | the same fault at every place where it can strike, with counts |
//! | [`client`] | the other end of the wire: seals requests, opens replies, checks receipts |
//! | [`keyfile`] | key files: who may reach them, and what they look like |
//! | [`provision`] | key files, and the flash image made from them |
//! | [`sample`] | a device and models to measure and attack with |
//! | `bench` | what a Cortex-M executes for an image, by each kernel (Unix) |
//! | `budget` | what the device costs, measured on that board (Unix) |
//! | `constant_time` | whether what it executes depends on its secrets (Unix) |
//! | `interrupt` | being told to stop, for programs (Unix) |
//! | `usage` | arguments that a program does not take |
//! | `visible` | text from elsewhere, made safe to print |
//! | `qemu` | a Cortex-M board in QEMU: builds the image, boots it, talks to it (Unix) |
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
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

#[cfg(all(feature = "std", unix))]
pub mod bench;
#[cfg(all(feature = "std", unix))]
pub mod budget;
#[cfg(feature = "std")]
pub mod campaign;
#[cfg(feature = "std")]
pub mod client;
#[cfg(all(feature = "std", unix))]
pub mod constant_time;
mod crc;
pub mod device;
pub mod env;
pub mod identity;
#[cfg(all(feature = "std", unix))]
pub mod interrupt;
pub mod journal;
#[cfg(feature = "std")]
pub mod keyfile;
pub mod layout;
#[cfg(feature = "std")]
pub mod provision;
#[cfg(all(feature = "std", unix))]
pub mod qemu;
#[cfg(feature = "std")]
pub mod sample;
pub mod shape;
#[cfg(feature = "std")]
pub mod sim;
#[cfg(feature = "std")]
pub mod usage;
#[cfg(feature = "std")]
pub mod visible;
