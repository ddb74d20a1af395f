//! The typed sections of a body: how they are told apart and read. The tables are in the
//! [module docs](super).

use super::names::NamesAt;
use super::plaintext::{Cursor, LayerAt, Plaintext, Span};
use super::{ArtefactError, Names, SectionError};
use crate::mlp::{self, Facts, Kernel, Network, Quantisation, Shape, WeightType};

/// Layers with 8-bit weights. Required where the header names those.
pub const LAYERS_INT8: u16 = 1;
/// Layers with 4-bit weights. Required where the header names those.
pub const LAYERS_INT4: u16 = 2;
/// Golden logits. Required.
pub const GOLDEN: u16 = 3;
/// Thresholds of a detector. Reserved.
pub const DETECTOR: u16 = 4;
/// What a reply may say. Required.
pub const REPLY_POLICY: u16 = 5;
/// How real columns were mapped to bytes. Optional.
pub const FEATURE_SCALING: u16 = 6;
/// What people call the columns and the classes. Optional.
pub const NAMES: u16 = 7;

/// Sections, and the arrays inside the layers, begin at multiples of this.
pub const ALIGNMENT: usize = 16;

/// The one version of a section type: the third of the int8 layers packs their weights for 16 inputs after 16, the second
/// did so for two after two, the first had them row by row.
#[must_use]
pub const fn version(section: u16) -> u16 {
    match section {
        LAYERS_INT8 => 3,
        _ => 1,
    }
}

/// The section that layers with such weights are in.
#[must_use]
pub const fn layers_of(weights: WeightType) -> u16 {
    match weights {
        #[cfg(feature = "int8")]
        WeightType::Int8 => LAYERS_INT8,
        #[cfg(feature = "int4")]
        WeightType::Int4 => LAYERS_INT4,
    }
}

/// A section type's name, for people.
#[must_use]
pub const fn name(section: u16) -> &'static str {
    match section {
        LAYERS_INT8 => "int8 layers",
        LAYERS_INT4 => "int4 layers",
        GOLDEN => "golden logits",
        DETECTOR => "detector thresholds",
        REPLY_POLICY => "reply policy",
        FEATURE_SCALING => "feature scaling",
        NAMES => "names",
        _ => "unknown",
    }
}

/// What the device may answer, in rising order of what it gives away: logits make it easier to
/// extract the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum ReplyPolicy {
    /// The label.
    Label = 1,
    /// The label and probabilities.
    Probabilities = 2,
    /// The label, probabilities and logits.
    Logits = 3,
}

impl TryFrom<u8> for ReplyPolicy {
    type Error = UnknownReplyPolicy;

    fn try_from(value: u8) -> Result<Self, UnknownReplyPolicy> {
        match value {
            1 => Ok(Self::Label),
            2 => Ok(Self::Probabilities),
            3 => Ok(Self::Logits),
            other => Err(UnknownReplyPolicy(other)),
        }
    }
}

/// A reply policy that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownReplyPolicy(pub u8);

/// Golden vectors: the inputs are made from the seed by [`expand`](super::expand).
#[derive(Clone, Copy)]
pub(super) struct Golden {
    pub(super) seed: u64,
    pub(super) count: u16,
    /// Where the `[count][out]` logits lie, little-endian.
    pub(super) logits: Span,
}

/// How real columns were mapped to bytes: `value = offset + scale * byte`. The device does not
/// use it.
#[derive(Clone, Copy)]
pub struct FeatureScaling<'b>(&'b [[u8; 8]]);

impl FeatureScaling<'_> {
    /// `[input]` columns in order, every number finite.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = ColumnScaling> {
        self.0
            .iter()
            .map(|&column| ColumnScaling::from_bytes(column))
    }
}

/// One column's `value = offset + scale * byte`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColumnScaling {
    /// The value of byte 0.
    pub offset: f32,
    /// The value of one step.
    pub scale: f32,
}

impl ColumnScaling {
    fn from_bytes([a, b, c, d, e, f, g, h]: [u8; 8]) -> Self {
        Self {
            offset: f32::from_le_bytes([a, b, c, d]),
            scale: f32::from_le_bytes([e, f, g, h]),
        }
    }
}

/// A body's contents, parsed and proved but for the golden vectors.
pub(super) struct Contents {
    pub(super) layers: [LayerAt; 3],
    pub(super) logit_scale: f32,
    pub(super) golden: Golden,
    pub(super) policy: ReplyPolicy,
    pub(super) kernel: Kernel,
    scaling: Option<Span>,
    names: Option<NamesAt>,
}

