//! Only the chain makes its proofs: each has private fields. A verified network of one's own, or a
//! proof over other bytes, does not help.
use sealnet_core::artefact::{
    Deployed, DeployedAny, Header, Opened, OpenedStreamed, Sealed, Streamed, Verified,
};
use sealnet_core::fernet::VerifiedToken;
use sealnet_core::mlp::Network;
use sealnet_core::sign::Authentic;

fn sealed<'a>(header: Header, signed: &'a [u8], signature: &'a [u8; 64]) -> Sealed<'a> {
    Sealed { header, signed, signature } //~ E0451
}

fn authentic(bytes: &[u8]) -> Authentic<'_> {
    Authentic { bytes } //~ E0451
}

fn verified<'a>(header: Header, signed: &'a [u8], another: Verified<'a>) -> Verified<'a> {
    Verified { header, signed, ..another } //~ E0451
}

fn opened<'b>(header: Header, another: Opened<'b>) -> Opened<'b> {
    Opened { header, ..another } //~ E0451
}

fn streamed<'a>(header: Header, token: VerifiedToken<'a>) -> OpenedStreamed<'a> {
    OpenedStreamed { header, token } //~ E0451
}

type Four<'w> = Deployed<'w, 4, 3, 2, 1>;

fn deployed<'w>(header: Header, another: Four<'w>) -> Four<'w> {
    Deployed { header, ..another } //~ E0451
}

type FourStreamed<'w> = Deployed<'w, 4, 3, 2, 1, Streamed>;

fn deployed_streamed<'w>(header: Header, another: FourStreamed<'w>) -> FourStreamed<'w> {
    Deployed { header, ..another } //~ E0451
}

fn any<'w>(header: Header, network: Network<'w>, another: DeployedAny<'w>) -> DeployedAny<'w> {
    DeployedAny { header, network, ..another } //~ E0451
}

fn main() {}
