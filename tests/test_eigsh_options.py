"""Warm starts, budgets of time, progress and cancellation of eigsh."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hessay.errors import ArgumentError, NonFinite, NotConverged, ShapeError
from hessay.spectrum import Eigenpairs, Progress, eigsh

SEED = 20252
TOPS = np.linspace(12.0, 4.0, 10)
Matrix = NDArray[np.float64]


def random_symmetric(d: int, seed: int = SEED) -> Matrix:
    noise = np.random.default_rng(seed).standard_normal((d, d))
    matrix: Matrix = noise + noise.T
    return matrix / np.linalg.norm(matrix, 2)


def with_values(values: NDArray[np.float64]) -> Matrix:
    basis, _ = np.linalg.qr(np.random.default_rng(SEED).standard_normal((len(values),) * 2))
    matrix: Matrix = (basis * values) @ basis.T
    return (matrix + matrix.T) / 2


@pytest.fixture(scope="module")
def spiked() -> Matrix:
    values = np.random.default_rng(SEED).uniform(0.0, 3.0, 400)
    values[:10] = TOPS
    return with_values(values)


def top(matrix: Matrix, k: int) -> NDArray[np.float64]:
    return np.linalg.eigvalsh(matrix)[::-1][:k]


def searched(pairs: Eigenpairs) -> int:
    return pairs.stats.products - pairs.stats.check_products


# -- warm start ------------------------------------------------------------------------------


@pytest.mark.parametrize("spoiled", [False, True])
def test_the_answer_itself_as_start_needs_k_products_to_verify(
    spiked: Matrix, spoiled: bool
) -> None:
    exact = np.linalg.eigh(spiked)[1][:, ::-1][:, :10]
    start = np.hstack([exact, exact, 0 * exact]) if spoiled else exact
    pairs = eigsh(spiked, 10, "LA", 1e-6, start=start)
    # Zero and dependent columns must be left out. One mixture of ten eigenvectors: its Krylov space has dimension 10 and is invariant.
    assert searched(pairs) == 10
    np.testing.assert_allclose(pairs.values, TOPS, atol=1e-5)
    assert pairs.certified


@pytest.mark.parametrize("block", [1, 2, 10])
def test_a_start_from_the_unperturbed_operator_saves_products(spiked: Matrix, block: int) -> None:
    before = eigsh(spiked, 10, "LA", 1e-6)
    moved = spiked + 1e-2 * 12.0 * random_symmetric(400)
    cold = eigsh(moved, 10, "LA", 1e-6, block=block, seed=1)
    warm = eigsh(moved, 10, "LA", 1e-6, block=block, seed=1, start=before)
    assert 10 <= searched(warm) < searched(cold)
    np.testing.assert_allclose(warm.values, top(moved, 10), atol=12e-6)
    assert warm.certified


@pytest.mark.parametrize("copies", [2, 5, 10])
def test_copies_of_a_known_multiple_eigenvalue_are_all_started_from(copies: int) -> None:
    values = np.random.default_rng(SEED).uniform(0.0, 3.0, 400)
    values[:10] = TOPS
    values[:copies] = 12.0
    matrix = with_values(values)
    before = eigsh(matrix, 10, "LA", 1e-6)
    pairs = eigsh(matrix, 10, "LA", 1e-6, seed=1, start=before)
    # Ten wanted vectors, and at most one column a mixture that only shows that nothing is left.
    assert searched(pairs) <= 10 + copies
    np.testing.assert_allclose(pairs.values, np.sort(values)[::-1][:10], atol=1e-5)
    assert pairs.certified
    # Told nothing of the copies, the same vectors take longer: a mixture holds one of them.
    assert searched(eigsh(matrix, 10, "LA", 1e-6, seed=1, start=before.vectors)) > 20


def test_every_given_column_enters_the_first_block(spiked: Matrix) -> None:
    rng = np.random.default_rng(SEED)
    blocks: list[Matrix] = []

    def product(v: Matrix) -> Matrix:
        blocks.append(v.copy())
        return spiked @ v

    start = rng.standard_normal((400, 4)) * [1e-9, 1.0, 1e5, 1.0]  # scale must not matter
    eigsh((product, 400), 3, "LA", block=4, start=start)
    span, _ = np.linalg.qr(start / np.linalg.norm(start, axis=0))
    # Orthonormal columns, each inside the span of the start.
    np.testing.assert_allclose(blocks[0].T @ blocks[0], np.eye(4), atol=1e-13)
    np.testing.assert_allclose(span @ (span.T @ blocks[0]), blocks[0], atol=1e-12)
    blocks.clear()
    eigsh((product, 400), 3, "LA", block=1, start=start)
    parts = np.abs(span.T @ blocks[0])
    assert (parts > 0.05).all()  # weights 1..4 on a unit vector: the least is 0.18
    np.testing.assert_allclose(np.linalg.norm(parts), 1.0, atol=1e-12)


@pytest.mark.parametrize("block", [1, 3])
@pytest.mark.parametrize("kind", ["zero", "repeated", "wrong", "single", "wide", "integers"])
def test_no_start_can_spoil_the_answer(spiked: Matrix, block: int, kind: str) -> None:
    rng = np.random.default_rng(SEED)
    starts: dict[str, Any] = {
        "zero": np.zeros((400, 10)),
        "repeated": np.repeat(rng.standard_normal((400, 1)), 10, axis=1),
        "wrong": np.linalg.eigh(spiked)[1][:, :10],  # exact eigenvectors of the other end
        "single": rng.standard_normal(400),
        "wide": rng.standard_normal((400, 500)),
        "integers": rng.integers(-3, 4, (400, 2)),
    }
    pairs = eigsh(spiked, 10, "LA", 1e-8, block=block, start=starts[kind])
    np.testing.assert_allclose(pairs.values, TOPS, atol=1e-6)
    assert pairs.certified


@pytest.mark.parametrize("limit", [0.5, 0.2])
def test_certificates_stay_honest_under_a_misleading_start(limit: float) -> None:
    # The start is orthogonal to the largest eigenvalue, which only the certificate can meet.
    values = np.concatenate([np.linspace(0, 1, 150), [1.199, 1.2]])
    matrix, runs, missed = np.diag(values), 300, 0
    start = np.eye(152)[:, [150]]
    for seed in range(runs):
        pairs = eigsh(matrix, 1, "LA", 1e-8, start=start, miss_probability=limit, seed=seed)
        assert pairs.certified
        missed += bool(pairs.values[0] < 1.1995)
    assert missed <= runs * limit + 3 * (runs * limit * (1 - limit)) ** 0.5
    assert missed > 0  # else this test shows nothing


@pytest.mark.parametrize("kind", ["dense", "callable", "single"])
def test_start_may_be_a_tensor_and_of_another_precision(spiked: Matrix, kind: str) -> None:
    start = torch.from_numpy(np.linalg.eigh(spiked)[1][:, -10:].astype(np.float32))
    operators: dict[str, Any] = {
        "dense": spiked,
        "callable": (lambda v: spiked @ v, 400),
        "single": spiked.astype(np.float32),
    }
    pairs = eigsh(operators[kind], 10, "LA", 1e-5, start=start.requires_grad_())
    assert searched(pairs) < searched(eigsh(operators[kind], 10, "LA", 1e-5)) - 5
    np.testing.assert_allclose(pairs.values, TOPS, atol=2e-4)


def test_unusable_starts_are_refused(spiked: Matrix) -> None:
    for shape in [(399, 2), (400, 0), (400, 2, 2), (2, 400)]:
        with pytest.raises(ShapeError, match="start must hold vectors of length d = 400"):
            eigsh(spiked, 3, start=np.ones(shape))
    bad = np.ones((400, 2))
    bad[7, 1] = np.nan
    with pytest.raises(NonFinite, match="start holds NaN"):
        eigsh(spiked, 3, start=bad)
    with pytest.raises(NonFinite, match="float32"):
        eigsh(spiked.astype(np.float32), 3, start=np.full(400, 1e300))
    with pytest.raises(ArgumentError, match="start must be real"):
        eigsh(spiked, 3, start=np.ones(400, dtype=complex))


# -- budget of time, progress, cancellation ---------------------------------------------------


def test_spent_time_raises_with_the_partial_result(spiked: Matrix) -> None:
    calls = 0

    def slow(v: Matrix) -> Matrix:
        nonlocal calls
        calls += 1
        time.sleep(0.02)
        return spiked @ v

    with pytest.raises(NotConverged, match="raise max_seconds") as caught:
        eigsh((slow, 400), 5, "LA", 1e-12, max_seconds=0.15)
    partial = caught.value.partial
    assert isinstance(partial, Eigenpairs)
    assert partial.stopped == "seconds"
    assert "budget of time" in partial.explain()
    assert not partial.certified
    # 0.15 s hold at most seven sleeps of 0.02 s; the eighth call may have begun.
    assert partial.stats.products == calls <= 8
    assert partial.stats.seconds > 0.15
    # Ritz values lie below the truth, by interlacing.
    assert (partial.values <= top(spiked, 5)[: len(partial.values)] + 1e-12).all()
    again = eigsh((slow, 400), 5, "LA", 1e-12, max_seconds=0.05, partial=True)
    assert again.stopped == "seconds"
    assert not again.converged


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf")])
def test_a_budget_of_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(ArgumentError, match="max_seconds must be positive"):
        eigsh(np.eye(3), 1, max_seconds=seconds)


@pytest.mark.parametrize("block", [1, 4])
def test_progress_is_told_once_a_step_and_grows(spiked: Matrix, block: int) -> None:
    told: list[Progress] = []
    seen: list[int] = []

    def product(v: Matrix) -> Matrix:
        seen.append(v.shape[1])
        return spiked @ v

    pairs = eigsh((product, 400), 10, "LA", 1e-6, block=block, progress=told.append)
    # The step that ends the run is not told: its answer is the result.
    assert [p.products for p in told] == np.cumsum(seen)[:-1].tolist()
    assert [p.block_calls for p in told] == list(range(1, len(seen)))
    assert all(b.seconds >= a.seconds for a, b in pairwise(told))
    for p in told:
        assert 0 <= p.converged <= 10
        assert np.isinf(p.largest_residual) == (p.products < 10)
        assert (p.converged == 10) == (p.largest_residual <= 1e-6 * pairs.norm)
        assert not p.checking or p.converged == 10
    checking = [p.checking for p in told]
    assert checking == sorted(checking)  # here the certificate finds nothing: one change
    assert any(checking)
    assert told[-1].largest_residual == pytest.approx(pairs.residuals.max(), abs=0)


@pytest.mark.parametrize("after", [1, 5, 15])
def test_progress_that_returns_false_cancels(spiked: Matrix, after: int) -> None:
    told: list[Progress] = []

    def stop(at: Progress) -> bool:
        told.append(at)
        return len(told) < after

    with pytest.raises(NotConverged, match="progress callback ended the run") as caught:
        eigsh(spiked, 10, "LA", 1e-10, progress=stop)
    partial = caught.value.partial
    assert isinstance(partial, Eigenpairs)
    assert partial.stopped == "cancelled"
    assert partial.stats.products == after
    assert len(partial.values) == (10 if after >= 10 else 0)
    for no in (False, np.False_):
        cancelled = eigsh(spiked, 10, "LA", progress=lambda _, no=no: no, partial=True)
        assert cancelled.stopped == "cancelled"


def test_a_run_cancelled_in_its_certificate_returns_uncertified(spiked: Matrix) -> None:
    pairs = eigsh(spiked, 10, "LA", progress=lambda at: not at.checking)
    assert pairs.converged
    assert not pairs.certified
    assert pairs.stopped == "cancelled"
    assert "progress callback" in pairs.explain()
    np.testing.assert_allclose(pairs.values, TOPS, atol=1e-3)
    whole = eigsh(spiked, 10, "LA", progress=lambda _: None)
    assert whole.stopped == "no"
    assert whole.certified


def test_exception_of_the_progress_callback_comes_through_unchanged(spiked: Matrix) -> None:
    class Mine(Exception):
        pass

    error = Mine("from the callback")

    def fail(_: Progress) -> None:
        raise error

    with pytest.raises(Mine) as caught:
        eigsh(spiked, 3, progress=fail)
    assert caught.value is error


def test_progress_does_not_change_the_answer(spiked: Matrix) -> None:
    plain = eigsh(spiked, 4, seed=3)
    watched = eigsh(spiked, 4, seed=3, progress=lambda _: None, max_seconds=1000.0)
    np.testing.assert_array_equal(plain.vectors, watched.vectors)


def test_stored_matrices_are_asked_for_two_vectors_a_call() -> None:
    rng = np.random.default_rng(8)
    large = np.diag(np.arange(1.0, 1101.0))  # 9.7 MB
    large[:30, :30] += (noise := rng.standard_normal((30, 30))) + noise.T
    stored = eigsh(large, 3, "LA", 1e-6)
    called = eigsh((lambda v: large @ v, 1100), 3, "LA", 1e-6)
    stats = stored.stats  # the certificate asks for one at a time
    search_calls = stats.block_calls - stats.check_products
    assert stats.products - stats.check_products == 2 * search_calls
    assert called.stats.products == called.stats.block_calls
    small = eigsh(large[:500, :500], 3, "LA", 1e-6)
    assert small.stats.products == small.stats.block_calls
    # The answer does not depend on it: eigenvalues are right to the residual squared over the gap.
    np.testing.assert_allclose(stored.values, called.values, rtol=1e-9)
    # One dimension holds one column.
    assert eigsh(np.eye(1), 1, "LA").values.tolist() == [1.0]
