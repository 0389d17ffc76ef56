"""Compiles the CUDA kernels and compares their registers with the committed table; no GPU is needed.

A kernel that spills is an error, and so is one that uses more registers than the table says or is
not in it. Registers are the compiler's choice: they are compared where it is the version that the
table was written with, fewer are reported. --write writes the table.

usage: python tools/check_registers.py [--write] [--nvcc NVCC]
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "cuda/registers.json"
ARCHITECTURES = ("80", "90", "100")
SOURCES = (
    "kernels",
    "hvp",
    "factor",
    "lanczos",
    "narrow",
    "stepwise",
)  # those with kernels; others call libraries
FLAGS = ("-std=c++17", "-O3", "--expt-relaxed-constexpr", "-Werror=all-warnings", "-Xptxas=-v")
ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for 'sm_(?P<arch>\d+)'.*?"
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers",
    re.DOTALL,
)
Table = dict[str, dict[str, int]]  # kernel -> architecture -> registers


def compiler() -> str | None:
    """Return the path of nvcc, None where there is none."""
    return shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")


def readable(names: list[str]) -> list[str]:
    """Demangle, without what every kernel has in common."""
    done = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    return [
        line.removeprefix("void ").replace("hessay::cuda::", "").split("(")[0] for line in lines
    ]


def measure(nvcc: str) -> tuple[Table, list[str]]:
    """Compile every source for every architecture: registers, and the kernels that spill."""
    table: Table = {}
    spilling: list[str] = []
    for source in SOURCES:
        targets = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in ARCHITECTURES]
        with tempfile.TemporaryDirectory() as folder:
            command = [
                *(nvcc, *FLAGS, *targets, f"-I{ROOT / 'cpp/include'}", f"-I{ROOT / 'cuda'}"),
                *("-c", str(ROOT / f"cuda/{source}.cu"), "-o", f"{folder}/{source}.o"),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stderr)
        found = list(ENTRY.finditer(done.stderr))
        if not found:
            sys.exit(f"the compiler said nothing of the kernels in {source}.cu")
        names = readable([entry["name"] for entry in found])
        for name, entry in zip(names, found, strict=True):
            row = table.setdefault(name, {})
            row[entry["arch"]] = max(int(entry["registers"]), row.get(entry["arch"], 0))
            if int(entry["stores"]) + int(entry["loads"]) > 0:
                spilling.append(f"{name} on sm_{entry['arch']} spills")
    return {name: table[name] for name in sorted(table)}, spilling


def compare(found: Table, wanted: Table) -> tuple[list[str], list[str]]:
    """Tell what is worse than the table, and what is only different."""
    worse, better = [], []
    for name in sorted(found.keys() | wanted.keys()):
        if name not in wanted or name not in found:
            worse.append(f"{name} is {'new' if name in found else 'gone'}; use --write")
            continue
        for arch, registers in found[name].items():
            limit = wanted[name].get(arch, 0)
            if registers > limit:
                worse.append(f"{name} on sm_{arch} takes {registers} registers, {limit} before")
            elif registers < limit:
                better.append(f"{name} on sm_{arch} takes {registers} registers, {limit} before")
    return worse, better


def version(nvcc: str) -> str:
    """Return the release of the compiler, as in "13.0"."""
    told = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"release (\d+\.\d+)", told)
    return found[1] if found else "unknown"


def main() -> None:
    """Check, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table")
    parser.add_argument("--nvcc", help="the compiler, the one on PATH by default")
    options = parser.parse_args()
    nvcc = options.nvcc or compiler()
    if nvcc is None:
        sys.exit("nvcc was not found; install the CUDA 13 toolkit or pass --nvcc")
    found, spilling = measure(nvcc)
    if spilling:
        sys.exit("\n".join(spilling))
    if options.write:
        table = {"nvcc": version(nvcc), "kernels": found}
        TABLE.write_text(json.dumps(table, indent=1) + "\n")
        sys.stdout.write(f"{TABLE.relative_to(ROOT)}: {len(found)} kernels\n")
        return
    table = json.loads(TABLE.read_text())
    own = version(nvcc)
    worse, better = compare(found, table["kernels"]) if own == table["nvcc"] else ([], [])
    if own != table["nvcc"]:
        sys.stdout.write(f"registers not compared: nvcc {own}, the table is of {table['nvcc']}\n")
    sys.stdout.writelines(line + "\n" for line in better)
    if worse:
        sys.exit("\n".join(worse))
    most = max(max(row.values()) for row in found.values())
    sys.stdout.write(f"{len(found)} kernels, no spills, at most {most} registers\n")


if __name__ == "__main__":
    main()
