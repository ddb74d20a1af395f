//! Cortex-M with the DSP extension (M4, M7, some M33): two products an instruction.
//!
//! `SMLAD` multiplies both halves of two words and adds both products; `SXTB16` sign-extends the lower byte of each
//! half. See [`packed`](super::super::packed) for what the halves are. Neither the addresses nor the number of
//! instructions depend on an input; on a weight or a factor only as far as it decides for all: see
//! [`narrow`](DenseRef::narrow), and [`requantise`].
#![allow(unsafe_code)] // assembly; the only unsafe code here

use core::arch::naked_asm;
use core::mem::MaybeUninit;
use core::slice;

use super::super::packed::{BLOCK_WORDS, FLUSH, TILE, Tile, column_words};
use super::super::{DenseRef, Granularity, LayerBytes};
use super::portable;

/// Inputs as halfwords: two a word, as the weights of a word are for two.
#[repr(C, align(4))]
pub(in super::super) struct Halves<const N: usize>([u16; N]);

/// Room for them: nothing is written there twice.
pub(in super::super) type Room<const N: usize> = MaybeUninit<Halves<N>>;

impl<const N: usize> Halves<N> {
    /// Of bytes.
    pub(in super::super) fn of<'r>(bytes: &[u8; N], room: &'r mut Room<N>) -> &'r Self {
        let halves: *mut u16 = room.as_mut_ptr().cast();
        // SAFETY: both have room for as many as are written, and those are all.
        unsafe {
            if N >= 16 {
                widen(bytes.as_ptr(), halves, N / 16);
            }
            for (at, byte) in bytes.iter().enumerate().skip(N / 16 * 16) {
                halves.add(at).write(u16::from(*byte));
            }
            room.assume_init_ref()
        }
    }
}

/// A hidden layer's activations.
pub(in super::super) fn hidden<'r, const IN: usize, const OUT: usize>(
    layer: &DenseRef<'_>,
    input: &Halves<IN>,
    room: &'r mut Room<OUT>,
) -> &'r Halves<OUT> {
    // SAFETY: there is room for so many, and all are written.
    unsafe {
        activations(layer, &input.0, room.as_mut_ptr().cast(), OUT);
        room.assume_init_ref()
    }
}

/// Writes a hidden layer's activations.
///
/// # Safety
/// There is room for `count` of them at `out`, which is aligned to words.
#[inline(never)] // for all layers
unsafe fn activations(layer: &DenseRef<'_>, input: &[u16], out: *mut u16, count: usize) {
    let mut sums = MaybeUninit::uninit();
    for first in (0..count).step_by(TILE) {
        let sums = products(layer, first, input, &mut sums);
        let count = TILE.min(count - first);
        // SAFETY: there is room for as many from there on.
        unsafe {
            let out = out.add(first);
            let done = requantise(layer, first, sums, out, count);
            if done < count {
                slowly(layer, first, done, sums, out, count);
            }
        }
    }
}

/// A tile's activations from `done` on: those of no four, those of a factor that all share, or where a shift is 32 or less.
///
/// # Safety
/// There is room for `count` activations at `out`.
#[cold]
unsafe fn slowly(
    layer: &DenseRef<'_>,
    first: usize,
    done: usize,
    sums: &[i32],
    out: *mut u16,
    count: usize,
) {
    for at in done..count {
        let sum = sums.get(at).copied().unwrap_or_default();
        let row = layer.row(first + at);
        let activation = row.map_or(0, |row| row.requant.to_u8(row.bias.wrapping_add(sum)));
        // SAFETY: as the caller says.
        unsafe { out.add(at).write(activation.into()) };
    }
}

