//! Sealnet's host library: data, vault, training, quantisation, export. It knows no terminal.
#![forbid(unsafe_code)]

pub mod attack;
pub mod bench;
pub mod cores;
pub mod dataset;
pub mod demo;
pub mod dsse;
pub mod error;
pub mod export;
pub mod files;
pub mod infer;
pub mod keys;
pub mod model;
pub mod onnx;
pub mod plots;
pub mod progress;
pub mod quantise;
pub mod random;
pub mod receipt;
pub mod reproduce;
pub mod state;
pub mod store;
pub mod train;
pub mod vault;
pub mod weights;
