//! A body's plaintext wherever it lies: in memory, or behind a token that stays encrypted. Both are read by
//! one parser, so that what is proved of the one is proved of the other.

use super::section::{broken, padding};
use super::{ArtefactError, SectionError};
use crate::fernet::{PlaintextReader, VerifiedToken};
use crate::mlp::stream::{LayerStream, Source};
use crate::mlp::{DenseRef, Facts, LayerBytes, LayerError, Quantisation};
use crate::wire::copy;

/// A plaintext that can be read at any position. Used as an object, so that an image holds one parser for all.
pub(super) trait Plaintext {
    /// Length in bytes.
    fn len(&self) -> usize;

    /// Fills `out` with the bytes from `position` on; `None` if they are fewer.
    fn read(&self, position: usize, out: &mut [u8]) -> Option<()>;

    /// Proves a layer whose arrays lie in the plaintext; see [`DenseRef::new`] for what and in which order.
    /// Gives what a kernel may rely on.
    fn prove(&self, layer: &LayerAt) -> Result<Facts, LayerError>;
}

/// A body in memory.
impl Plaintext for &[u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn read(&self, position: usize, out: &mut [u8]) -> Option<()> {
        copy(out, Span::new(position, out.len())?.of(self)?);
        Some(())
    }

    fn prove(&self, at: &LayerAt) -> Result<Facts, LayerError> {
        // Its arrays have the layer's lengths.
        at.bytes(self)?
            .prove(at.inputs, at.outputs, at.quantisation)
    }
}

/// A body behind a token.
impl Plaintext for VerifiedToken<'_> {
    fn len(&self) -> usize {
        self.plaintext_len()
    }

    fn read(&self, position: usize, out: &mut [u8]) -> Option<()> {
        self.reader_at(position).fill(out)
    }

    fn prove(&self, layer: &LayerAt) -> Result<Facts, LayerError> {
        layer.stream(self).prove(layer.inputs, layer.quantisation)
    }
}

impl Source for PlaintextReader<'_> {
    fn fill(&mut self, out: &mut [u8]) -> Option<()> {
        (self.read(out) == out.len()).then_some(())
    }
}

/// Where a layer lies in the plaintext.
#[derive(Clone, Copy)]
pub(super) struct LayerAt {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) quantisation: Quantisation,
    /// Biases, multipliers, shifts, weights.
    pub(super) arrays: [Span; 4],
    /// What its proof says beside.
    pub(super) facts: Facts,
}

impl LayerAt {
    /// None yet.
    pub(super) fn none(quantisation: Quantisation) -> Self {
        Self {
            inputs: 0,
            outputs: 0,
            quantisation,
            arrays: Default::default(),
            facts: Facts::default(),
        }
    }

    /// The layer where it lies in memory.
    fn bytes<'b>(&self, body: &'b [u8]) -> Result<LayerBytes<'b>, LayerError> {
        let of = |array: Span| array.of(body).ok_or(LayerError::Length);
        let [biases, multipliers, shifts, weights] = self.arrays;
        Ok(LayerBytes {
            biases: of(biases)?,
            multipliers: of(multipliers)?,
            shifts: of(shifts)?,
            weights: of(weights)?,
        })
    }

    /// [`proved`](Self::proved), without the reason why not.
    #[inline(never)] // for three layers
    pub(super) fn in_memory<'b>(&self, body: &'b [u8]) -> Option<DenseRef<'b>> {
        self.proved(body).ok()
    }

    /// The layer where it lies in the memory that it was proved in.
    pub(super) fn proved<'b>(&self, body: &'b [u8]) -> Result<DenseRef<'b>, LayerError> {
        let bytes = self.bytes(body)?;
        DenseRef::from_proved(
            self.inputs,
            self.outputs,
            self.quantisation,
            bytes,
            self.facts,
        )
    }

    /// A pass over the layer.
    pub(super) fn stream<'t>(
        &self,
        token: &'t VerifiedToken<'_>,
    ) -> LayerStream<PlaintextReader<'t>> {
        let readers = self.arrays.map(|array| token.reader_at(array.start));
        LayerStream::new(self.outputs, self.quantisation, readers)
    }
}

