//! Measuring beside peers, in one run.

pub mod host;
mod onnxruntime;

pub use onnxruntime::{Fastest, Said};
