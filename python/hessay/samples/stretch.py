"""How much further training samples lie from their class than probes do, because the network learnt them.

The last hidden layer takes samples it was trained on further along the ways into their classes than unseen inputs
of the same class. Held against the probe, all training samples would look a little like poison. The other classes that
are examined, each along the way into itself, say how much: the median of the ratio of their 0.9 quantiles,
and no less than 1. Poison in one of them does not move the median.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hessay.samples.examine import Answers, Examiner
from hessay.samples.null import MIN_OF_CLASS

QUANTILE = 0.9
MIN_OTHERS = 2  # classes besides the one in question; with fewer nothing is known, and 1 is taken


def unstretched(examiner: Examiner, found: Answers) -> NDArray[np.float64]:
    """Divide the statistic of samples held against the way into their own label by what training did to others.

    Parameters
    ----------
    examiner : Examiner
    found : Answers
        To all samples, N of them.

    Returns
    -------
    (N, k) float64
        ``found.standard``, changed where the sample's label is the way's class.
    """
    ratios: dict[int, float] = {}
    for j, way in enumerate(examiner.ways):
        clean = examiner.nulls[j].standardise(examiner.clean[:, j], examiner.probe_labels)
        probes = clean[examiner.probe_labels == way.index]
        samples = found.standard[found.labels == way.index, j]
        if min(len(probes), len(samples)) >= MIN_OF_CLASS:
            usual = float(np.quantile(probes, QUANTILE))
            if usual > 0.0:
                ratios[way.index] = float(np.quantile(samples, QUANTILE)) / usual
    standard = found.standard.copy()
    for j, way in enumerate(examiner.ways):
        others = [ratio for c, ratio in ratios.items() if c != way.index]
        if len(others) >= MIN_OTHERS:
            standard[found.labels == way.index, j] /= max(1.0, float(np.median(others)))
    return standard
