//! What executions have in common, whatever the secrets were.

use serde::Serialize;

use super::ConstantTimeError;
use crate::qemu::Code;

/// A part of the device, executed with many secrets.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// What was executed.
    pub what: String,
    /// How many times, each with other secrets.
    pub executions: u64,
    /// Instructions executed, at least.
    pub min: u64,
    /// Instructions executed, at most.
    pub max: u64,
    /// Whether each execution took the same instructions in the same order; `None` where they were counted alone.
    pub same_path: Option<bool>,
    /// Where two executions parted first.
    pub parted: Option<String>,
    /// What it executes whose cycles may hang on what it computes, in one execution; `None` if none was traced.
    pub operands: Option<Operands>,
}

/// Instructions executed once through a part that take more cycles for some operands than for others on some core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Operands {
    /// Integer divisions, which end early on each of these cores.
    pub divisions: u64,
    /// 32 times 32 bits to 64, with and without accumulation: these end early on a Cortex-M3.
    pub long_multiplications: u64,
    /// Loads, stores, long multiplications and floating-point divisions that are left out on a condition, which takes
    /// fewer cycles and the same instructions.
    pub conditional: u64,
}

impl Part {
    /// Whether nothing that was executed depended on the secrets.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.min == self.max && self.same_path != Some(false)
    }

    /// Whether it divides integers; `None` if no execution was traced.
    #[must_use]
    pub fn divides(&self) -> Option<bool> {
        self.operands.map(|operands| operands.divisions > 0)
    }
}

/// Executions of a part, as they come.
#[derive(Debug)]
pub(super) struct Comparison {
    part: Part,
    first: Option<Vec<u32>>,
}

impl Comparison {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            part: Part {
                what: what.into(),
                executions: 0,
                min: u64::MAX,
                max: 0,
                same_path: None,
                parted: None,
                operands: None,
            },
            first: None,
        }
    }

    /// An execution of which the number of instructions alone is known.
    pub(super) fn count(&mut self, instructions: u64) {
        self.part.executions += 1;
        self.part.min = self.part.min.min(instructions);
        self.part.max = self.part.max.max(instructions);
    }

    /// Takes in what an execution that is counted elsewhere consists of. `instruction` disassembles the one at an
    /// address.
    pub(super) fn operands<'t>(
        &mut self,
        path: &[u32],
        instruction: impl Fn(u32) -> Option<&'t str>,
    ) -> Result<(), ConstantTimeError> {
        let mut operands = Operands::default();
        for address in path {
            let noted = instruction(*address).and_then(|text| operands.note(text));
            noted.ok_or(ConstantTimeError::Unnamed(*address))?;
        }
        self.part.operands = Some(operands);
        Ok(())
    }

    /// An execution of which the address of each instruction is known.
    pub(super) fn path<'t>(
        &mut self,
        path: &[u32],
        code: &Code,
        instruction: impl Fn(u32) -> Option<&'t str>,
    ) -> Result<(), ConstantTimeError> {
        self.count(path.len() as u64);
        let Some(first) = &self.first else {
            self.operands(path, instruction)?;
            self.part.same_path = Some(true);
            self.first = Some(path.to_vec());
            return Ok(());
        };
        if let Some(at) = parting(first, path) {
            self.part.same_path = Some(false);
            let after = at.checked_sub(1).and_then(|last| path.get(last));
            let place =
                after.map_or_else(|| "its beginning".into(), |address| code.place(*address));
            self.part.parted.get_or_insert(place);
        }
        Ok(())
    }

    pub(super) fn part(self) -> Part {
        self.part
    }
}

impl Operands {
    /// Takes in an instruction as QEMU disassembles it. `None` if it is none: `.byte` and the like.
    fn note(&mut self, instruction: &str) -> Option<()> {
        let mnemonic = instruction.split_ascii_whitespace().next()?;
        let mnemonic = mnemonic.split('.').next().filter(|name| !name.is_empty())?;
        let is = |names: &[&str]| {
            names
                .iter()
                .any(|name| conditional(mnemonic, name).is_some())
        };
        self.divisions += u64::from(is(&["udiv", "sdiv"]));
        self.long_multiplications += u64::from(is(&LONG));
        let mut named = MEMORY.iter().chain(&LONG).chain(&FLOAT);
        let varies = named.any(|name| conditional(mnemonic, name) == Some(true));
        self.conditional += u64::from(varies);
        Some(())
    }
}

