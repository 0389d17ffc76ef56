"""Pure noise: the weights of a ridge fit, their moments and edge, and simulated null spectra."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hessay.theory.haar import null_spectra
from hessay.theory.noise import noise_law, noise_weights
from theory_reference import REFERENCE, SEED

EXACT = 1e-12


@pytest.mark.parametrize("case", REFERENCE["null"])
def test_noise_level_dimension_and_edge_equal_the_reference(case: dict[str, Any]) -> None:
    law = noise_law(
        ridge=case["lam"], aspect_ratio=case["c"], n_rows=case["n"], n_directions=case["q"]
    )
    assert law.g == pytest.approx(case["g"], rel=EXACT)
    assert law.p_eff == pytest.approx(case["p_eff"], rel=EXACT)
    assert law.edge == pytest.approx(case["edge_rel"], rel=1e-10)  # both minimise, to sqrt(eps)^2


@pytest.mark.parametrize("c", [1e-10, 1e-4, 1e4, 1e10])
def test_the_noise_law_holds_at_extreme_aspect_ratios(c: float) -> None:
    """Few inputs: D is one number on p rows. Many: one on all rows, with spread 4 / sqrt(c)."""
    law = noise_law(ridge=1.0, aspect_ratio=c, n_rows=10**6, n_directions=1)
    if c < 1:
        # Variance of D over n rows, a share c of which carries 1/4 or nearly: p_eff = p, c n.
        assert law.g == pytest.approx(c / 4, rel=20 * math.sqrt(c), abs=0)
        assert law.p_eff == pytest.approx(c * 10**6, rel=20 * math.sqrt(c), abs=0)
    else:
        # Eigenvalues are c (1 + N / sqrt(c)) with variance 1/c of the logarithm: D ~ 1 / x.
        assert law.g == pytest.approx(1 / c, rel=20 / math.sqrt(c), abs=0)
        assert law.p_eff == pytest.approx(c * 10**6, rel=20 / math.sqrt(c), abs=0)


def test_the_null_is_a_compression() -> None:
    weights = np.linspace(0.0, 2.0, 60)
    values = null_spectra(weights, 5, draws=500, seed=SEED)
    assert values.shape == (500, 5)
    assert (np.diff(values, axis=1) <= 0).all()
    assert weights.min() <= values.min() <= values.max() <= weights.max()
    # E tr Q'DQ = q mean(D), and each of the q terms has variance 2 var(D) / (m + 2).
    error = math.sqrt(5 * 2 * weights.var() / 62 / 500)
    assert abs(values.sum(axis=1).mean() - 5 * weights.mean()) < 4 * error
    np.testing.assert_allclose(null_spectra(weights, 60, draws=1)[0], weights[::-1], atol=1e-12)


def test_rows_without_weight_may_be_drawn_as_one_wishart_matrix() -> None:
    few, many = np.array([3.0, 1.0]), np.zeros(40)
    tiny = np.full(40, 1e-12)  # no longer zero: drawn one by one
    fast = null_spectra(np.concatenate([few, many]), 2, draws=4000, seed=1)[:, 0]
    slow = null_spectra(np.concatenate([few, tiny]), 2, draws=4000, seed=2)[:, 0]
    for level in (0.1, 0.5, 0.9):
        q = float(np.quantile(slow, level))
        share = float((fast <= q).mean())
        assert abs(share - level) < 4 * math.sqrt(2 * level * (1 - level) / 4000)


def test_the_goe_shortcut_is_anti_conservative() -> None:
    n, q, lam = 125, 9, 0.02
    x = np.random.default_rng(SEED).standard_normal((n, 100))
    x -= x.mean(axis=0)
    weights = noise_weights(np.maximum(np.linalg.eigvalsh(x @ x.T / n)[1:], 0.0), lam)
    weights[weights < 1e-9] = 0.0
    null = null_spectra(weights, q, draws=2000, seed=SEED)[:, 0]
    g = weights.mean()
    p_eff = len(weights) / ((weights**2).mean() / g**2 - 1)
    # 95 % quantile of the largest eigenvalue of GOE_9 with off-diagonal variance 1
    limit = 6.496290343733609
    assert ((null / g - 1) * math.sqrt(p_eff) > limit).mean() > 0.08


def test_null_spectra_are_repeatable_and_read_only() -> None:
    first = null_spectra(np.arange(1.0, 30.0), 3, draws=20, seed=4)
    again = null_spectra(np.arange(1.0, 30.0), 3, draws=20, seed=4)
    np.testing.assert_array_equal(first, again)
    assert not first.flags.writeable
    assert not np.array_equal(first, null_spectra(np.arange(1.0, 30.0), 3, draws=20, seed=5))
