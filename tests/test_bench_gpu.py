"""The benchmark of the device runs to its end: on the processor, at tiny sizes, with the module's twin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "bench/gpu/bench_gpu.py"
PARTS = {
    *("kernels", "products", "factor", "network", "stepwise", "eigen", "eigen_beside_torch"),
    *("scan_resnet", "scan_vit"),
}


def bench(*options: str, status: int = 0) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=280,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def measured(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize(
    "parts",
    [
        ["kernels", "factor", "network", "stepwise"],
        ["products"],
        ["eigen", "eigen_beside_torch"],
        ["scan_resnet", "scan_vit"],
    ],
)
def test_every_part_runs_to_its_end(twin: Any, tmp_path: Path, parts: list[str]) -> None:
    assert set(parts) <= PARTS
    path = tmp_path / "found.json"
    bench(
        *("--device", "cpu", "--twin", twin.__file__, "--size", "tiny"),
        *("--json", str(path), "--only", *parts),
    )
    found = measured(path)
    assert found["card"] == "host loops"
    assert list(found["parts"]) == ["ceilings", *parts]
    for name, part in found["parts"].items():
        assert part["ended"] == "complete", name
        rows = part["rows"]
        assert all(row["seconds"] >= 0 for row in rows if "seconds" in row)
        assert not [row for row in rows if "failed" in row]
        # what was meant to be reached is told by a full run on a card alone
        judged = [row for row in rows if "target" in row]
        assert all(row["met"] is None for row in judged)
        assert judged or name in ("ceilings", "network", "eigen_beside_torch")


def test_parts_are_skipped_when_asked_and_when_time_is_out(twin: Any, tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    common = ("--device", "cpu", "--twin", twin.__file__, "--size", "tiny", "--json", str(path))
    bench(*common, "--only", "kernels", "factor", "--skip", "kernels", "--seconds", "0")
    parts = measured(path)["parts"]
    assert set(parts) == {"ceilings", "factor"}
    assert parts["factor"] == {"ended": "skipped: out of time", "rows": []}


def test_without_a_card_it_says_what_to_do(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "found.json"
    assert "needs --twin" in bench("--device", "cpu", "--json", str(path), status=1)
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    assert "finds no CUDA device" in bench("--json", str(path), status=1)
    assert not path.exists()