/// Adds biases to sums and brings them to activations, as [`Requant::to_u8`](crate::quant::Requant::to_u8) does, in
/// fours, up to the first in which a shift is not above 32. Gives how many it made, at most `count`.
///
/// # Safety
/// There is room for `count` activations at `out`, which is aligned to words.
unsafe fn requantise(
    layer: &DenseRef<'_>,
    first: usize,
    sums: &[i32],
    out: *mut u16,
    count: usize,
) -> usize {
    let LayerBytes {
        biases,
        multipliers,
        shifts,
        ..
    } = layer.bytes();
    let (biases, multipliers) = (
        biases.as_ptr().cast::<u32>(),
        multipliers.as_ptr().cast::<u32>(),
    );
    let fours = count.min(sums.len()) / 4;
    let fast = layer.granularity() == Granularity::PerOutput
        && shifts.len() >= first + 4 * fours
        && biases.is_aligned()
        && multipliers.is_aligned()
        && fours > 0;
    if !fast {
        return 0;
    }
    // SAFETY: so many sums, shifts and activations are there; and of a layer whose factors are for one output each there are
    // as many biases and multipliers as shifts.
    unsafe {
        let end = to_u8(
            sums.as_ptr(),
            biases.add(first),
            multipliers.add(first),
            shifts.as_ptr().add(first),
            out,
            fours,
        );
        end.offset_from_unsigned(out)
    }
}

/// The output layer's logits.
#[inline(never)]
pub(in super::super) fn output<const IN: usize, const OUT: usize>(
    layer: &DenseRef<'_>,
    input: &Halves<IN>,
) -> [i32; OUT] {
    let mut logits = [0; OUT];
    let mut sums = MaybeUninit::uninit();
    for (out, first) in logits.chunks_mut(TILE).zip((0..).step_by(TILE)) {
        let sums = products(layer, first, &input.0, &mut sums);
        for ((sum, logit), output) in sums.iter().zip(out).zip(first..) {
            let row = layer.row(output);
            *logit = row.map_or(0, |row| row.requant.to_i32(row.bias.wrapping_add(*sum)));
        }
    }
    logits
}

/// `sum(w[o][i] * input[i])` of the outputs of the tile that begins with `first`.
#[inline(never)]
fn products<'s>(
    layer: &DenseRef<'_>,
    first: usize,
    input: &[u16],
    room: &'s mut MaybeUninit<[i32; TILE]>,
) -> &'s [i32] {
    let tile = layer.tile(first);
    let groups = input.len() / GROUP;
    let (words, pairs) = (
        tile.words.as_ptr().cast::<u32>(),
        input.as_ptr().cast::<u32>(),
    );
    let mut columns = groups * (GROUP / 2);
    let there = tile.stride > 0 && tile.words.len() >= columns * tile.stride;
    if !(there && words.is_aligned() && pairs.is_aligned()) {
        columns = 0;
    }
    let sums = room.as_mut_ptr().cast::<i32>();
    let mut done = 0;
    while done < columns {
        let left = columns - done;
        let piece = if layer.narrow() {
            left
        } else {
            left.min(FLUSH / 2)
        };
        // SAFETY: so many columns are there, and so are so many pairs of inputs, and room for two sums a word of a column,
        // which has an even number of them. All are aligned to words.
        unsafe {
            let words = words.add(done * tile.stride);
            let (pairs, groups) = (pairs.add(done), piece / (GROUP / 2));
            let (add, blocks) = (done != 0, tile.stride / BLOCK_WORDS);
            if tile.stride == TILE / 2 {
                whole(words, pairs, groups, sums, add, blocks);
            } else {
                narrower(words, pairs, groups, sums, add, blocks, 4 * tile.stride);
            }
        }
        done += piece;
    }
    if done == 0 {
        // SAFETY: there is room for so many.
        unsafe { sums.cast::<[i32; TILE]>().write([0; TILE]) };
    }
    // SAFETY: either all were written, or two for each word of a column.
    let sums = unsafe { slice::from_raw_parts_mut(sums, 2 * tile.stride) };
    if 2 * done < input.len() {
        one_by_one(tile, input, 2 * done, sums);
    }
    sums
}

/// Inputs that are taken at least at once.
const GROUP: usize = 16;

