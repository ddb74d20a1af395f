//! Verifying and loading consume the value before them. Opening does not: the bytes under a `Verified` cannot change.
use sealnet_core::artefact::{Opened, OpenedStreamed, Sealed};
use sealnet_core::sign::TrustedKey;

fn verify(sealed: Sealed<'_>, first: &TrustedKey, second: &TrustedKey) {
    let _ = sealed.verify(first, 0);
    let _ = sealed.verify(second, 0); //~ E0382
}

fn load(opened: Opened<'_>) {
    let _ = opened.load::<4, 3, 2, 1>();
    let _ = opened.load::<4, 3, 2, 2>(); //~ E0382
}

fn load_streamed(opened: OpenedStreamed<'_>) {
    let _ = opened.load::<4, 3, 2, 1>();
    let _ = opened.load::<4, 3, 2, 2>(); //~ E0382
}

fn main() {}
