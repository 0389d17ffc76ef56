"""Activation clustering: the poisoned samples of a label form a cluster of their own.

The penultimate representations of each label are brought to 10 independent components and split in
two by k-means. A label is suspicious when the two clusters are well apart (silhouette) and one is
small.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hessay.errors import ArgumentError
from hessay.hessian.model.representation import representations
from hessay.probe import Probe
from hessay.second_opinions.checks import labels_of, require_width
from hessay.second_opinions.result import Findings, Opinion

Reduction = Literal["ica", "pca"]

DIMENSIONS = 10
MIN_SAMPLES = 2 * DIMENSIONS  # of a label: fewer cannot be split in two and reduced to 10
SILHOUETTE_LINE, SIZE_LINE = 0.10, 0.35  # of the published rules
_SILHOUETTE_ROWS = 2000  # its cost is quadratic; the mean over so many is known to about 0.005


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The samples of one label in two clusters."""

    small: NDArray[np.bool_]  # (m,): in the smaller cluster
    share: float  # of the smaller cluster, (0, 0.5]
    silhouette: float  # mean over samples, [-1, 1]
    lean: NDArray[np.float64]  # (m,): to the smaller cluster's centre, [-1, 1]

    @property
    def suspicious(self) -> bool:
        """Whether the published rule takes the smaller cluster for poison."""
        return self.silhouette > SILHOUETTE_LINE and self.share < SIZE_LINE


def split_in_two(
    values: NDArray[np.float64], *, seed: int = 0, reduction: Reduction = "ica"
) -> Split | None:
    """Reduce the representations of one label and split them in two.

    Parameters
    ----------
    values : (m, h) float64
        Penultimate representations of the samples with that label.
    seed : int, >= 0
        Of the starts of ICA and k-means.
    reduction : {"ica", "pca"}
        To 10 dimensions, or to the rank of the values if that is lower. ICA gives every component
        unit variance, PCA leaves them as they are.

    Returns
    -------
    Split or None
        None with fewer than 20 samples, or when there are not two different ones.

    Raises
    ------
    ArgumentError
        Unknown reduction, or scikit-learn is not installed.
    ShapeError
        ``values`` is not (m, h).

    Source: Chen et al. 2018, arXiv:1811.03728.
    """
    require_width(values)
    if reduction not in get_args(Reduction):
        raise ArgumentError(f"reduction must be one of {get_args(Reduction)}, got {reduction!r}")
    if len(values) < MIN_SAMPLES:
        return None
    try:
        from sklearn.cluster import KMeans
        from sklearn.metrics import silhouette_score
    except ImportError as error:
        raise ArgumentError(
            "activation clustering needs scikit-learn, which is not installed; "
            "pip install 'hessay[cli]'"
        ) from error
    reduced = _reduced(values, seed, reduction)
    if reduced is None:
        return None
    # Whitened values are nearly a ball, where ten starts may all end in a worse split.
    clusters = KMeans(n_clusters=2, n_init=50, random_state=seed)
    labels = clusters.fit_predict(reduced)
    counts = np.bincount(labels, minlength=2)
    smaller = int(np.argmin(counts))
    silhouette = silhouette_score(
        reduced, labels, sample_size=min(len(values), _SILHOUETTE_ROWS), random_state=seed
    )
    far = np.linalg.norm(reduced[:, None] - clusters.cluster_centers_, axis=2)
    near, other = far[:, smaller], far[:, 1 - smaller]
    lean = (other - near) / np.maximum(np.maximum(near, other), np.finfo(np.float64).tiny)
    return Split(labels == smaller, float(counts[smaller] / len(values)), float(silhouette), lean)


def _reduced(
    values: NDArray[np.float64], seed: int, reduction: Reduction
) -> NDArray[np.float64] | None:
    """Components (m, k), k <= 10, or None when all rows are the same."""
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    centred = values - values.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    # Representations come from single precision, and ICA would blow their rounding up to unit
    # variance. It is relative to the values, not to their differences: constant rows leave it too.
    rounding = np.finfo(np.float32).eps * np.linalg.norm(values)
    rank = min(DIMENSIONS, int((singular > rounding).sum()))
    if rank == 0:
        return None
    principal: NDArray[np.float64] = left[:, :rank] * singular[:rank]
    if reduction == "pca" or rank == 1:
        return principal
    # ICA sees only the leading components, as scikit-learn's own whitening would leave them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last iterate serves
        ica = FastICA(
            n_components=rank,
            whiten="unit-variance",
            max_iter=1000,
            tol=0.005,
            random_state=seed,
        )
        independent: NDArray[np.float64] = ica.fit_transform(principal)
    return independent


def _judge(model: nn.Module, probe: Probe, data: Probe | None, seed: int) -> Findings:
    del probe  # no clean inputs are needed
    assert data is not None
    found = representations(model, data.inputs)
    targets = labels_of(data, found.n_classes)
    class_scores = np.full(found.n_classes, math.nan)
    sample_scores, flags = np.zeros(data.n), np.zeros(data.n, dtype=np.bool_)
    for c, rows, values in found.of_each_class(targets):
        split = split_in_two(values, seed=seed) if len(rows) else None
        if split is None:
            continue
        class_scores[c] = split.silhouette
        # Half the label's silhouette and more in the small cluster, less outside it.
        sample_scores[rows] = split.silhouette * (1.0 + split.lean) / 2.0
        flags[rows] = split.small & split.suspicious
    return Findings(class_scores, sample_scores, flags)


OPINION = Opinion(
    name="activation-clustering",
    needs_data=True,
    needs_targets=True,
    line=SILHOUETTE_LINE,
    method=(
        "Penultimate representations of each label, reduced to 10 independent components and split "
        "in two by k-means; the smaller cluster is flagged when the mean silhouette is above 0.10 "
        "and it holds less than 35 % of the label. The score of a model is the largest silhouette "
        "over the labels. The paper flags and does not rank: samples are ranked by their label's "
        "silhouette times their lean to the smaller cluster. Needs the labelled training data. "
        "Source: Chen et al. 2018, arXiv:1811.03728."
    ),
    judge=_judge,
)
