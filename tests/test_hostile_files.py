"""Every hostile file is refused, none runs code, and a claim of 100 GB costs no memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hessay.errors import HessayError
from hostile_files import CLAIM, MARKER, hostile_files, open_file

ROOT = Path(__file__).parents[1]
CORPUS = hostile_files()


@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_file_is_refused_by_name_and_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(CORPUS[name])
    with pytest.raises(HessayError, match=re.escape(path.name)) as caught:
        open_file(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000 + 2 * len(str(path))
    assert not (tmp_path / MARKER).exists()


_MEASURE = """
import resource, sys
from pathlib import Path
from hessay.errors import HessayError
from hostile_files import open_file
good, *hostile = map(Path, sys.argv[1:])
def peak():  # VmHWM is of this program alone; ru_maxrss keeps its parent's across exec
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
import PIL.PngImagePlugin, pyarrow.parquet
open_file(good)
limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + 2**30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
before = peak()
for path in hostile:
    try:
        open_file(path)
    except HessayError:
        print(path.parent.name, path.name, peak() - before)
        before = peak()
"""


def test_a_claim_of_100_gb_costs_less_than_50_mb(tmp_path: Path) -> None:
    paths = []
    for name in ("good.safetensors", *CORPUS):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if name in CORPUS:
            path.write_bytes(CORPUS[name])
            paths.append(path)
    from hostile_files import good_files

    good = tmp_path / "good.safetensors"
    good.write_bytes(good_files()[good.name])
    assert CLAIM == 100 * 10**9
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'python'}:{ROOT / 'tests' / 'support'}"}
    result = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(good), *map(str, paths)],
        capture_output=True, text=True, check=False, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    costs = {tuple(line.split()[:-1]): int(line.split()[-1]) for line in result.stdout.splitlines()}
    assert len(costs) == len(CORPUS)
    over = {name: cost for name, cost in costs.items() if cost >= 50 * 1000}  # kB
    assert not over


def test_spoiled_files_load_or_are_refused_for_30_seconds(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        from fuzz_files import fuzz
    finally:
        sys.path.remove(str(ROOT / "tools"))
    counts = fuzz(tmp_path, 30.0)
    # Every kind was reached, and the damage was felt.
    assert all(opened > loaded for opened, loaded in counts.values()), counts
