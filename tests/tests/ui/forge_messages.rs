//! What came over the wire is made by opening and verifying it, by nothing else.
use sealnet_core::protocol::{AuthenticReply, AuthenticRequest};

fn request(features: &[u8]) -> AuthenticRequest<'_> {
    AuthenticRequest { counter: 1, nonce: [0; 16], features, time: 0, digest: [0; 64] } //~ E0451
}

fn reply<'t>(receipt: &'t [u8; 320], another: AuthenticReply<'t>) -> AuthenticReply<'t> {
    AuthenticReply { receipt, logits: None, ..another } //~ E0451
}

fn main() {}
