"""Spectral densities and traces of every kind of operator, against all eigenvalues."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import aslinearoperator
from torch import nn

import hessay
from hessay.density import spectral_density, trace
from hessay.hessian import InputHessian
from hessian_nets import C

SEED = 20262
D = 120


def hessian(activation: nn.Module, **options: Any) -> InputHessian:
    torch.manual_seed(SEED)
    net = nn.Sequential(nn.Linear(D, 40), activation, nn.Linear(40, C)).double()
    return InputHessian(net, torch.randn(200, D, dtype=torch.float64), **options)


def w1_distance(found: Any, eigenvalues: NDArray[np.float64]) -> float:
    """Wasserstein-1 between the estimate and the true spectrum, by their distribution functions."""
    points = np.sort(np.concatenate([found.nodes, eigenvalues]))
    truth = np.searchsorted(np.sort(eigenvalues), points[:-1], side="right") / len(eigenvalues)
    order = np.argsort(found.nodes)
    heights = np.concatenate([[0.0], np.cumsum(found.weights[order])])
    estimate = heights[np.searchsorted(found.nodes[order], points[:-1], side="right")]
    return float(np.abs(truth - estimate) @ np.diff(points))


def operators() -> dict[str, tuple[Any, NDArray[np.float64]]]:
    smooth, kinked = hessian(nn.GELU()), hessian(nn.ReLU(), weighting="uniform")
    basis = np.linalg.qr(np.random.default_rng(SEED).standard_normal((D, 5)))[0]
    off = kinked.project_out(basis)
    white = smooth.whiten(np.diag(np.linspace(1.0, 3.0, D)))
    single = hessian(nn.GELU(), dtype=torch.float32)
    dense = smooth.dense()
    return {
        "native": (smooth, dense),
        "factor": (kinked, kinked.dense()),
        "off a subspace": (off, off.dense()),
        "whitened": (white, white.dense()),
        "single precision": (single, dense),
        "tensor": (torch.from_numpy(dense), dense),
        "sparse": (csr_array(dense), dense),
        "linear operator": (aslinearoperator(dense), dense),
        "callable": ((lambda v: dense @ v, D), dense),
    }


@pytest.mark.parametrize("name", sorted(operators()))
def test_densities_and_traces_are_those_of_all_eigenvalues(name: str) -> None:
    operator, dense = operators()[name]
    eigenvalues = np.linalg.eigvalsh(dense)
    scale = float(np.abs(eigenvalues).mean())
    for method in ("auto", "exact", "sampled"):
        found = spectral_density(operator, tol=0.05, method=method, seed=SEED)
        assert found.converged
        assert found.w1_error <= 0.05 * scale
        # One seed each: the bar is two-sided and covers nine in ten, three of them all.
        assert w1_distance(found, eigenvalues) <= 3 * max(found.w1_error, 1e-5 * scale)
        assert found.weights.sum() == pytest.approx(1.0)
        again = spectral_density(operator, tol=0.05, method=method, seed=SEED)
        np.testing.assert_array_equal(found.nodes, again.nodes)
        np.testing.assert_array_equal(found.weights, again.weights)
    total = trace(operator, tol=0.05, seed=SEED)
    assert abs(total.value - np.trace(dense)) <= 5 * total.standard_error + 1e-5 * D * scale
    assert total == trace(operator, tol=0.05, seed=SEED)


HELD_OUT = {  # spectra no constant was chosen on
    "log-normal": np.exp(np.random.default_rng(1).standard_normal(900)),
    "two bulks": np.concatenate([np.linspace(-2, -1, 500), np.linspace(3, 4, 300)]),
    "exponential decay": 0.93 ** np.arange(700.0),
    "signed outliers": np.concatenate([np.random.default_rng(2).standard_normal(800), [40, -30]]),
}


@pytest.mark.parametrize("name", sorted(HELD_OUT))
def test_error_bars_cover_on_spectra_they_were_not_tuned_on(name: str) -> None:
    eigenvalues = HELD_OUT[name]
    covered = 0
    for seed in range(20):
        found = spectral_density(
            (lambda v: eigenvalues[:, None] * v, len(eigenvalues)),
            tol=0.1,
            seed=seed,
            method="sampled",
        )
        covered += w1_distance(found, eigenvalues) <= found.w1_error
    # Nine in ten are claimed: 14 or fewer of 20 then has a probability of 1.1 %.
    assert covered >= 15


def test_operators_that_work_per_sample_are_refused() -> None:
    with pytest.raises(hessay.errors.ArgumentError, match="average=True"):
        spectral_density(hessian(nn.GELU(), average=False))
