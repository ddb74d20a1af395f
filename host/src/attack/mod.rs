//! Attacks on our own data and models, to show what notices them.

pub mod tamper;
