"""The tests a scanned model has to pass, each built from what was measured."""

from __future__ import annotations

import math

import numpy as np

from hessay.detector.calibration import CleanNull, conformal_rank
from hessay.detector.constants import (
    CLEAN_NULL,
    FEW_CLASSES_NULL,
    MAP_NULL,
    PROFILE_NULL,
)
from hessay.detector.decide import Test
from hessay.detector.kinds import MODELS, REACH_NULL, Kind, map_null, warp_null
from hessay.detector.measure import Measured
from hessay.detector.pair_law import pair_threshold
from hessay.detector.reference_table import ReferenceTable

ONE_CLASS = 0.8  # share of alpha for one target (or several); the rest for a map of all classes
ALL_CLASSES = 1.0 - ONE_CLASS


def reach_null(n_classes: int, kind: Kind) -> CleanNull:
    """Law of S over clean models of this many classes and of this kind."""
    return FEW_CLASSES_NULL.get(n_classes, REACH_NULL[kind])


def comparable_statistic(measured: Measured) -> float:
    """S, moved to the law of plain networks, so that those of all kinds can be ordered."""
    statistic = measured.reach.statistic
    if measured.kind == "plain":
        return statistic
    return REACH_NULL[measured.kind].moved_to(CLEAN_NULL, statistic)


def reach_test(measured: Measured, n_classes: int, alpha: float, *, share: float = 1.0) -> Test:
    """Hold S against its law over clean models of its kind: no references needed.

    Two and three classes have laws of their own and the whole alpha: the other tests are for more.
    ``share`` is what other tests than this and :func:`map_test` leave of alpha.
    """
    reach = measured.reach
    null = reach_null(n_classes, measured.kind)
    few = n_classes in FEW_CLASSES_NULL
    weight = 1.0 if few else share * ONE_CLASS
    threshold = null.threshold(weight * alpha, n_classes)
    p_value = null.p_value(reach.statistic, n_classes)
    ratio = math.exp(reach.statistic)
    soft = measured.soft_reach is not None
    usual = "the others" if few else "the runners-up" if soft else "the median class"
    held = f"S = {reach.statistic:.3f}, threshold {threshold:.3f}, p = {p_value:.2g}"
    return Test(
        name="reach_spread",
        statistic=reach.statistic,
        threshold=threshold,
        p_value=p_value,
        weight=weight,
        suspect=reach.suspect,
        law=_law("S", null, MODELS[measured.kind]),
        alarm=f"class {reach.suspect} is reached {ratio:.2f} times as easily as {usual}, "
        f"off the data's own directions: {held}",
        calm=f"no class stands out at alpha = {alpha:g}: the easiest one, class {reach.suspect}, is "
        f"reached {ratio:.2f} times as easily as {usual} ({held})",
    )


def profile_test(
    measured: Measured, table: ReferenceTable, n_classes: int, alpha: float, *, share: float = 1.0
) -> Test:
    """Hold the largest deviation from the references' class profile against its law.

    The law was fitted to clean networks scanned with references of other seeds, recipes and
    architectures; see :func:`rank_test` for references that allow more. ``share`` is what other
    tests than this and :func:`map_test` leave of alpha.
    """
    weight = share * ONE_CLASS
    z, null = table.deviations(measured), table.law(measured)
    suspect, largest = int(z.argmax()), float(z.max())
    threshold = null.threshold(weight * alpha, n_classes)
    p_value = null.p_value(largest, n_classes)
    held = f"z = {largest:.2f}, threshold {threshold:.2f}, p = {p_value:.2g}"
    build = " of its own architecture" if table.same_build(measured) else ""
    compared = f"than in {table.profile.n_references} clean reference models{build}"
    return Test(
        name="class_profile",
        statistic=largest,
        threshold=threshold,
        p_value=p_value,
        weight=weight,
        suspect=suspect,
        law=_law("max z", null),
        alarm=f"class {suspect} is reached more easily {compared}, off the data's own directions: {held}",
        calm=f"no class is reached more easily {compared} at alpha = {alpha:g}: the most deviating one "
        f"is class {suspect} ({held})",
    )


