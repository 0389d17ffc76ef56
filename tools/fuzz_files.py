"""Spoil valid files of every kind for a while: each loads, or ends in a HessayError that names it.

    PYTHONPATH=python:tests/support python tools/fuzz_files.py --seconds 600

Hypothesis draws the damage and shrinks what it finds. What is looked for: an exception of another
type, weights or inputs that are not finite, code of the file that ran, a process that dies.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from hessay.errors import HessayError
from hostile_files import MARKER, good_files, open_file

EXAMPLES = 50  # between two looks at the clock


def check(path: Path, content: bytes) -> bool:
    """Open one file; tell whether it loaded."""
    path.write_bytes(content)
    message = None
    try:
        loaded = open_file(path)
    except HessayError as error:
        loaded, message = None, str(error)
    assert not Path(MARKER).exists(), "code of the file ran"
    if message is not None:
        assert message.isprintable(), repr(message)
        assert len(message) < 2000, len(message)
        return False
    tensors = loaded.state_dict().values() if isinstance(loaded, torch.nn.Module) else ()
    assert all(bool(tensor.isfinite().all()) for tensor in tensors)
    return True


def damage(data: st.DataObject, content: bytes) -> bytes:
    """Change bytes, cut a piece out, double one, or put a number that lies into it."""
    spoiled = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        # Mostly the structured ends of a file: headers, pickles, directories, footers.
        last = max(0, len(spoiled) - 1)
        near = st.integers(0, min(900, last)) | st.integers(max(0, last - 900), last)
        at = data.draw(near)
        length = data.draw(st.integers(1, 16))
        kind = data.draw(st.sampled_from(("byte", "cut", "double", "number", "end")))
        if kind == "byte":
            spoiled[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
        elif kind == "cut":
            del spoiled[at : at + length]
        elif kind == "double":
            spoiled[at:at] = spoiled[at : at + length]
        elif kind == "number":
            size = data.draw(st.sampled_from((2, 4, 8)))
            value = data.draw(st.sampled_from((-1, 0, 1, 2**15, 2**31 - 1, 2**40)))
            spoiled[at : at + size] = (value % 256**size).to_bytes(size, "little")
        else:
            del spoiled[at:]
    return bytes(spoiled)


def fuzz(folder: Path, seconds: float, number: int = 0) -> dict[str, tuple[int, int]]:
    """Spoil files in ``folder`` for so many seconds of CPU.

    Returns
    -------
    dict
        Per kind of file: how many were opened, how many of them loaded.
    """
    good = good_files()
    counts = {name: [0, 0] for name in good}
    end = time.process_time() + seconds
    here = Path.cwd()
    os.chdir(folder)  # a marker would appear here
    try:
        for name, content in good.items():
            place = folder / f"of-{name}"
            place.mkdir()
            (place / "good.safetensors").write_bytes(good["good.safetensors"])
            assert check(place / name, content), f"{name} does not load unspoiled"
        while time.process_time() < end:
            for name in good:
                number += 1
                _round(name, good[name], folder, counts[name], number)
    finally:
        os.chdir(here)
    return {name: (opened, loaded) for name, (opened, loaded) in counts.items()}


def _round(name: str, content: bytes, folder: Path, count: list[int], number: int) -> None:
    @seed(number)
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=st.data())
    def one(data: st.DataObject) -> None:
        count[1] += check(folder / f"of-{name}" / name, damage(data, content))
        count[0] += 1

    one()


def main() -> None:
    """Fuzz, then print what was opened and what of it loaded."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="of CPU")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, (opened, loaded) in fuzz(Path(folder), asked.seconds, asked.seed).items():
            print(f"{name:32} {opened:8} opened {loaded:8} loaded")


if __name__ == "__main__":
    main()
