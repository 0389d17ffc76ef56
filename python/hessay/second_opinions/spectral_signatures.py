"""Spectral signatures: poisoned samples stretch their label's representations in one direction.

For every label, with the representations R (m, h) centred by their own mean, the score of a sample
is its squared projection on the top right singular vector:

    M = R - 1 mean(R)',   M = U S V',   score_i = (M_i . v_1)^2

Both the vector and the projections are of the centred rows: projections of the uncentred ones are
ruled by the mean, which lies far from the origin behind a ReLU, and rank clean samples first.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from torch import nn

from hessay.hessian.model.representation import representations
from hessay.probe import Probe
from hessay.second_opinions.checks import labels_of, require_width
from hessay.second_opinions.result import Findings, Opinion


def spectral_signature(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Score the samples of one label.

    Parameters
    ----------
    values : (m, h) float64
        Penultimate representations of the samples with that label.

    Returns
    -------
    scores : (m,) float64, >= 0
        Squared projections on the top singular vector, in squared units of the representation.
    ratio : float, >= 1
        First over second singular value; NaN when the rows do not differ, Inf when they differ
        along one direction only.

    Raises
    ------
    ShapeError
        ``values`` is not (m, h).

    Source: Tran, Li & Madry 2018, NeurIPS, Algorithm 1.
    """
    require_width(values)
    centred = values - values.mean(axis=0)
    m, h = centred.shape
    # The smaller Gram matrix has the same leading pair; squaring costs digits at the other end.
    gram = centred.T @ centred if h <= m else centred @ centred.T
    size = len(gram)
    squares, vectors = eigh(gram, subset_by_index=[max(0, size - 2), size - 1])
    noise = float(np.finfo(np.float64).eps) * size * max(float(squares[-1]), 0.0)
    first, second = float(squares[-1]), float(squares[0]) if size > 1 else 0.0
    # The mean is rounded to eps of the largest entry, so constant rows leave that much behind.
    rounding = (float(np.finfo(np.float64).eps) * float(np.abs(values).max())) ** 2 * m * h
    if first <= rounding:
        return np.zeros(m), math.nan
    top = vectors[:, -1]
    projection = centred @ top if h <= m else math.sqrt(first) * top
    ratio = math.sqrt(first / second) if second > noise else math.inf
    return projection**2, ratio


def _judge(model: nn.Module, probe: Probe, data: Probe | None, seed: int) -> Findings:
    del probe, seed  # nothing is drawn, and no clean inputs are needed
    assert data is not None
    found = representations(model, data.inputs)
    targets = labels_of(data, found.n_classes)
    class_scores = np.full(found.n_classes, np.nan)
    sample_scores = np.zeros(data.n)
    for c, rows, values in found.of_each_class(targets):
        if len(rows):
            sample_scores[rows], class_scores[c] = spectral_signature(values)
    return Findings(class_scores, sample_scores)


OPINION = Opinion(
    name="spectral-signatures",
    needs_data=True,
    needs_targets=True,
    line=None,
    method=(
        "Squared projections of each label's centred penultimate representations on their top "
        "singular vector; the paper removes the samples that score highest. The paper has no score "
        "of a model; here it is the largest ratio of first to second singular value over the "
        "labels. Needs the labelled training data. Source: Tran, Li & Madry 2018, NeurIPS, "
        "Algorithm 1, arXiv:1811.00636."
    ),
    judge=_judge,
)
