//! What executions have in common, whatever the secrets were.

use serde::Serialize;

use crate::qemu::{Code, Traced};

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
    /// What it executes whose cycles may hang on what it computes; `None` where instructions were counted alone.
    pub operands: Option<Operands>,
}

/// Instructions executed once through a part that take more cycles for some operands than for others on some core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Operands {
    /// Integer divisions, which end early on each of these cores.
    pub divisions: u64,
    /// 32 times 32 bits to 64, with and without accumulation: these end early on a Cortex-M3.
    pub long_multiplications: u64,
    /// Loads, stores and long multiplications that are left out on a condition, which takes fewer cycles and the same
    /// instructions.
    pub conditional: u64,
}

impl Part {
    /// Whether nothing that was executed depended on the secrets.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.min == self.max && self.same_path != Some(false)
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

    /// An execution of which the address of each instruction is known.
    pub(super) fn path(&mut self, path: &[u32], code: &Code, board: &Traced) {
        self.count(path.len() as u64);
        let Some(first) = &self.first else {
            let mut operands = Operands::default();
            for address in path {
                operands.note(board.instruction(*address).unwrap_or_default());
            }
            self.part.operands = Some(operands);
            self.part.same_path = Some(true);
            self.first = Some(path.to_vec());
            return;
        };
        if let Some(at) = parting(first, path) {
            self.part.same_path = Some(false);
            let after = at.checked_sub(1).and_then(|last| path.get(last));
            let place =
                after.map_or_else(|| "its beginning".into(), |address| code.place(*address));
            self.part.parted.get_or_insert(place);
        }
    }

    pub(super) fn part(self) -> Part {
        self.part
    }
}

impl Operands {
    /// Takes in an instruction as QEMU disassembles it.
    fn note(&mut self, instruction: &str) {
        let mnemonic = instruction.split_ascii_whitespace().next();
        let mnemonic = mnemonic.map_or("", |name| name.split('.').next().unwrap_or_default());
        let is = |names: &[&str]| {
            names
                .iter()
                .any(|name| conditional(mnemonic, name).is_some())
        };
        self.divisions += u64::from(is(&["udiv", "sdiv"]));
        self.long_multiplications += u64::from(is(&LONG));
        let mut named = MEMORY.iter().chain(&LONG);
        let varies = named.any(|name| conditional(mnemonic, name) == Some(true));
        self.conditional += u64::from(varies);
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
/// What reads and writes memory.
const MEMORY: [&str; 16] = [
    "ldr", "ldrb", "ldrh", "ldrsb", "ldrsh", "ldrd", "ldm", "str", "strb", "strh", "strd", "stm",
    "push", "pop", "vldr", "vstr",
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
            "bne      #0x12",
            "",
        ] {
            operands.note(harmless);
        }
        assert_eq!(operands, Operands::default());
        for noted in [
            "udiv     r0, r1, r2",
            "smull    r0, r1, r2, r3",
            "umlalne  r0, r1, r2, r3",
            "ldrbne.w r0, [r1]",
            "strhs    r0, [r1]",
        ] {
            operands.note(noted);
        }
        let expected = Operands {
            divisions: 1,
            long_multiplications: 2,
            conditional: 3,
        };
        assert_eq!(operands, expected);
    }
}
