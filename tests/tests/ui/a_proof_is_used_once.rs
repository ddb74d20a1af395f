//! Each step consumes the value before it.
use sealnet_core::artefact::{Opened, OpenedStreamed, Sealed, Verified};
use sealnet_core::fernet::FernetKey;
use sealnet_core::sign::TrustedKey;

fn verify(sealed: Sealed<'_>, first: &TrustedKey, second: &TrustedKey) {
    let _ = sealed.verify(first, 0);
    let _ = sealed.verify(second, 0); //~ E0382
}

fn open(verified: Verified<'_>, key: &FernetKey, buffer: &mut [u8]) {
    let _ = verified.open(key, buffer);
    let _ = verified.open_in_place(); //~ E0382
}

fn load(opened: Opened<'_>) {
    let _ = opened.load::<4, 3, 2, 1>();
    let _ = opened.load::<4, 3, 2, 2>(); //~ E0382
}

fn open_streamed(verified: Verified<'_>, key: &FernetKey) {
    let _ = verified.open_streamed(key);
    let _ = verified.open_streamed(key); //~ E0382
}

fn load_streamed(opened: OpenedStreamed<'_>) {
    let _ = opened.load::<4, 3, 2, 1>();
    let _ = opened.load::<4, 3, 2, 2>(); //~ E0382
}

fn main() {}
