"""Looks for panics on the device's path.

Reads a linked image of firmware-sim/examples/panic_probe.rs, with relocations and line tables, and follows every
reference from its `ROOT`. Each call of a panic of `core` that is left is charged to the innermost function outside
`core` that it was inlined from; it is printed and fails the check, unless its mangled name holds a part that
`--allow` names. What is allowed and not there is said: another compiler may have proved more.

    panics.py IMAGE [--allow PART]...
"""

import bisect
import re
import subprocess
import sys

# All that ends in the panic handler: `core::panicking`, and the handler itself.
PANICS = re.compile(r"4core9panicking|rust_begin_unwind")
# The first crate in a mangled name is the function's. One of `core` only passes on what its caller did:
# `slice_index_fail` and its like. A `core` that was not built here may have names of the older kind.
IN_CORE = re.compile(r"^_R[A-Za-z]*?(?:s\w*?_[A-Z][A-Za-z]*?)?Cs[0-9A-Za-z]+_4core\d|^_ZN(?:4core\d|\d+_\$LT\$core\.\.)")


def output(*command: str) -> list[str]:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def symbols(image: str) -> dict[int, str]:
    """The function or constant that begins at each address; Thumb's lowest bit is not part of it."""
    found = {}
    for line in output("nm", image):
        words = line.split()
        if len(words) == 3 and words[1] in "tTwWrRdD" and not words[2].startswith("$"):
            found[int(words[0], 16) & ~1] = words[2]
    return found


def references(image: str) -> list[tuple[int, str, str]]:
    """Where who refers to whom."""
    names = symbols(image)
    starts = sorted(names)
    found = []
    for line in output("readelf", "--relocs", "--wide", image):
        match = re.match(r"([0-9a-f]{8}) +[0-9a-f]{8} +R_ARM_\S+ +([0-9a-f]+) +\S", line)
        if match:
            place = int(match[1], 16)
            before = bisect.bisect(starts, place) - 1
            target = names.get(int(match[2], 16) & ~1)
            if before >= 0 and target is not None:
                found.append((place, names[starts[before]], target))
    return found


def reached(found: list[tuple[int, str, str]]) -> set[str]:
    """All that `ROOT` needs."""
    graph: dict[str, set[str]] = {}
    for _, caller, target in found:
        graph.setdefault(caller, set()).add(target)
    todo, live = {name for name in graph if "panic_probe4ROOT" in name}, set()
    while todo:
        live |= todo
        todo = set().union(*(graph.get(name, set()) for name in todo)) - live
    return live


def charged(image: str, place: int) -> str:
    """The innermost function outside `core` at a place."""
    frames = output("addr2line", "-f", "-i", "-e", image, hex(place))[::2]
    return next((name for name in frames if not IN_CORE.search(name)), frames[-1])


def main() -> None:
    image, *options = sys.argv[1:]
    allowed = [option for option in options if option != "--allow"]
    found = references(image)
    live = reached(found)
    if not any("sealnet_core" in name for name in live):
        sys.exit("panics.py: the device's path is not in the image")
    panicking, size = {name for name in live if PANICS.search(name)}, -1
    while size != len(panicking):
        size = len(panicking)
        panicking |= {
            caller for _, caller, target in found
            if caller in live and target in panicking and IN_CORE.search(caller)
        }  # fmt: skip
    places = [place for place, caller, target in found if caller in live - panicking and target in panicking]
    names = {charged(image, place) for place in places}
    unknown = sorted(name for name in names if not any(part in name for part in allowed))
    gone = [part for part in allowed if not any(part in name for name in names)]
    for name in unknown:
        print(f"can panic: {name}")
    for part in gone:
        print(f"with this compiler it cannot panic: {part}", file=sys.stderr)
    if unknown:
        sys.exit(1)


if __name__ == "__main__":
    main()
