//! What goes into sums of products and what becomes of them: loops as those of [`products`](super::products).

use core::arch::naked_asm;

/// `sixteens` times 16 bytes to halfwords. Clobbers what the procedure call standard lets it.
///
/// # Safety
/// The memory is there, that of the halfwords is aligned to words, and `sixteens` is at least 1.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn widen(from: *const u8, to: *mut u16, sixteens: usize) {
    naked_asm!(
        core_with_dsp!(),
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

/// Lists those pairs of inputs that are not both zero, from halfwords: for each the column of its weights, and the pair.
/// Gives the list's end.
///
/// # Safety
/// The memory is there, aligned to words, and `count` is a multiple of four, at least that.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn list_pairs(
    pairs: *const u32,
    count: usize,
    words: *const u32,
    stride: usize,
    list: *mut u32,
) -> *mut u32 {
    naked_asm!(
        core_with_dsp!(),
        "push {{r4-r6, lr}}",
        "ldr r4, [sp, #16]",
        "1:",
        ".rept 2",
        "ldm r0!, {{r5, r6}}",
        "cbz r5, 2f",
        "stm r4!, {{r2, r5}}",
        "2:",
        "add r2, r2, r3",
        "cbz r6, 2f",
        "stm r4!, {{r2, r6}}",
        "2:",
        "add r2, r2, r3",
        ".endr",
        "subs r1, r1, #4",
        "bne 1b",
        "mov r0, r4",
        "pop {{r4-r6, pc}}",
    )
}

/// Lists those pairs of inputs that are not both zero, from bytes.
///
/// # Safety
/// The memory is there, that of words and list aligned to words, and there are a multiple of 16 bytes, at least those.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn list_bytes(
    bytes: *const u8,
    end: *const u8,
    words: *const u32,
    stride: usize,
    list: *mut u32,
) -> *mut u32 {
    naked_asm!(
        core_with_dsp!(),
        "push {{r4-r10, lr}}",
        "mov r10, r3",
        "ldr r3, [sp, #32]",
        "lsr r9, r10, #1", // a byte's share of a column
        // The column of the four bytes before r0 is at r8 + r0 * r9.
        "add r12, r0, #4",
        "mls r8, r12, r9, r2",
        "1:",
        ".rept 4",
        "ldr r4, [r0], #4", // at any address
        "cbz r4, 3f",
        "mla r2, r0, r9, r8",
        "uxtb16 r12, r4",        // bytes 2, 0
        "uxtb16 lr, r4, ror #8", // bytes 3, 1
        "pkhbt r4, r12, lr, lsl #16",
        "pkhtb r5, lr, r12, asr #16",
        "cbz r4, 2f",
        "stm r3!, {{r2, r4}}",
        "2:",
        "cbz r5, 3f",
        "add r2, r2, r10",
        "stm r3!, {{r2, r5}}",
        "3:",
        ".endr",
        "cmp r0, r1",
        "bne 1b",
        "mov r0, r3",
        "pop {{r4-r10, pc}}",
    )
}

/// Activations of `fours` times four sums, biases and factors whose shifts are above 32.
///
/// # Safety
/// The memory is there, aligned to words, and `fours` is at least 1.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn to_u8(
    sums: *const i32,
    biases: *const u32,
    multipliers: *const u32,
    shifts: *const u32,
    out: *mut u16,
    fours: usize,
) {
    naked_asm!(
        core_with_dsp!(),
        "push {{r4-r11, lr}}",
        "ldrd lr, r12, [sp, #36]",
        "add r12, lr, r12, lsl #3",
        "str r12, [sp, #40]", // the end
        // The upper word of the product: what is below it rounds down. A shift by a register is by its lowest byte.
        ".macro sealnet_to_u8 sum, multiplier",
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
        "ldr r12, [r3], #4",
        "sub r12, r12, #0x21212121", // 33 of each
        "sealnet_to_u8 r4, r8",
        "lsr r12, r12, #8",
        "sealnet_to_u8 r5, r9",
        "lsr r12, r12, #8",
        "sealnet_to_u8 r6, r10",
        "lsr r12, r12, #8",
        "sealnet_to_u8 r7, r11",
        ".purgem sealnet_to_u8",
        "pkhbt r4, r4, r5, lsl #16",
        "pkhbt r5, r6, r7, lsl #16",
        "strd r4, r5, [lr], #8",
        "ldr r12, [sp, #40]",
        "cmp lr, r12",
        "bne 1b",
        "pop {{r4-r11, pc}}",
    )
}

/// Logits of `count` sums, biases and factors whose shifts are above 32.
///
/// # Safety
/// The memory is there, all but the shifts aligned to words, and `count` is at least 1.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn to_i32(
    sums: *const i32,
    biases: *const u32,
    multipliers: *const u32,
    shifts: *const u8,
    out: *mut i32,
    count: usize,
) {
    naked_asm!(
        core_with_dsp!(),
        "push {{r4-r7, lr}}",
        "ldrd r4, r5, [sp, #20]",
        "1:",
        "ldr r6, [r0], #4",
        "ldr r7, [r1], #4",
        "add r6, r6, r7",
        "ldr r7, [r2], #4",
        "ldrb r12, [r3], #1",
        "sub r12, r12, #33",
        // As in `to_u8`; a product's upper word is below 2^30.
        "smull r7, r6, r6, r7",
        "asr r6, r6, r12",
        "add r6, r6, #1",
        "asr r6, r6, #1",
        "str r6, [r4], #4",
        "subs r5, r5, #1",
        "bne 1b",
        "pop {{r4-r7, pc}}",
    )
}
