//! The other direction: a network becomes a body, and a body a sealed model. For exporters; the
//! device has no use for it.

use core::fmt;

use super::header::{NO_DIGEST, NO_KEY};
use super::section::{self, ALIGNMENT, ColumnScaling, ReplyPolicy, padding};
use super::{
    BodyEncoding, GOLDEN_MAX, HEADER_LEN, Header, Name, NamesSpec, Provenance, golden_logits,
};
use crate::fernet::{self, FernetError, FernetKey, Iv};
use crate::mlp::{Granularity, Kernel, Network, Quantisation, Shape, ShapeError, packed_len};
use crate::record::FeatureType;
use crate::sign::{Domain, SIGNATURE_LEN, SigningKey, sha512};
use crate::wire::{WireError, Writer};

/// What goes into a body. The network is proved already: a body written from it loads.
#[derive(Debug, Clone, Copy)]
pub struct BodySpec<'s> {
    /// The three layers.
    pub network: Network<'s>,
    /// The real value of one unit of a logit; positive and finite.
    pub logit_scale: f32,
    /// From which the golden inputs are made.
    pub golden_seed: u64,
    /// How many golden vectors, 1 to 16.
    pub golden_count: u16,
    /// What a reply may say.
    pub policy: ReplyPolicy,
    /// Which kernel a device runs it with.
    pub kernel: Kernel,
    /// `[input]` columns, if the features were real numbers.
    pub scaling: Option<&'s [ColumnScaling]>,
    /// What people call the columns and the classes, if they have names.
    pub names: Option<NamesSpec<'s>>,
}

impl BodySpec<'_> {
    /// Length in bytes of the body: a multiple of 16.
    #[must_use]
    pub fn body_len(&self) -> usize {
        let quantisation = self.network.quantisation();
        body_len(
            self.network.shape(),
            quantisation.weights.bits(),
            quantisation.granularity,
            self.golden_count,
            self.scaling.is_some(),
            self.names.map_or(0, |names| names.payload_len()),
        )
    }

    fn golden_bytes(&self) -> usize {
        golden_len(self.network.shape(), self.golden_count)
    }
}

/// A body that [`write_body`] wrote.
#[derive(Clone, Copy)]
pub struct Body<'o> {
    bytes: &'o [u8],
    shape: Shape,
    quantisation: Quantisation,
}

impl<'o> Body<'o> {
    /// The plaintext.
    #[must_use]
    pub const fn bytes(&self) -> &'o [u8] {
        self.bytes
    }
}

/// The plaintext may be secret: it is not shown.
impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({}, {} bytes)", self.shape, self.bytes.len())
    }
}

/// Writes a body into `out`, which needs [`BodySpec::body_len`] bytes, and computes its golden
/// logits with the network itself.
///
/// The caller lends `scratch` of at least [`Shape::golden_scratch_len`] bytes and `logits` of
/// [`Shape::output`].
///
/// # Errors
///
/// [`SealError`] if a number of the spec is out of range or a buffer does not fit.
pub fn write_body<'o>(
    out: &'o mut [u8],
    spec: &BodySpec<'_>,
    scratch: &mut [u8],
    logits: &mut [i32],
) -> Result<Body<'o>, SealError> {
    let shape = spec.network.shape();
    if !(spec.logit_scale.is_finite() && spec.logit_scale > 0.0) {
        return Err(SealError::LogitScale);
    }
    if !(1..=GOLDEN_MAX).contains(&spec.golden_count) {
        return Err(SealError::GoldenCount);
    }
    let mut w = Writer::new(out);
    write_layers(&mut w, spec)?;

    section_header(&mut w, section::GOLDEN, 16 + spec.golden_bytes())?;
    w.u64(spec.golden_seed)?;
    w.u16(spec.golden_count)?;
    w.u16(shape.output())?;
    w.zeros(4)?;
    for vector in 0..spec.golden_count {
        golden_logits(&spec.network, spec.golden_seed, vector, scratch, logits)?;
        for &logit in &*logits {
            w.i32(logit)?;
        }
    }
    pad(&mut w)?;

    section_header(&mut w, section::REPLY_POLICY, 16)?;
    w.u8(spec.policy as u8)?;
    w.u8(spec.kernel as u8)?;
    w.zeros(14)?;

    if let Some(columns) = spec.scaling {
        write_scaling(&mut w, columns, shape)?;
    }
    if let Some(names) = &spec.names {
        section_header(&mut w, section::NAMES, names.payload_len())?;
        names.write(&mut w, shape)?;
        pad(&mut w)?;
    }
    Ok(Body {
        bytes: w.finish(),
        shape,
        quantisation: spec.network.quantisation(),
    })
}

