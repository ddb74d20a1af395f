//! Models on the command line: trained, vouched for, exported and run, and refused at every step.

mod export;
mod infer;
mod receipt;
mod training;
mod workspace;
