//! The typed sections of a body: how they are told apart and read. The tables are in the
//! [module docs](super).

use super::{ArtefactError, Names, SectionError};
use crate::mlp::{DenseRef, Granularity, LayerBytes, Network, Shape};
use crate::wire::{Reader, WireError};

/// Layers with 8-bit weights. Required.
pub const LAYERS_INT8: u16 = 1;
/// Layers with 4-bit weights. Reserved.
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
/// The version of every section.
pub const SECTION_VERSION: u16 = 1;

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
pub(super) struct Golden<'b> {
    pub(super) seed: u64,
    pub(super) count: u16,
    /// `[count][out]` logits, little-endian.
    pub(super) logits: &'b [[u8; 4]],
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
pub(super) struct Contents<'b> {
    pub(super) network: Network<'b>,
    pub(super) golden: Golden<'b>,
    pub(super) terms: Terms<'b>,
}

/// What a deployed model carries beside its network.
pub(super) struct Terms<'b> {
    pub(super) logit_scale: f32,
    pub(super) policy: ReplyPolicy,
    pub(super) scaling: Option<FeatureScaling<'b>>,
    pub(super) names: Option<Names<'b>>,
}

/// The names in a body of which nothing is verified.
pub(super) fn names(body: &[u8], shape: Shape) -> Result<Option<Names<'_>>, ArtefactError> {
    let sections = Sections::split(body)?;
    sections.names.map(|s| Names::parse(s, shape)).transpose()
}

impl<'b> Contents<'b> {
    /// Reads all sections of a body for a network of this shape.
    pub(super) fn parse(
        body: &'b [u8],
        shape: Shape,
        granularity: Granularity,
    ) -> Result<Self, ArtefactError> {
        let sections = Sections::split(body)?;
        let (logit_scale, network) = layers(sections.layers, shape, granularity)?;
        Ok(Self {
            network,
            golden: golden(sections.golden, shape)?,
            terms: Terms {
                logit_scale,
                policy: policy(sections.policy)?,
                scaling: sections.scaling.map(|s| scaling(s, shape)).transpose()?,
                names: sections.names.map(|s| Names::parse(s, shape)).transpose()?,
            },
        })
    }
}

/// The payloads of a body.
struct Sections<'b> {
    layers: &'b [u8],
    golden: &'b [u8],
    policy: &'b [u8],
    scaling: Option<&'b [u8]>,
    names: Option<&'b [u8]>,
}

impl<'b> Sections<'b> {
    fn split(body: &'b [u8]) -> Result<Self, ArtefactError> {
        let mut r = Reader::new(body);
        let (mut layers, mut golden, mut policy) = (None, None, None);
        let (mut scaling, mut names) = (None, None);
        let mut previous = 0;
        while r.remaining() > 0 {
            let section = r.u16().map_err(|_| broken(0, SectionError::Length))?;
            let fail = |cause| broken(section, cause);
            let slot = match section {
                LAYERS_INT8 => &mut layers,
                GOLDEN => &mut golden,
                REPLY_POLICY => &mut policy,
                FEATURE_SCALING => &mut scaling,
                NAMES => &mut names,
                LAYERS_INT4 | DETECTOR => return Err(fail(SectionError::Reserved)),
                _ => return Err(fail(SectionError::Unknown)),
            };
            let length = |_| fail(SectionError::Length);
            let version = r.u16().map_err(length)?;
            if version != SECTION_VERSION {
                return Err(fail(SectionError::Version(version)));
            }
            // Strictly ascending: no type twice, and one order for one content.
            if section <= previous {
                return Err(fail(SectionError::Order));
            }
            previous = section;
            let payload_len = r.u32().map_err(length)? as usize;
            zeros(&mut r, 8, section)?;
            *slot = Some(r.bytes(payload_len).map_err(length)?);
            pad(&mut r, section)?;
        }
        let missing = |section| broken(section, SectionError::Missing);
        Ok(Self {
            layers: layers.ok_or(missing(LAYERS_INT8))?,
            golden: golden.ok_or(missing(GOLDEN))?,
            policy: policy.ok_or(missing(REPLY_POLICY))?,
            scaling,
            names,
        })
    }
}

