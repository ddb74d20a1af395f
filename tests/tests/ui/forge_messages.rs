//! What came over the wire is made by opening and verifying it, by nothing else.
use sealnet_core::protocol::{AuthenticReply, AuthenticRequest};

fn request<'t>(another: AuthenticRequest<'t>) -> AuthenticRequest<'t> {
    AuthenticRequest { ..another } //~ E0451
}

fn reply<'t>(receipt: &'t [u8; 320], another: AuthenticReply<'t>) -> AuthenticReply<'t> {
    AuthenticReply { receipt, logits: None, ..another } //~ E0451
}

fn main() {}
