//! Cortex-M with the DSP extension (M4, M7, some M33): two products an instruction.
//!
//! `SMLAD` multiplies both halves of two words and adds both products; `SXTB16` sign-extends the lower byte of each
//! half, and a mask cuts a nibble out of each. See [`packed`](super::super::packed) and [`nibbles`](super::super::nibbles)
//! for what the halves are. Of the dense kernel
//! neither the addresses nor the number of instructions depend on an input; on a weight or a factor only as far as it
//! decides for all: see [`Facts`](super::super::Facts).
#![allow(unsafe_code)] // assembly

/// What has the instructions. Where the target does not say so, an assembler has to be told, whatever the compiler was.
#[cfg(not(sealnet_v8m))]
macro_rules! core_with_dsp {
    () => {
        ""
    };
}
#[cfg(sealnet_v8m)]
macro_rules! core_with_dsp {
    () => {
        ".cpu cortex-m33"
    };
}

#[cfg(feature = "any-width")]
pub(in super::super) mod any;
mod convert;
#[cfg(feature = "int4")]
mod int4;
#[cfg(feature = "int8")]
mod int8;
#[cfg(feature = "int4")]
mod nibbles;
#[cfg(feature = "int8")]
mod products;

use core::mem::MaybeUninit;
use core::ptr;

use convert::{to_i32, to_u8, widen};

use super::super::weights::{FLUSH, GROUP, TILE, columns};
use super::super::{DenseRef, Kernel, LayerBytes, WeightType};

/// Inputs as halfwords, two a word, as the weights of a word are for two; and zeros up to a whole group.
#[repr(C, align(4))]
pub(in super::super) struct Halves<const N: usize> {
    inputs: [u16; N],
    padding: [u16; GROUP - 1],
}

/// Room for them: nothing is written there twice.
pub(in super::super) type Room<const N: usize> = MaybeUninit<Halves<N>>;

impl<const N: usize> Halves<N> {
    /// Of bytes.
    pub(in super::super) fn of<'r>(bytes: &[u8; N], room: &'r mut Room<N>) -> &'r Self {
        // SAFETY: there is room for as many.
        unsafe {
            fill(bytes, room.as_mut_ptr().cast());
            Self::padded(room)
        }
    }

    /// With zeros behind them.
    ///
    /// # Safety
    /// The inputs are written.
    unsafe fn padded(room: &mut Room<N>) -> &Self {
        let halves: *mut u16 = room.as_mut_ptr().cast();
        // SAFETY: there is room for so many more; what lies behind them is not read.
        unsafe {
            if !N.is_multiple_of(GROUP) {
                halves.add(N).write_bytes(0, GROUP - 1);
            }
            &*room.as_ptr()
        }
    }
}

/// Writes bytes as halfwords.
///
/// # Safety
/// There is room for as many, aligned to words.
#[inline(always)]
unsafe fn fill(bytes: &[u8], halves: *mut u16) {
    let groups = bytes.len() / GROUP;
    // SAFETY: as the caller says.
    unsafe {
        if groups > 0 {
            widen(bytes.as_ptr(), halves, groups);
        }
        for (at, byte) in bytes.iter().enumerate().skip(groups * GROUP) {
            halves.add(at).write(u16::from(*byte));
        }
    }
}

/// Room for a list of pairs of inputs, two words each, with some to end it; or for the inputs themselves.
#[repr(C, align(4))]
struct List<const N: usize>([u32; N], [u32; GROUP + 4]);

/// What a layer computes from.
#[derive(Clone, Copy)]
struct Pairs {
    at: *const u8,
    columns: usize,
    kind: Kind,
    /// Room for a list of bytes.
    list: *mut u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dense,
    Skip,
    SkipBytes,
}

impl Pairs {
    fn of<const N: usize>(kernel: Kernel, halves: &Halves<N>) -> Self {
        Self {
            at: halves.inputs.as_ptr().cast(),
            columns: columns(N),
            kind: match kernel {
                Kernel::Dense => Kind::Dense,
                Kernel::Skip => Kind::Skip,
            },
            list: ptr::null_mut(),
        }
    }
}

/// The first layer's activations; `None` if it has other widths.
pub(in super::super) fn first<'r, const IN: usize, const OUT: usize>(
    layer: &DenseRef<'_>,
    kernel: Kernel,
    features: &[u8; IN],
    room: &'r mut Room<OUT>,
) -> Option<&'r Halves<OUT>> {
    if !layer.has_widths(IN, OUT) {
        return None;
    }
    let mut list = MaybeUninit::<List<IN>>::uninit();
    let input = if kernel == Kernel::Skip && IN.is_multiple_of(GROUP) {
        Pairs {
            at: features.as_ptr(),
            columns: columns(IN),
            kind: Kind::SkipBytes,
            list: list.as_mut_ptr().cast(),
        }
    } else {
        // SAFETY: it is aligned and long enough for them, and is not used for a list as well.
        let room = unsafe { &mut *list.as_mut_ptr().cast::<Room<IN>>() };
        Pairs::of(kernel, Halves::of(features, room))
    };
    // SAFETY: the layer has these widths, there is room for so many, and all are written.
    unsafe {
        activations(layer, input, room.as_mut_ptr().cast(), OUT);
        Some(Halves::padded(room))
    }
}

