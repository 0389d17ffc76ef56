"""Block Lanczos against LAPACK, on operators easy, hard and hostile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hessay.errors import ArgumentError, NonFinite, NotConverged, ShapeError
from hessay.spectrum import Eigenpairs, eigsh

SEED = 20251
BLOCKS = [1, 2, 4, 8]
Matrix = NDArray[np.float64]


def symmetric(eigenvalues: NDArray[np.float64], seed: int = SEED) -> Matrix:
    basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(eigenvalues),) * 2))
    matrix = (basis * eigenvalues) @ basis.T
    return (matrix + matrix.T) / 2


def bulk(d: int, seed: int = SEED) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(0.0, 1.0, d)


def wanted(matrix: Matrix, k: int, which: str) -> NDArray[np.float64]:
    ascending = np.linalg.eigvalsh(matrix)
    if which == "LA":
        return ascending[::-1][:k]
    if which == "SA":
        return ascending[:k]
    if which == "BE":
        low = ascending[: k // 2]
        return np.sort(np.concatenate([ascending[len(ascending) - (k + 1) // 2 :], low]))[::-1]
    return ascending[np.argsort(-np.abs(ascending), kind="stable")][:k]


def assert_right(pairs: Eigenpairs, matrix: Matrix, k: int, which: str, tol: float) -> None:
    norm = np.abs(np.linalg.eigvalsh(matrix)).max()
    rounding = 1e-13 * max(norm, 1e-300) * len(matrix) ** 0.5
    # A residual r moves an eigenvalue by at most r (Weyl), so the values inherit the tolerance.
    np.testing.assert_allclose(
        np.sort(pairs.values), np.sort(wanted(matrix, k, which)), rtol=0, atol=tol * norm + rounding
    )
    true = np.linalg.norm(matrix @ pairs.vectors - pairs.vectors * pairs.values, axis=0)
    assert (true <= 1.01 * pairs.residuals + rounding).all(), (true, pairs.residuals)
    assert (pairs.residuals <= tol * norm + rounding).all()
    gram = pairs.vectors.T @ pairs.vectors
    assert np.abs(gram - np.eye(k)).max() < 1e-12
    assert pairs.converged


@pytest.mark.parametrize("block", BLOCKS)
def test_rank_6_operator_asked_for_10_pairs(block: int) -> None:
    values = np.zeros(200)
    values[:6] = [9.0, 7.0, 5.0, 3.0, 2.0, 1.0]
    matrix = symmetric(values)
    pairs = eigsh(matrix, 10, "LA", 1e-9, block=block)
    assert_right(pairs, matrix, 10, "LA", 1e-9)
    assert pairs.certified
    assert np.abs(pairs.values[6:]).max() < 1e-12


@pytest.mark.parametrize("block", BLOCKS)
def test_eigenvalue_of_multiplicity_10_is_found_ten_times(block: int) -> None:
    values = bulk(200)
    values[:10] = 4.0
    values[10] = 3.0
    matrix = symmetric(values)
    pairs = eigsh(matrix, 10, "LA", 1e-9, block=block)
    assert_right(pairs, matrix, 10, "LA", 1e-9)
    assert pairs.certified


@pytest.mark.parametrize("which", ["LA", "SA", "BE", "LM"])
@pytest.mark.parametrize("block", BLOCKS)
def test_clustered_values_are_resolved_at_every_end(which: str, block: int) -> None:
    values = bulk(300)
    values[:6] = [8.0, 8.0 - 1e-4, 8.0 - 2e-4, 6.0, 6.0 - 1e-4, 6.0 - 2e-4]
    values[6:10] = [-5.0, -5.0 + 1e-4, -4.0, -2.0]
    matrix = symmetric(values)
    k = 4 if which == "SA" else 6  # the gap below the answer decides whether it can be certified
    pairs = eigsh(matrix, k, which, 1e-9, block=block)  # type: ignore[arg-type]
    assert_right(pairs, matrix, k, which, 1e-9)
    assert pairs.certified


@pytest.mark.parametrize("block", BLOCKS)
def test_indefinite_operator_by_magnitude(block: int) -> None:
    values = np.random.default_rng(3).standard_normal(250) * 0.3
    values[:5] = [5.0, -4.5, 4.0, -3.5, 3.0]
    matrix = symmetric(values)
    pairs = eigsh(matrix, 5, "LM", 1e-9, block=block)
    assert_right(pairs, matrix, 5, "LM", 1e-9)
    assert pairs.values.round(8).tolist() == [5.0, -4.5, 4.0, -3.5, 3.0]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("d", [1, 2, 7, 60])
def test_zero_operator_has_zero_eigenvalues(block: int, d: int) -> None:
    pairs = eigsh(np.zeros((d, d)), min(3, d), "LM", block=block)
    assert pairs.values.tolist() == [0.0] * min(3, d)
    assert pairs.certified


def test_one_by_one_operator() -> None:
    pairs = eigsh(np.array([[-2.5]]), 1, "LM")
    assert pairs.values.tolist() == [-2.5]
    assert abs(pairs.vectors[0, 0]) == pytest.approx(1.0, abs=1e-15)
    assert pairs.certificate == "whole_space"


@pytest.mark.parametrize("d", [2, 5, 12, 39, 41])
@pytest.mark.parametrize("block", BLOCKS)
def test_all_eigenvalues_of_a_small_operator(d: int, block: int) -> None:
    matrix = symmetric(np.random.default_rng(d).standard_normal(d))
    pairs = eigsh(matrix, d, "LA", 1e-10, block=block)
    assert_right(pairs, matrix, d, "LA", 1e-10)
    assert pairs.certificate == "whole_space"


def test_k_beyond_the_size_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"k must lie in \[1, 3\]"):
        eigsh(np.eye(3), 4)
    with pytest.raises(ArgumentError, match="k must lie"):
        eigsh(np.eye(3), 0)


def test_nan_producing_operator_is_named() -> None:
    def product(v: Matrix) -> Matrix:
        return np.where(np.arange(len(v))[:, None] == 3, np.nan, v)

    with pytest.raises(NonFinite, match="NaN or Inf in product number 1"):
        eigsh((product, 50), 2)


def test_exception_of_a_callback_comes_through_unchanged() -> None:
    class Mine(Exception):
        pass

    def product(_: Matrix) -> Matrix:
        raise Mine("from the callback")

    with pytest.raises(Mine, match="from the callback"):
        eigsh((product, 50), 2)


def test_keyboard_interrupt_in_a_callback_comes_through() -> None:
    def product(_: Matrix) -> Matrix:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        eigsh((product, 50), 2)


def test_unsymmetric_operators_are_refused() -> None:
    matrix = np.random.default_rng(1).standard_normal((80, 80))
    with pytest.raises(ArgumentError, match="not symmetric"):
        eigsh(matrix, 3)
    with pytest.raises(ArgumentError, match="not symmetric"):
        eigsh((lambda v: matrix @ v, 80), 3)


def test_products_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match="keep the shape"):
        eigsh((lambda v: v[:-1], 80), 3)


def test_spent_budget_raises_with_the_partial_result() -> None:
    matrix = symmetric(np.linspace(0.0, 1.0, 400))
    with pytest.raises(NotConverged, match="raise max_products") as caught:
        eigsh(matrix, 5, "LA", 1e-12, max_products=20)
    partial = caught.value.partial
    assert isinstance(partial, Eigenpairs)
    assert not partial.converged
    assert not partial.certified
    assert partial.stats.products <= 20
    again = eigsh(matrix, 5, "LA", 1e-12, max_products=20, partial=True)
    np.testing.assert_array_equal(again.values, partial.values)
    # A spent budget still gives Ritz values: below the truth, by interlacing.
    assert (again.values <= wanted(matrix, 5, "LA") + 1e-12).all()


def test_tolerance_below_the_precision_is_refused() -> None:
    with pytest.raises(ArgumentError, match="tol must lie"):
        eigsh(np.eye(5, dtype=np.float32), 1, tol=1e-8)


def test_same_seed_same_bits_and_other_seed_same_answer() -> None:
    matrix = symmetric(bulk(150))
    first, second = eigsh(matrix, 4, seed=7), eigsh(matrix, 4, seed=7)
    np.testing.assert_array_equal(first.vectors, second.vectors)
    other = eigsh(matrix, 4, seed=8, tol=1e-10)
    np.testing.assert_allclose(other.values, wanted(matrix, 4, "LM"), atol=1e-9)


def test_single_precision_reaches_its_tolerance() -> None:
    values = bulk(300)
    values[:4] = [9.0, 7.0, 5.0, 3.0]
    matrix = symmetric(values).astype(np.float32)
    pairs = eigsh(matrix, 4, "LA", 1e-5)
    assert pairs.vectors.dtype == np.float32
    np.testing.assert_allclose(pairs.values, [9.0, 7.0, 5.0, 3.0], atol=2e-4)
    assert pairs.certified


def test_shift_and_scale_move_the_values_and_nothing_else() -> None:
    values = bulk(120)
    values[:3] = [4.0, 3.0, 2.0]
    matrix = symmetric(values)
    plain = eigsh(matrix, 3, "LA", 1e-10)
    moved = eigsh(10.0 * matrix + 5.0 * np.eye(120), 3, "LA", 1e-10)
    np.testing.assert_allclose(moved.values, 10.0 * plain.values + 5.0, rtol=1e-9)
    overlap = np.abs(np.sum(plain.vectors * moved.vectors, axis=0))
    np.testing.assert_allclose(overlap, 1.0, atol=1e-8)


@pytest.mark.parametrize("exponent", [-940, -600, -331, 333, 600, 990])
@pytest.mark.parametrize("which", ["LM", "SA", "BE"])
def test_operators_of_any_size_are_solved_to_the_same_bits(which: Any, exponent: int) -> None:
    matrix = symmetric(np.concatenate([np.linspace(-1.0, 1.0, 56), [5.0, 7.0, 7.0, 9.0]]))
    one, other = eigsh(matrix, 4, which), eigsh(np.ldexp(matrix, exponent), 4, which)
    for name in ("values", "residuals", "norm"):
        assert np.array_equal(getattr(other, name), np.ldexp(getattr(one, name), exponent))
    assert np.array_equal(other.vectors, one.vectors)
    assert (other.certified, other.stats.products) == (True, one.stats.products)
    told: list[float] = []
    eigsh(np.ldexp(matrix, exponent), 4, which, progress=lambda p: told.append(p.largest_residual))
    assert all(size == np.inf or size <= 20 * one.norm * 2.0**exponent for size in told)
    # Nothing is known of its size before a product that is not zero.
    empty = np.zeros((120, 120))
    empty[60:, 60:] = np.ldexp(matrix, exponent)
    beside = eigsh(empty, 4, "LM", start=np.eye(120)[:, :1])
    assert beside.values == pytest.approx(np.ldexp([9.0, 7.0, 7.0, 5.0], exponent), rel=1e-8)


def test_sizes_too_far_apart_are_told() -> None:
    with pytest.raises(ArgumentError, match="too far from 1 for their squares"):
        eigsh(np.diag(np.concatenate([[1e-250], np.arange(1.0, 60.0)])), 2, start=np.eye(60)[:, 0])


def test_every_kind_of_operator_gives_the_same_answer() -> None:
    import torch
    from scipy.sparse.linalg import aslinearoperator

    matrix = symmetric(bulk(90))
    operators: list[Any] = [matrix, torch.from_numpy(matrix), aslinearoperator(matrix)]
    operators += [(lambda v: matrix @ v, 90), matrix.T, np.ascontiguousarray(matrix)[::1]]
    expected = wanted(matrix, 5, "LM")
    for operator in operators:
        np.testing.assert_allclose(eigsh(operator, 5, tol=1e-10).values, expected, atol=1e-9)


def test_products_are_counted_as_the_operator_sees_them() -> None:
    matrix, seen = symmetric(bulk(200)), []

    def product(v: Matrix) -> Matrix:
        seen.append(v.shape[1])
        return matrix @ v

    pairs = eigsh((product, 200), 3, "LA", 1e-8, block=3)
    assert pairs.stats.products == sum(seen)
    assert pairs.stats.block_calls == len(seen)
    assert pairs.stats.check_products < pairs.stats.products


def test_restarts_keep_the_answer() -> None:
    matrix = symmetric(np.concatenate([np.linspace(0, 1, 395), [1.1, 1.2, 1.3, 1.4, 1.5]]))
    pairs = eigsh(matrix, 5, "LA", 1e-10, block=2, max_basis=16)
    assert pairs.stats.restarts > 0
    assert_right(pairs, matrix, 5, "LA", 1e-10)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_value_multiple_and_one_copy_found_at_a_time(block: int) -> None:
    # Each certificate finds another copy; what earlier ones set aside must not add up as error.
    values = np.repeat([3.0, 1.0, -2.0, 0.0], [11, 11, 11, 8])
    matrix = symmetric(values)
    pairs = eigsh(matrix, 13, "LA", 1e-9, block=block)
    assert_right(pairs, matrix, 13, "LA", 1e-9)
    assert pairs.certified


@settings(max_examples=40, deadline=None)
@given(
    d=st.integers(1, 60),
    rank=st.integers(0, 60),
    block=st.integers(1, 9),
    which=st.sampled_from(["LA", "SA", "BE", "LM"]),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_any_small_operator_is_solved(
    d: int, rank: int, block: int, which: Any, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    values = np.zeros(d)
    values[: min(rank, d)] = rng.choice([-2.0, 1.0, 1.0, 3.0, rng.standard_normal()], min(rank, d))
    k = data.draw(st.integers(1, d))
    matrix = symmetric(values, seed)
    assert_right(eigsh(matrix, k, which, 1e-9, block=block, seed=seed), matrix, k, which, 1e-9)
