//! What separates the kinds of documents, and the message that a scheme signs.

use super::sha512;

/// Defines [`Domain`] from one list, so that no kind can be missing from another.
macro_rules! domains {
    ($($(#[$doc:meta])* $kind:ident = $label:literal,)*) => {
        /// What kind of document a signature is for. A signature for one never verifies for another.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub enum Domain {
            $($(#[$doc])* $kind,)*
        }

        impl Domain {
            /// Every kind of document.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The label that is signed before the digest. No label is a prefix of another with its `0x00`.
            #[must_use]
            pub const fn label(self) -> &'static [u8] {
                match self {
                    $(Self::$kind => $label,)*
                }
            }
        }
    };
}

domains! {
    /// A vault's manifest.
    Manifest = b"sealnet/v1/manifest",
    /// A sealed model.
    Model = b"sealnet/v1/model",
    /// A training receipt.
    TrainingReceipt = b"sealnet/v1/training-receipt",
    /// A training's checkpoint.
    Checkpoint = b"sealnet/v1/checkpoint",
    /// Results of an evaluation. Reserved: nothing signs or reads them yet.
    TestResults = b"sealnet/v1/test-results",
    /// A device's receipt for one answer.
    DeviceReceipt = b"sealnet/v1/device-receipt",
}

/// The bytes that a scheme signs: label ‖ 0x00 ‖ SHA-512(document).
#[derive(Clone, Copy, Debug)]
pub struct Message {
    buffer: [u8; MESSAGE_MAX],
    len: usize,
}

impl Message {
    /// Of the document of kind `domain` that is the concatenation of `parts`.
    #[must_use]
    pub fn new(domain: Domain, parts: &[&[u8]]) -> Self {
        let label = domain.label();
        let digest = sha512(parts);
        let mut buffer = [0; MESSAGE_MAX];
        let bytes = label.iter().chain(&[0]).chain(&digest);
        for (to, from) in buffer.iter_mut().zip(bytes) {
            *to = *from;
        }
        let len = label.len() + 1 + digest.len();
        Self { buffer, len }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // `len` fits (see the assertion below), so the alternative is never taken.
        self.buffer.get(..self.len).unwrap_or(&self.buffer)
    }
}

/// The longest label, its zero byte, and the digest.
const MESSAGE_MAX: usize = 27 + 1 + 64;
const _: () = {
    let mut rest = Domain::ALL;
    while let [domain, others @ ..] = rest {
        assert!(domain.label().len() + 1 + 64 <= MESSAGE_MAX);
        rest = others;
    }
};

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn the_message_is_as_documented() {
        for &domain in Domain::ALL {
            let message = Message::new(domain, &[b"x"]);
            let mut expected = Vec::from(domain.label());
            expected.push(0);
            expected.extend(sha512(&[b"x"]));
            assert_eq!(message.bytes(), expected);
        }
    }
}
