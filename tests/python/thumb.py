"""The code of a linked Cortex-M image: its functions, their calls, and how deep the stack is at each.

Every path through a function is followed, with the bytes that are on the stack and the constants that registers
hold. Code that is not understood is an error, never a guess: so is each write to PC that is neither a branch nor a
return off the stack.
"""

import bisect
import struct
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile

from capstone import CS_ARCH_ARM, CS_GRP_JUMP, CS_MODE_MCLASS, CS_MODE_THUMB, Cs, CsInsn
from capstone.arm import (
    ARM_CC_AL, ARM_CC_HI, ARM_CC_INVALID, ARM_OP_IMM, ARM_OP_MEM, ARM_OP_REG, ARM_REG_LR, ARM_REG_PC, ARM_REG_R0,
    ARM_REG_R1, ARM_REG_R2, ARM_REG_R3, ARM_REG_R12, ARM_REG_SP,
)  # fmt: skip
from elftools.elf.elffile import ELFFile

# Registers that a call may change (AAPCS32, 6.1.1).
CALL_CHANGES = (ARM_REG_R0, ARM_REG_R1, ARM_REG_R2, ARM_REG_R3, ARM_REG_R12, ARM_REG_LR)


class Unreadable(Exception):
    """Code that this program does not understand: it must not guess."""


@dataclass
class Call:
    """An instruction that enters another function, with so many bytes of the caller's on the stack."""

    place: int
    depth: int
    # Empty if it is not known.
    targets: set[int]
    # Then: how far behind the beginning of a table the address was read.
    slot: int | None = None


@dataclass
class Function:
    start: int
    end: int
    names: list[str]
    instructions: dict[int, CsInsn] = field(default_factory=dict)
    frame: int = 0
    calls: list[Call] = field(default_factory=list)
    # Undefined instructions.
    traps: list[int] = field(default_factory=list)
    # Whether a path through it ends; it is taken to as long as that is being found out.
    returns: bool = True
    walked: bool = False

    @property
    def name(self) -> str:
        return self.names[0]


