//! What a boot has passed, against faults: a voltage or clock glitch, or a pulse, can make a core skip an
//! instruction or two.
//!
//! # What is done about them
//!
//! - Every check whose outcome decides is made twice, far apart, from what is read from flash twice: the
//!   publisher's key, the journal's counters, the file. The file's hash alone is made once; a wrong one can
//!   only refuse.
//! - A success is not the absence of a failure: each of the two passes gives a number that is made of what it
//!   compared, and only the sum of the right ones lets a model be served. A core that was thrown past a
//!   check, into the code behind it, has another.
//! - The sum is looked at before the journal takes the model's counter or slot, when the model is taken, and at each
//!   request.
//!
//! That this holds is not argued but to be tried: `campaign::skip` takes every address that a Cortex-M4 executes for a
//! forgery at a cold boot, at an update's trial or on the wire. The tests take a sample of them.

use core::hint::black_box;

use sealnet_core::sign::Matched;

/// The sum, before it is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed(u32);

impl Passed {
    /// Nothing is passed.
    pub(super) fn nothing() -> Self {
        Self(black_box(NOTHING))
    }

    /// The chain of proofs has come to its end; what its checks came to.
    pub(super) fn proofs(&mut self, matched: Matched) {
        self.0 = black_box(self.0).wrapping_add(matched.number());
    }

    /// Every check has been made again; what they came to.
    pub(super) fn checks(&mut self, matched: Matched) {
        self.0 = black_box(self.0).wrapping_add(matched.number().rotate_left(AGAIN));
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

/// What no zeroed and no stale register holds.
const NOTHING: u32 = 0x5A3C_96E1;
/// The second pass counts otherwise than the first, so that none stands for the other.
const AGAIN: u32 = 7;
const EVERYTHING: u32 = NOTHING
    .wrapping_add(Matched::NUMBER)
    .wrapping_add(Matched::NUMBER.rotate_left(AGAIN));

#[cfg(test)]
mod tests {
    use sealnet_core::sign::{Domain, HmacKey, Message, SigningKey};

    use super::*;

    #[test]
    fn only_both_passes_are_everything() {
        let signing = SigningKey::Hmac(HmacKey::from_bytes([7; 64]));
        let key = signing.trusted();
        let signature = signing.sign(Domain::Model, &[b"a"]);
        let message = Message::new(Domain::Model, &[b"a"]);
        let matched = key.verify_message(&message, &signature).unwrap();
        let mut passed = Passed::nothing();
        assert!(!passed.everything());
        passed.proofs(matched);
        assert!(!passed.everything());
        passed.checks(matched);
        assert!(passed.everything());
        passed.checks(matched);
        assert!(!passed.everything());
        for twice in [Passed::proofs, Passed::checks] {
            let mut passed = Passed::nothing();
            twice(&mut passed, matched);
            assert!(!passed.everything());
            twice(&mut passed, matched);
            assert!(!passed.everything());
        }
    }
}