/// Another hidden layer's activations; `None` if it has other widths.
pub(in super::super) fn hidden<'r, const IN: usize, const OUT: usize>(
    layer: &DenseRef<'_>,
    kernel: Kernel,
    input: &Halves<IN>,
    room: &'r mut Room<OUT>,
) -> Option<&'r Halves<OUT>> {
    if !layer.has_widths(IN, OUT) {
        return None;
    }
    let input = Pairs::of(kernel, input);
    // SAFETY: as for the first.
    unsafe {
        activations(layer, input, room.as_mut_ptr().cast(), OUT);
        Some(Halves::padded(room))
    }
}

/// Writes a hidden layer's activations.
///
/// # Safety
/// The layer has as many inputs as there are and `count` outputs, for which there is room at `out`, which is aligned to words.
#[inline(never)] // for all layers
unsafe fn activations(layer: &DenseRef<'_>, input: Pairs, out: *mut u16, count: usize) {
    let LayerBytes {
        biases,
        multipliers,
        shifts,
        ..
    } = layer.bytes();
    let mut room = MaybeUninit::uninit();
    for first in (0..count).step_by(TILE) {
        let count = TILE.min(count - first);
        // SAFETY: as the caller says. There are as many biases as outputs, and in a layer that is quick as many factors.
        unsafe {
            let sums = sums(layer, first, input, &mut room);
            let out = out.add(first);
            if layer.facts().quick && count.is_multiple_of(4) {
                to_u8(
                    sums.as_ptr(),
                    biases.as_ptr().cast::<u32>().add(first),
                    multipliers.as_ptr().cast::<u32>().add(first),
                    shifts.as_ptr().cast::<u32>().byte_add(first),
                    out,
                    count / 4,
                );
            } else {
                slowly(layer, first, sums, out, count);
            }
        }
    }
}

/// A tile's activations where they are of no four, or the layer is not quick.
///
/// # Safety
/// There is room for `count` activations at `out`.
#[cold]
unsafe fn slowly(layer: &DenseRef<'_>, first: usize, sums: &[i32], out: *mut u16, count: usize) {
    for (at, sum) in sums.iter().enumerate().take(count) {
        let row = layer.row(first + at);
        let activation = row.map_or(0, |row| row.requant.to_u8(row.bias.wrapping_add(*sum)));
        // SAFETY: as the caller says.
        unsafe { out.add(at).write(activation.into()) };
    }
}

/// Writes the output layer's logits; `None` if it has other widths.
#[inline(never)]
pub(in super::super) fn output<const IN: usize, const OUT: usize>(
    layer: &DenseRef<'_>,
    kernel: Kernel,
    input: &Halves<IN>,
    logits: &mut [i32; OUT],
) -> Option<()> {
    if !layer.has_widths(IN, OUT) {
        return None;
    }
    // SAFETY: the layer has these widths.
    unsafe { to_logits(layer, Pairs::of(kernel, input), logits) };
    Some(())
}

/// The same.
///
/// # Safety
/// The layer has as many inputs as there are, and as many outputs.
#[inline(always)]
unsafe fn to_logits(layer: &DenseRef<'_>, input: Pairs, logits: &mut [i32]) {
    let mut room = MaybeUninit::uninit();
    for (out, first) in logits.chunks_mut(TILE).zip((0..).step_by(TILE)) {
        // SAFETY: as the caller says.
        let sums = unsafe { sums(layer, first, input, &mut room) };
        if layer.facts().quick {
            let LayerBytes {
                biases,
                multipliers,
                shifts,
                ..
            } = layer.bytes();
            // SAFETY: there are as many of each as outputs.
            unsafe {
                to_i32(
                    sums.as_ptr(),
                    biases.as_ptr().cast::<u32>().add(first),
                    multipliers.as_ptr().cast::<u32>().add(first),
                    shifts.as_ptr().add(first),
                    out.as_mut_ptr(),
                    out.len(),
                );
            }
            continue;
        }
        for ((sum, logit), output) in sums.iter().zip(out).zip(first..) {
            let row = layer.row(output);
            *logit = row.map_or(0, |row| row.requant.to_i32(row.bias.wrapping_add(*sum)));
        }
    }
}

/// Sums of a tile's products, and what it takes to list some of them.
struct Work {
    list: [[u32; 2]; LISTED + 2],
    /// What outputs have that share a word, together; from a multiple of 64 bytes on.
    both: [i32; TILE + 15],
    /// Of each output.
    each: [i32; TILE],
}

/// Columns that are listed at once from halfwords.
const LISTED: usize = 32;

/// `sum(w[o][i] * input[i])` of the outputs of the tile that begins with `first`.
///
/// # Safety
/// The layer has as many inputs as there are.
#[inline(always)]
unsafe fn sums<'s>(
    layer: &DenseRef<'_>,
    first: usize,
    input: Pairs,
    room: &'s mut MaybeUninit<Work>,
) -> &'s [i32] {
    // SAFETY: as the caller says.
    unsafe {
        match layer.weight_type() {
            #[cfg(feature = "int8")]
            WeightType::Int8 => int8::sums(layer, first, input, room),
            #[cfg(feature = "int4")]
            WeightType::Int4 => int4::sums(layer, first, input, room),
        }
    }
}

/// Columns that are taken at once.
fn piece(layer: &DenseRef<'_>, input: Pairs) -> usize {
    if input.kind == Kind::Skip {
        LISTED
    } else if layer.facts().narrow {
        input.columns
    } else {
        FLUSH / 2
    }
}
