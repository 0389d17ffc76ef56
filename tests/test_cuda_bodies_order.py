"""What bodies of the CUDA kernels do not depend on: how many numbers an access moves.

Run on the processor under sanitizers: see test_cuda_bodies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from device_bodies import NOTHING, Matrix, compile_bodies, compiler, run
from hessay import _core

SEED = 21
# gap between columns, offset of the first number: packs, no packs for either reason
LAYOUTS = [(0, 0), (3, 0), (0, 1), (8, 4)]
OTHERS = LAYOUTS[1:]

both_precisions = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def draw(*shape: int, dtype: Any, seed: int = SEED) -> NDArray[Any]:
    rng = np.random.default_rng([seed, *shape])
    return np.asarray(rng.standard_normal(shape), dtype=dtype)


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        pytest.skip("no C++ compiler on this machine")
    return compile_bodies(tmp_path_factory.mktemp("bodies"))


@both_precisions
@pytest.mark.parametrize("rows", [3, 8, 1026, 4099, 8192])
def test_sums_of_columns_are_the_same_bits_in_every_layout(
    bodies: Path, dtype: Any, rows: int
) -> None:
    x, p = draw(rows, 3, dtype=dtype), np.abs(draw(rows, 3, dtype=dtype, seed=1))
    requests: dict[str, tuple[list[Any], Any]] = {
        "column_norms": ([], lambda g, o: [Matrix(x, g, o), Matrix(np.zeros((3, 1)))]),
        "packed_gram": ([], lambda g, o: [Matrix(x, g, o), Matrix(np.zeros((6, 1)))]),
        "cross_entropy_curvature": ([1, 1.3], lambda g, o: [Matrix(p, g, o), Matrix(x, g, o)]),
    }
    for routine, (numbers, matrices) in requests.items():
        wanted = run(bodies, routine, dtype, numbers, matrices(0, 0))[-1]
        for layout in OTHERS:
            found = run(bodies, routine, dtype, numbers, matrices(*layout))[-1]
            np.testing.assert_array_equal(found, wanted)


@both_precisions
@pytest.mark.parametrize(("h", "n", "k"), [(6, 2049, 1), (4, 4100, 2), (1, 66000, 1)])
def test_many_chunks_of_samples_are_added_level_by_level(
    bodies: Path, dtype: Any, h: int, n: int, k: int
) -> None:
    value, before = draw(h, n * k, dtype=dtype), draw(h, k, dtype=np.float64, seed=1)
    *_, found = run(bodies, "reduce_shared", dtype, [], [NOTHING, Matrix(value), Matrix(before)])
    terms = value.astype(float).reshape(h, n, k)
    # one order of double additions against another; groups of 64, 32, 32 terms and so on
    bound = (64 + 3 * 32) * 2.3e-16 * (np.abs(terms).sum(axis=1) + np.abs(before))
    assert np.all(np.abs(found - before - terms.sum(axis=1)) <= bound)
    for gap, offset in OTHERS:
        request = [NOTHING, Matrix(value, gap, offset), Matrix(before, gap, offset)]
        np.testing.assert_array_equal(run(bodies, "reduce_shared", dtype, [], request)[-1], found)


@both_precisions
@pytest.mark.parametrize(("h", "n", "k"), [(8, 9, 6), (12, 4, 4), (5, 1, 17), (3, 7, 1)])
def test_shared_directions_reach_every_column(
    bodies: Path, dtype: Any, h: int, n: int, k: int
) -> None:
    slope, pushed = draw(h, n, dtype=dtype), draw(h, k, dtype=dtype, seed=1)
    wanted = np.einsum("in,ik->ink", slope, pushed).reshape(h, n * k)
    for layout in LAYOUTS:
        request = [Matrix(m, *layout) for m in (slope, pushed, np.zeros_like(wanted))]
        found = run(bodies, "expand_shared", dtype, [], request)[-1]
        np.testing.assert_array_equal(found, wanted)


def test_norms_of_floats_need_no_scaling(bodies: Path) -> None:
    finest, largest = np.float32(2.0**-149), np.finfo(np.float32).max
    x = np.array([[3 * finest, 4 * finest], [largest, largest], [0, 0], [np.nan, np.inf]]).T
    x = np.append(x, [[1], [-np.inf]], axis=1).astype(np.float32)
    norms = Matrix(np.zeros((5, 1)))
    found = run(bodies, "column_norms", np.float32, [], [Matrix(x), norms])[-1][:, 0]
    exact = [5 * float(finest), np.sqrt(2) * float(largest), 0]
    np.testing.assert_allclose(found[:3], exact, rtol=1e-15)
    assert np.isnan(found[3])
    assert found[4] == np.inf


def test_norms_of_doubles_at_the_ends_of_their_range(bodies: Path) -> None:
    x = np.array([[5e-324, 0], [3e-310, 4e-310], [1.2e308, 0.9e308], [1e308, 1e-300]]).T
    norms = Matrix(np.zeros((4, 1)))
    found = run(bodies, "column_norms", np.float64, [], [Matrix(x), norms])[-1][:, 0]
    # 5e-310 has 47 bits left
    np.testing.assert_allclose(found, [5e-324, 5e-310, 1.5e308, 1e308], rtol=2.0**-46)


def test_random_floats_stay_near_those_of_the_core(bodies: Path) -> None:
    core = np.zeros((2_000_001, 1), np.float32, order="F")
    _core.gaussian_fill(core, 3)
    (found,) = run(bodies, "gaussian_fill", np.float32, [3, 0], [Matrix(np.zeros_like(core))])
    np.testing.assert_allclose(found, core, rtol=8 * np.finfo(np.float32).eps, atol=1e-14)


@pytest.mark.parametrize(
    ("routine", "source", "dtype"),
    [
        ("standardise", np.float32, np.float32),
        ("standardise", np.float64, np.float64),
        ("standardise_doubles", np.float64, np.float32),
    ],
)
@pytest.mark.parametrize("shape", [(1, 1), (8, 4), (8, 7), (10, 5), (4, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_standardised_numbers_are_rounded_once_at_the_end(
    bodies: Path, routine: str, source: Any, dtype: Any, shape: tuple[int, int], weighted: bool
) -> None:
    p, n = shape
    x = draw(p, n, dtype=source)
    mean, scale, root = (draw(m, 1, dtype=np.float64, seed=1) for m in (p, p, n))
    chosen = np.arange(p, dtype=np.float64)[::-2].reshape(-1, 1)
    every = np.arange(p, dtype=np.float64).reshape(-1, 1)
    full = root[:, 0] if weighted else np.ones(n)
    wanted = ((x.astype(float) - mean) * scale * full).astype(dtype)
    for gap, offset in LAYOUTS:
        for some, which in ((0, every), (1, chosen)):
            rows = which[:, 0].astype(int)
            for side_by_side in (1, 0):
                table = Matrix(np.ascontiguousarray(x if side_by_side else x.T), gap, offset)
                out = Matrix(np.zeros((len(rows), n), dtype), gap, offset)
                rest = [Matrix(m) for m in (which, mean, scale, root)]
                numbers = [side_by_side, some, int(weighted)]
                found = run(bodies, routine, dtype, numbers, [table, *rest, out])[-1]
                np.testing.assert_array_equal(found, wanted[rows])
