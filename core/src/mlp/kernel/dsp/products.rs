//! Sums of products: loops, each a function with the registers that it needs. They clobber what the procedure call standard
//! lets them.

use core::arch::naked_asm;

use super::super::super::packed::column_words;
use super::super::super::weights::TILE;

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

/// Ends a block of `whole` and `part`: takes the odd outputs' sums out of those of both, adds what was there, and goes on
/// with the next block at 1 if there is one.
macro_rules! block_end {
    () => {
        "subs r5, r5, r4
        asrs r5, r5, #8
        subs r7, r7, r6
        asrs r7, r7, #8
        ldr r0, [sp, #56]
        cbz r0, 4f
        ldm r3, {{r8-r11}}
        add r4, r4, r8
        add r5, r5, r9
        add r6, r6, r10
        add r7, r7, r11
        4:
        stm r3!, {{r4-r7}}
        ldm sp, {{r0-r2}}
        adds r0, r0, #8
        str r0, [sp]
        ldr r4, [sp, #52]
        cmp r3, r4
        bne 1b"
    };
}

/// What `blocks` times four outputs of a whole tile have of `groups` times eight pairs of inputs, no more than `FLUSH`
/// inputs or the layer is narrow: to `each` their sums, on top of what is there if `add` is not 0.
///
/// # Safety
/// The memory is there, aligned to words, and `groups` and `blocks` are at least 1.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn whole(
    words: *const u32,
    pairs: *const u32,
    groups: usize,
    each: *mut i32,
    blocks: usize,
    add: usize,
) {
    naked_asm!(
        core_with_dsp!(),
        "push {{r0-r11, lr}}",
        "ldr r4, [sp, #52]",
        "add r4, r3, r4, lsl #4",
        "str r4, [sp, #52]", // where they end
        "1:",
        "movs r4, #0",
        "movs r5, #0",
        "movs r6, #0",
        "movs r7, #0",
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
        block_end!(),
        "add sp, sp, #16",
        "pop {{r4-r11, pc}}",
        stride = const 4 * column_words(TILE),
    )
}

/// The same of a tile that is not whole: its columns lie `stride` bytes apart.
///
/// # Safety
/// As for [`whole`].
#[unsafe(naked)]
pub(super) unsafe extern "C" fn part(
    words: *const u32,
    pairs: *const u32,
    groups: usize,
    each: *mut i32,
    blocks: usize,
    add: usize,
    stride: usize,
) {
    naked_asm!(
        core_with_dsp!(),
        "push {{r0-r11, lr}}",
        "ldr r4, [sp, #52]",
        "add r4, r3, r4, lsl #4",
        "str r4, [sp, #52]", // where they end
        "1:",
        "ldr r11, [sp, #60]",
        "movs r4, #0",
        "movs r5, #0",
        "movs r6, #0",
        "movs r7, #0",
        "lsls r2, r2, #1",
        "2:",
        ".rept 2",
        "ldm r1!, {{r9, r10}}",
        "ldrd r8, lr, [r0]",
        "add r0, r0, r11",
        pair!("r9"),
        "ldrd r8, lr, [r0]",
        "add r0, r0, r11",
        pair!("r10"),
        ".endr",
        "subs r2, r2, #1",
        "bne 2b",
        block_end!(),
        "add sp, sp, #16",
        "pop {{r4-r11, pc}}",
    )
}

/// What `blocks` times four outputs have of the pairs in a list, three at once: to `both` for each word of a column
/// the sum of its even output and that of both its outputs.
///
/// # Safety
/// Behind the list there is room for two entries. All is aligned to words, the end of `both` to
/// 64 bytes; `blocks` is at least 1.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn listed(
    list: *const u32,
    end: *const u32,
    both: *mut i32,
    blocks: usize,
) {
    naked_asm!(
        core_with_dsp!(),
        "push {{r0-r11, lr}}",
        "add r11, r2, r3, lsl #4",
        "movs r4, #0",
        "movs r5, #0",
        "movs r6, #0",
        "movs r7, #0",
        // Up to a multiple of three: zeros, of any columns.
        "strd r2, r7, [r1]",
        "strd r2, r7, [r1, #8]",
        "1:",
        "stm r2!, {{r4-r7}}",
        "cmp r2, r11",
        "bne 1b",
        "b 5f",
        ".macro sealnet_three_pairs",
        "ldm r12, {{r4-r7}}",
        "ldrd r8, lr, [r0], #8",
        pair!("r1"),
        "ldrd r8, lr, [r2], #8",
        pair!("r3"),
        "ldrd r8, lr, [r9], #8",
        pair!("r10"),
        "stm r12!, {{r4-r7}}",
        ".endm",
        "2:",
        "ldm r12!, {{r0-r3, r9, r10}}",
        "str r12, [sp]",
        "ldr r12, [sp, #8]",
        // Four blocks a turn; what is no four of them begins amid the turn.
        "lsls r4, r12, #27",
        "bcs 4f",
        "bmi 3f",
        "6:",
        "sealnet_three_pairs",
        "3:",
        "sealnet_three_pairs",
        "7:",
        "sealnet_three_pairs",
        "8:",
        "sealnet_three_pairs",
        ".purgem sealnet_three_pairs",
        "cmp r12, r11",
        "bne 6b",
        "5:",
        "ldrd r12, r4, [sp]",
        "cmp r12, r4",
        "blo 2b",
        "add sp, sp, #16",
        "pop {{r4-r11, pc}}",
        "4:",
        "bmi 8b",
        "b 7b",
    )
}

/// Takes odd outputs' sums out of the sums of both, `blocks` times four of them; what was there before is added if `add` is
/// not 0.
///
/// # Safety
/// The memory is there, aligned to words, and `blocks` is at least 1.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn combine(
    both: *const i32,
    each: *mut i32,
    blocks: usize,
    add: usize,
) {
    naked_asm!(
        core_with_dsp!(),
        "push {{r4-r11, lr}}",
        "1:",
        "ldm r0!, {{r4-r7}}",
        "subs r5, r5, r4",
        "asrs r5, r5, #8",
        "subs r7, r7, r6",
        "asrs r7, r7, #8",
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
