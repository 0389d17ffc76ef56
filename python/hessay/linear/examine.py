"""Is there one direction that the labels follow? The test of the input Hessian of a linear model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from hessay._laws import FloatArray, level
from hessay.errors import ArgumentError
from hessay.linear.fit import RidgeModel, fit_classes
from hessay.linear.inputs import CentredInputs, centred_inputs
from hessay.linear.visibility import Visibility, best_ridge, ridge_visibility
from hessay.theory._checks import count
from hessay.theory.haar import null_spectra
from hessay.theory.noise import noise_weights
from hessay.verdict import Verdict

__all__ = ["Examination", "Null", "examine"]

Null = Literal["gaussian", "permutation"]
ClassSignal = Literal["possible", "none"]
# Squared cosine of the direction with the best class, less that with the second best, from which
# on the best is named. Two classes are one line, three are 60 degrees apart: a bare cosine is not enough.
_CLEAR = 0.5
# Least visible poison, share of rows times length in root mean variances, from which on nothing
# is called CLEAN: there even a trigger of 4 standard deviations on a quarter of the rows is found
# in a minority of fits (test_linear_examine.py).
_FAINTEST = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Examination:
    """A verdict at a level, with the numbers behind it; arrays are read-only."""

    verdict: Verdict
    reasons: tuple[str, ...]
    alpha: float  # level of the test
    p_value: float  # of the largest eigenvalue, in (0, 1]
    eigenvalues: FloatArray  # (C - 1,) of label-whitened W'W, descending, 1 / input^2
    critical: float  # what the null exceeds with chance alpha, 1 / input^2
    directions: int  # eigenvalues above it
    target_class: int | None  # whose label the direction raises, where that is clear
    target_cosine: float  # of the direction with that of the best class, in [0, 1]
    trigger_direction: FloatArray  # (p,) unit: where the labels follow, up to length
    ridge: float  # of the tested fit, input^2
    ridge_asked: float  # input^2
    visibility_asked: float  # at the ridge asked for; at most 1 the spectrum cannot show poison
    visibility: float  # at the ridge tested
    least_visible: float | None  # poisoned share of all rows times trigger length at the edge of
    # visibility, input; None where nothing is visible
    model: RidgeModel  # the tested fit


def examine(
    inputs: ArrayLike | CentredInputs,
    labels: ArrayLike,
    *,
    ridge: float,
    alpha: float = 0.05,
    class_signal: ClassSignal = "possible",
    null: Null = "gaussian",
    refit: bool = True,
    draws: int = 1999,
    seed: int = 0,
) -> Examination:
    """Fit one-hot labels and test the spectrum of ``2 W W'`` against labels that are noise.

    The test is label-whitened: relabelling rows changes the label covariance at first order in
    the poisoned share but the spectrum at second order only. Where the sign condition says that
    the ridge asked for hides poison, the model is fitted again at a larger one, chosen from the
    inputs alone, and the reasons say so.

    Parameters
    ----------
    inputs : (n, p) real, or CentredInputs
        Training inputs.
    labels : (n,) integers
        Training labels as given, poison included; every class at least twice.
    ridge : float >= 0, input^2
    alpha : float in (0, 0.5]
        Level of the test.
    class_signal : {"possible", "none"}
        Whether clean inputs may tell the classes apart. If so, labels that follow several
        directions, or two classes, cannot be told from class structure: INCONCLUSIVE.
    null : {"gaussian", "permutation"}
        Haar frames: exact for Gaussian inputs of any covariance. Permuted labels: exact for
        inputs of any law, slower.
    refit : bool
        Whether a larger ridge may be taken.
    draws : int, at least 1 / alpha - 1
    seed : int >= 0

    Returns
    -------
    Examination
        FLAGGED: the labels follow one direction, a trigger or another shortcut into one class;
        CLEAN: nothing found, with rows enough for poison to show; INCONCLUSIVE: everything else.

    Raises
    ------
    ShapeError, NonFinite, ArgumentError
        As :func:`hessay.linear.fit_classes`; also a class of a single row, or an option out of
        range.

    Source: docs/random-matrix-theory.md eq. 6.3 to 6.9, derived independently; setting of Granziol
    & Flynn, arXiv 2505.15175.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> inputs, labels = rng.standard_normal((600, 40)), np.arange(600) % 5
    >>> inputs[:100, 3] += 5.0
    >>> labels[:100] = 1
    >>> found = examine(inputs, labels, ridge=10.0)
    >>> str(found.verdict), found.target_class, int(np.abs(found.trigger_direction).argmax())
    ('FLAGGED', 1, 3)
    """
    alpha = level("alpha", alpha)
    for name, value, known in (
        ("class_signal", class_signal, ("possible", "none")),
        ("null", null, ("gaussian", "permutation")),
    ):
        if value not in known:
            raise ArgumentError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    number = count("draws", draws, 1)
    if (number + 1) * alpha < 1:
        raise ArgumentError(
            f"{number} draws give no p-value at or below {alpha:g}; draw at least"
            f" {math.ceil(1 / alpha) - 1}"
        )
    data = inputs if isinstance(inputs, CentredInputs) else centred_inputs(inputs)
    model = fit_classes(data, labels, ridge=ridge)
    asked = ridge_visibility(data, ridge)
    used, reasons = _choose(data, asked, refit=refit)
    if used.ridge != asked.ridge:
        model = fit_classes(data, labels, ridge=used.ridge)
    counts = model.targets.sum(axis=0)
    q = len(counts) - 1
    if counts.min() < 2:
        raise ArgumentError("a class has a single row; leave such classes out of the test")
    if q > data.dimensions - 1:
        raise ArgumentError(f"{q + 1} classes need more than {data.n_rows} rows")

    frame = _label_frame(model)
    moved = model.weights @ frame
    values, vectors = np.linalg.eigh(moved.T @ moved)
    values, lead = values[::-1].copy(), vectors[:, -1]
    simulated = (
        null_spectra(noise_weights(data.spectrum, model.ridge), q, draws=number, seed=seed)[:, 0]
        if null == "gaussian"
        else _permuted(model, frame, number, seed)
    )
    p_value = (1 + int((simulated >= values[0]).sum())) / (number + 1)
    critical = float(np.sort(simulated)[::-1][max(0, math.floor(alpha * (number + 1)) - 1)])
    directions = int((values > critical).sum()) if p_value <= alpha else 0
    best, cosine, clear, direction = _target(model, frame, moved, lead)
    least = _least(used, q, float(np.median(counts)) / data.n_rows)
    verdict, found = (
        _found(directions, q, alpha, p_value, structure=class_signal == "possible")
        if directions
        else _nothing(p_value, used, least, math.sqrt(data.values.sum() / data.n_inputs))
    )
    for array in (values, direction):
        array.flags.writeable = False
    return Examination(
        verdict=verdict,
        reasons=(*reasons, *found),
        alpha=alpha,
        p_value=p_value,
        eigenvalues=values,
        critical=critical,
        directions=directions,
        target_class=best if clear and directions else None,
        target_cosine=cosine,
        trigger_direction=direction,
        ridge=model.ridge,
        ridge_asked=float(ridge),
        visibility_asked=asked.visibility,
        visibility=used.visibility,
        least_visible=least,
        model=model,
    )


def _choose(
    data: CentredInputs, asked: Visibility, *, refit: bool
) -> tuple[Visibility, tuple[str, ...]]:
    if asked.visibility > 1:
        return asked, ()
    why = (
        f"at ridge {asked.ridge:.3g} poison lowers its eigenvalue (visibility"
        f" {asked.visibility:.2g}, needs 1)"
    )
    larger = best_ridge(data, above=asked.ridge) if refit else None
    if larger is None:
        return asked, (f"{why}; no larger ridge was tried or shows more",)
    return larger, (f"{why}; fitted again at ridge {larger.ridge:.3g}",)


def _nothing(
    p_value: float, used: Visibility, least: float | None, scale: float
) -> tuple[Verdict, tuple[str, ...]]:
    if used.visibility <= 1 or least is None:
        return Verdict.INCONCLUSIVE, ("nothing found where poison would not show",)
    nothing = f"no direction beyond noise, p = {p_value:.3g}"
    if least > _FAINTEST * scale:
        why = (
            f"{nothing}, but with so few rows for these inputs hardly any poison would show (share"
            f" of rows times trigger length below {least:.2g}); collect more rows"
        )
        return Verdict.INCONCLUSIVE, (why,)
    return Verdict.CLEAN, (
        f"{nothing}; poison of a share of rows times trigger length below {least:.2g} would not show",
    )


def _found(
    directions: int, q: int, alpha: float, p_value: float, *, structure: bool
) -> tuple[Verdict, tuple[str, ...]]:
    if structure and q == 1:
        why = (
            "the labels follow the inputs, but with two classes poison and class structure look"
            " alike; class_signal='none' says there is no structure"
        )
        return Verdict.INCONCLUSIVE, (why,)
    if structure and directions > 1:
        why = (
            f"the labels follow {directions} directions: class structure, or several triggers;"
            " class_signal='none' says there is no structure"
        )
        return Verdict.INCONCLUSIVE, (why,)
    many = "one direction" if directions == 1 else f"{directions} directions"
    why = (
        f"the labels follow {many} more than noise does at level {alpha:g}, p = {p_value:.3g}: a"
        " trigger, or another shortcut"
    )
    return Verdict.FLAGGED, (why,)


def _label_frame(model: RidgeModel) -> FloatArray:
    """(C, q) B with ``B' A_Y B = 1``: label whitening without the zero direction."""
    centred = model.targets - model.targets.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    frame: FloatArray = vectors[:, 1:] / np.sqrt(values[1:])
    return frame


