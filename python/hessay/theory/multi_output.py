"""The spectrum of the input Hessian ``2 W W'`` of a poisoned multi-output ridge fit.

Inputs are white without class means, ``x + v`` marks the poison, labels are one-hot. The non-zero
eigenvalues of ``2 W W'`` are those of ``2 W'W``; one is 0 because ``W 1 = 0``. Poison of share
gamma is a spike of size gamma^2 on noise of covariance ``A_Y``: look at it label-whitened.

Setting: Granziol & Flynn, arXiv 2505.15175. The laws were derived independently and checked by
simulation (``bench/bench_theory.py``); they have not been compared with that paper's equations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hessay._laws import FloatArray
from hessay.errors import ArgumentError
from hessay.theory._checks import count, open_unit, positive, ratio, ridge_value
from hessay.theory.classes import Mode, poisoned_classes
from hessay.theory.noise import noise_law
from hessay.theory.population import equivalent_ridge

__all__ = ["MultiOutput", "attack_success", "predict", "smallest_share", "visibility"]


@dataclass(frozen=True, slots=True, eq=False)
class MultiOutput:
    """Limits of ``W'W`` and of the test on it; arrays are read-only. labels are dimensionless."""

    moment: FloatArray  # (C, C) limit of W'W, 1 / input^2
    hessian_eigenvalues: FloatArray  # (C,) of 2 W W', descending, the zero included, 1 / input^2
    target_shift: float  # efficacy: what the trigger adds to the target's logit, label
    logit_shift: FloatArray  # (C,) W'v, label
    trigger_quotient: float  # v'W W'v / |v|^2, noise included, 1 / input^2
    g: float  # noise level of W'W, label-whitened, 1 / input^2
    rho_eff: (
        float  # W'W = g A_Y + rho_eff d d'; negative: poison lowers the eigenvalue, 1 / input^2
    )
    spike: float  # ell = 1 + rho_eff delta / g: the poison's eigenvalue over g, dimensionless
    threshold: float  # spike above which it leaves the noise, dimensionless
    edge: float  # upper end of the noise over g, dimensionless
    top: float  # expected largest eigenvalue over g, label-whitened, to first order
    visibility: float  # phi / (g (2 - phi)): at most 1 nothing can be seen, dimensionless
    detectable: bool  # spike above the threshold
    p_eff: float  # effective directions of the noise, dimensionless
    poisoned_share: float  # gamma, in [0, 1)
    shares: FloatArray  # (C,) class shares after poisoning
    kappa: float  # effective ridge, input^2


def predict(
    *,
    theta: float,
    strength: float,
    ridge: float,
    n_rows: int,
    n_inputs: int,
    classes: int | Sequence[float] = 10,
    mode: Mode = "one",
    source: int = 0,
    target: int = 1,
    aspect_ratio: float | None = None,
) -> MultiOutput:
    """Spectrum of ``W'W``, what the attack achieves, and whether a test can see it.

    Parameters
    ----------
    theta : float in [0, 1)
        Poisoned fraction of the source.
    strength : float > 0
        Length of the trigger, standard deviations of an input.
    ridge : float >= 0
        sklearn's ``alpha / n``; 0 only off the interpolation threshold.
    n_rows : int, above the number of classes
    n_inputs : int >= 1
    classes, mode, source, target
        As in :func:`hessay.theory.classes.poisoned_classes`.
    aspect_ratio : float > 0, optional
        ``n_inputs / (n_rows - 1)`` by default, as for a fit with intercept.

    Raises
    ------
    ArgumentError
        A value is out of range, or ridge and ``aspect_ratio`` sit at the divergence.

    Source: docs/random-matrix-theory.md eq. 6.1 to 6.5, derived independently; setting of Granziol
    & Flynn, arXiv 2505.15175.

    Examples
    --------
    >>> law = predict(theta=0.5, strength=5.0, ridge=1.0, n_rows=1500, n_inputs=300)
    >>> law.detectable, round(law.spike, 2), round(law.edge, 2)
    (True, 1.55, 1.33)
    """
    labels = poisoned_classes(theta=theta, classes=classes, mode=mode, source=source, target=target)
    length, lam = positive("strength", strength), ridge_value(ridge)
    n, p = count("n_rows", n_rows, len(labels.shares) + 1), count("n_inputs", n_inputs, 1)
    c = p / (n - 1) if aspect_ratio is None else ratio("aspect_ratio", aspect_ratio)
    q = len(labels.shares) - 1
    noise = noise_law(ridge=lam, aspect_ratio=c, n_rows=n, n_directions=q)
    kappa = float(equivalent_ridge(lam, c))
    phi, s, gamma = 1 / (1 + kappa), length**2, labels.poisoned_share
    excess = gamma * (1 - gamma) * s  # a s: variance that the trigger adds along itself
    rho = length * phi / (1 + excess * phi)
    eta = 2 * length * rho - (1 + excess) * rho**2
    rho_eff = rho**2 - noise.g * eta
    outer = np.outer(labels.shift, labels.shift)
    moment = noise.g * labels.covariance + rho_eff * outer
    # Noise along the trigger itself shrinks with the variance that the trigger adds there.
    along = (1 + excess) * ((1 + kappa) / (1 + excess + kappa)) ** 2
    leftover = float(np.trace(labels.covariance)) - eta * float(np.trace(outer))
    quotient = rho**2 * float(np.trace(outer)) + along * noise.g * leftover / p
    spike = 1 + rho_eff / noise.g * labels.delta
    threshold = 1 + math.sqrt(q / noise.p_eff)
    detectable = spike > threshold
    top = noise.edge
    if detectable:
        signal = rho**2 * labels.delta / noise.g
        top = spike + (q - 1) * ((1 - eta * labels.delta) / noise.p_eff + signal / p) / (spike - 1)
    values: FloatArray = np.asarray(2 * np.linalg.eigvalsh(moment)[::-1], dtype=np.float64)
    logit_shift = length * rho * labels.shift
    for array in (moment, values, logit_shift):
        array.flags.writeable = False
    return MultiOutput(
        moment=moment,
        hessian_eigenvalues=values,
        target_shift=float(logit_shift[labels.target]),
        logit_shift=logit_shift,
        trigger_quotient=quotient,
        g=noise.g,
        rho_eff=rho_eff,
        spike=spike,
        threshold=threshold,
        edge=noise.edge,
        top=top,
        visibility=phi / (noise.g * (2 - phi)),
        detectable=detectable,
        p_eff=noise.p_eff,
        poisoned_share=gamma,
        shares=labels.shares,
        kappa=kappa,
    )


