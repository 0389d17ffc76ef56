"""Registers, stack and spills of every CUDA kernel, compared with cuda/registers.txt.

    python tools/check_registers.py            fails where a kernel spills, or takes more than noted
    python tools/check_registers.py --write    note what this compiler gives

A spill or a larger kernel makes a device slower without any test failing, so it has to be meant.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "cuda" / "registers.txt"
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
SOURCES = ("kernels.cu", "primitives.cu")

_ENTRY = re.compile(r"Compiling entry function '(\w+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")

Row = tuple[int, int, int]  # registers of a thread, bytes of its stack, bytes it spills


def compiler() -> str | None:
    """Find nvcc; None without one."""
    return shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")


def include_folders() -> list[str]:
    """Where the headers of the core and of cuBLAS are."""
    import nvidia

    packages = [str(Path(path) / "cu13" / "include") for path in nvidia.__path__]
    return [f"-I{ROOT / 'cpp/include'}", f"-I{ROOT / 'cuda'}", *(f"-I{p}" for p in packages)]


def measure(nvcc: str) -> dict[tuple[str, str], Row]:
    """Compile for each architecture and read what the assembler says of each kernel."""
    found: dict[tuple[str, str], Row] = {}
    flags = ["-std=c++17", "-O3", "-cubin", "--expt-relaxed-constexpr", "-Xptxas=-v"]
    for architecture in ARCHITECTURES:
        for source in SOURCES:
            with tempfile.TemporaryDirectory() as folder:
                command = [nvcc, *flags, f"-arch={architecture}", *include_folders()]
                command += [str(ROOT / "cuda" / source), "-o", f"{folder}/out.cubin"]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
            names = dict.fromkeys(_ENTRY.findall(done.stderr))
            short = dict(zip(names, demangled(list(names)), strict=True))
            for part in re.split(r"(?=Compiling entry function)", done.stderr)[1:]:
                name = short[_ENTRY.findall(part)[0]]
                stack, stores, loads = map(int, _STACK.findall(part)[0])
                found[architecture, name] = (int(_USED.findall(part)[0]), stack, stores + loads)
    return found


def demangled(names: list[str]) -> list[str]:
    """Kernel and body of each symbol, without namespaces and argument lists."""
    text = subprocess.run(
        ["c++filt"], input="\n".join(names), check=True, capture_output=True, text=True
    ).stdout
    return [
        re.sub(r"hessay::(cuda::)?|^void |\(.*$", "", line).replace(" ", "")
        for line in text.splitlines()
    ]


def read_table() -> dict[tuple[str, str], Row]:
    """Rows of the committed table."""
    rows = {}
    for line in TABLE.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            architecture, registers, stack, spills, name = line.split()
            rows[architecture, name] = (int(registers), int(stack), int(spills))
    return rows


def write_table(rows: dict[tuple[str, str], Row]) -> None:
    """Write the table in the order of architectures and names."""
    lines = ["# architecture, registers of a thread, bytes of its stack, bytes it spills, kernel"]
    lines += [
        f"{a:7} {r:4d} {s:4d} {b:4d}  {name}" for (a, name), (r, s, b) in sorted(rows.items())
    ]
    TABLE.write_text("\n".join(lines) + "\n", "utf-8")


def complaints(found: dict[tuple[str, str], Row], noted: dict[tuple[str, str], Row]) -> list[str]:
    """Say what is worse than noted, or not noted at all."""
    said = []
    for key in sorted(found.keys() | noted.keys()):
        words = " ".join(key)
        if key not in noted:
            said.append(f"{words} is not in {TABLE.name}; run with --write")
        elif key not in found:
            said.append(f"{words} is in {TABLE.name} and no longer compiled; run with --write")
        elif any(now > then for now, then in zip(found[key], noted[key], strict=True)):
            said.append(
                f"{words} takes (registers, stack, spills) {found[key]}, noted {noted[key]}"
            )
    said += [
        f"{' '.join(key)} spills {spills} bytes" for key, (*_, spills) in found.items() if spills
    ]
    return said


def main() -> int:
    """Compare, or write; 0 where nothing is worse."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    nvcc = compiler()
    if nvcc is None:
        print("check_registers: there is no nvcc on this machine", file=sys.stderr)
        return 2
    found = measure(nvcc)
    if parser.parse_args().write:
        write_table(found)
    said = complaints(found, read_table())
    print("\n".join(said) or f"{len(found)} kernels as noted, none spills")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
