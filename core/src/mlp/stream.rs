//! A layer whose parameters are read in pieces, once for each use: they never exist whole.

use zeroize::Zeroizing;

use super::layer::prove_row;
use super::{Granularity, LayerError, kernel};
use crate::quant::{Magnitudes, Requant};

/// Gives bytes from front to back.
pub(crate) trait Source {
    /// Fills `out` with the next bytes; `None` if there are fewer.
    fn fill(&mut self, out: &mut [u8]) -> Option<()>;
}

/// One pass over a layer: its four arrays as [`LayerBytes`](super::LayerBytes) has them, each read side by
/// side with the others, so that nothing of them is kept but a piece of a row.
pub(crate) struct LayerStream<S> {
    biases: S,
    multipliers: S,
    shifts: S,
    weights: S,
    /// Factors not yet read: one for each output, or one for the first that stays for all.
    factors: usize,
    requant: Requant,
    /// Weights of one output, wiped when dropped.
    piece: Zeroizing<[u8; PIECE]>,
}

impl<S: Source> LayerStream<S> {
    /// A pass over a layer of `outputs` outputs; each source is at the start of its array.
    pub(crate) fn new(
        outputs: usize,
        granularity: Granularity,
        [biases, multipliers, shifts, weights]: [S; 4],
    ) -> Self {
        Self {
            biases,
            multipliers,
            shifts,
            weights,
            factors: granularity.factors(outputs),
            requant: Requant::from_proved(0, 1),
            piece: Zeroizing::new([0; PIECE]),
        }
    }

    /// Proves what [`DenseRef::new`](super::DenseRef::new) proves, in its order: factors in range, then row by
    /// row weights in `[-127, 127]` and the accumulator's bound.
    pub(crate) fn prove(mut self, inputs: usize, outputs: usize) -> Result<(), LayerError> {
        if inputs == 0 || outputs == 0 {
            return Err(LayerError::Length);
        }
        for row in 0..self.factors {
            let (multiplier, shift) = self.factor().ok_or(LayerError::Length)?;
            Requant::new(multiplier, shift).map_err(|cause| LayerError::Requant { row, cause })?;
        }
        for row in 0..outputs {
            let bias = self.bias().ok_or(LayerError::Length)?;
            let mut all = Magnitudes::default();
            let mut left = inputs;
            while left > 0 {
                let weights = self.piece.get_mut(..left.min(PIECE)).unwrap_or_default();
                self.weights.fill(weights).ok_or(LayerError::Length)?;
                all = all.and(Magnitudes::of(weights));
                left = left.saturating_sub(PIECE);
            }
            prove_row(row, all, bias)?;
        }
        Ok(())
    }

    /// A hidden layer, proved before: `out[outputs]` activations of `input[inputs]`.
    pub(crate) fn hidden(mut self, input: &[u8], out: &mut [u8]) {
        for activation in out {
            let Some((acc, requant)) = self.next(input) else {
                return;
            };
            *activation = requant.to_u8(acc);
        }
    }

    /// The output layer, proved before: `out[outputs]` logits of `input[inputs]`.
    pub(crate) fn output(mut self, input: &[u8], out: &mut [i32]) {
        for logit in out {
            let Some((acc, requant)) = self.next(input) else {
                return;
            };
            *logit = requant.to_i32(acc);
        }
    }

    /// The next output's accumulator, and the factor for it.
    #[inline(never)] // called from two loops
    fn next(&mut self, input: &[u8]) -> Option<(i32, Requant)> {
        if let Some(rest) = self.factors.checked_sub(1) {
            self.factors = rest;
            let (multiplier, shift) = self.factor()?;
            self.requant = Requant::from_proved(multiplier, shift);
        }
        let mut acc = self.bias()?;
        for input in input.chunks(PIECE) {
            let weights = self.piece.get_mut(..input.len())?;
            self.weights.fill(weights)?;
            // Every partial sum fits: the row's bound was proved.
            acc = kernel::accumulate(weights, input, acc);
        }
        Some((acc, self.requant))
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

/// Bytes of a row that are read at once, a multiple of every kernel's step and of an AES block. Longer ones
/// save little, shorter ones cost calls.
const PIECE: usize = 128;
