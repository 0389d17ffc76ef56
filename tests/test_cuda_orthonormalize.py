"""Block Gram-Schmidt of the CUDA device on the processor, against NumPy in float64.

The program that runs the bodies is compiled with AddressSanitizer and UBSan: an index too far, in
any shape here, ends the test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from device_bodies import Matrix, compile_bodies, compiler, run

SEED = 20272
DTYPES = [np.float32, np.float64]
# gap between columns, offset of the first number: packs of 16 bytes only in the first
LAYOUTS = [(0, 0), (3, 1), (5, 0)]
SHAPES = [(1, 1), (2, 2), (7, 3), (64, 1), (257, 5), (8193, 2)]
FACTORED, RANK_UNKNOWN, BROKEN = 0.0, 1.0, 2.0
Doubles = NDArray[np.float64]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        pytest.skip("no C++ compiler on this machine")
    return compile_bodies(tmp_path_factory.mktemp("bodies"))


def random(shape: tuple[int, int], dtype: Any, seed: int = SEED) -> NDArray[Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def packed(matrix: Doubles) -> Matrix:
    """The upper triangle, column after column."""
    b = len(matrix)
    return Matrix(np.array([[matrix[i, j]] for j in range(b) for i in range(j + 1)]))


def eps(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("gap", "offset"), LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_scaled_columns_are_added(
    program: Path, shape: tuple[int, int], gap: int, offset: int, dtype: Any
) -> None:
    x, y = random(shape, dtype), random(shape, dtype, 1)
    matrices = [Matrix(x, gap, offset), Matrix(y, gap, offset)]
    _, found = run(program, "add_scaled", dtype, [-2.5], matrices)
    np.testing.assert_allclose(found, y - dtype(2.5) * x, rtol=0, atol=8 * eps(dtype))


@pytest.mark.parametrize(("gap", "offset"), LAYOUTS)
def test_columns_too_small_for_single_precision_are_scaled_up(
    program: Path, gap: int, offset: int
) -> None:
    x = np.full((9, 2), 2.0**-140, np.float32)
    (found,) = run(program, "scale_in_double", np.float32, [2.0**139], [Matrix(x, gap, offset)])
    np.testing.assert_array_equal(found, np.full((9, 2), 0.5, np.float32))


def test_a_number_is_set(program: Path) -> None:
    (found,) = run(program, "set_number", np.float32, [1.25], [Matrix(np.zeros((1, 1)))])
    assert found.tolist() == [[1.25]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("gap", "offset"), LAYOUTS)
@pytest.mark.parametrize("shape", [*SHAPES, (20000, 4)])
def test_gram_matrices_have_the_rounding_of_double(
    program: Path, shape: tuple[int, int], gap: int, offset: int, dtype: Any
) -> None:
    x = random(shape, dtype)
    pairs = shape[1] * (shape[1] + 1) // 2
    matrices = [Matrix(x, gap, offset), Matrix(np.full((pairs, 1), np.nan))]
    _, found = run(program, "packed_gram", dtype, [], matrices)
    wide = x.astype(np.float64)
    wanted, size = packed(wide.T @ wide).values, packed(abs(wide).T @ abs(wide)).values
    # 32 numbers a lane and a tree of 8, then chunks: fewer than 60 roundings in any sum here
    assert (abs(found - wanted) <= 60 * eps(np.float64) * size).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("gap", "offset"), LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_are_solved_with_a_triangle(
    program: Path, shape: tuple[int, int], gap: int, offset: int, dtype: Any
) -> None:
    b = shape[1]
    r = np.triu(random((b, b), np.float64)) + 3 * np.eye(b)
    x = random(shape, dtype)
    matrices = [Matrix(r, gap, offset), Matrix(x, gap, offset)]
    _, found = run(program, "solve_upper_rows", dtype, [], matrices)
    # backward stable (Higham 2002, theorem 8.5), and numbers are rounded once to the dtype
    off = found.astype(np.float64) @ r - x
    assert (abs(off) <= (b + 2) * eps(dtype) * (abs(found.astype(np.float64)) @ abs(r))).all()


def factor(
    program: Path, gram: Doubles, *, before: Any = None, reference: float = 0.0, **options: Any
) -> tuple[Doubles, float]:
    """FactorGram in the first pass, with the norms before; in the second without."""
    b = len(gram)
    numbers = [int(before is not None), int(options.get("of_product", False)), 1e-10]
    norms = np.ones((b, 1)) if before is None else np.array(before, float)[:, None]
    out = run(
        program,
        "factor_gram",
        np.float64,
        numbers,
        [
            packed(gram),
            Matrix(norms),
            Matrix(np.array([[reference]])),
            Matrix(np.full((b, b), np.nan)),
            Matrix(np.array([[options.get("state", FACTORED)]])),
        ],
    )
    return out[3], float(out[4][0, 0])


@pytest.mark.parametrize("b", [1, 2, 5, 17])
def test_a_gram_matrix_is_factored_as_lapack_does(program: Path, b: int) -> None:
    x = random((4 * b + 3, b), np.float64)
    gram = x.T @ x
    found, state = factor(program, gram, before=np.sqrt(np.diag(gram)))
    assert state == FACTORED
    wanted = np.linalg.cholesky(gram).T
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13 * np.abs(wanted).max())


def test_columns_that_may_be_dependent_are_left_for_the_rank_to_be_revealed(program: Path) -> None:
    x = random((20, 3), np.float64)
    gram = x.T @ x
    lengths = np.sqrt(np.diag(gram))
    tiny = gram * np.outer([1, 1, 1e-12], [1, 1, 1e-12])
    leaning = x.copy()
    leaning[:, 2] = x[:, 0] + 1e-4 * x[:, 2]
    spoiled = gram.copy()
    spoiled[1, 1] = np.nan
    for matrix, before in [
        (np.zeros((3, 3)), lengths),
        (tiny, lengths),  # 1e-12 is below 10 rounding of what it was
        (leaning.T @ leaning, lengths),
        (spoiled, lengths),
        (gram, lengths * 1e10),
        (-gram, lengths),
    ]:
        found, state = factor(program, matrix, before=before)
        assert state == RANK_UNKNOWN
        np.testing.assert_array_equal(found, np.eye(3))
    # small is relative: to what it was, to the reference, and to the products beside it
    small = lengths * [1, 1, 1e-12]
    assert factor(program, tiny, before=small)[1] == FACTORED
    assert factor(program, tiny, before=small, reference=1.0)[1] == RANK_UNKNOWN
    assert factor(program, tiny, before=small, of_product=True)[1] == RANK_UNKNOWN


def test_the_second_pass_keeps_what_the_first_decided(program: Path) -> None:
    near = np.eye(2) + 1e-3 * np.ones((2, 2))
    found, state = factor(program, near)
    assert state == FACTORED
    np.testing.assert_allclose(found.T @ found, near, rtol=0, atol=1e-15)
    found, state = factor(program, near, state=RANK_UNKNOWN)
    assert state == RANK_UNKNOWN
    np.testing.assert_array_equal(found, np.eye(2))
    assert factor(program, np.zeros((2, 2)))[1] == BROKEN
    assert factor(program, np.full((2, 2), np.nan))[1] == BROKEN


def split(
    program: Path, q: NDArray[Any], w: NDArray[Any], *, factors: bool = True, layout: Any = (0, 0)
) -> tuple[NDArray[Any], Doubles, Doubles, float, Doubles]:
    """W_new, C, R, state and the norms before projection."""
    m, b = q.shape[1], w.shape[1]
    report = np.full((2 + b + 2 * m * b + 2 * b * b, 1), np.nan)
    report[0] = 0  # no reference
    rounding = eps(w.dtype) * len(w) ** 0.5
    matrices = [Matrix(q, *layout), Matrix(w, *layout), Matrix(report)]
    numbers = [0, int(factors), rounding]
    _, new, told = run(program, "orthonormalize_block", w.dtype.type, numbers, matrices)
    flat = told[:, 0]
    sizes = np.cumsum([1, 1, b, m * b, m * b, b * b])
    _, state, before, c1, c2, r1, r2 = np.split(flat, sizes)
    first, second = (c.reshape(b, m).T for c in (c1, c2))
    if not factors:
        return new, first + second, np.zeros((b, b)), RANK_UNKNOWN, before
    inner, outer = (r.reshape(b, b).T for r in (r1, r2))
    return new, first + second @ inner, outer @ inner, float(state[0]), before


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("d", "m", "b"), [(1, 0, 1), (5, 1, 2), (40, 0, 4), (41, 9, 3), (300, 30, 8), (9001, 3, 1)]
)
def test_a_block_is_split_into_orthonormal_parts(
    program: Path, d: int, m: int, b: int, layout: tuple[int, int], dtype: Any
) -> None:
    basis = np.linalg.qr(random((d, d if d < 500 else m), np.float64))[0][:, :m].astype(dtype)
    # nearly inside Q, and its columns nearly parallel: both passes have work to do
    w = random((d, b), np.float64, 1)
    w += 30 * basis.astype(np.float64) @ random((m, b), np.float64, 2)
    w[:, 1:] = 20 * w[:, :1] + w[:, 1:]
    w = w.astype(dtype)
    new, c, r, state, before = split(program, basis, w, layout=layout)
    assert state == FACTORED
    wide, q = new.astype(np.float64), basis.astype(np.float64)
    both = np.hstack([q, wide])
    gram = both.T @ both - np.eye(m + b)
    gram[:m, :m] = 0  # Q itself is orthonormal to the rounding of its dtype
    assert np.abs(gram).max() < 20 * eps(dtype) * d**0.5
    assert np.abs(np.tril(r, -1)).max(initial=0) == 0
    assert (np.diag(r) > 0).all()
    size = np.abs(w).max() * d**0.5
    assert np.abs(w - q @ c - wide @ r).max() < 20 * eps(dtype) * size
    norms = np.linalg.norm(w.astype(np.float64), axis=0)
    np.testing.assert_allclose(before, norms, rtol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("factors", [True, False])
def test_a_dependent_block_is_projected_twice_and_left(
    program: Path, dtype: Any, factors: bool
) -> None:
    q = np.linalg.qr(random((50, 6), np.float64))[0].astype(dtype)
    w = random((50, 3), dtype, 1)
    w[:, 2] = w[:, 0] + w[:, 1]
    new, c, _, state, _ = split(program, q, w, factors=factors)
    assert state == RANK_UNKNOWN
    wide = q.astype(np.float64)
    assert np.abs(wide.T @ new).max() < 20 * eps(dtype)
    np.testing.assert_allclose(wide @ c + new, w, rtol=0, atol=20 * eps(dtype) * np.abs(w).max())


def test_a_product_with_nan_is_told_by_its_norm(program: Path) -> None:
    w = random((30, 2), np.float64)
    w[4, 1] = np.nan
    _, _, _, state, before = split(program, np.eye(30)[:, :3], w)
    assert state == RANK_UNKNOWN
    assert np.isfinite(before).tolist() == [True, False]


def test_the_shapes_of_basis_and_block_must_fit(program: Path) -> None:
    with pytest.raises(RuntimeError, match=r"Q \(4, 2\) and W \(5, 1\) do not fit"):
        split(program, np.eye(4)[:, :2], random((5, 1), np.float64))
