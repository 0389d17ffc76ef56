"""The test for source-specific backdoors, beside references trained like the scanned model."""

from __future__ import annotations

import numpy as np

from hessay.detector.decide import Test
from hessay.detector.measure import Measured
from hessay.detector.pair_law import PAIRS, n_pairs, pair_null
from hessay.detector.reference_table import ReferenceTable


def pair_test(
    measured: Measured, table: ReferenceTable, n_classes: int, alpha: float
) -> Test | None:
    """Hold P, the largest deviation of a pair of classes, against its law.

    None where the references do not allow it: see :meth:`ReferenceTable.pairs_untested`.
    """
    if table.log_pairs is None or measured.log_pairs is None or table.pairs_untested(measured):
        return None
    z = table.pair_deviations(measured.log_pairs)
    source, target = (int(i) for i in np.unravel_index(int(z.argmax()), z.shape))
    largest, null, count = float(z.max()), pair_null(len(table.log_pairs)), n_pairs(n_classes)
    threshold = null.threshold(PAIRS * alpha, count)
    p_value = null.p_value(largest, count)
    held = f"P = {largest:.2f}, threshold {threshold:.2f}, p = {p_value:.2g}"
    compared = f"than in {len(table.log_pairs)} clean reference models trained alike"
    return Test(
        name="pair_reach",
        statistic=largest,
        threshold=threshold,
        p_value=p_value,
        weight=PAIRS,
        suspect=target,
        source=source,
        law=f"p-value from the law of P over {null.n_models} clean models, {null.describe()}",
        alarm=f"inputs of class {source} are turned into class {target} more easily {compared}, off the "
        f"data's own directions and beyond what these classes do with others: {held}",
        calm=f"no class is turned into one other class more easily {compared} at alpha = {alpha:g}: the "
        f"most deviating pair is {source} to {target} ({held})",
    )