fn write_layers(w: &mut Writer<'_>, spec: &BodySpec<'_>) -> Result<(), SealError> {
    let mut len = ALIGNMENT;
    for layer in spec.network.layers() {
        let bytes = layer.bytes();
        for array in [bytes.biases, bytes.multipliers, bytes.shifts, bytes.weights] {
            len += padded(array.len());
        }
    }
    let section = section::layers_of(spec.network.quantisation().weights);
    section_header(w, section, len)?;
    w.f32(spec.logit_scale)?;
    w.zeros(12)?;
    for layer in spec.network.layers() {
        let bytes = layer.bytes();
        for array in [bytes.biases, bytes.multipliers, bytes.shifts, bytes.weights] {
            w.bytes(array)?;
            pad(w)?;
        }
    }
    Ok(())
}

fn write_scaling(
    w: &mut Writer<'_>,
    columns: &[ColumnScaling],
    shape: Shape,
) -> Result<(), SealError> {
    if columns.len() != usize::from(shape.input()) {
        return Err(SealError::Scaling);
    }
    section_header(w, section::FEATURE_SCALING, columns.len() * 8)?;
    for column in columns {
        if !(column.offset.is_finite() && column.scale.is_finite()) {
            return Err(SealError::Scaling);
        }
        w.f32(column.offset)?;
        w.f32(column.scale)?;
    }
    pad(w)?;
    Ok(())
}

/// What the publisher says about a model, beyond what its body says itself.
#[derive(Debug, Clone, Copy)]
pub struct Claims {
    /// Rises with each model that must not be rolled back.
    pub security_counter: u32,
    /// Where the weights come from.
    pub provenance: Provenance,
    /// When it is sealed, seconds since the Unix epoch.
    pub created: u64,
    /// For people.
    pub name: Name,
}

/// With what a body is encrypted.
#[derive(Debug)]
pub struct Encryption<'k> {
    /// The model key.
    pub key: &'k FernetKey,
    /// Used for this one token only.
    pub iv: Iv,
    /// The token's time, seconds since the Unix epoch.
    pub time: u64,
}

/// Length in bytes of a body: a multiple of 16.
///
/// `weight_bits` is [`WeightType::bits`](crate::mlp::WeightType::bits), also of a type that this build does not have; `names` is the length of the payload of the names section, 0 if there is none.
#[must_use]
pub const fn body_len(
    shape: Shape,
    weight_bits: u32,
    granularity: Granularity,
    golden_count: u16,
    scaling: bool,
    names: usize,
) -> usize {
    let [(in1, out1), (in2, out2), (in3, out3)] = shape.layers();
    let layers = layer_len(in1, out1, weight_bits, granularity)
        + layer_len(in2, out2, weight_bits, granularity)
        + layer_len(in3, out3, weight_bits, granularity);
    let policy = ALIGNMENT;
    let scaling = if scaling { 8 * in1 } else { 0 };
    section_len(ALIGNMENT + layers)
        + section_len(ALIGNMENT + golden_len(shape, golden_count))
        + section_len(policy)
        + section_len(scaling)
        + section_len(names)
}

/// Biases, multipliers, shifts and weights of a layer.
const fn layer_len(
    inputs: usize,
    outputs: usize,
    weight_bits: u32,
    granularity: Granularity,
) -> usize {
    let factors = granularity.factors(outputs);
    padded(4 * outputs)
        + padded(4 * factors)
        + padded(factors)
        + padded(packed_len(weight_bits, inputs, outputs))
}

/// All golden logits.
const fn golden_len(shape: Shape, count: u16) -> usize {
    count as usize * shape.output() as usize * 4
}

/// A section with its header and padding; one without a payload is not there.
const fn section_len(payload: usize) -> usize {
    if payload == 0 {
        0
    } else {
        ALIGNMENT + padded(payload)
    }
}

/// Length in bytes of a sealed model with a body of `body_len` bytes of plaintext.
#[must_use]
pub const fn sealed_len(body_len: usize, encrypted: bool) -> usize {
    let stored = if encrypted {
        fernet::binary_len(body_len)
    } else {
        body_len
    };
    HEADER_LEN + stored + SIGNATURE_LEN
}