def rank_test(
    measured: Measured, table: ReferenceTable, n_classes: int, alpha: float
) -> Test | None:
    """Conformal test among references trained like the model; None where there are too few.

    One score holds the class profile, the class map, warps and the pairs of classes, so the whole
    alpha is its own.

    Source: Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World, ch. 2.
    """
    scores = table.scores(measured, alpha)
    if scores is None:
        return None
    own, others = float(scores[-1]), scores[:-1].tolist()
    rank = conformal_rank(own, others)
    threshold = rank.threshold(others, alpha)
    assert threshold is not None
    z = table.profile.deviations(measured.usual_reach.log_ratio)
    by_class = float(z.max()) / PROFILE_NULL.threshold(alpha, n_classes)
    moved = measured.map_excess / MAP_NULL.threshold(alpha, n_classes)
    suspect = int(z.argmax()) if by_class >= moved else None
    what = "all classes together" if suspect is None else f"class {suspect}"
    standing, by_warp = max(by_class, moved), False
    if table.warp_reaches is not None and measured.warp_spread is not None:
        law = warp_null(measured.kind)
        bent = float(measured.warp_spread.max()) / law.threshold(alpha, n_classes)
        if bent > standing:
            standing, suspect, by_warp = bent, int(measured.warp_spread.argmax()), True
            what = f"what a warp of the pictures does to class {suspect}"
    source = None
    if table.log_pairs is not None and not table.pairs_untested(measured):
        assert measured.log_pairs is not None
        found = table.pair_deviations(measured.log_pairs)
        largest = float(found.max()) / pair_threshold(len(others), n_classes, alpha)
        if largest > standing:
            source, suspect = (int(i) for i in np.unravel_index(int(found.argmax()), found.shape))
            what, by_warp = f"the way from class {source} to class {suspect}", False
    held = f"score {own:.2f}, threshold {threshold:.2f}, conformal p = {rank.p_value:.2g}"
    return Test(
        name="reference_rank",
        statistic=own,
        threshold=threshold,
        p_value=rank.p_value,
        weight=1.0,
        suspect=suspect,
        source=source,
        bent=by_warp,
        law=f"conformal rank among {len(others)} clean reference models, each left out in turn",
        alarm=f"the model stands out among {len(others)} clean reference models, by {what}: {held}",
        calm=f"the model does not stand out among {len(others)} clean reference models at "
        f"alpha = {alpha:g} ({held})",
    )


def map_test(measured: Measured, n_classes: int, alpha: float, *, share: float = 1.0) -> Test:
    """Hold F, what the best short step does to all classes together, against its law.

    ``share`` is what other tests than this and the one for single classes leave of alpha.
    """
    weight = share * ALL_CLASSES
    excess = measured.map_excess
    null = map_null(measured.kind)
    threshold = null.threshold(weight * alpha, n_classes)
    p_value = null.p_value(excess, n_classes)
    held = f"F = {excess:.2f}, threshold {threshold:.2f}, p = {p_value:.2g}"
    found = measured.class_map
    rate, goal = (0.0, []) if found is None else (found.flip_rate, found.destination.tolist())
    return Test(
        name="class_map_excess",
        statistic=excess,
        threshold=threshold,
        p_value=p_value,
        weight=weight,
        suspect=None,
        law=_law("F", null, "models" if null is MAP_NULL else MODELS[measured.kind]),
        alarm=f"one short step off the data moves {rate:.0%} of the probes, class by class, to {goal}: "
        f"{held}",
        calm=f"no short step moves every class to another one ({held})",
    )


def _law(symbol: str, null: CleanNull, models: str = "models") -> str:
    return (
        f"p-value from the law of {symbol} over {null.n_models} clean {models}, {null.describe()}"
    )
