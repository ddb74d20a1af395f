//! `Opened → Deployed`: a network that is proved to run and to give the golden logits. The same proofs for a
//! body in memory and for one that stays encrypted.

use core::fmt;

use super::plaintext::Plaintext;
use super::section::{Contents, FeatureScaling, ReplyPolicy, Terms};
use super::streamed::{Encrypted, InRam, Run as _, Streamed, StreamedNetwork};
use super::{ArtefactError, Header, Names, Opened, OpenedStreamed};
use crate::mlp::{Mlp, Network, Shape, ShapeError};
use crate::sign::Digest512;

/// A model that may answer, of a shape known at compile time. Only [`Opened::load`] and
/// [`OpenedStreamed::load`] make one.
///
/// Its weights stay where they lie: in flash, or in the buffer that the body was decrypted into. `M` says
/// whether they may also lie in flash encrypted, see [`Streamed`].
pub struct Deployed<
    'b,
    const IN: usize,
    const H1: usize,
    const H2: usize,
    const OUT: usize,
    M: Encrypted = InRam,
> {
    header: Header,
    engine: Engine<'b, IN, H1, H2, OUT, M>,
    terms: Terms<'b>,
}

/// What computes. There is no heap to put the larger one on.
#[expect(clippy::large_enum_variant)]
enum Engine<'b, const IN: usize, const H1: usize, const H2: usize, const OUT: usize, M: Encrypted> {
    /// Over weights in memory.
    Memory(Mlp<'b, IN, H1, H2, OUT>),
    /// Over weights that are decrypted as it goes.
    Streamed(M::Network<'b>),
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
    /// raises its security counter there, and serves no model if it cannot. And the answer is of any kind
    /// `M`, for a device that also runs models of the other kind.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load), and `accept`'s own. After either, a buffer that the body was decrypted
    /// into is wiped.
    pub fn load_if<const IN: usize, const H1: usize, const H2: usize, const OUT: usize, E, M>(
        self,
        accept: impl FnOnce(&Header) -> Result<(), E>,
    ) -> Result<Deployed<'b, IN, H1, H2, OUT, M>, E>
    where
        E: From<ArtefactError>,
        M: Encrypted,
    {
        let header = self.header;
        header.has_shape::<IN, H1, H2, OUT>()?;
        let body = self.body_bytes();
        let contents = contents(&body, &header)?;
        let mlp = Mlp::<IN, H1, H2, OUT>::try_from(contents.network(body)?);
        let mlp = mlp.map_err(ArtefactError::from)?;
        let golden = contents.golden;
        golden.check(&body, |features| mlp.logits(features))?;
        accept(&header)?;
        // What was proved just now, proved again in a body that stays.
        let body = self.into_body();
        let mlp = Mlp::try_from(contents.network(body)?).map_err(ArtefactError::from)?;
        Ok(Deployed {
            header,
            engine: Engine::Memory(mlp),
            terms: contents.terms(body),
        })
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
        let body = self.body_bytes();
        let contents = contents(&body, &header)?;
        let network = contents.network(body)?;
        contents
            .golden
            .check_any(&body, &network, scratch, logits)?;
        let body = self.into_body();
        Ok(DeployedAny {
            header,
            network: contents.network(body)?,
            terms: contents.terms(body),
        })
    }
}

impl<'a> OpenedStreamed<'a> {
    /// Loads a network of the shape `IN → H1 → H2 → OUT` whose weights stay encrypted; the same proofs as
    /// [`Opened::load`].
    ///
    /// Stack: that of [`Opened::load`], and as for [`Deployed::logits`] some 500 bytes for the stream.
    ///
    /// # Errors
    ///
    /// [`ArtefactError`], the variants from `Dimensions` on.
    pub fn load<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        self,
    ) -> Result<Deployed<'a, IN, H1, H2, OUT, Streamed>, ArtefactError> {
        self.load_if(|_| Ok(()))
    }

    /// As [`load`](Self::load), but `accept` has the last word, once everything is proved.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load), and `accept`'s own.
    pub fn load_if<const IN: usize, const H1: usize, const H2: usize, const OUT: usize, E>(
        self,
        accept: impl FnOnce(&Header) -> Result<(), E>,
    ) -> Result<Deployed<'a, IN, H1, H2, OUT, Streamed>, E>
    where
        E: From<ArtefactError>,
    {
        let Self { header, token } = self;
        header.has_shape::<IN, H1, H2, OUT>()?;
        let Contents {
            layers,
            golden,
            logit_scale,
            policy,
            ..
        } = contents(&token, &header)?;
        let network = StreamedNetwork { token, layers };
        golden.check(&network.token, |features| {
            network.logits::<IN, H1, H2, OUT>(features)
        })?;
        accept(&header)?;
        Ok(Deployed {
            header,
            engine: Engine::Streamed(network),
            terms: Terms {
                logit_scale,
                policy,
                scaling: None,
                names: None,
            },
        })
    }
}

impl Header {
    fn has_shape<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        &self,
    ) -> Result<(), ArtefactError> {
        let found = self.shape;
        if found.widths().map(usize::from) != [IN, H1, H2, OUT] {
            let width = |n| u16::try_from(n).map_err(|_| ShapeError::TooWide);
            let expected = Shape::new(width(IN)?, width(H1)?, width(H2)?, width(OUT)?)?;
            return Err(ArtefactError::Dimensions { expected, found });
        }
        Ok(())
    }
}

fn contents(body: &dyn Plaintext, header: &Header) -> Result<Contents, ArtefactError> {
    Contents::parse(body, header.shape, header.granularity)
}

impl<const IN: usize, const H1: usize, const H2: usize, const OUT: usize, M: Encrypted>
    Deployed<'_, IN, H1, H2, OUT, M>
{
    /// `[OUT]` logits of `[IN]` features; see [`Mlp::logits`] for the stack. A streamed model needs some 500
    /// bytes more, whatever its shape.
    #[must_use]
    pub fn logits(&self, features: &[u8; IN]) -> [i32; OUT] {
        match &self.engine {
            Engine::Memory(mlp) => mlp.logits(features),
            Engine::Streamed(network) => network.logits::<IN, H1, H2, OUT>(features),
        }
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
    };
}

/// What those tell beside that whose bodies lie in memory. A device does not use it, and a streamed model
/// has proved it and does not keep it.
macro_rules! about_data {
    () => {
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
impl<const IN: usize, const H1: usize, const H2: usize, const OUT: usize, M: Encrypted> fmt::Debug
    for Deployed<'_, IN, H1, H2, OUT, M>
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

impl<const IN: usize, const H1: usize, const H2: usize, const OUT: usize, M: Encrypted>
    Deployed<'_, IN, H1, H2, OUT, M>
{
    about!();
}

impl<'b, const IN: usize, const H1: usize, const H2: usize, const OUT: usize>
    Deployed<'b, IN, H1, H2, OUT>
{
    about_data!();
}

impl<'b> DeployedAny<'b> {
    about!();
    about_data!();
}
