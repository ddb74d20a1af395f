//! What an instruction loads: in a Cortex-M's pipeline that, beside the instructions, is what takes time.
//!
//! Encodings are those of the ARMv7-M Architecture Reference Manual, A5.2 (16 bits) and A5.3 (32 bits), and A6.6 for the
//! floating-point extension.

/// Words that the instruction in `bytes` loads, each of which takes a cycle more on a Cortex-M4 (Cortex-M4 TRM, table 3-1): one,
/// whatever its size, or as many as registers are loaded.
pub(super) fn loads(bytes: &[u8]) -> u32 {
    match *bytes {
        [a, b] => narrow(u16::from_le_bytes([a, b])),
        [a, b, c, d] => wide(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])),
        _ => 0,
    }
}

fn narrow(code: u16) -> u32 {
    match code >> 11 {
        // LDR of a constant.
        0b01001 => 1,
        // Addressed by two registers: STR, STRH, STRB, then what loads.
        0b01010 | 0b01011 => u32::from((code >> 9) & 0b111 >= 0b011),
        // LDR, LDRB, LDRH, LDR from the stack.
        0b01101 | 0b01111 | 0b10001 | 0b10011 => 1,
        // LDM
        0b11001 => (code & 0xFF).count_ones(),
        // POP, PC included
        0b10111 if (code >> 9) & 0b11 == 0b10 => (code & 0x1FF).count_ones(),
        _ => 0,
    }
}

fn wide(first: u16, second: u16) -> u32 {
    let load = first & LOAD != 0;
    if !load {
        return 0;
    }
    match first >> 9 {
        // LDM and POP
        0b111_0100 if first & 0x40 == 0 => second.count_ones(),
        // LDRD is the one that writes its address back or has an offset, the others load once.
        0b111_0100 if first & 0x120 != 0 => 2,
        0b111_0100 => 1,
        // LDR, LDRB, LDRH and so on; those of no register are hints.
        0b111_1100 if second >> 12 == 0xF && first & 0x60 != 0x40 => 0,
        0b111_1100 => 1,
        // VLDR of one or two words, VLDM and VPOP of many
        0b111_0110 if second & 0x0E00 == 0x0A00 && first & 0x120 == 0x100 => {
            1 + u32::from(second & 0x100 != 0)
        }
        0b111_0110 if second & 0x0E00 == 0x0A00 && first & 0x1A0 != 0 => u32::from(second & 0xFF),
        _ => 0,
    }
}

/// Loads have this bit in their first halfword.
const LOAD: u16 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_register_that_is_loaded_counts() {
        // As an assembler writes them, halfwords in order.
        let cases: [(&str, &[u16], u32); 36] = [
            ("ldr r3, [pc, #8]", &[0x4B02], 1),
            ("ldr r0, [r1, r2]", &[0x5888], 1),
            ("ldrsb r0, [r1, r2]", &[0x5688], 1),
            ("str r0, [r1, r2]", &[0x5088], 0),
            ("strb r0, [r1, r2]", &[0x5488], 0),
            ("ldr r0, [r1, #4]", &[0x6848], 1),
            ("str r0, [r1, #4]", &[0x6048], 0),
            ("ldrb r0, [r1]", &[0x7808], 1),
            ("ldrh r0, [r1]", &[0x8808], 1),
            ("strh r0, [r1]", &[0x8008], 0),
            ("ldr r0, [sp, #4]", &[0x9801], 1),
            ("str r0, [sp, #4]", &[0x9001], 0),
            ("ldmia r0!, {r4-r7}", &[0xC8F0], 4),
            ("stmia r0!, {r4-r7}", &[0xC0F0], 0),
            ("pop {r4, r5, pc}", &[0xBD30], 3),
            ("push {r4, r5, lr}", &[0xB530], 0),
            ("adds r0, r0, r1", &[0x1840], 0),
            ("it eq", &[0xBF08], 0),
            ("ldm.w r1!, {r9-r12}", &[0xE8B1, 0x1E00], 4),
            ("stm.w r1!, {r3-r10}", &[0xE8A1, 0x07F8], 0),
            ("ldmdb r0, {r1, r2}", &[0xE910, 0x0006], 2),
            ("pop.w {r4-r11, pc}", &[0xE8BD, 0x8FF0], 9),
            ("ldrd r8, lr, [r0], #128", &[0xE8F0, 0x8E20], 2),
            ("ldrd r4, r7, [sp, #20]", &[0xE9DD, 0x4705], 2),
            ("strd r4, r5, [lr], #8", &[0xE8EE, 0x4502], 0),
            ("ldrex r0, [r1]", &[0xE851, 0x0F00], 1),
            ("tbb [pc, r0]", &[0xE8DF, 0xF000], 1),
            ("ldr.w r3, [r0], #4", &[0xF850, 0x3B04], 1),
            ("ldrsb.w r0, [r1, #9]", &[0xF991, 0x0009], 1),
            ("str.w r3, [r0], #4", &[0xF840, 0x3B04], 0),
            ("smlad r5, r8, r9, r5", &[0xFB28, 0x5509], 0),
            ("vldr d0, [r0]", &[0xED90, 0x0B00], 2),
            ("vldr s0, [r0]", &[0xED90, 0x0A00], 1),
            ("vmov r0, r1, d0", &[0xEC51, 0x0B10], 0),
            ("vpop {d8-d9}", &[0xECBD, 0x8B04], 4),
            ("pld [r0]", &[0xF890, 0xF000], 0),
        ];
        for (text, halves, words) in cases {
            let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
            assert_eq!(loads(&bytes), words, "{text}");
        }
    }
}
