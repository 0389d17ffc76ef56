"""Every instruction set gives the falls of the residual sum of squares that float64 gives."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from hessay import _core
from hessay.stepwise import delta_rss, stepwise_path

SHAPES = [(5, 1), (40, 3), (257, 17), (300, 65), (1025, 130)]


def check_this_instruction_set() -> None:
    """Run in a process of its own, for HESSAY_ISA is read once."""
    for dtype, order in [(t, o) for t in (np.float32, np.float64) for o in "CF"]:
        for n, p in SHAPES:
            rng = np.random.default_rng(n * p)
            x = np.array(rng.standard_normal((n, p)), dtype=dtype, order=order)  # type: ignore[call-overload]
            y = rng.standard_normal((n, 2))
            z, r = np.asarray(x, dtype=np.float64), y - y.mean(axis=0)
            z = z - z.mean(axis=0)
            expected = ((z.T @ r) ** 2).sum(axis=1) / (z**2).sum(axis=0)
            # n terms of relative error eps, signs at random
            bound = 8 * np.sqrt(n) * np.finfo(dtype).eps * np.trace(r.T @ r)
            np.testing.assert_allclose(delta_rss(x, y), expected, rtol=0, atol=bound)
            if dtype is np.float64 and n > 2 * p:
                path = stepwise_path(x, y, criterion=None, n_features=min(p, 9))
                theirs = np.linalg.lstsq(z[:, path.support], r, rcond=None)[0]
                np.testing.assert_allclose(path.coef.T, theirs, atol=1e-11)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_gives_the_falls_of_float64(isa: str) -> None:
    done = subprocess.run(
        [sys.executable, __file__],
        env=os.environ | {"HESSAY_ISA": isa},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if isa != "baseline" and "does not have" in done.stderr:
        pytest.skip(f"no {isa} here")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [isa]


if __name__ == "__main__":
    check_this_instruction_set()
    print(_core.instruction_set())
