"""Narrow products, A'B and A B with up to 16 columns, as a device cuts and adds them up.

The bodies run thread by thread on the processor, under sanitizers, and through the bindings' twin.
Every comparison is with NumPy in float64. eps is that of the precision under test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from device_bodies import Matrix, compile_bodies, compiler, run
from hessay.errors import DeviceError

SEED = 23
PRECISIONS = [np.float32, np.float64]
# A (d, m) and columns: one number, tiny, odd, nothing at all, one column of A, whole chunks, several
# warps and tiles, segments added up by one thread and by a group of them
SHAPES = [
    (1, 1, 1),
    (3, 2, 2),
    (5, 0, 3),
    (0, 4, 2),
    (130, 37, 3),
    (1024, 8, 16),
    (1300, 65, 9),
    (4097, 5, 1),
    (300, 130, 16),
    (1001, 530, 5),
]
# gap between columns, offset of the first number: packs, where the rows allow, and none
LAYOUTS = [(8, 4), (3, 1)]

both_precisions = pytest.mark.parametrize("dtype", PRECISIONS)
both_ways = pytest.mark.parametrize("flip", [False, True])


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        pytest.skip("no C++ compiler on this machine")
    return compile_bodies(tmp_path_factory.mktemp("bodies"))


def check(
    found: NDArray[Any],
    a: NDArray[Any],
    b: NDArray[Any],
    c: NDArray[Any],
    factors: tuple[float, float],
) -> None:
    """The sum of n terms errs by (n + 2) eps of their sizes, in whatever order (Higham 2002, 3.1)."""
    alpha, beta = factors
    exact = alpha * (a.astype(np.float64) @ b.astype(np.float64))
    size = abs(alpha) * (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64))
    if beta != 0:
        exact, size = exact + beta * c, size + np.abs(beta * c)
    assert np.all(np.abs(found - exact) <= (a.shape[1] + 4) * np.finfo(found.dtype).eps * size)


@both_precisions
@both_ways
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_narrow_products_are_those_of_numpy(
    bodies: Path, dtype: Any, flip: bool, layout: tuple[int, int], shape: tuple[int, int, int]
) -> None:
    d, m, k = shape
    rng = np.random.default_rng([SEED, *shape])
    a = rng.standard_normal((d, m)).astype(dtype)
    left = a.T if flip else a
    b = rng.standard_normal((left.shape[1], k)).astype(dtype)
    c = rng.standard_normal((left.shape[0], k)).astype(dtype)
    # beta = 0 overwrites NaN, alpha and beta are any numbers
    for factors, before in (((1.0, 0.0), np.full_like(c, np.nan)), ((-0.75, 1.5), c)):
        matrices = [Matrix(a, *layout), Matrix(b, *layout), Matrix(before, *layout)]
        numbers = [int(flip), *factors]
        unchanged, also, found = run(bodies, "narrow_product", dtype, numbers, matrices)
        check(found, left, b, before, factors)
        np.testing.assert_array_equal(unchanged, a)
        np.testing.assert_array_equal(also, b)


@both_ways
def test_the_same_call_gives_the_same_bits(bodies: Path, flip: bool) -> None:
    rng = np.random.default_rng(SEED)
    a = rng.standard_normal((1300, 65))
    b = rng.standard_normal((1300 if flip else 65, 3))
    matrices = [Matrix(a), Matrix(b), Matrix(np.zeros((65 if flip else 1300, 3)))]
    first, second = (
        run(bodies, "narrow_product", np.float64, [int(flip), 1, 0], matrices) for _ in range(2)
    )
    np.testing.assert_array_equal(first[2], second[2])


@both_ways
def test_sixteen_columns_are_the_most(bodies: Path, flip: bool) -> None:
    square = Matrix(np.zeros((17, 17)))
    with pytest.raises(RuntimeError, match=r"narrow product of \(17, 17\) and \(17, 17\)"):
        run(bodies, "narrow_product", np.float64, [int(flip), 1, 0], [square, square, square])
    few = [square, Matrix(np.zeros((3, 2))), Matrix(np.zeros((17, 2)))]
    with pytest.raises(RuntimeError, match=r"narrow product of \(17, 17\) and \(3, 2\)"):
        run(bodies, "narrow_product", np.float64, [int(flip), 1, 0], few)


def fortran(a: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(a.T)).T


@both_precisions
@pytest.mark.parametrize(
    ("flip", "d", "m", "k", "cut"),
    [
        (True, 1024, 3, 2, True),
        (True, 5001, 70, 16, True),
        (True, 40_000, 2, 1, True),
        (True, 5001, 70, 17, False),  # not narrow
        (True, 1023, 70, 16, False),
        (False, 1024, 100, 4, True),
        (False, 1500, 100, 1, True),
        (False, 3001, 7, 16, False),  # narrow, in one piece
    ],
)
def test_scratch_is_counted_to_the_byte(
    twin: Any, dtype: Any, flip: bool, d: int, m: int, k: int, cut: bool
) -> None:
    rng = np.random.default_rng(SEED)
    a = rng.standard_normal((d, m)).astype(dtype)
    left = a.T if flip else a
    b = rng.standard_normal((left.shape[1], k)).astype(dtype)
    out = fortran(np.full((left.shape[0], k), np.nan, dtype))
    slack = twin.blas_scratch()  # what every workspace has besides
    doubles = twin.blas_scratch(flip, d, m, k, dtype == np.float32) - slack
    assert (doubles > 0) == cut
    scratch = torch.empty(doubles, dtype=torch.float64)
    twin.gemm(flip, False, 1.0, fortran(a), fortran(b), 0.0, out, scratch, 0)
    check(out.numpy(), left, b, out.numpy(), (1.0, 0.0))
    if cut:
        with pytest.raises(DeviceError, match=f"and {8 * doubles} are needed"):
            twin.gemm(flip, False, 1.0, fortran(a), fortran(b), 0.0, out, scratch[1:], 0)
