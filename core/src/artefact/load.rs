//! `Opened → Deployed`: a network that is proved to run and to give the golden logits. The same proofs for a
//! body in memory and for one that stays encrypted.

use core::fmt;

use super::open::Place;
use super::plaintext::Plaintext;
use super::section::{Contents, FeatureScaling, ReplyPolicy, Terms};
use super::streamed::{self, Encrypted, InRam, Run as _, Streamed, StreamedNetwork};
use super::{ArtefactError, Header, Names, Opened, OpenedStreamed};
use crate::mlp::{Kernel, Network, Shape, ShapeError};
use crate::sign::Digest512;

/// A model that may answer, of a shape known at compile time. Only [`Opened::load`] and
/// [`OpenedStreamed::load`] make one.
///
/// Its weights stay where they lie: in flash, or in the buffer that the body was decrypted into, which is wiped
/// when this is dropped. `M` says whether they may also lie in flash encrypted, see [`Streamed`].
pub struct Deployed<
    'b,
    const IN: usize,
    const H1: usize,
    const H2: usize,
    const OUT: usize,
    M: Encrypted = InRam,
> {
    header: Header,
    body: Body<'b, M>,
    contents: Contents,
}

/// What is computed from.
enum Body<'b, M: Encrypted> {
    /// Plaintext.
    Memory(Place<'b>),
    /// What is decrypted as it is used.
    Encrypted(M::Network<'b>),
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
    /// Stack: `IN + 4 * OUT` bytes and some 350 beside those of [`Mlp::logits`](crate::mlp::Mlp::logits); for 784-64-64-10 on
    /// a Cortex-M4 5.8 kB.
    ///
    /// # Errors
    ///
    /// [`ArtefactError`], the variants from `Dimensions` on.
    pub fn load<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        self,
    ) -> Result<Deployed<'b, IN, H1, H2, OUT>, ArtefactError> {
        self.load_for()
    }

    /// As [`load`](Self::load), for a device that also runs models of the other kind.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    pub fn load_for<
        const IN: usize,
        const H1: usize,
        const H2: usize,
        const OUT: usize,
        M: Encrypted,
    >(
        self,
    ) -> Result<Deployed<'b, IN, H1, H2, OUT, M>, ArtefactError> {
        let contents = self.prove::<IN, H1, H2, OUT>()?;
        let Self { header, body } = self;
        Ok(Deployed {
            header,
            body: Body::Memory(body),
            contents,
        })
    }

    /// Not a part of its caller, so that the stack that the proofs need is free again.
    #[inline(never)]
    fn prove<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        &self,
    ) -> Result<Contents, ArtefactError> {
        self.header.has_shape::<IN, H1, H2, OUT>()?;
        let body = self.body.bytes();
        // Looked at where they are returned: stack is short below here.
        let contents = contents(&body, &self.header);
        if let Ok(contents) = &contents {
            contents.golden.check(&body, |features, logits| {
                contents.logits::<IN, H1, H2, OUT>(body, features, logits)
            })?;
        }
        contents
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
        let body = self.body.bytes();
        let contents = contents(&body, &header)?;
        let network = contents.network(body)?;
        contents
            .golden
            .check_any(&body, &network, scratch, logits)?;
        let body = self.body.keep();
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
    /// Stack: `IN + 4 * OUT` bytes and some 300 beside those of [`Deployed::logits`]; for 784-64-64-10 on a Cortex-M4 4.1 kB.
    ///
    /// # Errors
    ///
    /// [`ArtefactError`], the variants from `Dimensions` on.
    pub fn load<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        self,
    ) -> Result<Deployed<'a, IN, H1, H2, OUT, Streamed>, ArtefactError> {
        let contents = self.prove::<IN, H1, H2, OUT>()?;
        let Self { header, token } = self;
        Ok(Deployed {
            header,
            body: Body::Encrypted(StreamedNetwork(token)),
            contents,
        })
    }

    /// As [`Opened::prove`].
    #[inline(never)]
    fn prove<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        &self,
    ) -> Result<Contents, ArtefactError> {
        self.header.has_shape::<IN, H1, H2, OUT>()?;
        let contents = contents(&self.token, &self.header);
        if let Ok(contents) = &contents {
            contents.golden.check(&self.token, |features, logits| {
                let layers = &contents.layers;
                streamed::logits::<IN, H1, H2, OUT>(&self.token, layers, features, logits);
                Some(())
            })?;
        }
        contents
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
    Contents::parse(body, header.shape, header.quantisation)
}

impl<const IN: usize, const H1: usize, const H2: usize, const OUT: usize, M: Encrypted>
    Deployed<'_, IN, H1, H2, OUT, M>
{
    /// `[OUT]` logits of `[IN]` features. For the stack see [`Mlp::logits`](crate::mlp::Mlp::logits); a streamed
    /// model needs `H1 + H2` bytes and some 2,800, for 784-64-64-10 2.9 kB.
    #[must_use]
    pub fn logits(&self, features: &[u8; IN]) -> [i32; OUT] {
        let mut logits = [0; OUT];
        match &self.body {
            Body::Memory(body) => {
                let body = body.bytes();
                // It was made of these bytes when the model was loaded, and nobody else can write them.
                let _ = self
                    .contents
                    .logits::<IN, H1, H2, OUT>(body, features, &mut logits);
            }
            Body::Encrypted(network) => streamed::logits::<IN, H1, H2, OUT>(
                network.token(),
                &self.contents.layers,
                features,
                &mut logits,
            ),
        }
        logits
    }

    /// What a reply may say.
    #[must_use]
    pub const fn policy(&self) -> ReplyPolicy {
        self.contents.policy
    }

    /// Which kernel it runs with, where there is a choice: with DSP instructions, and not streamed.
    #[must_use]
    pub const fn kernel(&self) -> Kernel {
        self.contents.kernel
    }

    /// The real value of one unit of a logit; positive and finite.
    #[must_use]
    pub const fn logit_scale(&self) -> f32 {
        self.contents.logit_scale
    }
}

impl<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>
    Deployed<'_, IN, H1, H2, OUT>
{
    /// How real columns were mapped to bytes, if they were.
    #[must_use]
    pub fn scaling(&self) -> Option<FeatureScaling<'_>> {
        match &self.body {
            Body::Memory(body) => self.contents.terms(body.bytes()).scaling,
            Body::Encrypted(never) => match *never {},
        }
    }

    /// What people call the columns and the classes, if they have names.
    #[must_use]
    pub fn names(&self) -> Option<Names<'_>> {
        match &self.body {
            Body::Memory(body) => self.contents.terms(body.bytes()).names,
            Body::Encrypted(never) => match *never {},
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

impl<'b> DeployedAny<'b> {
    about!();

    /// What a reply may say.
    #[must_use]
    pub const fn policy(&self) -> ReplyPolicy {
        self.terms.policy
    }

    /// Which kernel a device runs it with.
    #[must_use]
    pub const fn kernel(&self) -> Kernel {
        self.terms.kernel
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
}
