"""The test for triggers that bend the picture."""

from __future__ import annotations

from hessay.detector.decide import Test
from hessay.detector.kinds import MODELS, warp_null
from hessay.detector.measure import Measured

WARPS = 0.1  # share of alpha


def warp_test(
    measured: Measured, n_classes: int, alpha: float, *, share: float = 1.0
) -> Test | None:
    """Hold W, what the best smooth warp does to one class, against its law; None where it was not measured.

    ``share`` is what the test for pairs of classes leaves of alpha.
    """
    spread = measured.warp_spread
    if spread is None:
        return None
    suspect, largest, weight = int(spread.argmax()), float(spread.max()), share * WARPS
    null = warp_null(measured.kind)
    threshold = null.threshold(weight * alpha, n_classes)
    p_value = null.p_value(largest, n_classes)
    held = f"W = {largest:.2f}, threshold {threshold:.2f}, p = {p_value:.2g}"
    return Test(
        name="warp_reach",
        statistic=largest,
        threshold=threshold,
        p_value=p_value,
        weight=weight,
        suspect=suspect,
        law=f"p-value from the law of W over {null.n_models} clean {MODELS[measured.kind]}, "
        f"{null.describe()}",
        alarm=f"one smooth warp of the pictures leads to class {suspect} far more than warps lead to the "
        f"median class: {held}",
        calm=f"no smooth warp of the pictures leads to one class far more than to the others ({held})",
        bent=True,
    )