/// Adds what is to be added for the inputs that are left: those of no eight pairs, or all where weights are not aligned.
#[cold]
fn one_by_one(tile: Tile<'_>, input: &[u16], done: usize, sums: &mut [i32]) {
    let (pairs, _) = sums.as_chunks_mut();
    let mut at = done;
    while let Some(x0) = input.get(at) {
        let x1 = input.get(at + 1).copied().unwrap_or_default();
        let words = tile.words.get(at / 2 * tile.stride..);
        portable::column(words.unwrap_or_default(), [*x0 as u8, x1 as u8], pairs);
        at += 2;
    }
}

/// `sixteens` times 16 bytes to halfwords. Clobbers what the procedure call standard lets it.
///
/// # Safety
/// The memory is there, that of the halfwords is aligned to words, and `sixteens` is at least 1.
#[unsafe(naked)]
unsafe extern "C" fn widen(from: *const u8, to: *mut u16, sixteens: usize) {
    naked_asm!(
        "push {{r4-r10, lr}}",
        "1:",
        // At any address.
        "ldr r3, [r0], #4",
        "ldr r5, [r0], #4",
        "ldr r7, [r0], #4",
        "ldr r9, [r0], #4",
        ".macro sealnet_widen low, high",
        "uxtb16 r12, \\low",        // bytes 2, 0
        "uxtb16 lr, \\low, ror #8", // bytes 3, 1
        "pkhbt \\low, r12, lr, lsl #16",
        "pkhtb \\high, lr, r12, asr #16",
        ".endm",
        "sealnet_widen r3, r4",
        "sealnet_widen r5, r6",
        "sealnet_widen r7, r8",
        "sealnet_widen r9, r10",
        ".purgem sealnet_widen",
        "stm r1!, {{r3-r10}}",
        "subs r2, #1",
        "bne 1b",
        "pop {{r4-r10, pc}}",
    )
}

/// Adds what four outputs have of two inputs, `$x`: to r4 and r6 of the even ones, to r5 and r7 of both together. Their
/// words are in r8 and lr.
macro_rules! pair {
    ($x:literal) => {
        concat!(
            "smlad r5, r8, ",
            $x,
            ", r5\n",
            "sxtb16 r8, r8\n",
            "smlad r4, r8, ",
            $x,
            ", r4\n",
            "smlad r7, lr, ",
            $x,
            ", r7\n",
            "sxtb16 lr, lr\n",
            "smlad r6, lr, ",
            $x,
            ", r6",
        )
    };
}

/// Before a block's pairs: r0 is where its words begin.
macro_rules! begin {
    () => {
        "push {{r0-r11, lr}}
        0:
        movs r4, #0
        movs r5, #0
        movs r6, #0
        movs r7, #0"
    };
}

