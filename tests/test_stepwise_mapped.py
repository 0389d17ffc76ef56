"""A design in a file: the same path as in memory, and what was read is handed back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hessay.stepwise import stepwise_path

N, P = 12_000, 1000  # 96 MB; three stretches of 32 MiB
STRETCH = 32 << 20
SMAPS = Path("/proc/self/smaps")


def resident(path: Path) -> int:
    """Bytes of a mapped file that this process holds."""
    held, inside = 0, False
    for line in SMAPS.read_text(encoding="utf-8", errors="replace").splitlines():
        if "-" in line.split(" ", 1)[0]:
            inside = line.endswith(str(path))
        elif inside and line.startswith("Rss:"):
            held += int(line.split()[1]) << 10
    return held


@pytest.mark.skipif(not SMAPS.exists(), reason="no /proc/self/smaps on this system")
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_what_was_read_of_a_file_is_handed_back_and_nothing_changes(
    tmp_path: Path, mode: str
) -> None:
    rng = np.random.default_rng(20261124)
    x = rng.standard_normal((N, P), dtype=np.float32).astype(np.float64)
    y = x[:, 7] - x[:, 400] + 0.5 * x[:, 999] + rng.standard_normal(N)
    path = tmp_path / "design.npy"
    np.save(path, x)
    mapped = np.load(path, mmap_mode=mode)  # type: ignore[call-overload]  # both are modes
    found = stepwise_path(mapped, y, n_features=5)
    # The last stretch and what was asked for ahead may stay.
    assert 0 < resident(path) < 2.5 * STRETCH
    alone = stepwise_path(x, y, n_features=5)
    assert found.support.tolist() == alone.support.tolist()
    np.testing.assert_array_equal(found.coef, alone.coef)
    np.testing.assert_array_equal(mapped, x)
    assert resident(path) > 2.5 * STRETCH  # comparing read all of it: the count does count


def test_a_private_mapping_keeps_what_was_written_to_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    np.save(tmp_path / "design.npy", rng.standard_normal((N, P)))
    mapped = np.load(tmp_path / "design.npy", mmap_mode="c")
    mapped[:, 3] = 2.0 * rng.standard_normal(N)
    kept = mapped[:, 3].copy()
    found = stepwise_path(mapped, kept + 0.1 * rng.standard_normal(N), n_features=1)
    assert found.support.tolist() == [3]
    np.testing.assert_array_equal(mapped[:, 3], kept)
