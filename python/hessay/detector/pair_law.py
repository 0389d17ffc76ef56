"""The law of P, the largest deviation of a pair of classes, over clean models: measured once, then frozen."""

from __future__ import annotations

from hessay.detector.calibration import CleanNull

PAIRS = 0.25  # share of alpha; the other tests keep the rest, in their own proportions
# P by the fewest references it holds for (bench/zoo/source_specific.py); "classes" are pairs of them.
PAIR_NULLS = {
    9: CleanNull(start=3.7695, scale=0.591, n_models=57, n_classes=90),
    19: CleanNull(start=3.4892, scale=0.554, n_models=57, n_classes=90),
}


def pair_null(n_references: int) -> CleanNull:
    """Law of P over clean models, for at least 9 references: more of them have lighter tails."""
    return PAIR_NULLS[max(k for k in PAIR_NULLS if k <= n_references)]


def n_pairs(n_classes: int) -> int:
    """Ordered pairs of different classes."""
    return n_classes * (n_classes - 1)


def pair_threshold(n_references: int, n_classes: int, alpha: float) -> float:
    """Value that the P of a clean model exceeds with probability alpha."""
    return pair_null(n_references).threshold(alpha, n_pairs(n_classes))