/// What a deployed model carries beside its network.
pub(super) struct Terms<'b> {
    pub(super) logit_scale: f32,
    pub(super) policy: ReplyPolicy,
    pub(super) kernel: Kernel,
    pub(super) scaling: Option<FeatureScaling<'b>>,
    pub(super) names: Option<Names<'b>>,
}

/// The names in a body of which nothing is verified.
pub(super) fn names(
    body: &[u8],
    shape: Shape,
    weights: WeightType,
) -> Result<Option<Names<'_>>, ArtefactError> {
    let Some(span) = Sections::split(&body, weights)?.names else {
        return Ok(None);
    };
    Ok(NamesAt::parse(Cursor::within(&body, NAMES, span), shape)?.of(body))
}

impl Contents {
    /// Reads all sections of a body for a network of this shape.
    pub(super) fn parse(
        body: &dyn Plaintext,
        shape: Shape,
        quantisation: Quantisation,
    ) -> Result<Self, ArtefactError> {
        let sections = Sections::split(body, quantisation.weights)?;
        let at = |section, span| Cursor::within(body, section, span);
        let section = layers_of(quantisation.weights);
        let (logit_scale, layers) = layers(at(section, sections.layers), shape, quantisation)?;
        let golden = golden(at(GOLDEN, sections.golden), shape)?;
        let (policy, kernel) = policy(at(REPLY_POLICY, sections.policy))?;
        if let Some(span) = sections.scaling {
            scaling(at(FEATURE_SCALING, span), shape)?;
        }
        let names = sections.names.map(|span| at(NAMES, span));
        Ok(Self {
            layers,
            logit_scale,
            golden,
            policy,
            kernel,
            scaling: sections.scaling,
            names: names
                .map(|names| NamesAt::parse(names, shape))
                .transpose()?,
        })
    }

    /// The network of a body in memory, the one that was parsed.
    pub(super) fn network<'b>(&self, body: &'b [u8]) -> Result<Network<'b>, ArtefactError> {
        let [first, second, third] = &self.layers;
        let layer = |layer: u8, at: &LayerAt| {
            let dense = at.proved(body);
            dense.map_err(|cause| ArtefactError::Layer { layer, cause })
        };
        let layers = [layer(1, first)?, layer(2, second)?, layer(3, third)?];
        Ok(Network::new(layers)?)
    }

    /// Writes `[OUT]` logits of `[IN]` features, by the network of a body in memory, the one that was parsed; `None` if it has other
    /// widths.
    // Not a part of its callers, so that what an inference costs can be counted in the image.
    #[inline(never)]
    pub(super) fn logits<const IN: usize, const H1: usize, const H2: usize, const OUT: usize>(
        &self,
        body: &[u8],
        features: &[u8; IN],
        logits: &mut [i32; OUT],
    ) -> Option<()> {
        let layer = |at: usize| self.layers.get(at)?.in_memory(body);
        mlp::logits::<IN, H1, H2, OUT>(self.kernel, layer, features, logits)
    }

    /// What a body in memory carries beside the network.
    pub(super) fn terms<'b>(&self, body: &'b [u8]) -> Terms<'b> {
        let columns = self.scaling.and_then(|span| span.of(body));
        Terms {
            logit_scale: self.logit_scale,
            policy: self.policy,
            kernel: self.kernel,
            scaling: columns.map(|columns| FeatureScaling(columns.as_chunks().0)),
            names: self.names.and_then(|names| names.of(body)),
        }
    }
}

/// The payloads of a body.
struct Sections {
    layers: Span,
    golden: Span,
    policy: Span,
    scaling: Option<Span>,
    names: Option<Span>,
}

