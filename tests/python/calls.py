"""Looks for recursion, panics and an allocator in a linked Cortex-M image, and bounds its stack.

Who calls whom is read off the code itself (thumb.py): `bl`, branches to another function, and `blx` of a register
that holds a constant. From that:

- a function that reaches itself fails the check;
- so does a call of a register whose target is not known, unless it is in a function that `--indirect` names. Such a
  call is taken for one of every function whose address lies anywhere in the image, or at its place in a table of
  methods. If there is none, that fails the check wherever it is;
- so does a function with the name of an allocator;
- each call of a panic, and each undefined instruction, is charged to the function that it was inlined from, as in
  panics.py, and fails the check unless `--panic` names that;
- the stack is bounded by the deepest sum of frames from the reset on, and one exception on top of it.

With `--control` these are put into the code on purpose, and jumps to an address that was computed or read, and each
must be found.

    calls.py IMAGE [--control] [--indirect PART]... [--panic PART]...

PART is a part of a mangled name. What is named and not there is said: another compiler may need less.
"""

import argparse
import re
import struct
import sys
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from panics import IN_CORE, PANICS, charged
from thumb import Function, Image, Unreadable, is_shared

ALLOCATOR = re.compile(r"__rust_(?:re|de)?alloc|__rg_|^_?(?:malloc|calloc|realloc|free|sbrk)$|C\w+_5alloc\d|5alloc5alloc")
# What the core pushes for an exception, with the registers of its FPU, and to align the stack (Armv7-M, B1.5.7).
EXCEPTION = 104 + 4


@dataclass
class Frame:
    """Bytes of stack that a function takes with all that it calls, and the callee that takes most."""

    bytes: int
    callee: int | None


class Calls:
    """Who calls whom."""

    def __init__(self, image: Image):
        self.image = image
        # A call of an unknown function is one of any whose address is known to anyone, but of methods of a `dyn`
        # of those alone that lie where in their table its address was read.
        pointers = image.pointers()
        for function in image.functions.values():
            for call in function.calls:
                call.targets = call.targets or {
                    start for start, slots in pointers.items() if not slots or call.slot is None or call.slot in slots
                }
        self.graph = {
            start: set().union(*(call.targets for call in function.calls))
            for start, function in image.functions.items()
        }

    def strays(self) -> list[str]:
        """Calls that go nowhere known."""
        return [
            f"a call at {call.place:#x} goes into the middle of {self.image.function(target).name}"
            for function in self.image.functions.values() for call in function.calls
            for target in call.targets - self.image.functions.keys()
        ]  # fmt: skip

    def recursions(self) -> list[str]:
        """Functions that reach themselves. What closes a circle is no call any more."""
        found = []
        while True:
            try:
                TopologicalSorter(self.graph).prepare()
                return found
            except CycleError as error:
                circle = error.args[1]
                found.append("recursion: " + " <- ".join(self.image.function(start).name for start in circle))
                self.graph[circle[1]] = self.graph[circle[1]] - {circle[0]}

    def deepest(self) -> dict[int, Frame]:
        """What each function takes of the stack."""
        deep: dict[int, Frame] = {}
        for start in TopologicalSorter(self.graph).static_order():
            function = self.image.functions[start]
            deep[start] = Frame(function.frame, None)
            for call in function.calls:
                for target in call.targets & self.graph[start]:
                    if call.depth + deep[target].bytes > deep[start].bytes:
                        deep[start] = Frame(call.depth + deep[target].bytes, target)
        return deep

    def chain(self, deep: dict[int, Frame]) -> list[int]:
        """From the reset to the deepest stack."""
        chain, at = [], self.image.vectors[1]
        while at is not None:
            chain.append(at)
            at = deep[at].callee
        return chain

    def panicking(self) -> set[str]:
        """The functions that can panic, `core`'s own aside."""
        functions = self.image.functions.values()
        panicking, size = {function.start for function in functions if any(map(PANICS.search, function.names))}, -1
        while size != len(panicking):
            size = len(panicking)
            panicking |= {
                function.start for function in functions
                if all(map(IN_CORE.search, function.names)) and self.graph[function.start] & panicking
            }  # fmt: skip
        places = []
        for function in functions:
            if function.start not in panicking:
                places += [call.place for call in function.calls if call.targets & panicking] + function.traps
        return {charged(self.image.path, place) for place in places}