class Image:
    """An image's functions. `changes` are made to its bytes before."""

    def __init__(self, path: str, changes: dict[int, bytes] | None = None):
        self.path = path
        # Constants that are made and not stored.
        self.made: set[int] = set()
        with open(path, "rb") as file:
            elf = ELFFile(file)
            sections = [section for section in elf.iter_sections() if section["sh_flags"] & 2]
            self.bytes = {
                section["sh_addr"]: bytearray(section.data()) for section in sections
                if section["sh_type"] == "SHT_PROGBITS" and section["sh_size"]
            }  # fmt: skip
            for place, change in (changes or {}).items():
                start = max(start for start in self.bytes if start <= place)
                self.bytes[start][place - start : place - start + len(change)] = change
            code = [section for section in sections if section["sh_flags"] & 4 and section["sh_size"]]
            self.table = elf.get_section_by_name(".vector_table")["sh_addr"]
            self.vectors = [vector & ~1 for (vector,) in struct.iter_unpack("<I", self.bytes[self.table])]
            names, modes = defaultdict(list), {}
            # The linker's own marks of where code and data begin (ELF for the Arm Architecture, 5.5.5).
            for symbol in elf.get_section_by_name(".symtab").iter_symbols():
                name, address = symbol.name, symbol["st_value"]
                if name[:2] in ("$t", "$d", "$a"):
                    modes[address] = name[1]
                elif symbol["st_info"]["type"] == "STT_FUNC":
                    names[address & ~1].append(name)
        self.functions: dict[int, Function] = {}
        for section in code:
            first, last = section["sh_addr"], section["sh_addr"] + section["sh_size"]
            starts = sorted(start for start in names if first <= start < last)
            for start, end in zip(starts, [*starts[1:], last]):
                self.functions[start] = Function(start, end, sorted(names[start]))
        self.starts = sorted(self.functions)
        decoder = Cs(CS_ARCH_ARM, CS_MODE_THUMB | CS_MODE_MCLASS)
        decoder.detail = True
        for section in code:
            first, last = section["sh_addr"], section["sh_addr"] + section["sh_size"]
            bounds = sorted(address for address in modes if first <= address < last)
            for start, end in zip(bounds, [*bounds[1:], last]):
                if modes[start] == "t":
                    self.decode(decoder, start, end)
        for function in self.functions.values():
            if not is_shared(function):
                self.walk(function)

    def walk(self, function: Function) -> Function:
        if not function.walked:
            function.walked = True
            Walk(self, function).run()
        return function

    def decode(self, decoder: Cs, start: int, end: int) -> None:
        at = start
        for instruction in decoder.disasm(self.read(start, end - start), start):
            self.function(at).instructions[at] = instruction
            at += instruction.size
        # A halfword of zeros fills up to the next aligned function.
        if any(self.read(at, end - at)):
            raise Unreadable(f"no instruction at {at:#x}")

    def function(self, address: int) -> Function:
        """The one that holds an address."""
        return self.functions[self.starts[bisect.bisect(self.starts, address) - 1]]

    def read(self, address: int, length: int) -> bytes:
        for start, data in self.bytes.items():
            if start <= address and address + length <= start + len(data):
                return bytes(data[address - start : address - start + length])
        raise Unreadable(f"{address:#x} is not in the image")

    def word(self, address: int) -> int:
        return struct.unpack("<I", self.read(address, 4))[0]

    def pointers(self) -> dict[int, set[int]]:
        """Functions whose address lies somewhere in the image, the vector table aside, and the offsets in Rust's
        tables of methods at which it does: none if it lies elsewhere as well."""
        found: dict[int, set[int]] = defaultdict(set)
        elsewhere = {word for word in self.made if word & ~1 in self.functions}
        for start, data in self.bytes.items():
            if start == self.table:
                continue
            words = [word for (word,) in struct.iter_unpack("<I", data[: len(data) & ~3])]
            function = [word & 1 == 1 and word & ~1 in self.functions for word in words]
            head = None
            for at, word in enumerate(words):
                # Before the methods: what drops the value, its size, its alignment.
                if function[at] and at >= 3 and not function[at - 1] and not function[at - 2]:
                    drops = function[at - 3] or words[at - 3] == 0
                    head = at - 3 if drops and words[at - 1] in (1, 2, 4, 8, 16) else None
                    if head is not None and function[head]:
                        found[words[head] & ~1].add(0)
                if function[at]:
                    found[word & ~1].add(4 * (at - head) if head is not None else -1)
                else:
                    head = None
        for word in elsewhere:
            found[word & ~1].add(-1)
        return {start: set() if -1 in slots else slots for start, slots in found.items()}


# What is known at an instruction: bytes on the stack; constants in registers, under the register; which register
# was compared last, with what; what a register is at most; and at which offset from another it was read.
State = tuple[int, dict]
COMPARED, MOST, SLOT = "compared", "most", "slot"


def held(known: dict, register: int) -> tuple[int | None, int | None]:
    """The constant in a register, and how far behind an address that is no constant it was read."""
    return known.get(register), known.get((SLOT, register))


def forget(known: dict, registers: Iterable[int]) -> None:
    """These registers hold something else."""
    for register in registers:
        known.pop(register, None)
        known.pop((MOST, register), None)
        known.pop((SLOT, register), None)
        if known.get(COMPARED, (None,))[0] == register:
            del known[COMPARED]


