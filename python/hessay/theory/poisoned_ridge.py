"""What poison does to a ridge classifier of two classes, in the limit of many rows and inputs.

``x ~ N(y mean, Sigma)``, ``P(y = +1) = prior``; a fraction ``theta`` of class -1 gets ``+ trigger``
and the label +1; ``(b, beta)`` minimises ``|y - b - X beta|^2 / n + ridge |beta|^2``. Everything
depends on the ridge through ``kappa`` (:func:`hessay.theory.population.equivalent_ridge`).

Setting: Granziol & Flynn, arXiv 2505.15175. The laws were derived independently and checked by
simulation (``bench/bench_theory.py``); they have not been compared with that paper's equations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from hessay.errors import ArgumentError
from hessay.theory._checks import count, fraction, open_unit, positive, ratio, ridge_value
from hessay.theory.population import Population, equivalent_ridge
from hessay.theory.shift import shift_spread

__all__ = ["PoisonedRidge", "predict", "small_theta_shift"]


@dataclass(frozen=True, slots=True)
class PoisonedRidge:
    """Limits for one training set; scores are in the unit of the labels (+-1)."""

    mean: float  # beta'trigger: what the trigger adds to a score, label
    variance: float  # of the score of a fresh input given the fit, label^2; inf at the divergence
    attack_success: float  # P(score > 0) of a triggered class -1 input, in [0, 1]
    clean_accuracy: float  # of untouched inputs, in [0, 1]; 1/2 without class means
    alignment: float  # cosine between beta and the trigger, in [-1, 1]
    intercept: float  # b, label
    triggered_score: float  # mean score of a triggered class -1 input, label
    norm2: float  # |beta|^2, (label / input)^2
    risk: float  # out-of-sample mean squared error on the poisoned law, label^2
    poisoned_share: float  # gamma: poisoned rows over all rows, in [0, 1)
    kappa: float  # effective ridge, input^2
    spread: float | None  # sqrt(n) times the sd of `mean` between training sets, label; None with
    # class means or a covariance, where no law is known here

    def mean_sd(self, n_rows: int) -> float:
        """Sd of :attr:`mean` between training sets of ``n_rows`` rows, label.

        Raises
        ------
        ArgumentError
            No law is known: class means or a covariance were given.

        Source: docs/random-matrix-theory.md eq. 5.5, derived independently.
        """
        if self.spread is None:
            raise ArgumentError(
                "the spread between training sets is known for white inputs without class means"
                " only; simulate it"
            )
        return self.spread / math.sqrt(count("n_rows", n_rows, 2))

    def mean_attack_success(self, n_rows: int) -> float:
        """Success rate averaged over training sets, to second order.

        A triggered score is ``N(M, variance)`` with ``M`` itself spread between training sets;
        averaging ``Phi(M / sd)`` over a Gaussian ``M`` adds its variance.

        Parameters, errors and source are those of :meth:`mean_sd`.
        """
        if not math.isfinite(self.variance):
            return 0.5
        # b = ybar - gamma beta'v - beta'xbar: the shift counts 1 - gamma times, xbar adds |beta|^2/n.
        wide = ((1 - self.poisoned_share) * self.mean_sd(n_rows)) ** 2 + self.norm2 / n_rows
        return float(ndtr(self.triggered_score / math.sqrt(self.variance + wide)))


def predict(
    *,
    theta: float,
    ridge: float,
    aspect_ratio: float,
    strength: float | None = None,
    prior: float = 0.5,
    mean: float = 0.0,
    mean_cosine: float = 0.0,
    population: Population | None = None,
) -> PoisonedRidge:
    """Mean shift, variance, attack success and accuracy of a poisoned ridge classifier.

    Parameters
    ----------
    theta : float in [0, 1)
        Poisoned fraction of class -1.
    ridge : float >= 0
        Of the normalised objective, input^2: sklearn's ``alpha / n``. 0 is the ridgeless limit
        (least squares, of smallest norm above ``aspect_ratio = 1``).
    aspect_ratio : float > 0
        ``p / n``; use ``p / (n - 1)`` for a fit of n rows with intercept.
    strength : float > 0
        Length of the trigger in standard deviations of an input; white inputs. Or ``population``.
    prior : float in (0, 1)
        P(y = +1) before poisoning.
    mean : float >= 0
        Length of the class mean, with ``strength``.
    mean_cosine : float in [-1, 1]
        Cosine between class mean and trigger, with ``strength``.
    population : Population
        Inputs of any covariance, with trigger and mean, instead of the three above.

    Returns
    -------
    PoisonedRidge
        At ``ridge = 0, aspect_ratio = 1``, the interpolation threshold, the variance diverges: it is
        ``inf`` there, with attack success and accuracy 1/2, alignment 0 and spread ``inf``; the
        mean shift stays finite.

    Raises
    ------
    ArgumentError
        A value is out of range, or both or none of ``strength`` and ``population`` are given.

    Source: docs/random-matrix-theory.md eq. 5.1, 5.2, 5.4, 5.5, derived independently; setting of Granziol & Flynn,
    arXiv 2505.15175.

    Examples
    --------
    >>> law = predict(theta=0.1, strength=3.0, ridge=0.3, aspect_ratio=0.5)
    >>> round(law.mean, 4), round(law.variance, 4), round(law.attack_success, 4)
    (0.2149, 0.3066, 0.7086)
    """
    theta = fraction("theta", theta)
    lam, c = ridge_value(ridge), ratio("aspect_ratio", aspect_ratio)
    prior = open_unit("prior", prior)
    if (strength is None) == (population is None):
        raise ArgumentError("give either strength (white inputs) or population, not both or none")
    white = population is None
    if population is None:
        assert strength is not None
        population = Population.white(strength, mean, mean_cosine)
    elif mean != 0 or mean_cosine != 0:
        raise ArgumentError("population holds the class mean; leave mean and mean_cosine out")

    gamma = theta * (1 - prior)
    label = 2 * prior - 1
    ybar = label + 2 * gamma
    # Moments of (original label, poisoned or not), and of both with the label trained on.
    spread = np.array(
        [[1 - label**2, -2 * gamma * prior], [-2 * gamma * prior, gamma * (1 - gamma)]]
    )
    d = np.array([1 - 2 * gamma - label * ybar, gamma * (1 - ybar)])

    t, w = population.eigenvalues, population.weights
    kappa = float(equivalent_ridge(lam, c, t, w))
    shifts = np.stack([population.mean, population.trigger])  # rows: L' in the eigenbasis
    inverse = 1 / (t + kappa)
    first = (shifts * inverse) @ shifts.T  # L' (Sigma + kappa)^-1 L
    second = (shifts * inverse**2) @ shifts.T
    carried = (shifts * (t * inverse**2)) @ shifts.T
    # beta_bar = (Sigma + kappa)^-1 L x with (1 + C L'(Sigma + kappa)^-1 L) x = d: Woodbury, 2 by 2
    x = np.linalg.solve(np.eye(2) + spread @ first, d)
    along = first @ x  # (beta'mean, beta'trigger)
    signal = float(x @ carried @ x)  # beta_bar' Sigma beta_bar
    residual = 1 - ybar**2 - 2 * float(d @ along) + signal + float(along @ spread @ along)
    g2 = c * float(w @ (t * inverse) ** 2)
    diverges = kappa == 0 and c == 1
    risk = math.inf if diverges else residual / (1 - g2)
    variance = signal + risk * g2
    norm2 = float(x @ second @ x) + risk * c * float(w @ (t * inverse**2))
    b0 = ybar - float(along @ (label, gamma))
    shift, mean_score = float(along[1]), float(along[0])
    sd = math.sqrt(variance)
    triggered = b0 - mean_score + shift
    accuracy = prior * ndtr((b0 + mean_score) / sd) + (1 - prior) * ndtr((mean_score - b0) / sd)
    still = white and mean == 0
    return PoisonedRidge(
        mean=shift,
        variance=variance,
        attack_success=float(ndtr(triggered / sd)),
        clean_accuracy=float(accuracy),
        alignment=shift / (population.strength * math.sqrt(norm2)),
        intercept=b0,
        triggered_score=triggered,
        norm2=norm2,
        risk=risk,
        poisoned_share=gamma,
        kappa=kappa,
        spread=shift_spread(
            label_variance=1 - ybar**2,
            covariance=float(d[1]),
            poisoned_share=gamma,
            strength=population.strength,
            kappa=kappa,
            g2=1.0 if diverges else g2,
        )
        if still
        else None,
    )


def small_theta_shift(
    *, theta: float, strength: float, ridge: float, aspect_ratio: float, prior: float = 0.5
) -> float:
    """First order of the mean shift in ``theta``: ``2 theta (1 - prior)^2 strength^2 phi``.

    ``phi = 1 / (1 + kappa)``. White inputs without class means. The relative error is of the
    order ``theta (1 - prior) strength^2 phi``: a strong trigger saturates early.

    Arguments and errors are those of :func:`predict`.

    Returns
    -------
    float
        In the unit of the labels.

    Source: docs/random-matrix-theory.md eq. 5.3, derived independently.

    Examples
    --------
    >>> round(small_theta_shift(theta=0.01, strength=2.0, ridge=1.0, aspect_ratio=1.0), 6)
    0.007639
    """
    theta, prior = fraction("theta", theta), open_unit("prior", prior)
    s = positive("strength", strength) ** 2
    kappa = equivalent_ridge(ridge_value(ridge), ratio("aspect_ratio", aspect_ratio))
    return 2 * theta * (1 - prior) ** 2 * s / (1 + float(kappa))
