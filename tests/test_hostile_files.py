"""Files that lie about their size take no memory, and damaged ones end in a HessayError."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLAIM = 100 * 10**9  # bytes
MOST_MEGABYTES = 50


def safetensors(folder: Path) -> Path:
    entry = {"dtype": "F32", "shape": [CLAIM // 4], "data_offsets": [0, CLAIM]}
    header = json.dumps({"w": entry}).encode()
    file = folder / "model.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 64)
    return file


def sparse_safetensors(folder: Path) -> Path:
    """The claim is true: the file is that long, and holds nothing."""
    header = json.dumps(
        {"w": {"dtype": "F32", "shape": [CLAIM // 4], "data_offsets": [0, CLAIM]}}
    ).encode()
    file = folder / "model.safetensors"
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(header)) + header)
        out.truncate(8 + len(header) + CLAIM)
    return file


def long_header(folder: Path) -> Path:
    file = folder / "model.safetensors"
    with file.open("wb") as out:
        out.write(struct.pack("<Q", CLAIM))
        out.truncate(CLAIM + 8)
    return file


def index(folder: Path) -> Path:
    file = folder / "model.safetensors.index.json"
    with file.open("wb") as out:
        out.truncate(CLAIM)
    return file


def npz(folder: Path) -> Path:
    import zipfile

    head = (
        f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({CLAIM // 4},), }}".ljust(117) + "\n"
    )
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + b"\0" * 64
    file = folder / "probe.npz"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("inputs.npy", content)
    return file


def sparse(name: str) -> object:
    def write(folder: Path) -> Path:
        file = folder / name
        with file.open("wb") as out:
            out.truncate(CLAIM)
        return file

    return write


FILES = {
    "a lying safetensors header": safetensors,
    "a true but empty safetensors file": sparse_safetensors,
    "a safetensors header of 100 GB": long_header,
    "an index of 100 GB": index,
    "a lying array": npz,
    "a torch file of zeros": sparse("model.pt"),
    "a probe of zeros": sparse("probe.npz"),
    "rules of zeros": sparse("rules.toml"),
    "a preprocessing of zeros": sparse("preprocessor_config.json"),
}
READ = """
    import resource, sys
    from pathlib import Path
    import torch
    from hessay.errors import HessayError
    from hessay.loading import build_architecture, load_model
    from hessay.loading.preprocessing import Preprocessing
    from hessay.monitor import load_rules
    from hessay.probe import Probe
    import safetensors.torch
    load_rules, build_architecture("mlp:4-3")
    peak = lambda: int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])
    file = Path(sys.argv[1])
    readers = {".npz": Probe.load, ".toml": load_rules}
    read = readers.get(file.suffix, lambda f: load_model(f, "mlp:4-3"))
    read = Preprocessing.load if file.name == "preprocessor_config.json" else read
    before = peak()
    try:
        read(file)
    except HessayError:
        print((peak() - before) / 1024)
    else:
        print("accepted")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("kind", FILES)
def test_a_claim_of_100_gb_costs_less_than_50_mb(tmp_path: Path, kind: str) -> None:
    file = FILES[kind](tmp_path)  # type: ignore[operator]
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(READ), str(file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert float(done.stdout) < MOST_MEGABYTES


def test_thirty_seconds_of_damaged_files_find_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools/fuzz_files.py"), "--seconds", "30", "--seed", "1"]
    done = subprocess.run(
        [*command, "--keep", str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert int(done.stdout.split()[0]) > 100
