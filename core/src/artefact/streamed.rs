//! Running an encrypted body as it lies: each inference decrypts the weights in pieces, once, as it computes, so
//! that they never exist whole. CBC needs only the ciphertext block before a piece, so each array is read
//! from where it begins.

use core::convert::Infallible;

use super::plaintext::LayerAt;
use super::{ArtefactError, Deployed, Verified};
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
    /// [`Header::plaintext_len`](super::Header::plaintext_len) bytes for [`InRam`]; [`Streamed`] leaves it alone.
    ///
    /// # Errors
    ///
    /// Those of [`Verified::open`] or [`Verified::open_streamed`], then of the loading.
    fn load<'b, const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        verified: &Verified<'b>,
        key: &FernetKey,
        ram: &'b mut [u8],
    ) -> Result<Deployed<'b, IN, H1, H2, OUT, Self>, ArtefactError>;
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

    #[inline(never)]
    fn load<'b, const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        verified: &Verified<'b>,
        key: &FernetKey,
        ram: &'b mut [u8],
    ) -> Result<Deployed<'b, IN, H1, H2, OUT>, ArtefactError> {
        verified.open(key, ram)?.load()
    }
}

impl Encrypted for Streamed {
    type Network<'b> = StreamedNetwork<'b>;

    fn room(_: usize) -> usize {
        usize::MAX
    }

    #[inline(never)]
    fn load<'b, const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        verified: &Verified<'b>,
        key: &FernetKey,
        _: &'b mut [u8],
    ) -> Result<Deployed<'b, IN, H1, H2, OUT, Self>, ArtefactError> {
        verified.open_streamed(key)?.load()
    }
}

/// Nobody else decides what an encrypted body is good for.
pub trait Sealed {}
impl Sealed for InRam {}
impl Sealed for Streamed {}

/// What a network is decrypted from as it runs.
pub trait Run {
    /// The body.
    fn token(&self) -> &VerifiedToken<'_>;
}

/// In RAM there is none.
impl Run for Infallible {
    fn token(&self) -> &VerifiedToken<'_> {
        match *self {}
    }
}

/// A body that stays encrypted, with the cipher's key schedule, which is wiped when this is dropped.
pub struct StreamedNetwork<'b>(pub(super) VerifiedToken<'b>);

impl Run for StreamedNetwork<'_> {
    fn token(&self) -> &VerifiedToken<'_> {
        &self.0
    }
}

/// Writes `[OUT]` logits of `[IN]` features, by three proved layers that have these widths.
// Not a part of its callers, so that what an inference costs can be counted in the image.
#[inline(never)]
pub(super) fn logits<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
    token: &VerifiedToken<'_>,
    [first, second, third]: &[LayerAt; 3],
    features: &[u8; IN],
    logits: &mut [i32; OUT],
) {
    let (mut hidden1, mut hidden2) = ([0; H1], [0; H2]);
    hidden(token, first, features, &mut hidden1);
    hidden(token, second, &hidden1, &mut hidden2);
    third.stream(token).output(&hidden2, logits);
}

#[inline(never)] // for two layers
fn hidden(token: &VerifiedToken<'_>, layer: &LayerAt, input: &[u8], out: &mut [u8]) {
    layer.stream(token).hidden(input, out);
}
