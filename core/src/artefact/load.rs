//! `Opened → Deployed`: a network that is proved to run and to give the golden logits.

use core::fmt;

use super::section::{Contents, FeatureScaling, ReplyPolicy, Terms};
use super::{ArtefactError, Header, Names, Opened};
use crate::mlp::{Mlp, Network, Shape, ShapeError};
use crate::sign::Digest512;

/// A model that may answer, of a shape known at compile time. Only [`Opened::load`] makes one.
///
/// Its weights stay where they lie: in flash, or in the buffer that the body was decrypted into.
pub struct Deployed<'b, const IN: usize, const H1: usize, const H2: usize, const OUT: usize> {
    header: Header,
    mlp: Mlp<'b, IN, H1, H2, OUT>,
    terms: Terms<'b>,
}

/// A model that may answer, of any shape. Only [`Opened::load_any`] makes one.
pub struct DeployedAny<'b> {
    header: Header,
    network: Network<'b>,
    terms: Terms<'b>,
}

impl<'b> Opened<'b> {
    /// Loads a network of the shape `IN → H1 → H2 → OUT`.
    ///
    /// It proves again what the exporter proved, so that not even a signed artefact can overflow an
    /// accumulator or cause a panic: shape, sections, weights in `[-127, 127]`, factors in range,
    /// the bound of every row; and it computes every golden vector.
    ///
    /// Stack: `IN + H1 + H2 + 8 * OUT` bytes and some 600; for 784-64-64-10 on a Cortex-M4 1.7 kB.
    ///
    /// # Errors
    ///
    /// [`ArtefactError`], the variants from `Dimensions` on.
    pub fn load<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        self,
    ) -> Result<Deployed<'b, IN, H1, H2, OUT>, ArtefactError> {
        self.load_if(|_| Ok(()))
    }

    /// As [`load`](Self::load), but `accept` has the last word, once everything is proved: the device
    /// raises its security counter there, and serves no model if it cannot.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load), and `accept`'s own. After either, a buffer that the body was decrypted
    /// into is wiped.
    pub fn load_if<const IN: usize, const H1: usize, const H2: usize, const OUT: usize, E>(
        self,
        accept: impl FnOnce(&Header) -> Result<(), E>,
    ) -> Result<Deployed<'b, IN, H1, H2, OUT>, E>
    where
        E: From<ArtefactError>,
    {
        self.prove::<IN, H1, H2, OUT>()?;
        accept(&self.header)?;
        let header = self.header;
        // What was proved just now, read again from a body that stays.
        let contents = contents(self.into_body(), &header)?;
        Ok(Deployed {
            header,
            mlp: Mlp::try_from(contents.network).map_err(ArtefactError::from)?,
            terms: contents.terms,
        })
    }

    fn prove<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        &self,
    ) -> Result<(), ArtefactError> {
        let found = self.header.shape;
        if found.widths().map(usize::from) != [IN, H1, H2, OUT] {
            let width = |n| u16::try_from(n).map_err(|_| ShapeError::TooWide);
            let expected = Shape::new(width(IN)?, width(H1)?, width(H2)?, width(OUT)?)?;
            return Err(ArtefactError::Dimensions { expected, found });
        }
        let contents = contents(self.body_bytes(), &self.header)?;
        let mlp = Mlp::<IN, H1, H2, OUT>::try_from(contents.network)?;
        contents.golden.check(&mlp)
    }

    /// Loads a network of any shape; the same proofs as [`load`](Self::load).
    ///
    /// For the golden vectors the caller lends `scratch` of at least
    /// [`Shape::golden_scratch_len`] bytes and `logits` of [`Shape::output`].
    ///
    /// # Errors
    ///
    /// [`ArtefactError`], the variants after `Dimensions`.
    pub fn load_any(
        self,
        scratch: &mut [u8],
        logits: &mut [i32],
    ) -> Result<DeployedAny<'b>, ArtefactError> {
        let header = self.header;
        let proved = contents(self.body_bytes(), &header)?;
        proved.golden.check_any(&proved.network, scratch, logits)?;
        let contents = contents(self.into_body(), &header)?;
        Ok(DeployedAny {
            header,
            network: contents.network,
            terms: contents.terms,
        })
    }
}

fn contents<'b>(body: &'b [u8], header: &Header) -> Result<Contents<'b>, ArtefactError> {
    Contents::parse(body, header.shape, header.granularity)
}

impl<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>
    Deployed<'_, IN, H1, H2, OUT>
{
    /// `[OUT]` logits of `[IN]` features; see [`Mlp::logits`] for the stack.
    #[must_use]
    pub fn logits(&self, features: &[u8; IN]) -> [i32; OUT] {
        self.mlp.logits(features)
    }
}

impl<'b> DeployedAny<'b> {
    /// Runs the network; see [`Network::infer`] for the buffers.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if a buffer has the wrong length.
    pub fn infer(
        &self,
        features: &[u8],
        scratch: &mut [u8],
        logits: &mut [i32],
    ) -> Result<(), ShapeError> {
        self.network.infer(features, scratch, logits)
    }

    /// The network itself.
    #[must_use]
    pub const fn network(&self) -> &Network<'b> {
        &self.network
    }
}

/// What both kinds of deployed model tell about themselves.
macro_rules! about {
    () => {
        /// What the publisher says about the model.
        #[must_use]
        pub const fn header(&self) -> &Header {
            &self.header
        }

        /// SHA-512 of the body's plaintext.
        #[must_use]
        pub const fn model_digest(&self) -> &Digest512 {
            &self.header.model_digest
        }

        /// What a reply may say.
        #[must_use]
        pub const fn policy(&self) -> ReplyPolicy {
            self.terms.policy
        }

        /// The real value of one unit of a logit; positive and finite.
        #[must_use]
        pub const fn logit_scale(&self) -> f32 {
            self.terms.logit_scale
        }

        /// How real columns were mapped to bytes, if they were.
        #[must_use]
        pub const fn scaling(&self) -> Option<FeatureScaling<'b>> {
            self.terms.scaling
        }

        /// What people call the columns and the classes, if they have names.
        #[must_use]
        pub const fn names(&self) -> Option<Names<'b>> {
            self.terms.names
        }
    };
}

/// The parameters may be secret: they are not shown.
impl<const IN: usize, const H1: usize, const H2: usize, const OUT: usize> fmt::Debug
    for Deployed<'_, IN, H1, H2, OUT>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployed")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// The parameters may be secret: they are not shown.
impl fmt::Debug for DeployedAny<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeployedAny")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl<'b, const IN: usize, const H1: usize, const H2: usize, const OUT: usize>
    Deployed<'b, IN, H1, H2, OUT>
{
    about!();
}

impl<'b> DeployedAny<'b> {
    about!();
}
