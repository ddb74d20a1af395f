//! What becomes of an encrypted body is decided in the core: nobody brings a network of their own. And a
//! streamed model does not keep what only people read.
use std::convert::Infallible;

use sealnet_core::artefact::{
    ArtefactError, Deployed, Encrypted, Names, Streamed, Verified,
};
use sealnet_core::fernet::FernetKey;

enum Mine {}

impl Encrypted for Mine { //~ E0277
    type Network<'b> = Infallible;

    fn room(ram: usize) -> usize {
        ram
    }

    fn load<'b, const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        _: &Verified<'b>,
        _: &FernetKey,
        _: &'b mut [u8],
    ) -> Result<Deployed<'b, IN, H1, H2, OUT, Self>, ArtefactError> {
        loop {}
    }
}

fn names<'b>(deployed: &'b Deployed<'b, 4, 3, 2, 1, Streamed>) -> Option<Names<'b>> {
    deployed.names() //~ E0599
}

fn main() {}
