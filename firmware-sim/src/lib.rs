//! Sealnet's device: boot, verify, self-test, serve.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
