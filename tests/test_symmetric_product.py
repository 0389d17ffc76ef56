"""A V from the lower triangle of A, for every instruction set: against plain sums in more digits."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hessay import _core
from hessay.errors import ArgumentError, ShapeError
from hessay.spectrum import eigsh

SEED = 20263
SETS = ["baseline", "avx2", "avx512"]
DTYPES = [np.float32, np.float64]
# One element, parts of every vector width and register block, and both sides of one, two and three
# tiles of 384 or 768.
SIZES = [*range(1, 10), 15, 16, 17, 31, 33, 65, 383, 384, 385, 391, 768, 769, 777, 1153, 1537]
BLOCKS = [1, 2, 3, 5, 16, 17]
Matrix = NDArray[Any]


def symmetric(d: int, dtype: Any, seed: int = SEED) -> Matrix:
    a = np.random.default_rng(seed).standard_normal((d, d))
    return np.asfortranarray((a + a.T).astype(dtype))


def block(d: int, b: int, dtype: Any) -> Matrix:
    values = np.random.default_rng(SEED + b).standard_normal((d, b))
    return np.asfortranarray(values.astype(dtype))


def product(a: Matrix, v: Matrix, threads: int = 1) -> Matrix:
    out = np.full(v.shape, np.nan, v.dtype, order="F")
    _core.symmetric_product(a, v, out, threads)
    return out


def worst(a: Matrix, v: Matrix, out: Matrix) -> float:
    """Return the largest error, in units of its bound d eps |A||V|; 1 is the limit."""
    wide: Any = np.longdouble if a.dtype == np.float64 else np.float64
    error = np.abs(out - a.astype(wide) @ v.astype(wide))
    bound = len(a) * np.finfo(a.dtype).eps * (np.abs(a) @ np.abs(v))
    assert np.isfinite(out).all()
    return float((error / bound).max(initial=0.0))


def guarded(shape: tuple[int, int], dtype: Any, keep: list[mmap.mmap]) -> Matrix:
    """Return a column-major array whose last byte lies before a page that must not be touched."""
    n_bytes = shape[0] * shape[1] * np.dtype(dtype).itemsize
    page = mmap.PAGESIZE
    used = -(-n_bytes // page) * page
    memory = mmap.mmap(-1, used + page)
    keep.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(start + used), ctypes.c_size_t(page), 0) == 0
    flat = np.frombuffer(memory, dtype, shape[0] * shape[1], used - n_bytes)
    return flat.reshape(shape, order="F")


def check_this_instruction_set() -> None:
    """Run in a process of its own, for HESSAY_ISA is read once."""
    for dtype in DTYPES:
        for d in SIZES:
            a = symmetric(d, dtype)
            below = np.where(np.tri(d, dtype=bool), a, np.nan).astype(dtype, order="F")
            for b in BLOCKS if d < 700 else [1, 3]:
                v = block(d, b, dtype)
                assert worst(a, v, product(below, v)) <= 1, (dtype, d, b)
        for d in [size for size in SIZES if size < 70]:
            keep: list[mmap.mmap] = []
            a, v, out = (guarded(shape, dtype, keep) for shape in ((d, d), (d, 3), (d, 3)))
            a[:], v[:] = symmetric(d, dtype), block(d, 3, dtype)
            _core.symmetric_product(a, v, out)
            assert worst(a, v, out) <= 1, (dtype, d)


def run(program: list[str], isa: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program],
        env=os.environ | {"HESSAY_ISA": isa},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="guard pages are set up as Linux wants them")
@pytest.mark.parametrize("isa", SETS)
def test_every_instruction_set_keeps_the_bound_and_reads_the_lower_triangle_alone(isa: str) -> None:
    done = run([__file__], isa)
    if isa != "baseline" and "does not have" in done.stderr:
        pytest.skip(f"no {isa} here")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [isa]


@pytest.mark.parametrize("isa", ["sse", "AVX2", "avx2 "])
def test_an_unknown_instruction_set_is_refused_by_name(isa: str) -> None:
    done = run(["-c", "from hessay import _core; _core.instruction_set()"], isa)
    assert done.returncode != 0
    assert f"HESSAY_ISA must be 'baseline', 'avx2' or 'avx512', got '{isa}'" in done.stderr


def test_an_empty_wish_is_no_wish() -> None:
    done = run(["-c", "from hessay import _core; print(_core.instruction_set())"], "")
    assert done.stdout.strip() in SETS, done.stderr


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [2, 3, 64])
def test_threads_change_rounding_alone_and_always_in_the_same_way(dtype: Any, threads: int) -> None:
    a, v = symmetric(1153, dtype), block(1153, 3, dtype)
    shared = product(a, v, threads)
    assert worst(a, v, shared) <= 1
    np.testing.assert_array_equal(shared, product(a, v, threads))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [1, 2])
def test_strides_and_offsets_leave_what_lies_between_alone(dtype: Any, threads: int) -> None:
    d, b = 397, 5
    rng = np.random.default_rng(SEED)
    store = np.asfortranarray(rng.standard_normal((d + 3, d)).astype(dtype))
    store[1 : d + 1] = symmetric(d, dtype)
    around_v = np.full((d + 5, b), np.nan, dtype, order="F")
    around_out = np.full((d + 7, b), 7.0, dtype, order="F")
    around_v[3 : d + 3] = block(d, b, dtype)
    a, v, out = store[1 : d + 1], around_v[3 : d + 3], around_out[5 : d + 5]
    _core.symmetric_product(a, v, out, threads)
    assert worst(a, v, out) <= 1
    assert (around_out[:5] == 7).all()
    assert (around_out[d + 5 :] == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", [(0, 0), (3, 0), (11, 10), (395, 2), (390, 389), (399, 399)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_goes_where_a_plain_product_takes_it(
    dtype: Any, place: tuple[int, int], value: float
) -> None:
    a, v = symmetric(400, dtype), block(400, 3, dtype)
    a[place] = a[place[::-1]] = value
    touched = ~np.isfinite(product(a, v))
    expected = np.zeros((400, 3), bool)
    expected[list(place)] = True
    np.testing.assert_array_equal(touched, expected)
    v[place[0], 1] = value
    a = symmetric(400, dtype)
    np.testing.assert_array_equal(
        ~np.isfinite(product(a, v)), np.tile([False, True, False], (400, 1))
    )


def test_nothing_times_nothing_is_nothing() -> None:
    assert product(symmetric(5, np.float64), np.empty((5, 0), order="F")).shape == (5, 0)
    assert product(np.empty((0, 0), order="F"), np.empty((0, 2), order="F")).shape == (0, 2)


def test_shapes_types_and_thread_counts_that_do_not_fit_are_refused() -> None:
    a, v = symmetric(6, np.float64), block(6, 2, np.float64)
    out = np.empty_like(v)
    for bad in [(a[:5], v, out), (a, v[:5], out), (a, v, out[:, :1]), (a, v, out[:4])]:
        with pytest.raises(ShapeError, match="symmetric_product of"):
            _core.symmetric_product(*bad)
    with pytest.raises(ShapeError, match="v must"):
        _core.symmetric_product(a, v.astype(np.float32), out)
    with pytest.raises(ShapeError, match="column-major"):
        _core.symmetric_product(a, np.ascontiguousarray(v), out)
    with pytest.raises(ArgumentError, match="threads"):
        _core.symmetric_product(a, v, out, 0)


@pytest.mark.parametrize("block_size", [1, 2, 17])
def test_dense_solves_of_a_size_that_takes_this_route_agree_with_lapack(block_size: int) -> None:
    a = symmetric(801, np.float64)  # 5.1 MB: beyond the size below which BLAS multiplies
    pairs = eigsh(a, 3, "LA", 1e-10, block=block_size)
    values = np.linalg.eigvalsh(a)
    np.testing.assert_allclose(pairs.values, values[:-4:-1], rtol=0, atol=1e-10 * values[-1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 2, 31, 32, 33, 64, 77])
def test_asymmetry_is_the_largest_difference_and_the_largest_element(dtype: Any, d: int) -> None:
    a = np.asfortranarray(np.random.default_rng(d).standard_normal((d, d)).astype(dtype))
    difference, largest = _core.asymmetry(a)
    assert difference == np.abs(a - a.T).max()
    assert largest == np.abs(a).max()
    assert _core.asymmetry(symmetric(d, dtype))[0] == 0
    for value, place in ((np.nan, (0, d - 1)), (np.inf, (d - 1, 0)), (-np.inf, (0, 0))):
        poisoned = a.copy(order="F")
        poisoned[place] = value
        assert np.isnan(_core.asymmetry(poisoned)).all()


def test_asymmetry_of_nothing_is_nothing_and_needs_a_square() -> None:
    assert _core.asymmetry(np.empty((0, 0), order="F")) == (0.0, 0.0)
    with pytest.raises(ShapeError, match="square"):
        _core.asymmetry(np.empty((3, 2), order="F"))


if __name__ == "__main__":
    check_this_instruction_set()
    print(_core.instruction_set())
