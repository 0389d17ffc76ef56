"""The certificate of block Lanczos: nothing beyond the answer was missed, and how sure that is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hessay.spectrum import eigsh

SEED = 20251


def symmetric(eigenvalues: NDArray[np.float64]) -> NDArray[np.float64]:
    basis, _ = np.linalg.qr(np.random.default_rng(SEED).standard_normal((len(eigenvalues),) * 2))
    matrix = (basis * eigenvalues) @ basis.T
    return (matrix + matrix.T) / 2


def bulk(d: int) -> NDArray[np.float64]:
    return np.random.default_rng(SEED).uniform(0.0, 1.0, d)


def test_a_cut_through_a_cluster_costs_a_few_steps_more() -> None:
    values = bulk(300)
    values[:4] = [8.0, 6.0, 6.0 - 1e-7, 6.0 - 2e-7]
    pairs = eigsh(symmetric(values), 2, "LA", 1e-9, block=1)
    np.testing.assert_allclose(pairs.values, [8.0, 6.0], atol=1e-8)
    assert pairs.certified


def test_what_the_certificate_cannot_settle_is_not_certified() -> None:
    # Inside a dense spectrum the gap is 1e-3 of the spread: forty vectors do not resolve it.
    matrix = np.diag(np.linspace(0.0, 1.0, 1000))
    pairs = eigsh(matrix, 3, "LA", 1e-9, block=1)
    np.testing.assert_allclose(pairs.values, np.linspace(0.0, 1.0, 1000)[:-4:-1], atol=1e-8)
    assert pairs.converged
    assert not pairs.certified
    assert pairs.miss_probability > pairs.miss_limit
    assert f"{pairs.miss_probability:.2g}" in pairs.explain() or pairs.certificate == "none"


@pytest.mark.parametrize("limit", [0.5, 0.2])
@pytest.mark.parametrize("block", [1, 2, 3])
def test_certificates_are_wrong_no_oftener_than_they_say(block: int, limit: float) -> None:
    # One more copy of an eigenvalue than the start block can see, the last reported value close
    # below it, and a lax certificate: the hardest case for it, run from many starts.
    runs, missed = 300, 0
    copies = block + 1
    matrix = np.diag(np.concatenate([np.linspace(0, 1, 150), [1.199], [1.2] * copies]))
    for seed in range(runs):
        pairs = eigsh(matrix, copies, "LA", 1e-8, block=block, miss_probability=limit, seed=seed)
        assert pairs.certified
        missed += bool(pairs.values[-1] < 1.1995)
    # At most the stated share, plus three standard errors of the binomial.
    assert missed <= runs * limit + 3 * (runs * limit * (1 - limit)) ** 0.5
    assert missed > 0  # else this test shows nothing


def test_certificate_finds_a_second_copy_outside_the_first_krylov_space() -> None:
    # One start vector: its Krylov space holds exactly one copy of a double eigenvalue.
    matrix = np.diag(np.concatenate([np.linspace(0, 1, 297), [3.0, 2.0, 3.0]]))
    pairs = eigsh((lambda v: matrix @ v, 300), 2, "LA", 1e-10, block=1)
    np.testing.assert_allclose(pairs.values, [3.0, 3.0], atol=1e-9)
    assert pairs.certified
    assert 0 < pairs.miss_probability <= pairs.miss_limit
    assert "random block" in pairs.explain()


def test_the_check_may_take_twice_the_columns_where_a_cluster_ends_at_the_bulk() -> None:
    wanted = np.array([8, 8 - 1e-4, 8 - 2e-4, 6, 6 - 1e-4, 4.5, 4.5 - 1e-4, 4.5 - 2e-4])
    matrix = np.diag(np.concatenate([np.linspace(0.0, 4.45, 992), wanted]))
    free = eigsh(matrix, 8, "LA", 1e-8)
    bound = eigsh(matrix, 8, "LA", 1e-8, max_basis=40)  # as many columns as it would take by itself
    np.testing.assert_allclose(free.values, wanted, rtol=1e-12)
    np.testing.assert_allclose(bound.values, wanted, rtol=1e-12)
    assert bound.stats.check_products <= 40
    assert free.certified
    assert not bound.certified
