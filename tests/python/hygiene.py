"""Checks that the compiler does not make: dependencies nobody uses, licences of what is shipped,
dependencies without a reason, and unsafe code outside the files that may have it."""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHIPPED = ("sealnet", "sealnet-firmware", "sealnet-image")
CRATES = ["core", "host", "firmware-sim", "firmware-sim/firmware", "firmware-sim/bench-image", "tests"]
# Permissive licences. Copyleft, also weak copyleft, stays out of what we ship.
ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0",
    "CC0-1.0", "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "Unicode-3.0", "Unlicense", "Zlib",
}  # fmt: skip
# The images are workspaces of their own.
WORKSPACES = [ROOT, ROOT / "firmware-sim/firmware", ROOT / "firmware-sim/bench-image"]
# Where `unsafe` may be written: vector kernels, behind a safe entry, and what touches a board's registers.
MAY_BE_UNSAFE = re.compile(
    r"^/(core|host)/.*/kernels?(/|\.rs$)|^/firmware-sim/firmware/src/(board|flash|log|uart)\.rs$|^/firmware-sim/bench-image/src/board\.rs$"
)


def sources(crate: pathlib.Path) -> str:
    inner = [ROOT / name for name in CRATES if (ROOT / name) != crate and crate in (ROOT / name).parents]
    files = [path for path in sorted(crate.rglob("*.rs")) if not any(other in path.parents for other in inner)]
    return "\n".join(path.read_text() for path in files)


def unused_dependencies() -> list[str]:
    found = []
    for name in CRATES:
        manifest = tomllib.loads((ROOT / name / "Cargo.toml").read_text())
        text = sources(ROOT / name)
        wanted = {**manifest.get("dependencies", {}), **manifest.get("dev-dependencies", {})}
        # A feature that names another crate's feature uses it too (`heapless/defmt`).
        for dependency in wanted:
            identifier = dependency.replace("-", "_")
            if not re.search(rf"\b{identifier}(::|!|\s*;|\s+as\b)", text):
                found.append(f"{name}: dependency `{dependency}` is not used")
    return found


def undocumented_dependencies() -> list[str]:
    found = []
    for workspace in WORKSPACES:
        wanted = "[workspace.dependencies]" if workspace == ROOT else "[dependencies]"
        section = ""
        for line in (workspace / "Cargo.toml").read_text().splitlines():
            if line.startswith("["):
                section = line
            elif section == wanted and "=" in line and not line.startswith("#"):
                if "path =" not in line and not re.search(r"#\s*\w+", line):
                    found.append(f"{workspace.name}: no reason given for `{line.split('=')[0].strip()}`")
    return found


def licences(workspace: pathlib.Path) -> list[str]:
    metadata = json.loads(
        subprocess.run(
            ["cargo", "metadata", "--format-version", "1", "--locked"],
            cwd=workspace, check=True, capture_output=True, text=True,
        ).stdout
    )  # fmt: skip
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    shipped, todo = set(), [i for i, p in packages.items() if p["name"] in SHIPPED]
    while todo:
        identity = todo.pop()
        if identity in shipped:
            continue
        shipped.add(identity)
        for dependency in nodes[identity]["deps"]:
            if any(kind["kind"] in (None, "build") for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    found = []
    for identity in shipped:
        package = packages[identity]
        if not acceptable(package["license"] or ""):
            found.append(f"{package['name']} {package['version']}: licence `{package['license']}`")
    return found


def acceptable(expression: str) -> bool:
    """Whether an SPDX expression can be satisfied with allowed licences alone."""
    expression = expression.replace("/", " OR ")
    tokens = re.findall(r"\(|\)|\bAND\b|\bOR\b|[A-Za-z0-9.\-]+(?: WITH [A-Za-z0-9.\-]+)?", expression)
    words = {"AND": "and", "OR": "or", "(": "(", ")": ")"}
    formula = " ".join(words.get(token, str(token in ALLOWED)) for token in tokens)
    return bool(tokens) and bool(eval(formula, {"__builtins__": {}}))  # only True, False, and, or, ( )


def unsafe_code() -> list[str]:
    found = []
    for name in CRATES:
        for path in sorted((ROOT / name).rglob("*.rs")):
            relative = path.relative_to(ROOT).as_posix()
            if MAY_BE_UNSAFE.search("/" + relative):
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                code = line.split("//")[0]
                if re.search(r"\bunsafe\b(?!_code)", code) and '"' not in code:
                    found.append(f"{relative}:{number}: unsafe outside a kernel")
    return found


def main() -> int:
    problems = unused_dependencies() + undocumented_dependencies() + unsafe_code()
    problems += [problem for workspace in WORKSPACES for problem in licences(workspace)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