impl Sections {
    fn split(body: &dyn Plaintext, weights: WeightType) -> Result<Self, ArtefactError> {
        let required = layers_of(weights);
        let mut r = Cursor::new(body);
        let (mut layers, mut golden, mut policy) = (None, None, None);
        let (mut scaling, mut names) = (None, None);
        let mut previous = 0;
        while r.remaining() > 0 {
            r.section = 0;
            let section = r.u16()?;
            r.section = section;
            let slot = match section {
                _ if section == required => &mut layers,
                GOLDEN => &mut golden,
                REPLY_POLICY => &mut policy,
                FEATURE_SCALING => &mut scaling,
                NAMES => &mut names,
                LAYERS_INT8 | LAYERS_INT4 | DETECTOR => {
                    return Err(r.fail(SectionError::Inapplicable));
                }
                _ => return Err(r.fail(SectionError::Unknown)),
            };
            let version = r.u16()?;
            if version != self::version(section) {
                return Err(r.fail(SectionError::Version(version)));
            }
            // Strictly ascending: no type twice, and one order for one content.
            if section <= previous {
                return Err(r.fail(SectionError::Order));
            }
            previous = section;
            let payload_len = r.u32()? as usize;
            r.zeros(8)?;
            *slot = Some(r.skip(payload_len)?);
            r.pad()?;
        }
        let missing = |section| broken(section, SectionError::Missing);
        Ok(Self {
            layers: layers.ok_or(missing(required))?,
            golden: golden.ok_or(missing(GOLDEN))?,
            policy: policy.ok_or(missing(REPLY_POLICY))?,
            scaling,
            names,
        })
    }
}

fn layers(
    mut r: Cursor<'_>,
    shape: Shape,
    quantisation: Quantisation,
) -> Result<(f32, [LayerAt; 3]), ArtefactError> {
    let logit_scale = r.f32()?;
    if !(logit_scale.is_finite() && logit_scale > 0.0) {
        return Err(ArtefactError::LogitScale);
    }
    r.zeros(12)?;
    let Quantisation {
        weights,
        granularity,
    } = quantisation;
    let mut layers = [LayerAt::none(quantisation); 3];
    for ((at, layer), (inputs, outputs)) in layers.iter_mut().zip(1..).zip(shape.layers()) {
        let factors = granularity.factors(outputs);
        // Widths have 16 bits: `4 * width` cannot overflow; the product saturates, which `array` refuses.
        *at = LayerAt {
            inputs,
            outputs,
            quantisation,
            arrays: [
                array(&mut r, 4, outputs)?,
                array(&mut r, 4, factors)?,
                array(&mut r, 1, factors)?,
                array(&mut r, 1, weights.packed_len(inputs, outputs))?,
            ],
            facts: Facts::default(),
        };
        let proved = r.plaintext().prove(at);
        at.facts = proved.map_err(|cause| ArtefactError::Layer { layer, cause })?;
    }
    r.finish()?;
    Ok((logit_scale, layers))
}

fn golden(mut r: Cursor<'_>, shape: Shape) -> Result<Golden, ArtefactError> {
    let seed = r.u64()?;
    let count = r.u16()?;
    let out = r.u16()?;
    r.zeros(4)?;
    if !(1..=super::GOLDEN_MAX).contains(&count) || out != shape.output() {
        return Err(ArtefactError::GoldenCount);
    }
    // At most 16 * 65,535 * 4 bytes.
    let logits = r.skip(usize::from(count) * usize::from(out) * 4)?;
    r.finish()?;
    Ok(Golden {
        seed,
        count,
        logits,
    })
}

fn policy(mut r: Cursor<'_>) -> Result<(ReplyPolicy, Kernel), ArtefactError> {
    let policy = ReplyPolicy::try_from(r.u8()?).map_err(|e| ArtefactError::ReplyPolicy(e.0))?;
    let kernel = match r.u8()? {
        0 => Kernel::Dense,
        1 => Kernel::Skip,
        other => return Err(ArtefactError::Kernel(other)),
    };
    r.zeros(14)?;
    r.finish()?;
    Ok((policy, kernel))
}

fn scaling(mut r: Cursor<'_>, shape: Shape) -> Result<(), ArtefactError> {
    if r.remaining() != 8 * usize::from(shape.input()) {
        return Err(r.fail(SectionError::Length));
    }
    for column in 0..shape.input() {
        let ColumnScaling { offset, scale } = ColumnScaling::from_bytes(r.array()?);
        if !(offset.is_finite() && scale.is_finite()) {
            return Err(ArtefactError::FeatureScaling { column });
        }
    }
    Ok(())
}

/// Finds an array of `count` elements of `size` bytes inside the layers, and reads its padding.
fn array(r: &mut Cursor<'_>, size: usize, count: usize) -> Result<Span, ArtefactError> {
    let len = size.checked_mul(count);
    let span = r.skip(len.ok_or(r.fail(SectionError::Length))?)?;
    r.pad()?;
    Ok(span)
}

/// Bytes from `position` to the next multiple of 16.
pub(super) const fn padding(position: usize) -> usize {
    position.wrapping_neg() % ALIGNMENT
}

pub(super) const fn broken(section: u16, cause: SectionError) -> ArtefactError {
    ArtefactError::Section { section, cause }
}
