//! A receipt that was not verified does not pass for one that was, and no message opens without a key.
use sealnet_core::fernet::FernetKey;
use sealnet_core::protocol::{AuthenticRequest, UnverifiedReceipt, VerifiedReceipt};

fn unverified_as_verified(receipt: UnverifiedReceipt<'_>) -> VerifiedReceipt {
    receipt //~ E0308
}

fn untrusted_as_verified(receipt: UnverifiedReceipt<'_>) -> VerifiedReceipt {
    receipt.untrusted().unwrap() //~ E0308
}

fn keyless(token: &mut [u8]) {
    let key: Option<FernetKey> = None;
    let _ = AuthenticRequest::open(key.as_ref(), token); //~ E0308
}

fn main() {}
