//! Sums of products of int4 weights: loops as those of int8 ones.

use core::arch::naked_asm;

/// Adds what four outputs have of two inputs, `$x`: to r4, r5 and r6 of three nibbles as they lie, to r7 of all four. Their
/// word is in `$word`, which is lost, and so is `$room`.
macro_rules! pair {
    ($word:literal, $x:literal, $room:literal) => {
        concat!(
            "smlad r7, ",
            $word,
            ", ",
            $x,
            ", r7\n",
            "and ",
            $room,
            ", ",
            $word,
            ", #0x000F000F\n",
            "smlad r4, ",
            $room,
            ", ",
            $x,
            ", r4\n",
            "and ",
            $room,
            ", ",
            $word,
            ", #0x00F000F0\n",
            "smlad r5, ",
            $room,
            ", ",
            $x,
            ", r5\n",
            "and ",
            $word,
            ", ",
            $word,
            ", #0x0F000F00\n",
            "smlad r6, ",
            $word,
            ", ",
            $x,
            ", r6",
        )
    };
}

/// What `blocks` times four outputs have of `groups` times eight pairs of inputs: to `shared` for each block the sums of
/// three nibbles and of all four. The words of a block begin `stride` bytes behind those of the one before.
///
/// # Safety
/// The memory is there, aligned to words, and `groups` and `blocks` are at least 1.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn whole(
    words: *const u32,
    pairs: *const u32,
    groups: usize,
    shared: *mut i32,
    blocks: usize,
    stride: usize,
) {
    naked_asm!(
        core_with_dsp!(),
        "push {{r0-r11, lr}}",
        "ldr r4, [sp, #52]",
        "add r4, r3, r4, lsl #4",
        "str r4, [sp, #52]", // where they end
        "add r2, r1, r2, lsl #5",
        "str r2, [sp, #8]", // where the pairs end
        "1:",
        "movs r4, #0",
        "movs r5, #0",
        "movs r6, #0",
        "movs r7, #0",
        "2:",
        ".rept 2",
        "ldm r1!, {{r9-r12}}",
        "ldrd r8, lr, [r0], #8",
        pair!("r8", "r9", "r2"),
        pair!("lr", "r10", "r2"),
        "ldrd r8, lr, [r0], #8",
        pair!("r8", "r11", "r2"),
        pair!("lr", "r12", "r2"),
        ".endr",
        "ldr r2, [sp, #8]",
        "cmp r1, r2",
        "bne 2b",
        "stm r3!, {{r4-r7}}",
        "ldrd r0, r1, [sp]",
        "ldrd r4, r5, [sp, #52]",
        "add r0, r0, r5",
        "str r0, [sp]",
        "cmp r3, r4",
        "bne 1b",
        "add sp, sp, #16",
        "pop {{r4-r11, pc}}",
    )
}

/// What `blocks` times four outputs have of the pairs in a list, three at once: to `shared` as [`whole`].
///
/// # Safety
/// Behind the list there is room for two entries. All is aligned to words; `words` are a column's, as those that are listed;
/// `blocks` is at least 1.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn listed(
    list: *const u32,
    end: *const u32,
    shared: *mut i32,
    blocks: usize,
    stride: usize,
    words: *const u32,
) {
    naked_asm!(
        core_with_dsp!(),
        "push {{r0-r11, lr}}",
        "add r3, r2, r3, lsl #4",
        "str r3, [sp, #12]", // where they end
        "ldr r6, [sp, #56]",
        "movs r7, #0",
        // Up to a multiple of three: zeros, of any column.
        "strd r6, r7, [r1]",
        "strd r6, r7, [r1, #8]",
        "movs r4, #0",
        "movs r5, #0",
        "movs r6, #0",
        "1:",
        "stm r2!, {{r4-r7}}",
        "cmp r2, r3",
        "bne 1b",
        "b 4f",
        "2:",
        "ldm r12!, {{r0-r3, r9, r10}}",
        "str r12, [sp]",
        "ldr r12, [sp, #8]",
        "mov r11, #0", // from the list's words to those of the block
        "3:",
        "ldm r12, {{r4-r7}}",
        "ldr r8, [r0, r11]",
        pair!("r8", "r1", "lr"),
        "ldr r8, [r2, r11]",
        pair!("r8", "r3", "lr"),
        "ldr r8, [r9, r11]",
        pair!("r8", "r10", "lr"),
        "stm r12!, {{r4-r7}}",
        "ldr r8, [sp, #52]",
        "add r11, r11, r8",
        "ldr r8, [sp, #12]",
        "cmp r12, r8",
        "bne 3b",
        "4:",
        "ldrd r12, r4, [sp]",
        "cmp r12, r4",
        "blo 2b",
        "add sp, sp, #16",
        "pop {{r4-r11, pc}}",
    )
}

/// The sum of the inputs in pairs, the first of which is at `from`, and each other one `step` bytes further, before `end`.
///
/// # Safety
/// The memory is there, aligned to words, and `end` is a multiple of `step` bytes behind `from`.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn total(from: *const u32, end: *const u32, step: usize) -> i32 {
    naked_asm!(
        core_with_dsp!(),
        "push {{r4, lr}}",
        "mov r12, #0x00010001",
        "movs r4, #0",
        "b 2f",
        "1:",
        "ldr r3, [r0]",
        "add r0, r0, r2",
        "smlad r4, r3, r12, r4",
        "2:",
        "cmp r0, r1",
        "bne 1b",
        "mov r0, r4",
        "pop {{r4, pc}}",
    )
}

/// Takes the sums of `blocks` times four outputs out of what they share, `eight` being 8 times the inputs' sum; what was
/// there before is added if `add` is not 0.
///
/// # Safety
/// The memory is there, aligned to words, and `blocks` is at least 1.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn combine(
    shared: *const i32,
    each: *mut i32,
    blocks: usize,
    add: usize,
    eight: i32,
) {
    naked_asm!(
        core_with_dsp!(),
        "push {{r4-r11, lr}}",
        "ldr r12, [sp, #36]",
        "1:",
        "ldm r0!, {{r4-r7}}",
        "sub r7, r7, r4",
        "sub r7, r7, r5",
        "sub r7, r7, r6",
        "asr r7, r7, #12",
        "sub r4, r4, r12",
        "rsb r5, r12, r5, lsr #4",
        "rsb r6, r12, r6, lsr #8",
        "cbz r3, 2f",
        "ldm r1, {{r8-r11}}",
        "add r4, r4, r8",
        "add r5, r5, r9",
        "add r6, r6, r10",
        "add r7, r7, r11",
        "2:",
        "stm r1!, {{r4-r7}}",
        "subs r2, r2, #1",
        "bne 1b",
        "pop {{r4-r11, pc}}",
    )
}
