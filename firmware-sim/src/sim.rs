//! A board in this process.

pub mod flash;