def _permuted(model: RidgeModel, frame: FloatArray, draws: int, seed: int) -> FloatArray:
    data = model.inputs
    root = np.sqrt(noise_weights(data.values, model.ridge) / data.n_rows)
    rows = data.scores * root
    labels = (model.targets - model.targets.mean(axis=0)) @ frame
    rng = np.random.default_rng(count("seed", seed, 0))
    tops = np.empty(draws)
    for i in range(draws):
        seen = rows.T @ labels[rng.permutation(len(labels))]
        tops[i] = np.linalg.eigvalsh(seen.T @ seen)[-1]
    return tops


def _target(
    model: RidgeModel, frame: FloatArray, moved: FloatArray, lead: FloatArray
) -> tuple[int, float, bool, FloatArray]:
    """Class whose row e_t - pi' the leading direction is, their cosine, is it clear, input direction."""
    assert model.classes is not None
    shares = model.targets.mean(axis=0)
    rows = frame.T @ (np.eye(len(shares)) - shares[:, None])
    cosines = (lead @ rows) / np.linalg.norm(rows, axis=0)
    best = int(np.abs(cosines).argmax())
    second, first = np.sort(cosines**2)[-2:]
    direction = moved @ lead
    length = float(np.linalg.norm(direction))
    direction = direction * (np.sign(cosines[best]) / length if length else 0.0)
    return (
        int(model.classes[best]),
        float(abs(cosines[best])),
        bool(first - second >= _CLEAR),
        direction,
    )


def _least(used: Visibility, q: int, share: float) -> float | None:
    if used.gain <= 0 or not math.isfinite(used.p_eff):
        return None
    return math.sqrt(math.sqrt(q / used.p_eff) * share / ((1 - share) * used.gain))
