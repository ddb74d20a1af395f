//! A step that was refused cannot be tried again from a copy, and nothing appears from a default.
use sealnet_core::artefact::{Deployed, Opened, OpenedStreamed, Sealed, Streamed, Verified};

fn cloned<T: Clone>() {}
fn defaulted<T: Default>() {}

fn main() {
    cloned::<Sealed<'static>>(); //~ E0277
    cloned::<Verified<'static>>(); //~ E0277
    cloned::<Opened<'static>>(); //~ E0277
    cloned::<Deployed<'static, 4, 3, 2, 1>>(); //~ E0277
    cloned::<OpenedStreamed<'static>>(); //~ E0277
    cloned::<Deployed<'static, 4, 3, 2, 1, Streamed>>(); //~ E0277
    defaulted::<Verified<'static>>(); //~ E0277
    defaulted::<Opened<'static>>(); //~ E0277
    defaulted::<OpenedStreamed<'static>>(); //~ E0277
    defaulted::<Deployed<'static, 4, 3, 2, 1>>(); //~ E0277
}
