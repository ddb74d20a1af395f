//! quantise
