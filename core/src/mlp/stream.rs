//! A layer whose parameters are read in pieces, once for each use: they never exist whole.

use zeroize::Zeroizing;

#[cfg(feature = "int8")]
use super::packed::column_words;
use super::proof::{Facts, prove};
#[cfg(feature = "int4")]
use super::weights::{BLOCK, GROUP};
use super::weights::{TILE, columns};
use super::{LayerError, Quantisation, WeightType, kernel};
use crate::quant::Requant;

/// Gives bytes from front to back.
pub(crate) trait Source {
    /// Fills `out` with the next bytes; `None` if there are fewer.
    fn fill(&mut self, out: &mut [u8]) -> Option<()>;
}

impl Source for &[u8] {
    fn fill(&mut self, out: &mut [u8]) -> Option<()> {
        let (bytes, rest) = self.split_at_checked(out.len())?;
        *self = rest;
        // As long by its making: no panic is left. A word at a time, as `copy` is not.
        out.copy_from_slice(bytes);
        Some(())
    }
}

/// One pass over a layer: its four arrays as [`LayerBytes`](super::LayerBytes) has them, each read side by
/// side with the others, so that nothing of them is kept but a column of a tile.
pub(crate) struct LayerStream<S> {
    biases: S,
    multipliers: S,
    shifts: S,
    weights: S,
    /// Outputs not yet taken.
    outputs: usize,
    /// Factors not yet read: one for each output, or one for the first that stays for all.
    factors: usize,
    requant: Requant,
    weight_type: WeightType,
    /// The weights that are taken next, wiped when dropped: of a tile for two inputs, or of a block for a group.
    some: Zeroizing<[[u8; 4]; TILE / 2]>,
}

impl<S: Source> LayerStream<S> {
    /// A pass over a layer of `outputs` outputs; each source is at the start of its array.
    pub(crate) fn new(
        outputs: usize,
        quantisation: Quantisation,
        [biases, multipliers, shifts, weights]: [S; 4],
    ) -> Self {
        Self {
            biases,
            multipliers,
            shifts,
            weights,
            outputs,
            factors: quantisation.granularity.factors(outputs),
            requant: Requant::from_proved(0, 1),
            weight_type: quantisation.weights,
            some: Zeroizing::new([[0; 4]; TILE / 2]),
        }
    }

    /// Proves what [`DenseRef::new`](super::DenseRef::new) proves. Gives what a kernel may rely on.
    pub(crate) fn prove(
        mut self,
        inputs: usize,
        quantisation: Quantisation,
    ) -> Result<Facts, LayerError> {
        let sources: [&mut dyn Source; 4] = [
            &mut self.biases,
            &mut self.multipliers,
            &mut self.shifts,
            &mut self.weights,
        ];
        prove(inputs, self.outputs, quantisation, sources)
    }

    /// A hidden layer, proved before: `out[outputs]` activations of `input[inputs]`.
    pub(crate) fn hidden(mut self, input: &[u8], out: &mut [u8]) {
        for out in out.chunks_mut(TILE) {
            let sums = self.tile(input);
            for (activation, sum) in out.iter_mut().zip(sums.as_flattened()) {
                let Some((acc, requant)) = self.finish(*sum) else {
                    return;
                };
                *activation = requant.to_u8(acc);
            }
        }
    }

    /// The output layer, proved before: `out[outputs]` logits of `input[inputs]`.
    pub(crate) fn output(mut self, input: &[u8], out: &mut [i32]) {
        for out in out.chunks_mut(TILE) {
            let sums = self.tile(input);
            for (logit, sum) in out.iter_mut().zip(sums.as_flattened()) {
                let Some((acc, requant)) = self.finish(*sum) else {
                    return;
                };
                *logit = requant.to_i32(acc);
            }
        }
    }

    /// The next tile's sums of products, without biases.
    #[inline(never)] // called from two places
    fn tile(&mut self, input: &[u8]) -> [[i32; 2]; TILE / 2] {
        let mut sums = [[0; 2]; TILE / 2];
        // Every partial sum fits: the bound was proved.
        match self.weight_type {
            #[cfg(feature = "int8")]
            WeightType::Int8 => self.columns(input, &mut sums),
            #[cfg(feature = "int4")]
            WeightType::Int4 => self.blocks(input, sums.as_flattened_mut().as_chunks_mut().0),
        };
        self.outputs = self.outputs.saturating_sub(TILE);
        sums
    }

    /// Adds to a tile's sums; `None` if the weights end before.
    #[cfg(feature = "int8")]
    fn columns(&mut self, input: &[u8], sums: &mut [[i32; 2]]) -> Option<()> {
        let words = column_words(self.outputs);
        for at in (0..2 * columns(input.len())).step_by(2) {
            let column = self.some.get_mut(..words)?;
            self.weights.fill(column.as_flattened_mut())?;
            if let Some([x0, x1]) = input.get(at..).and_then(|inputs| inputs.first_chunk()) {
                kernel::column(column, [*x0, *x1], sums);
            } else if let Some(x0) = input.get(at) {
                kernel::column(column, [*x0, 0], sums);
            }
        }
        Some(())
    }

    /// The same, four outputs after four.
    #[cfg(feature = "int4")]
    fn blocks(&mut self, input: &[u8], sums: &mut [[i32; BLOCK]]) -> Option<()> {
        for sums in sums.iter_mut().take(self.outputs.div_ceil(BLOCK)) {
            for at in (0..2 * columns(input.len())).step_by(GROUP) {
                let group = self.some.get_mut(..GROUP / 2)?;
                self.weights.fill(group.as_flattened_mut())?;
                kernel::block(group, input.get(at..).unwrap_or_default(), sums);
            }
        }
        Some(())
    }

    /// The next output's accumulator, its products being summed, and the factor for it.
    #[inline(never)] // called from two loops
    fn finish(&mut self, sum: i32) -> Option<(i32, Requant)> {
        if let Some(rest) = self.factors.checked_sub(1) {
            self.factors = rest;
            let (multiplier, shift) = self.factor()?;
            self.requant = Requant::from_proved(multiplier, shift);
        }
        Some((self.bias()?.wrapping_add(sum), self.requant))
    }

    fn bias(&mut self) -> Option<i32> {
        let mut bytes = [0; 4];
        self.biases.fill(&mut bytes)?;
        Some(i32::from_le_bytes(bytes))
    }

    fn factor(&mut self) -> Option<(i32, u8)> {
        let (mut multiplier, mut shift) = ([0; 4], [0]);
        self.multipliers.fill(&mut multiplier)?;
        self.shifts.fill(&mut shift)?;
        let [shift] = shift;
        Some((i32::from_le_bytes(multiplier), shift))
    }
}
