//! Models on the command line: trained, vouched for, exported and run, and refused at every step.

mod counters;
mod device_receipts;
#[cfg(target_os = "linux")]
mod emulated;
mod export;
mod infer;
mod interrupted;
mod places;
mod receipt;
mod reproduce;
mod tables;
mod training;
mod watching;
mod workspace;
