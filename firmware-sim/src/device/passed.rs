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
//! - So is the digest in the header of the model that lies where it is served from: it is the one that the second pass has
//!   read from flash, or there is no model. Where its weights lie is not compared: a model whose place was moved wrongly
//!   gives wrong answers.
//!
//! That this holds is not argued but to be tried: `campaign::skip` takes every address that a Cortex-M4 executes for a
//! forgery at a cold boot, at an update's trial or on the wire. The tests take a sample of them.

use core::hint::black_box;

use sealnet_core::sign::{Digest512, Matched};

/// The sum, before it is looked at, and what was passed.
#[derive(Debug)]
pub(super) struct Passed {
    sum: u32,
    /// SHA-512 of the plaintext body of the model, as it was read for the second pass.
    model: Digest512,
}

impl Passed {
    /// Nothing is passed.
    pub(super) fn nothing() -> Self {
        Self {
            sum: black_box(NOTHING),
            model: [0; 64],
        }
    }

    /// The chain of proofs has come to its end; what its checks came to.
    pub(super) fn proofs(&mut self, matched: Matched) {
        self.sum = black_box(self.sum).wrapping_add(matched.number());
    }

    /// Every check has been made again; what they came to, and the model's digest.
    pub(super) fn checks(&mut self, matched: Matched, model: &Digest512) {
        self.sum = black_box(self.sum).wrapping_add(matched.number().rotate_left(AGAIN));
        self.model = *model;
    }

    /// Whether everything is passed, and by the model of this digest.
    pub(super) fn by(&self, model: &Digest512) -> bool {
        let sum = black_box(self.sum);
        if sum != EVERYTHING || self.model != *model {
            return false;
        }
        // Not the same comparison again, which the compiler would leave out.
        black_box(!self.sum) == !EVERYTHING
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
        let [model, other] = [[1; 64], [2; 64]];
        let mut passed = Passed::nothing();
        assert!(!passed.by(&model));
        passed.proofs(matched);
        assert!(!passed.by(&model));
        passed.checks(matched, &model);
        assert!(passed.by(&model));
        assert!(!passed.by(&other));
        passed.checks(matched, &model);
        assert!(!passed.by(&model));
        let twice: [fn(&mut Passed, Matched, &Digest512); 2] =
            [|passed, matched, _| passed.proofs(matched), Passed::checks];
        for twice in twice {
            let mut passed = Passed::nothing();
            for _ in 0..2 {
                twice(&mut passed, matched, &model);
                assert!(!passed.by(&model));
            }
        }
    }
}
