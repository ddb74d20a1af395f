//! Verified is not opened, opened is not loaded, and no conversion leads past a step.
use sealnet_core::artefact::{DeployedAny, Opened, OpenedStreamed, Sealed, Verified};
use sealnet_core::fernet::{FernetKey, VerifiedToken};
use sealnet_core::mlp::Network;

fn load(verified: Verified<'_>) {
    verified.load::<4, 3, 2, 1>(); //~ E0599
}

fn load_any(verified: Verified<'_>, scratch: &mut [u8], logits: &mut [i32]) {
    verified.load_any(scratch, logits); //~ E0599
}

fn infer(opened: Opened<'_>, scratch: &mut [u8], logits: &mut [i32]) {
    opened.infer(&[0; 4], scratch, logits); //~ E0599
}

fn stream(sealed: Sealed<'_>, key: &FernetKey) {
    let _ = sealed.open_streamed(key); //~ E0599
}

fn run(opened: OpenedStreamed<'_>) {
    let _ = opened.logits(&[0; 4]); //~ E0599
}

fn any_token(token: VerifiedToken<'_>) -> OpenedStreamed<'_> {
    token.into() //~ E0277
}

fn believe(sealed: Sealed<'_>) -> Verified<'_> {
    sealed.into() //~ E0277
}

fn trust(verified: Verified<'_>) -> Opened<'_> {
    verified.into() //~ E0277
}

fn deploy(network: Network<'_>) -> DeployedAny<'_> {
    network.into() //~ E0277
}

fn main() {}