class Walk:
    """All paths through one function."""

    def __init__(self, image: Image, function: Function):
        self.image, self.function = image, function
        self.states: dict[int, State] = {}
        self.todo: list[int] = []
        self.code = dict(function.instructions)
        self.returned = False

    def run(self) -> None:
        self.enter(self.function.start, (0, {}))
        while self.todo:
            at = self.todo.pop()
            self.step(self.code[at], self.states[at])
        # Once more, now that it is known what is known where.
        self.function.calls, self.function.traps = [], []
        self.settled = True
        for at in sorted(self.states):
            self.step(self.code[at], self.states[at])
        self.function.returns = self.returned

    settled = False

    def enter(self, at: int, state: State) -> None:
        """A path goes on at an instruction of this function."""
        if self.settled:
            return
        if at not in self.code:
            raise Unreadable(f"{self.function.name} runs on to {at:#x}")
        depth, known = state
        self.function.frame = max(self.function.frame, depth)
        if at not in self.states:
            self.states[at] = (depth, dict(known))
            self.todo.append(at)
            return
        before, held = self.states[at]
        if before != depth:
            raise Unreadable(f"at {at:#x} the stack is {before} or {depth} bytes deep")
        both = {register: value for register, value in held.items() if known.get(register) == value}
        if len(both) < len(held):
            self.states[at] = (depth, both)
            self.todo.append(at)

    def call(self, place: int, depth: int, target: int | None, slot: int | None = None) -> bool:
        """Whether it comes back."""
        self.function.calls.append(Call(place, depth, set() if target is None else {target & ~1}, slot))
        called = None if target is None else self.image.functions.get(target & ~1)
        return called is None or self.image.walk(called).returns

    def back(self, place: int, depth: int) -> None:
        if depth:
            raise Unreadable(f"at {place:#x} {self.function.name} returns with {depth} bytes on the stack")
        self.returned = True

    def jump(self, place: int, target: int, state: State) -> None:
        """Goes on within the function, or in another one, which returns to this one's caller."""
        there = self.image.function(target)
        if is_shared(there):
            # The end of several functions, which may take their frames off the stack: a part of this one.
            self.code.update(there.instructions)
        if target in self.code:
            self.enter(target, state)
        else:
            self.returned |= self.call(place, state[0], target)

    def step(self, instruction: CsInsn, state: State) -> None:
        depth, known = state[0], dict(state[1])
        at, name, operands = instruction.address, instruction.mnemonic.split(".")[0], instruction.operands
        after = at + instruction.size
        conditional = instruction.cc not in (ARM_CC_AL, ARM_CC_INVALID)
        if name in ("cbz", "cbnz"):
            self.jump(at, operands[1].imm, state)
        elif name == "bl":
            if not self.call(at, depth, operands[0].imm):
                return
            forget(known, CALL_CHANGES)
        elif name.startswith("blx"):
            if not self.call(at, depth, *held(known, operands[0].reg)):
                return
            forget(known, CALL_CHANGES)
        elif name.startswith("bx"):
            if operands[0].reg != ARM_REG_LR:
                self.returned |= self.call(at, depth, *held(known, operands[0].reg))
            else:
                self.back(at, depth)
            if not conditional:
                return
        elif name.startswith("b") and instruction.group(CS_GRP_JUMP):
            self.jump(at, operands[0].imm, state)
            if not conditional:
                return
            if instruction.cc == ARM_CC_HI and COMPARED in known:
                register, limit = known[COMPARED]
                known[MOST, register] = limit
        elif name in ("tbb", "tbh"):
            for target in self.table(instruction, known.get((MOST, operands[0].mem.index))):
                self.enter(target, state)
            return
        elif name == "mov" and operands[0].type == ARM_OP_REG and operands[0].reg == ARM_REG_PC:
            # A table of branches, right behind.
            entry = self.code.get(after)
            if entry is None or entry.mnemonic != "b.w":
                raise Unreadable(f"at {at:#x} it goes on somewhere")
            while entry is not None and entry.mnemonic == "b.w":
                self.enter(entry.address, state)
                entry = self.code.get(entry.address + entry.size)
            return
        elif name == "udf":
            self.function.traps.append(at)
            return
        else:
            changed = self.moved(instruction, depth)
            if ARM_REG_PC in instruction.regs_access()[1] or instruction.group(CS_GRP_JUMP):
                # All branches are above. What is left and is understood is a return: PC comes off the stack.
                if not pops(instruction):
                    raise Unreadable(f"at {at:#x} it goes on somewhere: {instruction.mnemonic} {instruction.op_str}")
                self.back(at, changed)
                if not conditional:
                    return
            elif conditional and changed != depth:
                raise Unreadable(f"at {at:#x} the stack moves under a condition")
            else:
                depth = changed
            self.learn(instruction, known, conditional)
        self.jump(at, after, (depth, known))

    def table(self, instruction: CsInsn, most: int | None) -> list[int]:
        """Where a table branch may go. Its table follows, with constants behind it or not; where no comparison says
        how long it is, it is all that may be one, which is no less than it is."""
        base, wide = instruction.address + 4, instruction.mnemonic.startswith("tbh")
        following = [at for at in self.code if self.function.start <= at < self.function.end and at >= base]
        data = self.image.read(base, min(following, default=self.function.end) - base)
        offsets = struct.unpack(f"<{len(data) // 2}H", data[: len(data) & ~1]) if wide else data
        targets = [base + 2 * offset for offset in offsets]
        if most is not None:
            return targets[: most + 1]
        return list(takewhile(lambda target: target in self.code, targets))

    def moved(self, instruction: CsInsn, depth: int) -> int:
        """Bytes on the stack after an instruction that is no branch."""
        name, operands = instruction.mnemonic.split(".")[0], instruction.operands
        if name.startswith(("vpush", "vpop")):
            width = 8 if instruction.reg_name(operands[0].reg).startswith("d") else 4
            bytes_moved = width * len(operands)
            return depth + (bytes_moved if name.startswith("vpush") else -bytes_moved)
        if name.startswith("push"):
            return depth + 4 * len(operands)
        if name.startswith("pop"):
            return depth - 4 * len(operands)
        _, written = instruction.regs_access()
        if ARM_REG_SP not in written:
            return depth
        base = operands[0].type == ARM_OP_REG and operands[0].reg == ARM_REG_SP
        if name in ("add", "addw", "sub", "subw") and base and operands[-1].type == ARM_OP_IMM:
            if len(operands) == 2 or operands[1].reg == ARM_REG_SP:
                moved = operands[-1].imm
                return depth + (moved if name.startswith("sub") else -moved)
        if name in ("stmdb", "ldm", "ldmia") and base:
            return depth + (4 if name == "stmdb" else -4) * (len(operands) - 1)
        if name in ("str", "ldr", "strd", "ldrd") and operands[-1].type in (ARM_OP_MEM, ARM_OP_IMM):
            memory = next(operand.mem for operand in operands if operand.type == ARM_OP_MEM)
            moved = operands[-1].imm if operands[-1].type == ARM_OP_IMM else memory.disp
            if operands[-1].type == ARM_OP_IMM and operands[-1].subtracted:
                moved = -moved
            return depth - moved
        raise Unreadable(f"at {instruction.address:#x}: {instruction.mnemonic} {instruction.op_str}")

    def learn(self, instruction: CsInsn, known: dict, conditional: bool) -> None:
        """Which registers hold which constants after an instruction."""
        name, operands = instruction.mnemonic.split(".")[0], instruction.operands
        value = None
        if not conditional and len(operands) == 2 and operands[0].type == ARM_OP_REG:
            source = operands[1]
            if name == "ldr" and source.type == ARM_OP_MEM and source.mem.base == ARM_REG_PC and not source.mem.index:
                value = self.image.word((instruction.address + 4 & ~3) + source.mem.disp)
            elif name == "movw":
                value = source.imm
            elif name == "movt" and operands[0].reg in known:
                value = known[operands[0].reg] & 0xFFFF | source.imm << 16
            elif name == "mov" and source.type == ARM_OP_REG:
                value = known.get(source.reg)
        _, written = instruction.regs_access()
        if instruction.update_flags:
            known.pop(COMPARED, None)
        forget(known, written)
        if name == "cmp" and not conditional and operands[1].type == ARM_OP_IMM:
            known[COMPARED] = (operands[0].reg, operands[1].imm)
        if not conditional and name == "ldr" and len(operands) == 2 and operands[1].type == ARM_OP_MEM:
            memory = operands[1].mem
            if memory.base not in (ARM_REG_PC, ARM_REG_SP) and not memory.index and not instruction.writeback:
                known[SLOT, operands[0].reg] = memory.disp
        if value is not None:
            known[operands[0].reg] = value
            if name == "movt":
                self.image.made.add(value)


def pops(instruction: CsInsn) -> bool:
    """Whether an instruction loads registers from where the stack ends and takes that much off it."""
    name, operands = instruction.mnemonic.split(".")[0], instruction.operands
    if name.startswith("pop"):
        return True
    if name.startswith(("ldmdb", "ldmea")) or not instruction.writeback:
        return False
    if name.startswith("ldm"):
        return operands[0].reg == ARM_REG_SP
    # `ldr pc, [sp], #4`: what moves the stack before it reads, reads beyond the frame.
    return name.startswith("ldr") and len(operands) == 3 and operands[1].mem.base == ARM_REG_SP


def is_shared(function: Function) -> bool:
    """Instructions that the compiler found in several functions and put in one place."""
    return any(name.startswith("OUTLINED_FUNCTION_") for name in function.names)
