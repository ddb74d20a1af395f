//! A layer whose widths are known at run time, up to a largest one.

use core::mem::MaybeUninit;
use core::ptr;

use super::super::super::weights::{GROUP, columns};
use super::super::super::{DenseRef, Input, Kernel, ShapeError};
use super::{Kind, List, Pairs, Room, activations, fill, to_logits};

/// What a layer of no more than `MAX` inputs and outputs needs.
pub(in super::super::super) struct Rooms<const MAX: usize> {
    list: MaybeUninit<List<MAX>>,
    input: Room<MAX>,
    output: Room<MAX>,
}

impl<const MAX: usize> Rooms<MAX> {
    pub(in super::super::super) const fn new() -> Self {
        Self {
            list: MaybeUninit::uninit(),
            input: Room::uninit(),
            output: Room::uninit(),
        }
    }

    pub(in super::super::super) fn hidden(
        &mut self,
        layer: &DenseRef<'_>,
        kernel: Kernel,
        input: Input<'_>,
        out: &mut [u8],
    ) -> Result<(), ShapeError> {
        let input = self.pairs(layer, kernel, input)?;
        let halves: *mut u16 = self.output.as_mut_ptr().cast();
        if out.len() > MAX {
            return Err(ShapeError::Dimensions);
        }
        // SAFETY: the layer has as many inputs and outputs, and there is room for them, all of which are written.
        unsafe {
            activations(layer, input, halves, out.len());
            for (at, activation) in out.iter_mut().enumerate() {
                // None is above 255.
                *activation = halves.add(at).read() as u8;
            }
        }
        Ok(())
    }

    pub(in super::super::super) fn output(
        &mut self,
        layer: &DenseRef<'_>,
        kernel: Kernel,
        input: Input<'_>,
        out: &mut [i32],
    ) -> Result<(), ShapeError> {
        let input = self.pairs(layer, kernel, input)?;
        // SAFETY: the layer has as many inputs and outputs.
        unsafe { to_logits(layer, input, out) };
        Ok(())
    }

    fn pairs(
        &mut self,
        layer: &DenseRef<'_>,
        kernel: Kernel,
        input: Input<'_>,
    ) -> Result<Pairs, ShapeError> {
        let (Input::Features(bytes) | Input::Activations(bytes)) = input;
        let count = bytes.len();
        if count > MAX || count != layer.inputs() {
            return Err(ShapeError::Features);
        }
        let columns = columns(count);
        let kind = match (kernel, input) {
            (Kernel::Dense, _) => Kind::Dense,
            (Kernel::Skip, Input::Features(_)) if count.is_multiple_of(GROUP) => {
                return Ok(Pairs {
                    at: bytes.as_ptr(),
                    columns,
                    kind: Kind::SkipBytes,
                    list: self.list.as_mut_ptr().cast(),
                });
            }
            (Kernel::Skip, _) => Kind::Skip,
        };
        let halves: *mut u16 = self.input.as_mut_ptr().cast();
        // SAFETY: there is room for so many, and for so much behind them.
        unsafe {
            fill(bytes, halves);
            halves.add(count).write_bytes(0, GROUP - 1);
        }
        Ok(Pairs {
            at: halves.cast(),
            columns,
            kind,
            list: ptr::null_mut(),
        })
    }
}