/// Seals a body into `out`, which needs [`sealed_len`] bytes, and returns the length written.
/// Without an `encryption` the body stays clear, for execution in place.
///
/// # Errors
///
/// [`SealError`] if the receipt's digest is zero, or a length does not fit.
pub fn seal(
    claims: &Claims,
    body: Body<'_>,
    signing: &SigningKey,
    encryption: Option<Encryption<'_>>,
    out: &mut [u8],
) -> Result<usize, SealError> {
    if let Provenance::SealedData(NO_DIGEST) | Provenance::UnsealedData(NO_DIGEST) =
        claims.provenance
    {
        return Err(SealError::ReceiptDigest);
    }
    let len = sealed_len(body.bytes.len(), encryption.is_some());
    let out = out.get_mut(..len).ok_or(SealError::NoSpace)?;
    let (signed, signature) = out
        .split_last_chunk_mut::<SIGNATURE_LEN>()
        .ok_or(SealError::NoSpace)?;
    let (head, stored) = signed
        .split_at_mut_checked(HEADER_LEN)
        .ok_or(SealError::NoSpace)?;
    let encoding = match encryption {
        None => {
            Writer::new(stored).bytes(body.bytes)?;
            BodyEncoding::Clear
        }
        Some(Encryption { key, iv, time }) => {
            fernet::encrypt(key, time, iv, body.bytes, stored)?;
            let key = key.key_id();
            // One key in 2^64 has the id that means "none".
            if key.to_bytes() == NO_KEY {
                return Err(SealError::KeyId);
            }
            BodyEncoding::Fernet { key }
        }
    };
    let header = Header {
        scheme: signing.scheme(),
        encoding,
        signing_key: signing.key_id(),
        security_counter: claims.security_counter,
        shape: body.shape,
        quantisation: body.quantisation,
        feature_type: FeatureType::U8,
        body_len: length(stored.len())?,
        plaintext_len: length(body.bytes.len())?,
        provenance: claims.provenance,
        model_digest: sha512(&[body.bytes]),
        created: claims.created,
        name: claims.name,
    };
    header.write(&mut Writer::new(head))?;
    *signature = signing.sign(Domain::Model, &[signed]).to_bytes();
    Ok(len)
}

/// Why a model could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SealError {
    /// The output buffer is too small.
    NoSpace,
    /// The body is longer than 4 GiB.
    TooLong,
    /// The logit scale is not a positive finite number.
    LogitScale,
    /// The number of golden vectors is not between 1 and 16.
    GoldenCount,
    /// The scaling does not have one pair of finite numbers for each feature.
    Scaling,
    /// The names are not one for each column or class, or one is empty, too long or has control
    /// characters.
    Names,
    /// The training receipt's digest is zero.
    ReceiptDigest,
    /// The model key's id is zero; take another key.
    KeyId,
    /// A buffer that the caller lent does not fit.
    Buffers(ShapeError),
    /// The body could not be encrypted.
    Fernet(FernetError),
}

impl From<WireError> for SealError {
    fn from(_: WireError) -> Self {
        Self::NoSpace
    }
}

impl From<ShapeError> for SealError {
    fn from(error: ShapeError) -> Self {
        Self::Buffers(error)
    }
}

impl From<FernetError> for SealError {
    fn from(error: FernetError) -> Self {
        Self::Fernet(error)
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpace => "the output buffer is too small",
            Self::TooLong => "the body is longer than 4 GiB",
            Self::LogitScale => "the logit scale is not a positive finite number",
            Self::GoldenCount => "the number of golden vectors is not between 1 and 16",
            Self::Scaling => "the scaling is not one pair of finite numbers for each feature",
            Self::Names => {
                "the names are not one of 1 to 255 bytes without control characters for each \
                 column or class"
            }
            Self::ReceiptDigest => "the training receipt's digest is zero",
            Self::KeyId => "the model key's id is zero; take another key",
            Self::Buffers(cause) => return cause.fmt(f),
            Self::Fernet(cause) => return cause.fmt(f),
        })
    }
}

impl core::error::Error for SealError {}

fn section_header(w: &mut Writer<'_>, section: u16, len: usize) -> Result<(), SealError> {
    w.u16(section)?;
    w.u16(section::version(section))?;
    w.u32(length(len)?)?;
    Ok(w.zeros(8)?)
}

/// Writes zeros up to the next multiple of 16.
fn pad(w: &mut Writer<'_>) -> Result<(), WireError> {
    w.zeros(padding(w.position()))
}

/// `len` and its padding.
const fn padded(len: usize) -> usize {
    len + padding(len)
}

fn length(len: usize) -> Result<u32, SealError> {
    u32::try_from(len).map_err(|_| SealError::TooLong)
}
