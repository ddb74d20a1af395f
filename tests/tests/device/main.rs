//! The device, from its flash to its answers: what boots and what does not, what is answered and what is
//! refused, across resets, power cuts and hostile frames.

mod boot;
mod budget;
mod constant_time;
#[path = "../model_fixture/mod.rs"]
mod model_fixture;
mod qemu;
mod resets;
mod runner;
mod streamed;
mod support;
mod update;
mod wire;