def visibility(*, ridge: float, aspect_ratio: float) -> float:
    """``phi / (g (2 - phi))``: how visible faint poison is in the spectrum at a ridge.

    At most 1, poison lowers its eigenvalue instead of raising it, and no test on the largest one
    can see it however well the attack works. Ridgeless, it is above 1 only for
    ``aspect_ratio < 1/2``; more ridge restores it.

    Parameters
    ----------
    ridge : float >= 0
    aspect_ratio : float > 0

    Returns
    -------
    float >= 0, dimensionless
        0 at the interpolation threshold ``ridge = 0, aspect_ratio = 1``.

    Raises
    ------
    ArgumentError
        A value is out of range.

    Source: docs/random-matrix-theory.md eq. 6.5, derived independently.

    Examples
    --------
    >>> round(visibility(ridge=0.0, aspect_ratio=0.5), 6)
    1.0
    """
    c = ratio("aspect_ratio", aspect_ratio)
    kappa = float(equivalent_ridge(ridge_value(ridge), c))
    phi = 1 / (1 + kappa)
    g2 = c * phi**2
    return 0.0 if g2 >= 1 else phi * (1 - g2) / (g2 * (2 - phi))


def smallest_share(
    *,
    strength: float,
    ridge: float,
    n_rows: int,
    n_inputs: int,
    classes: int = 10,
    target_share: float | None = None,
) -> float | None:
    """Poisoned share of all rows at which the spike reaches the noise's edge, for faint poison.

    A start for a search, not a promise: at this share a test has little power yet.

    Parameters
    ----------
    strength, ridge, n_rows, n_inputs
        As in :func:`predict`.
    classes : int >= 2
    target_share : float in (0, 1), optional
        Rows of the target class; ``1 / classes`` by default.

    Returns
    -------
    float > 0, or None
        None where the sign condition fails (:func:`visibility` at most 1). May exceed 1: then
        nothing is seen at this strength.

    Raises
    ------
    ArgumentError
        A value is out of range.

    Source: docs/random-matrix-theory.md eq. 6.4, derived independently.

    Examples
    --------
    >>> round(smallest_share(strength=5.0, ridge=1.0, n_rows=1500, n_inputs=300), 4)
    0.0131
    """
    q = count("classes", classes, 2) - 1
    share = 1 / (q + 1) if target_share is None else open_unit("target_share", target_share)
    s = positive("strength", strength) ** 2
    c = count("n_inputs", n_inputs, 1) / (count("n_rows", n_rows, 3) - 1)
    noise = noise_law(ridge=ridge, aspect_ratio=c, n_rows=n_rows, n_directions=q)
    phi = 1 / (1 + float(equivalent_ridge(ridge, c)))
    rise = s * phi * (phi - noise.g * (2 - phi)) / noise.g
    if rise <= 0:
        return None
    return math.sqrt(math.sqrt(q / noise.p_eff) * share / ((1 - share) * rise))


def attack_success(
    law: MultiOutput, *, target: int = 1, draws: int = 20000, seed: int = 0
) -> float:
    """Chance that a triggered input gets the target's label: logits are Gaussian given the fit.

    Parameters
    ----------
    law : MultiOutput
    target : int
        The class :func:`predict` was told.
    draws : int >= 1
    seed : int >= 0

    Returns
    -------
    float in [0, 1]
        From ``draws`` Gaussian logits; standard error at most ``1 / (2 sqrt(draws))``.

    Raises
    ------
    ArgumentError
        A value is out of range.

    Source: docs/random-matrix-theory.md eq. 6.1, derived independently.

    Examples
    --------
    >>> law = predict(theta=0.2, strength=5.0, ridge=1.0, n_rows=1500, n_inputs=300, mode="all")
    >>> 0.9 < attack_success(law) <= 1.0
    True
    """
    if not 0 <= count("target", target, 0) < len(law.shares):
        raise ArgumentError(f"target must lie in [0, {len(law.shares)}), got {target!r}")
    values, vectors = np.linalg.eigh(law.moment)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    rng = np.random.default_rng(count("seed", seed, 0))
    # Intercept pi' - gamma W'v, and W'v on top of it
    mean = law.shares + (1 - law.poisoned_share) * law.logit_shift
    logits = mean + rng.standard_normal((count("draws", draws, 1), len(mean))) @ root.T
    return float((logits.argmax(axis=1) == target).mean())
