"""From the inputs' eigenvalues alone: at which ridge the spectrum can show poison.

No label is looked at, so a ridge may be chosen this way without spoiling the test that follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hessay._laws import FloatArray
from hessay.linear.inputs import CentredInputs
from hessay.theory._checks import ridge_value
from hessay.theory.noise import noise_weights

__all__ = ["Visibility", "best_ridge", "ridge_visibility"]

_SMALLEST = 1e-9  # of the mean variance: what stands for ridge 0 where a limit is needed
_GRID = np.geomspace(1e-2, 1e2, 33)  # ridges tried, in mean variances


@dataclass(frozen=True, slots=True)
class Visibility:
    """What faint poison with a trigger in a random direction does to the spectrum at a ridge."""

    ridge: float  # input^2
    visibility: float  # signal over what poison takes from the noise; at most 1 it is not seen
    gain: (
        float  # the spike is 1 + gain * gamma^2 |v|^2 (1 - pi) / pi; negative below 1, 1 / input^2
    )
    p_eff: float  # effective directions of the noise, dimensionless

    @property
    def score(self) -> float:
        """Gain in units of the noise's spread, 1 / input^2: the larger, the less poison is seen."""
        return self.gain * math.sqrt(self.p_eff)


def ridge_visibility(inputs: CentredInputs, ridge: float) -> Visibility:
    """Judge a ridge.

    The poisoned eigenvalue rises when ``q2 > g (q1 + kappa q2)``, with ``q_j`` the mean of
    ``v'(Sigma + kappa)^-j v`` over unit triggers; both are estimated without knowing Sigma from
    ``ridge (S + ridge)^-1 ~ kappa (Sigma + kappa)^-1`` and its derivative. For white inputs the
    visibility is ``phi / (g (2 - phi))``, :func:`hessay.theory.multi_output.visibility`.

    Raises
    ------
    ArgumentError
        The ridge is negative or not finite.

    Source: docs/random-matrix-theory.md eq. 6.5 and 6.9, derived independently.
    """
    x, p = inputs.spectrum, inputs.n_inputs
    lam = max(ridge_value(ridge), _SMALLEST * float(inputs.values.sum()) / p)
    inverse = 1 / (x + lam)
    companion, slope = float(inverse.mean()), float((inverse**2).mean())
    kappa, kappa_slope = 1 / companion, slope / companion**2
    # The p eigenvalues of S: those of XX'/n with the zeros that p brings or takes.
    zeros = p - len(inputs.values)
    m = float((1 / (inputs.values + lam)).sum() + zeros / lam) / p
    m_slope = float((1 / (inputs.values + lam) ** 2).sum() + zeros / lam**2) / p
    q1 = lam * m / kappa
    q2 = -(m / kappa - lam * m_slope / kappa - lam * m * kappa_slope / kappa**2) / kappa_slope
    weights = noise_weights(x, lam)
    g = float(weights.mean())
    spread = float(weights.var())
    p_eff = len(x) * g**2 / spread if spread > 0 else math.inf
    taken = g * (q1 + kappa * q2)
    return Visibility(ridge=float(ridge), visibility=q2 / taken, gain=(q2 - taken) / g, p_eff=p_eff)


def best_ridge(inputs: CentredInputs, *, above: float = 0.0) -> Visibility | None:
    """Ridge at which the least poison is visible, out of 33 from 0.01 to 100 mean variances.

    Parameters
    ----------
    inputs : CentredInputs
    above : float >= 0, input^2
        Only larger ridges are tried.

    Returns
    -------
    Visibility, or None
        None when no such ridge has a visibility above 1.

    Source: docs/random-matrix-theory.md eq. 6.4 and 6.9, derived independently.
    """
    scale = float(inputs.values.sum()) / inputs.n_inputs
    ridges: FloatArray = _GRID * scale
    tried = [ridge_visibility(inputs, float(ridge)) for ridge in ridges if ridge > above]
    seen = [entry for entry in tried if entry.visibility > 1 and math.isfinite(entry.p_eff)]
    return max(seen, key=lambda entry: entry.score, default=None)
