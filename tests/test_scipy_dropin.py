"""The same calls through scipy.sparse.linalg.eigsh and hessay's stand-in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

from hessay.errors import ArgumentError, NotConverged, ShapeError
from hessay.spectrum import scipy_eigsh

SEED, D = 20253, 180
Matrix = NDArray[np.float64]


def matrix_of(seed: int = SEED) -> Matrix:
    """Indefinite, sparse, with eigenvalues apart at both ends."""
    rng = np.random.default_rng(seed)
    scattered = scipy.sparse.random(D, D, density=0.03, random_state=rng).toarray()
    diagonal = np.concatenate(
        [[9.0, -8.5, 8.0, -7.0, 6.0, -5.5, 5.0, -4.5], rng.uniform(-1, 1, D - 8)]
    )
    return scattered + scattered.T + np.diag(diagonal)


def forms(matrix: Matrix) -> dict[str, Any]:
    return {
        "dense": matrix,
        "csr_matrix": scipy.sparse.csr_matrix(matrix),
        "csr_array": scipy.sparse.csr_array(matrix),
        "aslinearoperator": scipy.sparse.linalg.aslinearoperator(matrix),
        "matvec": scipy.sparse.linalg.LinearOperator(
            (D, D), matvec=lambda v: matrix @ v, dtype=np.float64
        ),
    }


CALLS: list[dict[str, Any]] = [
    {},
    {"k": 4},
    {"k": 5, "which": "LM"},
    {"k": 5, "which": "LA"},
    {"k": 5, "which": "SA"},
    {"k": 5, "which": "BE"},
    {"k": 4, "which": "BE"},
    {"k": 3, "which": "LA", "tol": 0},
    {"k": 3, "which": "LA", "tol": 1e-10},
    {"k": 4, "which": "LM", "v0": np.ones(D)},
    {"k": 4, "which": "SA", "maxiter": 500},
    {"k": 4, "which": "LA", "ncv": 30},
]


@pytest.mark.parametrize("form", forms(np.eye(D)))
@pytest.mark.parametrize("call", CALLS, ids=lambda call: "-".join(call) or "defaults")
def test_the_same_call_gives_the_same_return(form: str, call: dict[str, Any]) -> None:
    matrix = matrix_of()
    operator = forms(matrix)[form]
    theirs = scipy.sparse.linalg.eigsh(operator, **call)
    ours = scipy_eigsh(operator, **call)
    assert type(ours) is type(theirs) is tuple
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.shape, mine.dtype) == (other.shape, other.dtype)
    # Residuals up to 1e-10 |A|, |A| = 9, move a value by no more (Weyl).
    np.testing.assert_allclose(ours[0], theirs[0], rtol=0, atol=2e-9)
    assert (np.diff(ours[0]) > 0).all()
    # Eigenvectors up to their sign; the error is residual over gap.
    overlap = np.abs(np.sum(ours[1] * theirs[1], axis=0))
    np.testing.assert_allclose(overlap, 1.0, atol=1e-8)
    assert np.linalg.norm(matrix @ ours[1] - ours[1] * ours[0], axis=0).max() < 2e-9
    values = scipy_eigsh(operator, **call, return_eigenvectors=False)
    np.testing.assert_array_equal(values, ours[0])
    alone = scipy.sparse.linalg.eigsh(operator, **call, return_eigenvectors=False)
    np.testing.assert_allclose(values, np.sort(alone), rtol=0, atol=2e-9)


def test_single_precision_in_single_precision_out() -> None:
    matrix = matrix_of().astype(np.float32)
    theirs = scipy.sparse.linalg.eigsh(matrix, k=4, tol=1e-5)
    ours = scipy_eigsh(matrix, k=4, tol=1e-5)
    assert [part.dtype for part in ours] == [part.dtype for part in theirs] == [np.float32] * 2
    np.testing.assert_allclose(ours[0], theirs[0], atol=2e-4)
    # tol = 0 is rounding, which rounding must not keep from being reached.
    np.testing.assert_allclose(scipy_eigsh(matrix, k=4)[0], theirs[0], atol=2e-4)


def test_smallest_magnitude_is_refused_with_a_way_out() -> None:
    matrix = matrix_of()
    with pytest.raises(ArgumentError, match="pass the inverse"):
        scipy_eigsh(matrix, 3, which="SM")
    inverse = scipy.sparse.linalg.LinearOperator(
        (D, D), matvec=lambda v: np.linalg.solve(matrix, v), dtype=np.float64
    )
    way_out = 1 / scipy_eigsh(inverse, 3, which="LM", return_eigenvectors=False)
    # Not through SciPy: its own "SM" gives up here after 1800 restarts.
    values = np.linalg.eigvalsh(matrix)
    smallest = np.sort(values[np.argsort(np.abs(values))[:3]])
    np.testing.assert_allclose(np.sort(way_out), smallest, atol=1e-8)


def test_spent_maxiter_raises_in_both_and_carries_what_there_is() -> None:
    matrix = np.diag(np.linspace(0.0, 1.0, D))
    with pytest.raises(scipy.sparse.linalg.ArpackNoConvergence):
        scipy.sparse.linalg.eigsh(matrix, 4, which="LA", maxiter=1)
    with pytest.raises(NotConverged) as caught:
        scipy_eigsh(matrix, 4, which="LA", maxiter=1)
    partial: Any = caught.value.partial
    assert partial.stats.products <= 20  # ncv = max(2 k + 1, 20), one sweep
    assert partial.vectors.shape == (D, 4)


def test_more_copies_than_arpack_promises() -> None:
    matrix = np.diag(np.concatenate([np.full(6, 3.0), np.linspace(0.0, 1.0, D - 6)]))
    np.testing.assert_allclose(scipy_eigsh(matrix, 6, which="LA")[0], 3.0, atol=1e-9)
    assert len(scipy_eigsh(np.diag([3.0, 1.0, 2.0]), 3)[0]) == 3  # k = d, which SciPy has not


def test_unusable_arguments_are_refused() -> None:
    matrix = matrix_of()
    for call, text in [
        ({"maxiter": 0}, "maxiter must be at least 1"),
        ({"ncv": 0}, "ncv must be at least 1"),
        ({"tol": -1.0}, "tol must not be negative"),
        ({"k": 0}, "k must lie"),
        ({"which": "XX"}, "which must be"),
    ]:
        arguments: dict[str, Any] = call
        with pytest.raises(ArgumentError, match=text):
            scipy_eigsh(matrix, **arguments)
    with pytest.raises(ShapeError, match="start must hold"):
        scipy_eigsh(matrix, 2, v0=np.ones(3))
    with pytest.raises(TypeError, match="sigma"):
        scipy_eigsh(matrix, 2, sigma=1.0)  # type: ignore[call-overload]