/// After them: the odd outputs' sums are taken out of the sums of both, and what was there before is added if it is to be.
/// Then the next block, or the end.
macro_rules! end {
    () => {
        "subs r5, r5, r4
        asrs r5, r5, #8
        subs r7, r7, r6
        asrs r7, r7, #8
        ldr r3, [sp, #12]
        ldr r2, [sp, #52]
        cbz r2, 9f
        ldm r3, {{r8-r11}}
        add r4, r4, r8
        add r5, r5, r9
        add r6, r6, r10
        add r7, r7, r11
        9:
        stm r3!, {{r4-r7}}
        str r3, [sp, #12]
        ldm sp, {{r0-r2}}
        adds r0, r0, #8
        str r0, [sp]
        ldr r3, [sp, #56]
        subs r3, r3, #1
        str r3, [sp, #56]
        bne 0b
        add sp, sp, #16
        pop {{r4-r11, pc}}"
    };
}

/// `blocks` times four outputs of a whole tile, `groups` times eight pairs of inputs: to `sums` if `add` is true, or in
/// their place. No more inputs than `FLUSH`, or the layer is narrow.
///
/// # Safety
/// The memory is there, aligned to words, and `groups` and `blocks` are at least 1.
#[unsafe(naked)]
unsafe extern "C" fn whole(
    words: *const u32,
    pairs: *const u32,
    groups: usize,
    sums: *mut i32,
    add: bool,
    blocks: usize,
) {
    naked_asm!(
        begin!(),
        // Two groups a turn; an odd number of them begins amid the turn.
        "lsrs r2, r2, #1",
        "bcc 2f",
        "adds r2, r2, #1",
        "b 3f",
        ".macro sealnet_four_pairs",
        "ldm r1!, {{r9-r12}}",
        "ldrd r8, lr, [r0], #{stride}",
        pair!("r9"),
        "ldrd r8, lr, [r0], #{stride}",
        pair!("r10"),
        "ldrd r8, lr, [r0], #{stride}",
        pair!("r11"),
        "ldrd r8, lr, [r0], #{stride}",
        pair!("r12"),
        ".endm",
        "2:",
        ".rept 2",
        "sealnet_four_pairs",
        ".endr",
        "3:",
        ".rept 2",
        "sealnet_four_pairs",
        ".endr",
        "subs r2, r2, #1",
        "bne 2b",
        ".purgem sealnet_four_pairs",
        end!(),
        stride = const 4 * column_words(TILE),
    )
}

/// The same of a tile that has no more outputs than those, columns `stride` bytes apart: less code, since there is less to do.
///
/// # Safety
/// As for [`whole`].
#[unsafe(naked)]
unsafe extern "C" fn narrower(
    words: *const u32,
    pairs: *const u32,
    groups: usize,
    sums: *mut i32,
    add: bool,
    blocks: usize,
    stride: usize,
) {
    naked_asm!(
        begin!(),
        "ldr r11, [sp, #60]", // the stride
        "lsls r2, r2, #2",    // two pairs a turn
        "1:",
        "ldrd r9, r10, [r1], #8",
        "ldrd r8, lr, [r0]",
        "add r0, r0, r11",
        pair!("r9"),
        "ldrd r8, lr, [r0]",
        "add r0, r0, r11",
        pair!("r10"),
        "subs r2, r2, #1",
        "bne 1b",
        end!(),
    )
}

/// Activations of `fours` times four sums, biases and factors, up to the four in which a shift is 32 or less. Gives
/// where the next would be written.
///
/// # Safety
/// The memory is there, aligned to words but for the shifts, and `fours` is at least 1.
#[unsafe(naked)]
unsafe extern "C" fn to_u8(
    sums: *const i32,
    biases: *const u32,
    multipliers: *const u32,
    shifts: *const u8,
    out: *mut u16,
    fours: usize,
) -> *mut u16 {
    naked_asm!(
        "push {{r4-r11, lr}}",
        "ldrd lr, r12, [sp, #36]",
        "add r12, lr, r12, lsl #3",
        "str r12, [sp, #40]", // the end
        ".macro sealnet_to_u8 sum, multiplier",
        "ldrb r12, [r3], #1",
        "subs r12, r12, #33",
        "blo 2f",
        // The upper word of the product: what is below it rounds down.
        "smull \\multiplier, \\sum, \\sum, \\multiplier",
        "asr \\sum, \\sum, r12",
        "add \\sum, \\sum, #1",
        "usat \\sum, #8, \\sum, asr #1",
        ".endm",
        "1:",
        "ldm r1!, {{r8-r11}}",
        "ldm r0!, {{r4-r7}}",
        "add r4, r4, r8",
        "add r5, r5, r9",
        "add r6, r6, r10",
        "add r7, r7, r11",
        "ldm r2!, {{r8-r11}}",
        "sealnet_to_u8 r4, r8",
        "sealnet_to_u8 r5, r9",
        "sealnet_to_u8 r6, r10",
        "sealnet_to_u8 r7, r11",
        ".purgem sealnet_to_u8",
        "pkhbt r4, r4, r5, lsl #16",
        "pkhbt r5, r6, r7, lsl #16",
        "strd r4, r5, [lr], #8",
        "ldr r12, [sp, #40]",
        "cmp lr, r12",
        "bne 1b",
        "2:",
        "mov r0, lr",
        "pop {{r4-r11, pc}}",
    )
}
