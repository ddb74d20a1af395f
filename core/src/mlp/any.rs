//! One layer at a time, of widths that are known at run time: so that a device's kernels can be tried with layers of every
//! shape in one program.

#[cfg(sealnet_dsp)]
use super::kernel::dsp::any::Rooms;
use super::{DenseRef, Kernel, ShapeError};

/// What a layer computes from. A kernel may take either in a way of its own.
#[derive(Debug, Clone, Copy)]
pub enum Input<'i> {
    /// As a first layer does, of features.
    Features(&'i [u8]),
    /// As another layer does, of activations.
    Activations(&'i [u8]),
}

/// Runs layers of no more than `MAX` inputs and outputs with the kernel that a device of this target has.
pub struct AnyWidth<const MAX: usize> {
    #[cfg(sealnet_dsp)]
    rooms: Rooms<MAX>,
}

impl<const MAX: usize> AnyWidth<MAX> {
    /// With room for them: some `8 * MAX` bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            #[cfg(sealnet_dsp)]
            rooms: Rooms::new(),
        }
    }

    /// `[outputs]` activations of `[inputs]` features or activations.
    ///
    /// # Errors
    ///
    /// [`ShapeError::Features`] or [`ShapeError::Dimensions`] if there are not so many, or more than `MAX`; nothing is computed
    /// then.
    pub fn hidden(
        &mut self,
        layer: &DenseRef<'_>,
        kernel: Kernel,
        input: Input<'_>,
        out: &mut [u8],
    ) -> Result<(), ShapeError> {
        let inputs = fits(layer, input, out.len())?;
        #[cfg(sealnet_dsp)]
        {
            let _ = inputs;
            self.rooms.hidden(layer, kernel, input, out)
        }
        #[cfg(not(sealnet_dsp))]
        {
            // There is one kernel for both.
            let _ = kernel;
            super::kernel::hidden(layer, inputs, out);
            Ok(())
        }
    }

    /// `[outputs]` logits of `[inputs]` features or activations.
    ///
    /// # Errors
    ///
    /// As [`hidden`](Self::hidden).
    pub fn output(
        &mut self,
        layer: &DenseRef<'_>,
        kernel: Kernel,
        input: Input<'_>,
        out: &mut [i32],
    ) -> Result<(), ShapeError> {
        let inputs = fits(layer, input, out.len())?;
        #[cfg(sealnet_dsp)]
        {
            let _ = inputs;
            self.rooms.output(layer, kernel, input, out)
        }
        #[cfg(not(sealnet_dsp))]
        {
            let _ = kernel;
            super::kernel::output(layer, inputs, out);
            Ok(())
        }
    }
}

impl<const MAX: usize> Default for AnyWidth<MAX> {
    fn default() -> Self {
        Self::new()
    }
}

fn fits<'i>(
    layer: &DenseRef<'_>,
    input: Input<'i>,
    outputs: usize,
) -> Result<&'i [u8], ShapeError> {
    let (Input::Features(bytes) | Input::Activations(bytes)) = input;
    if bytes.len() != layer.inputs() {
        return Err(ShapeError::Features);
    }
    if outputs != layer.outputs() {
        return Err(ShapeError::Dimensions);
    }
    Ok(bytes)
}
