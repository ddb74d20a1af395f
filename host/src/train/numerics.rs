//! The arithmetic that training is made of, by number.
//!
//! Same data, recipe, seed and widths give the same weights to the bit by the same numerics, on every machine.
//! Whatever changes one bit of any weights is another numerics: the order of a sum ([`train`](super)), an
//! operation, a draw ([`random`](crate::random)), a split ([`split`](mod@crate::dataset::split)), a function of the
//! libraries named here, or the form of a weight file ([`weights`](crate::weights)).

use serde::{Deserialize, Serialize};

/// Which arithmetic trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numerics {
    /// [`VERSION`] of the program that trained. It alone decides.
    pub version: u32,
    /// Whose `exp` and `ln` those were.
    pub libm: String,
    /// Whose ChaCha20 that was.
    pub rand_chacha: String,
}

impl Numerics {
    /// This program's.
    pub fn this() -> Numerics {
        Numerics {
            version: VERSION,
            libm: LIBM.into(),
            rand_chacha: RAND_CHACHA.into(),
        }
    }
}

/// Raised by one with whatever changes a bit of any weights.
pub const VERSION: u32 = 3;
/// The version of `libm` that this program is built with.
pub const LIBM: &str = "0.2.16";
/// The version of `rand_chacha` that this program is built with.
pub const RAND_CHACHA: &str = "0.10.0";

#[cfg(test)]
mod tests {
    use super::*;

    /// When this fails, a library has another version: see whether a bit changed (`tests/tests/train.rs` pins
    /// some), and raise [`VERSION`] if so.
    #[test]
    fn the_libraries_are_those_that_receipts_name() {
        let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
        let lock = std::fs::read_to_string(lock).unwrap();
        for (library, version) in [("libm", LIBM), ("rand_chacha", RAND_CHACHA)] {
            let entry = format!("name = \"{library}\"\nversion = \"{version}\"\n");
            assert!(lock.contains(&entry), "{library} is not {version}");
            assert_eq!(lock.matches(&format!("name = \"{library}\"\n")).count(), 1);
        }
    }
}