/// A part of the plaintext: `start..end`.
#[derive(Clone, Copy, Default)]
pub(super) struct Span {
    start: usize,
    end: usize,
}

impl Span {
    fn new(start: usize, len: usize) -> Option<Self> {
        let end = start.checked_add(len)?;
        Some(Self { start, end })
    }

    /// Length in bytes.
    pub(super) const fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// From where it starts to `end`.
    pub(super) const fn up_to(self, end: usize) -> Self {
        Self { end, ..self }
    }

    /// The `index`th four bytes of it.
    pub(super) fn word(self, plaintext: &dyn Plaintext, index: usize) -> Option<[u8; 4]> {
        let start = self.start.checked_add(index.checked_mul(4)?)?;
        if start.checked_add(4)? > self.end {
            return None;
        }
        let mut word = [0; 4];
        plaintext.read(start, &mut word)?;
        Some(word)
    }

    /// The part of a body that lies in memory.
    pub(super) fn of(self, body: &[u8]) -> Option<&[u8]> {
        body.get(self.start..self.end)
    }
}

/// Reads fields one after another from a span of the plaintext, little-endian. Its errors name the section.
pub(super) struct Cursor<'p> {
    plaintext: &'p dyn Plaintext,
    pub(super) section: u16,
    span: Span,
}

impl<'p> Cursor<'p> {
    /// At the start of the whole plaintext, in no section yet.
    pub(super) fn new(plaintext: &'p dyn Plaintext) -> Self {
        let span = Span {
            start: 0,
            end: plaintext.len(),
        };
        Self::within(plaintext, 0, span)
    }

    /// At the start of a section's payload.
    pub(super) const fn within(plaintext: &'p dyn Plaintext, section: u16, span: Span) -> Self {
        Self {
            plaintext,
            section,
            span,
        }
    }

    /// What it reads from.
    pub(super) const fn plaintext(&self) -> &'p dyn Plaintext {
        self.plaintext
    }

    pub(super) const fn fail(&self, cause: SectionError) -> ArtefactError {
        broken(self.section, cause)
    }

    /// How many bytes are left.
    pub(super) const fn remaining(&self) -> usize {
        self.span.len()
    }

    /// Where the next byte lies in the plaintext.
    pub(super) const fn position(&self) -> usize {
        self.span.start
    }

    /// Passes over the next `n` bytes and says where they lie.
    pub(super) fn skip(&mut self, n: usize) -> Result<Span, ArtefactError> {
        let span = Span::new(self.span.start, n).filter(|span| span.end <= self.span.end);
        let span = span.ok_or(self.fail(SectionError::Length))?;
        self.span.start = span.end;
        Ok(span)
    }

    /// Reads the next bytes into `out`, all of it.
    #[inline(never)] // called for every field
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<(), ArtefactError> {
        let at = self.skip(out.len())?;
        let read = self.plaintext.read(at.start, out);
        read.ok_or(self.fail(SectionError::Length))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ArtefactError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, ArtefactError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, ArtefactError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ArtefactError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ArtefactError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn f32(&mut self) -> Result<f32, ArtefactError> {
        self.array().map(f32::from_le_bytes)
    }

    /// Reads `n` zeros, at most 16.
    #[inline(never)]
    pub(super) fn zeros(&mut self, n: usize) -> Result<(), ArtefactError> {
        let mut bytes = [0; 16];
        let bytes = bytes.get_mut(..n).unwrap_or_default();
        self.fill(bytes)?;
        if bytes.iter().all(|&b| b == 0) {
            Ok(())
        } else {
            Err(self.fail(SectionError::Padding))
        }
    }

    /// Reads zeros up to the next multiple of 16.
    pub(super) fn pad(&mut self) -> Result<(), ArtefactError> {
        self.zeros(padding(self.span.start))
    }

    /// Ends the reading: nothing may be left.
    pub(super) const fn finish(&self) -> Result<(), ArtefactError> {
        if self.remaining() == 0 {
            Ok(())
        } else {
            Err(self.fail(SectionError::Length))
        }
    }
}
