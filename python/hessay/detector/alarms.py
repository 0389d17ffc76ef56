"""The tests a scanned model has to pass, each built from what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable

from hessay.detector.calibration import CleanNull, conformal_rank
from hessay.detector.constants import CLEAN_NULL, INTERACTION_NULL, MIN_MAP_RATE, PROFILE_NULL
from hessay.detector.decide import Test
from hessay.detector.interaction import Interaction
from hessay.detector.measure import Measured
from hessay.detector.reference_table import ReferenceTable
from hessay.detector.statistics import ClassReach
from hessay.hessian.class_map import ClassMap

ONE_CLASS = 0.8  # share of alpha for one target (or several); the rest for a map of all classes
ALL_CLASSES = 1.0 - ONE_CLASS


def reach_test(reach: ClassReach, n_classes: int, alpha: float) -> Test:
    """Hold S against its law over clean models: no references needed."""
    threshold = CLEAN_NULL.threshold(ONE_CLASS * alpha, n_classes)
    p_value = CLEAN_NULL.p_value(reach.statistic, n_classes)
    ratio = math.exp(reach.statistic)
    held = f"S = {reach.statistic:.3f}, threshold {threshold:.3f}, p = {p_value:.2g}"
    return Test(
        name="reach_spread",
        statistic=reach.statistic,
        threshold=threshold,
        p_value=p_value,
        weight=ONE_CLASS,
        suspect=reach.suspect,
        law=_law("S", CLEAN_NULL),
        alarm=f"class {reach.suspect} is reached {ratio:.2f} times as easily as the median class, "
        f"off the data's own directions: {held}",
        calm=f"no class stands out at alpha = {alpha:g}: the easiest one, class {reach.suspect}, is "
        f"reached {ratio:.2f} times as easily as the median class ({held})",
    )


def profile_test(measured: Measured, table: ReferenceTable, n_classes: int, alpha: float) -> Test:
    """Hold the largest deviation from the references' class profile against its law.

    The law was fitted to clean networks scanned with references of other seeds, recipes and
    architectures; see :func:`rank_test` for references that allow more.
    """
    profile = table.profile
    z = profile.deviations(measured.reach.log_ratio)
    suspect, largest = int(z.argmax()), float(z.max())
    threshold = PROFILE_NULL.threshold(ONE_CLASS * alpha, n_classes)
    p_value = PROFILE_NULL.p_value(largest, n_classes)
    held = f"z = {largest:.2f}, threshold {threshold:.2f}, p = {p_value:.2g}"
    compared = f"than in {profile.n_references} clean reference models"
    return Test(
        name="class_profile",
        statistic=largest,
        threshold=threshold,
        p_value=p_value,
        weight=ONE_CLASS,
        suspect=suspect,
        law=_law("max z", PROFILE_NULL),
        alarm=f"class {suspect} is reached more easily {compared}, off the data's own directions: {held}",
        calm=f"no class is reached more easily {compared} at alpha = {alpha:g}: the most deviating one "
        f"is class {suspect} ({held})",
    )


def rank_test(
    measured: Measured, table: ReferenceTable, n_classes: int, alpha: float
) -> Test | None:
    """Conformal test among references trained like the model; None where there are too few.

    One score holds both the class profile and the interaction, so the whole alpha is its own.

    Source: Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World, ch. 2.
    """
    scores = table.scores(measured, alpha)
    if scores is None:
        return None
    own, others = float(scores[-1]), scores[:-1].tolist()
    rank = conformal_rank(own, others)
    threshold = rank.threshold(others, alpha)
    assert threshold is not None
    z = table.profile.deviations(measured.reach.log_ratio)
    by_class = float(z.max()) / PROFILE_NULL.threshold(alpha, n_classes)
    moved = measured.interaction.statistic / INTERACTION_NULL.threshold(alpha, n_classes)
    suspect = int(z.argmax()) if by_class >= moved else None
    what = "all classes together" if suspect is None else f"class {suspect}"
    held = f"score {own:.2f}, threshold {threshold:.2f}, conformal p = {rank.p_value:.2g}"
    return Test(
        name="reference_rank",
        statistic=own,
        threshold=threshold,
        p_value=rank.p_value,
        weight=1.0,
        suspect=suspect,
        law=f"conformal rank among {len(others)} clean reference models, each left out in turn",
        alarm=f"the model stands out among {len(others)} clean reference models, by {what}: {held}",
        calm=f"the model does not stand out among {len(others)} clean reference models at "
        f"alpha = {alpha:g} ({held})",
    )


def interaction_test(
    found: Interaction, n_classes: int, alpha: float, confirm: Callable[[], ClassMap]
) -> tuple[Test, ClassMap | None]:
    """Hold I against its law; an alarm counts only where a short step carries it out.

    Parameters
    ----------
    found : Interaction
    n_classes : int
    alpha : float in (0, 1)
    confirm : callable
        Looks for the class map; called only after an alarm.
    """
    level = ALL_CLASSES * alpha
    threshold = INTERACTION_NULL.threshold(level, n_classes)
    p_value = INTERACTION_NULL.p_value(found.statistic, n_classes)
    held = f"I = {found.statistic:.2f}, threshold {threshold:.2f}, p = {p_value:.2g}"
    class_map = confirm() if p_value <= level else None
    vetoed, carried = "", ""
    if class_map is not None:
        rate = f"{class_map.flip_rate:.0%} of the probes"
        if class_map.flip_rate < MIN_MAP_RATE:
            vetoed = (
                f"classes interact through one direction ({held}), but no short step along it moves more "
                f"than {rate} to one other class each: no alarm"
            )
        carried = f"; a short step moves {rate}, class by class, to {list(class_map.destination)}"
    test = Test(
        name="class_interaction",
        statistic=found.statistic,
        threshold=threshold,
        p_value=p_value,
        weight=ALL_CLASSES,
        suspect=None,
        law=_law("I", INTERACTION_NULL),
        alarm=f"all classes are moved together by one direction off the data: {held}{carried}",
        calm=f"no direction moves all classes together ({held})",
        vetoed=vetoed,
    )
    return test, class_map


def _law(symbol: str, null: CleanNull) -> str:
    return f"p-value from the law of {symbol} over {null.n_models} clean models, {null.describe()}"
