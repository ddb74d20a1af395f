//! A `Sealed` can be verified and shown, and nothing else.
use sealnet_core::artefact::Sealed;
use sealnet_core::fernet::FernetKey;

fn header(sealed: Sealed<'_>) {
    sealed.header(); //~ E0599
}

fn open(sealed: Sealed<'_>, key: &FernetKey, buffer: &mut [u8]) {
    sealed.open(key, buffer); //~ E0599
}

fn open_in_place(sealed: Sealed<'_>) {
    sealed.open_in_place(); //~ E0599
}

fn load(sealed: Sealed<'_>) {
    sealed.load::<4, 3, 2, 1>(); //~ E0599
}

fn logits(sealed: Sealed<'_>) {
    sealed.logits(&[0; 4]); //~ E0599
}

fn infer(sealed: Sealed<'_>, scratch: &mut [u8], logits: &mut [i32]) {
    sealed.infer(&[0; 4], scratch, logits); //~ E0599
}

fn main() {}
