//! Cortex-M with the DSP extension (M4, M7, some M33): two products an instruction.
//!
//! `SMLAD` multiplies both halves of two words and adds both products; `SXTB16` sign-extends the lower byte of each
//! half. See [`packed`](super::super::packed) for what the halves are. Of the dense kernel
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

mod convert;
mod products;

use core::mem::MaybeUninit;
use core::{ptr, slice};

use convert::{list_bytes, list_pairs, to_i32, to_u8, widen};
use products::{combine, listed, part, whole};

use super::super::packed::{BLOCK, BLOCK_WORDS, FLUSH, GROUP, TILE, Tile, columns};
use super::super::{DenseRef, Kernel, LayerBytes};

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
        let halves: *mut u16 = room.as_mut_ptr().cast();
        // SAFETY: both have room for as many as are written, and those are all.
        unsafe {
            if N >= GROUP {
                widen(bytes.as_ptr(), halves, N / GROUP);
            }
            for (at, byte) in bytes.iter().enumerate().skip(N / GROUP * GROUP) {
                halves.add(at).write(u16::from(*byte));
            }
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

/// The first layer's activations.
pub(in super::super) fn first<'r, const IN: usize, const OUT: usize>(
    layer: &DenseRef<'_>,
    kernel: Kernel,
    features: &[u8; IN],
    room: &'r mut Room<OUT>,
) -> &'r Halves<OUT> {
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
    // SAFETY: there is room for so many, and all are written.
    unsafe {
        activations(layer, input, room.as_mut_ptr().cast(), OUT);
        Halves::padded(room)
    }
}

/// Another hidden layer's activations.
pub(in super::super) fn hidden<'r, const IN: usize, const OUT: usize>(
    layer: &DenseRef<'_>,
    kernel: Kernel,
    input: &Halves<IN>,
    room: &'r mut Room<OUT>,
) -> &'r Halves<OUT> {
    // SAFETY: there is room for so many, and all are written.
    unsafe {
        activations(
            layer,
            Pairs::of(kernel, input),
            room.as_mut_ptr().cast(),
            OUT,
        );
        Halves::padded(room)
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

/// Writes the output layer's logits.
#[inline(never)]
pub(in super::super) fn output<const IN: usize, const OUT: usize>(
    layer: &DenseRef<'_>,
    kernel: Kernel,
    input: &Halves<IN>,
    logits: &mut [i32; OUT],
) {
    let mut room = MaybeUninit::uninit();
    let input = Pairs::of(kernel, input);
    for (out, first) in logits.chunks_mut(TILE).zip((0..).step_by(TILE)) {
        // SAFETY: the layer has as many inputs.
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
    /// Of each two outputs that share a word those of the even one and of both; from a multiple of 64 bytes on.
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
#[inline(never)]
unsafe fn sums<'s>(
    layer: &DenseRef<'_>,
    first: usize,
    input: Pairs,
    room: &'s mut MaybeUninit<Work>,
) -> &'s [i32] {
    let Tile { words, stride } = layer.tile(first);
    let blocks = stride / BLOCK_WORDS;
    let piece = if input.kind == Kind::Skip {
        LISTED
    } else if layer.facts().narrow {
        input.columns
    } else {
        FLUSH / 2
    };
    let work = room.as_mut_ptr();
    let mut done = 0;
    // SAFETY: the tile has so many columns of `stride` words, an even number; all words are aligned, as the layer says. Two
    // sums are written for each word of a column.
    unsafe {
        let each = (&raw mut (*work).each).cast::<i32>();
        let both = (&raw mut (*work).both).cast::<i32>();
        // What is no four blocks begins amid a turn of the loop.
        let both = both.byte_add(both.addr().wrapping_neg() % 64);
        let both = both.add(blocks.wrapping_neg() % 4 * BLOCK);
        while done < input.columns {
            let count = piece.min(input.columns - done);
            let words = words.as_ptr().cast::<u32>().add(done * stride);
            let pairs = input.at.cast::<u32>().add(done);
            let groups = count / (GROUP / 2);
            let (list, end) = match input.kind {
                Kind::Dense => {
                    if stride == TILE / 2 {
                        whole(words, pairs, groups, each, blocks, done);
                    } else {
                        part(words, pairs, groups, each, blocks, done, 4 * stride);
                    }
                    done += count;
                    continue;
                }
                Kind::Skip => {
                    let list = (&raw mut (*work).list).cast();
                    (list, list_pairs(pairs, count, words, 4 * stride, list))
                }
                Kind::SkipBytes => {
                    let bytes = input.at.add(2 * done);
                    let end = bytes.add(2 * count);
                    let list = input.list;
                    (list, list_bytes(bytes, end, words, 4 * stride, list))
                }
            };
            listed(list, end, both, blocks);
            combine(both, each, blocks, done);
            done += count;
        }
        slice::from_raw_parts(each, 2 * stride)
    }
}