def wrong(image: Image, indirect: list[str], panic: list[str]) -> tuple[Calls, list[str], set[str]]:
    """The image's calls, what is wrong with them, and what was allowed and is there."""
    unknown = [(call, function) for function in image.functions.values() for call in function.calls if not call.targets]
    calls = Calls(image)
    found = calls.strays() + calls.recursions()
    found += [
        f"a call of nothing at {call.place:#x}: {function.name}" for call, function in unknown if not call.targets
    ]  # fmt: skip
    allowed = set()
    for call, function in unknown:
        parts = {part for part in indirect for name in function.names if part in name}
        allowed |= parts
        if not parts:
            found.append(f"a call of a register at {call.place:#x}: {function.name}")
    for name in sorted(calls.panicking()):
        parts = {part for part in panic if part in name}
        allowed |= parts
        if not parts:
            found.append(f"can panic: {name}")
    names = (name for function in image.functions.values() for name in function.names)
    found += [f"an allocator: {name}" for name in names if ALLOCATOR.search(name)]
    return calls, found, allowed


def control(path: str, indirect: list[str], panic: list[str]) -> None:
    """Changes a call deep in the image to what must not be there, each time to something else."""
    image = Image(path)
    calls, _, _ = wrong(image, indirect, panic)
    chain = calls.chain(calls.deepest())
    caller, callee = chain[-2:]
    place = next(call.place for call in image.functions[caller].calls if callee in call.targets)
    # Nothing is on the stack there.
    start = next(function.start for function in image.functions.values() if begins_with_a_word(function))
    for place, change, said in (
        (place, branch_with_link(place, caller), "recursion: "),
        (place, branch_with_link(place, chain[-3]), "recursion: "),
        (place, branch_with_link(place, callee + 2), "a call at "),
        # `blx r2`, `udf #0`, and a `nop` each.
        (place, bytes.fromhex("904700bf"), "a call of a register at "),
        (place, bytes.fromhex("00de00bf"), "can panic: "),
        # `add pc, r2` and a `nop`; `mov pc, r2` and a `nop`; `ldr.w pc, [r2]`, which moves no stack.
        (place, bytes.fromhex("974400bf"), f"at {place:#x} it goes on somewhere"),
        (place, bytes.fromhex("974600bf"), f"at {place:#x} it goes on somewhere"),
        (start, bytes.fromhex("d2f800f0"), f"at {start:#x} it goes on somewhere"),
    ):
        try:
            _, found, _ = wrong(Image(path, {place: change}), indirect, panic)
        except Unreadable as error:
            found = [str(error)]
        if not any(what.startswith(said) for what in found):
            sys.exit(f"calls.py: put in on purpose at {place:#x} and not found: {said}")


    # Every function whose address is known as one that drops a value: what calls another method calls none.
    addresses = image.pointers()
    image = Image(path)
    image.pointers = lambda: {start: {0} for start in addresses}
    _, found, _ = wrong(image, indirect, panic)
    if not any(what.startswith("a call of nothing at ") for what in found):
        sys.exit("calls.py: no method is known, and calls of them are found all the same")


def begins_with_a_word(function: Function) -> bool:
    """Whether its first instructions take 4 bytes together, and it is no part of others."""
    sizes = [function.instructions[at].size for at in sorted(function.instructions)[:2]]
    return (sizes[:1] == [4] or sizes == [2, 2]) and not is_shared(function)


def branch_with_link(place: int, target: int) -> bytes:
    """`bl` (Armv7-M, A7.7.18, encoding T1), within 4 MiB."""
    offset = target - place - 4
    sign = int(offset < 0)
    return struct.pack("<HH", 0xF000 | sign << 10 | offset >> 12 & 0x3FF, 0xF800 | offset >> 1 & 0x7FF)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("image")
    parser.add_argument("--control", action="store_true")
    for option in ("--indirect", "--panic"):
        parser.add_argument(option, action="append", default=[], metavar="PART")
    asked = parser.parse_args()
    if asked.control:
        return control(asked.image, asked.indirect, asked.panic)
    image = Image(asked.image)
    calls, found, allowed = wrong(image, asked.indirect, asked.panic)
    deep = calls.deepest()
    chain = calls.chain(deep)
    handlers = max(deep[handler].bytes for handler in image.vectors[2:] if handler)
    print(
        f"{len(image.functions)} functions that call {sum(map(len, calls.graph.values()))} times, "
        f"at most {deep[chain[0]].bytes + EXCEPTION + handlers} bytes of stack:"
    )
    for start in chain:
        print(f"{deep[start].bytes:7} {image.functions[start].frame:6} {image.functions[start].name}")
    for part in asked.indirect + asked.panic:
        if part not in allowed:
            print(f"with this compiler it is not there: {part}", file=sys.stderr)
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
