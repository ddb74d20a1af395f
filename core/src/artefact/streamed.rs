//! Running an encrypted body as it lies: each inference decrypts the weights in pieces, once, as it computes, so
//! that they never exist whole. CBC needs only the ciphertext block before a piece, so each array is read
//! from where it begins.

use core::convert::Infallible;

use super::plaintext::LayerAt;
use super::{ArtefactError, Deployed, Header, Verified};
use crate::fernet::{FernetKey, VerifiedToken};

/// What a device does with an encrypted body: [`InRam`] or [`Streamed`]. Clear ones it uses as they lie.
///
/// It is a type, not a value, so that an image holds the code of the one that it needs.
pub trait Encrypted: Sealed + Sized {
    /// A network whose weights stay encrypted, where there can be one.
    #[doc(hidden)]
    type Network<'b>: Run;

    /// The longest body in bytes that fits where there are `ram` bytes to decrypt it into.
    fn room(ram: usize) -> usize;

    /// Opens and loads an encrypted body. `ram` is what it may be decrypted into,
    /// [`Header::plaintext_len`] bytes for [`InRam`]; [`Streamed`] leaves it alone. For `accept` see
    /// [`Opened::load_if`](super::Opened::load_if).
    ///
    /// # Errors
    ///
    /// Those of [`Verified::open`] or [`Verified::open_streamed`], then of the loading, and `accept`'s own.
    fn load_if<'b, const IN: usize, const H1: usize, const H2: usize, const OUT: usize, E>(
        verified: Verified<'b>,
        key: &FernetKey,
        ram: &'b mut [u8],
        accept: impl FnOnce(&Header) -> Result<(), E>,
    ) -> Result<Deployed<'b, IN, H1, H2, OUT, Self>, E>
    where
        E: From<ArtefactError>;
}

/// An encrypted body is decrypted into RAM.
#[derive(Debug, Clone, Copy)]
pub enum InRam {}

/// An encrypted body stays as it lies and is decrypted in pieces as it is used.
///
/// Its MAC and digest are checked once, when it is opened; each inference reads the ciphertext again and trusts
/// it. So it must lie in memory that nobody else writes to, such as internal flash that this code alone
/// programs. External flash is none: there the MAC would have to be checked at each inference.
#[derive(Debug, Clone, Copy)]
pub enum Streamed {}

impl Encrypted for InRam {
    type Network<'b> = Infallible;

    fn room(ram: usize) -> usize {
        ram
    }

    fn load_if<'b, const IN: usize, const H1: usize, const H2: usize, const OUT: usize, E>(
        verified: Verified<'b>,
        key: &FernetKey,
        ram: &'b mut [u8],
        accept: impl FnOnce(&Header) -> Result<(), E>,
    ) -> Result<Deployed<'b, IN, H1, H2, OUT>, E>
    where
        E: From<ArtefactError>,
    {
        verified.open(key, ram)?.load_if(accept)
    }
}

impl Encrypted for Streamed {
    type Network<'b> = StreamedNetwork<'b>;

    fn room(_: usize) -> usize {
        usize::MAX
    }

    fn load_if<'b, const IN: usize, const H1: usize, const H2: usize, const OUT: usize, E>(
        verified: Verified<'b>,
        key: &FernetKey,
        _: &'b mut [u8],
        accept: impl FnOnce(&Header) -> Result<(), E>,
    ) -> Result<Deployed<'b, IN, H1, H2, OUT, Self>, E>
    where
        E: From<ArtefactError>,
    {
        verified.open_streamed(key)?.load_if(accept)
    }
}

/// Nobody else decides what an encrypted body is good for.
pub trait Sealed {}
impl Sealed for InRam {}
impl Sealed for Streamed {}

/// A network that runs.
pub trait Run {
    /// `[OUT]` logits of `[IN]` features. The network has this shape.
    fn logits<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        &self,
        features: &[u8; IN],
    ) -> [i32; OUT];
}

/// In RAM there is none.
impl Run for Infallible {
    fn logits<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        &self,
        _: &[u8; IN],
    ) -> [i32; OUT] {
        match *self {}
    }
}

/// A network in a body that stays encrypted; its layers are proved.
pub struct StreamedNetwork<'b> {
    /// With the cipher's key schedule, wiped when dropped.
    pub(super) token: VerifiedToken<'b>,
    pub(super) layers: [LayerAt; 3],
}

impl Run for StreamedNetwork<'_> {
    // Not a part of its caller, so that what an inference costs can be counted in the image.
    #[inline(never)]
    fn logits<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        &self,
        features: &[u8; IN],
    ) -> [i32; OUT] {
        let [first, second, third] = &self.layers;
        let (mut hidden1, mut hidden2, mut logits) = ([0; H1], [0; H2], [0; OUT]);
        self.hidden(first, features, &mut hidden1);
        self.hidden(second, &hidden1, &mut hidden2);
        third.stream(&self.token).output(&hidden2, &mut logits);
        logits
    }
}

impl StreamedNetwork<'_> {
    #[inline(never)] // for two layers
    fn hidden(&self, layer: &LayerAt, input: &[u8], out: &mut [u8]) {
        layer.stream(&self.token).hidden(input, out);
    }
}