fn layers(
    payload: &[u8],
    shape: Shape,
    granularity: Granularity,
) -> Result<(f32, Network<'_>), ArtefactError> {
    let length = |_| broken(LAYERS_INT8, SectionError::Length);
    let mut r = Reader::new(payload);
    let logit_scale = r.f32().map_err(length)?;
    if !(logit_scale.is_finite() && logit_scale > 0.0) {
        return Err(ArtefactError::LogitScale);
    }
    zeros(&mut r, 12, LAYERS_INT8)?;
    let [first, second, third] = shape.layers();
    let mut layer = |number: u8, (inputs, outputs): (usize, usize)| {
        let factors = granularity.factors(outputs);
        // Widths have 16 bits: `4 * width` cannot overflow, the product is checked by `array`.
        let bytes = LayerBytes {
            biases: array(&mut r, 4, outputs)?,
            multipliers: array(&mut r, 4, factors)?,
            shifts: array(&mut r, 1, factors)?,
            weights: array(&mut r, inputs, outputs)?,
        };
        DenseRef::new(inputs, outputs, granularity, bytes).map_err(|cause| ArtefactError::Layer {
            layer: number,
            cause,
        })
    };
    let layers = [layer(1, first)?, layer(2, second)?, layer(3, third)?];
    r.finish().map_err(length)?;
    Ok((logit_scale, Network::new(layers)?))
}

fn golden(payload: &[u8], shape: Shape) -> Result<Golden<'_>, ArtefactError> {
    let length = |_| broken(GOLDEN, SectionError::Length);
    let mut r = Reader::new(payload);
    let seed = r.u64().map_err(length)?;
    let count = r.u16().map_err(length)?;
    let out = r.u16().map_err(length)?;
    zeros(&mut r, 4, GOLDEN)?;
    if !(1..=super::GOLDEN_MAX).contains(&count) || out != shape.output() {
        return Err(ArtefactError::GoldenCount);
    }
    // At most 16 * 65,535 * 4 bytes.
    let len = usize::from(count) * usize::from(out) * 4;
    let (logits, _) = r.bytes(len).map_err(length)?.as_chunks();
    r.finish().map_err(length)?;
    Ok(Golden {
        seed,
        count,
        logits,
    })
}

fn policy(payload: &[u8]) -> Result<ReplyPolicy, ArtefactError> {
    let length = |_| broken(REPLY_POLICY, SectionError::Length);
    let mut r = Reader::new(payload);
    let value = r.u8().map_err(length)?;
    let policy = ReplyPolicy::try_from(value).map_err(|e| ArtefactError::ReplyPolicy(e.0))?;
    zeros(&mut r, 15, REPLY_POLICY)?;
    r.finish().map_err(length)?;
    Ok(policy)
}

fn scaling(payload: &[u8], shape: Shape) -> Result<FeatureScaling<'_>, ArtefactError> {
    let (columns, rest) = payload.as_chunks::<8>();
    if !rest.is_empty() || columns.len() != usize::from(shape.input()) {
        return Err(broken(FEATURE_SCALING, SectionError::Length));
    }
    for (column, &bytes) in (0..).zip(columns) {
        let ColumnScaling { offset, scale } = ColumnScaling::from_bytes(bytes);
        if !(offset.is_finite() && scale.is_finite()) {
            return Err(ArtefactError::FeatureScaling { column });
        }
    }
    Ok(FeatureScaling(columns))
}

/// Reads an array of `count` elements of `size` bytes inside the layers, and its padding.
fn array<'b>(r: &mut Reader<'b>, size: usize, count: usize) -> Result<&'b [u8], ArtefactError> {
    let length = |_: WireError| broken(LAYERS_INT8, SectionError::Length);
    let len = size.checked_mul(count).ok_or(WireError::Truncated);
    let bytes = len.and_then(|len| r.bytes(len)).map_err(length)?;
    pad(r, LAYERS_INT8)?;
    Ok(bytes)
}

/// Reads zeros up to the next multiple of 16 from the reader's start.
fn pad(r: &mut Reader<'_>, section: u16) -> Result<(), ArtefactError> {
    zeros(r, padding(r.position()), section)
}

/// Bytes from `position` to the next multiple of 16.
pub(super) const fn padding(position: usize) -> usize {
    position.wrapping_neg() % ALIGNMENT
}

pub(super) fn zeros(r: &mut Reader<'_>, n: usize, section: u16) -> Result<(), ArtefactError> {
    let bytes = r
        .bytes(n)
        .map_err(|_| broken(section, SectionError::Length))?;
    if bytes.iter().all(|&b| b == 0) {
        Ok(())
    } else {
        Err(broken(section, SectionError::Padding))
    }
}

pub(super) const fn broken(section: u16, cause: SectionError) -> ArtefactError {
    ArtefactError::Section { section, cause }
}
