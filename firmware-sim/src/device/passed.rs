//! What a boot has passed, against faults: a voltage or clock glitch, or a pulse, can make a core skip an
//! instruction or two.
//!
//! # What is done about them
//!
//! - Every check whose outcome decides is made twice, far apart, from what is read from flash twice: the
//!   publisher's key, the journal's counters, the file. The file's hash alone is made once; a wrong one can
//!   only refuse.
//! - A success is not the absence of a failure: each of the two passes adds its own number to a sum, and only
//!   the whole sum lets a model be served. A core that was thrown past a check, into the code behind it,
//!   has not added them.
//! - The sum is looked at again, twice, at each request.
//!
//! That this holds is not argued but tried, at every instruction that a boot executes: see `campaign::skip`.

use core::hint::black_box;

/// The sum, before it is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed(u32);

impl Passed {
    /// Nothing is passed.
    pub(super) fn nothing() -> Self {
        Self(black_box(NOTHING))
    }

    /// The chain of proofs has come to its end.
    pub(super) fn proofs(&mut self) {
        self.0 = black_box(self.0).wrapping_add(PROOFS);
    }

    /// Every check has been made again.
    pub(super) fn checks(&mut self) {
        self.0 = black_box(self.0).wrapping_add(CHECKS);
    }

    /// Whether everything is passed.
    #[inline]
    pub(super) fn everything(&self) -> bool {
        let sum = black_box(self.0);
        if sum != EVERYTHING {
            return false;
        }
        // Not the same comparison again, which the compiler would leave out.
        black_box(!self.0) == !EVERYTHING
    }
}

// Numbers that no single bit, no zeroed and no stale register makes of each other.
const NOTHING: u32 = 0x5A3C_96E1;
const PROOFS: u32 = 0x1E87_4B2D;
const CHECKS: u32 = 0x6D52_B83B;
const EVERYTHING: u32 = NOTHING.wrapping_add(PROOFS).wrapping_add(CHECKS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_both_passes_are_everything() {
        let mut passed = Passed::nothing();
        assert!(!passed.everything());
        passed.proofs();
        assert!(!passed.everything());
        passed.checks();
        assert!(passed.everything());
        passed.checks();
        assert!(!passed.everything());
        let mut passed = Passed::nothing();
        passed.checks();
        assert!(!passed.everything());
    }
}
