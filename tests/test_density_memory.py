"""Memory of densities: bounded, counted, and told."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from hessay.density import SpectralDensity, spectral_density
from hessay.errors import ArgumentError, NotConverged

D = 50_000
FLOAT = 8


def diagonal(values: Any) -> Any:
    return (lambda v: values[:, None] * v, len(values))


@pytest.mark.parametrize(
    "values",
    [np.linspace(1.0, 3.0, D), np.concatenate([np.linspace(0.0, 1.0, D - 3), [1e5, 3e5, 9e5]])],
    ids=["flat", "outliers"],
)
def test_no_more_is_held_than_is_told(values: Any) -> None:
    tracemalloc.start()
    found = spectral_density(diagonal(values), tol=0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Beside the columns: tridiagonal matrices, and 200 imagined probes of a few hundred nodes.
    assert peak <= found.stats.peak_bytes + (8 << 20)
    # Basis and images of every product while a basis is turned, not d x d or a fixed multiple.
    assert found.stats.peak_bytes <= (12 * found.stats.products + 32) * D * FLOAT


def test_a_full_memory_ends_the_run_with_what_there_is() -> None:
    values = np.exp(np.random.default_rng(0).standard_normal(5000))
    limit = 60 * 5000 * FLOAT
    with pytest.raises(NotConverged, match="raise max_bytes") as caught:
        spectral_density(diagonal(values), tol=0.01, max_bytes=limit)
    found = caught.value.partial
    assert isinstance(found, SpectralDensity)
    assert 0 < found.stats.peak_bytes <= limit
    assert not found.converged
    assert np.isfinite(found.w1_error)
    assert found.weights.sum() == pytest.approx(1.0)
    told = spectral_density(diagonal(values), tol=0.01, max_bytes=limit, partial=True)
    np.testing.assert_array_equal(told.nodes, found.nodes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_bytes": 0}, "positive integer"),
        ({"max_bytes": 2.5}, "positive integer"),
        ({"max_bytes": 1000}, "the shortest run with d = 5000 needs"),
        ({"max_bytes": 1 << 20, "method": "exact"}, "method='sampled'"),
    ],
)
def test_a_memory_too_small_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        spectral_density(diagonal(np.ones(5000)), **options)