/// Whether a mnemonic is this instruction: on a condition, or always.
fn conditional(mnemonic: &str, instruction: &str) -> Option<bool> {
    match mnemonic.strip_prefix(instruction)? {
        "" | "s" => Some(false),
        condition if CONDITIONS.contains(&condition) => Some(true),
        _ => None,
    }
}

/// Where two paths part: the first place at which they differ, or the end of the shorter one.
fn parting(one: &[u32], other: &[u32]) -> Option<usize> {
    let differ = one.iter().zip(other).position(|(one, other)| one != other);
    differ.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))
}

/// ARMv7-M ARM, A7.7: what multiplies to 64 bits.
const LONG: [&str; 5] = ["umull", "smull", "umlal", "smlal", "umaal"];
/// Floating-point division and square root: 14 cycles on a Cortex-M4 (TRM, table 7-1), whatever the operands.
const FLOAT: [&str; 2] = ["vdiv", "vsqrt"];
/// What reads and writes memory (ARMv7-M ARM, A4.6 and A4.7; ARMv8-M's that acquire and release), by each name that a
/// disassembler may give it.
const MEMORY: [&str; 58] = [
    "ldr", "ldrb", "ldrh", "ldrsb", "ldrsh", "ldrd", "ldrt", "ldrbt", "ldrht", "ldrsbt", "ldrsht",
    "ldrex", "ldrexb", "ldrexh", "lda", "ldab", "ldah", "ldaex", "ldaexb", "ldaexh", "ldm",
    "ldmia", "ldmfd", "ldmdb", "ldmea", "pop", "str", "strb", "strh", "strd", "strt", "strbt",
    "strht", "strex", "strexb", "strexh", "stl", "stlb", "stlh", "stlex", "stlexb", "stlexh",
    "stm", "stmia", "stmea", "stmdb", "stmfd", "push", "vldr", "vldm", "vldmia", "vldmdb", "vpop",
    "vstr", "vstm", "vstmia", "vstmdb", "vpush",
];
/// ARMv7-M ARM, A7.3, in both names of carry set and clear.
const CONDITIONS: [&str; 16] = [
    "eq", "ne", "cs", "hs", "cc", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_differ_are_not_constant() {
        let mut comparison = Comparison::new("boot");
        comparison.count(7);
        comparison.count(7);
        assert!(comparison.part.is_constant());
        comparison.count(8);
        let part = comparison.part();
        assert!(!part.is_constant());
        assert_eq!((part.executions, part.min, part.max), (3, 7, 8));
    }

    #[test]
    fn paths_part_where_they_first_differ() {
        assert_eq!(parting(&[1, 2, 3], &[1, 2, 3]), None);
        assert_eq!(parting(&[1, 2, 3], &[1, 4, 3]), Some(1));
        assert_eq!(parting(&[1, 2], &[1, 2, 3]), Some(2));
        assert_eq!(parting(&[], &[]), None);
    }

    #[test]
    fn instructions_are_told_apart() {
        let mut operands = Operands::default();
        for harmless in [
            "ldr      r5, [r3, #4]",
            "ldrsb.w  r1, [r2]",
            "muls     r0, r1, r0",
            "movne    r0, r1",
            "vdiv.f32 s2, s2, s0",
            "vldmia   r0!, {s0, s1}",
            "bne      #0x12",
        ] {
            operands.note(harmless).unwrap();
        }
        assert_eq!(operands, Operands::default());
        for noted in [
            "udiv     r0, r1, r2",
            "smull    r0, r1, r2, r3",
            "umlalne  r0, r1, r2, r3",
            "ldrbne.w r0, [r1]",
            "strhs    r0, [r1]",
            "ldmdbeq  r0!, {r1, r2}",
            "stmiane  r0!, {r1, r2}",
            "vstmdbne r0!, {s0}",
            "vdivlt.f32 s2, s2, s0",
            "sdivgt   r0, r1, r2",
        ] {
            operands.note(noted).unwrap();
        }
        let expected = Operands {
            divisions: 2,
            long_multiplications: 2,
            conditional: 7,
        };
        assert_eq!(operands, expected);
    }

    #[test]
    fn what_is_no_instruction_is_not_taken_for_a_harmless_one() {
        let mut comparison = Comparison::new("boot");
        for unknown in [None, Some(""), Some("  "), Some(".byte 0x00, 0xfb")] {
            let said = comparison.operands(&[0x400], |_| unknown);
            assert!(matches!(said, Err(ConstantTimeError::Unnamed(0x400))));
        }
        assert_eq!(comparison.part().divides(), None);
    }
}
