"""Feeds damaged files to everything that reads files, for as long as asked.

    python tools/fuzz_files.py --seconds 600 --seed 0

Every reader must answer with a result or a HessayError, in bounded memory. What does not is written
to --keep, and the exit code is 1. The same seed gives the same files, however many there is time for.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from hessay.errors import HessayError
from hessay.loading import build_architecture, read_state
from hessay.loading.preprocessing import Preprocessing
from hessay.monitor import load_rules
from hessay.probe import Probe
from hessay.report import Report
from hessay.store import Store

ROOT = Path(__file__).parents[1]
MOST_MEGABYTES = 300  # beyond what the imports took
TARGETS: dict[str, Callable[[Path], object]] = {
    "model.safetensors": read_state,
    "model.pt": read_state,
    "legacy.pt": read_state,
    "model.safetensors.index.json": read_state,
    "probe.npz": Probe.load,
    "cat/0.png": lambda file: Probe.load(file.parents[1], preprocessing=Preprocessing(8, 8)),
    "data.parquet": lambda file: Probe.load(file, preprocessing=Preprocessing(8, 8)),
    "preprocessor_config.json": Preprocessing.load,
    "report.json": lambda file: Report.from_json(file.read_bytes()),
    "rules.toml": load_rules,
    "history.db": lambda file: Store.open(file, read_only=True).close(),
}
SPLICES = (
    *(
        b"\x00" * 8,
        b"\xff" * 8,
        b"\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x80\x04\x95",
        b"cos\nsystem\n",
    ),
    *(
        b"../../x",
        b"\x1b[2J",
        b"NaN",
        b"1e999",
        b"-1",
        b"{" * 50,
        b"[" * 5000,
        b'"' * 3,
        b"PK\x05\x06",
    ),
    b"9" * 30,
)


def seeds() -> dict[str, bytes]:
    """Give a good file for each reader."""
    state = build_architecture("mlp:6-5-3").state_dict()
    rng = np.random.default_rng(0)
    out: dict[str, bytes] = {"model.safetensors": save(state)}
    for name, zipped in (("model.pt", True), ("legacy.pt", False)):
        stream = io.BytesIO()
        torch.save(state, stream, _use_new_zipfile_serialization=zipped)
        out[name] = stream.getvalue()
    index = {"weight_map": dict.fromkeys(state, "shard.safetensors")}
    out["model.safetensors.index.json"] = json.dumps(index).encode()
    stream = io.BytesIO()
    np.savez_compressed(stream, inputs=rng.random((8, 6)), targets=np.arange(8) % 3)
    out["probe.npz"] = stream.getvalue()
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(stream, "PNG")
    out["cat/0.png"] = stream.getvalue()
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([{"image": {"bytes": stream.getvalue(), "path": "0"}, "label": 1}])
    stream = io.BytesIO()
    pq.write_table(table, stream)
    out["data.parquet"] = stream.getvalue()
    config = {"size": {"height": 8, "width": 8}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    out["preprocessor_config.json"] = json.dumps(config).encode()
    out["report.json"] = (ROOT / "tests/data/report-1.json").read_bytes()
    out["rules.toml"] = (
        b"[rates]\nscans_per_year = 9\n[[rule]]\nwhen = ['flagged']\nexit_code = 1\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        Store.open(Path(folder) / "h.db").close()
        out["history.db"] = (Path(folder) / "h.db").read_bytes()
    return out


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Change a few places, or cut, or repeat a part."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0 and data:
            data[place % len(data)] = rng.randrange(256)
        elif kind == 1 and data:
            data[place % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[place : place + rng.randrange(64)]
        elif kind == 3:
            data[place:place] = data[place : place + rng.randrange(64)]
        else:
            splice = rng.choice(SPLICES)
            data[place : place + rng.choice((0, len(splice)))] = splice
    return bytes(data)


def run(seconds: float, seed: int, keep: Path) -> tuple[int, list[str]]:
    """Feed files until the time is over; how many, and what went wrong."""
    good, rng = seeds(), random.Random(seed)
    faults: list[str] = []
    n = 0
    began = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cat").mkdir()
        (Path(folder) / "shard.safetensors").write_bytes(good["model.safetensors"])
        while time.monotonic() - began < seconds:
            name = rng.choice(list(TARGETS))
            file = Path(folder) / name
            content = damaged(good[name], rng)
            file.write_bytes(content)
            n += 1
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    TARGETS[name](file)
            except HessayError:
                pass
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                kept = keep / f"{n}-{file.name}"
                keep.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(content)
                faults.append(f"{kept}: {type(error).__name__}: {str(error)[:200]}")
            for extra in file.parent.glob(f"{file.name}-*"):  # SQLite's own
                extra.unlink()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if grown > MOST_MEGABYTES:
        faults.append(f"memory grew by {grown:.0f} MB, {MOST_MEGABYTES} are allowed")
    return n, faults


def main() -> int:
    """Run and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-faults"))
    options = parser.parse_args()
    shutil.rmtree(options.keep, ignore_errors=True)
    n, faults = run(options.seconds, options.seed, options.keep)
    print("\n".join(faults))
    print(f"{n} files, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
