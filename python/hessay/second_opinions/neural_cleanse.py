"""Neural Cleanse: the target of a backdoor is reached by a patch that is far too small."""

from __future__ import annotations

import numpy as np
from torch import nn

from hessay.probe import Probe
from hessay.second_opinions.result import Findings, Opinion
from hessay.second_opinions.trigger_inversion import anomaly_index, invert_triggers

PROBES = 128


def _judge(model: nn.Module, probe: Probe, data: Probe | None, seed: int) -> Findings:
    del data  # a clean probe is enough
    positions = np.unique(np.linspace(0, probe.n - 1, min(PROBES, probe.n)).round().astype(int))
    found = invert_triggers(model, probe.inputs[positions.tolist()], seed=seed)
    if np.count_nonzero(~np.isnan(found.norm)) < 3:
        return Findings(np.full(len(found.norm), np.nan))
    return Findings(anomaly_index(found.norm))


OPINION = Opinion(
    name="neural-cleanse",
    needs_data=False,
    needs_targets=False,
    line=2.0,
    method=(
        "For every class the mask of least L1 norm whose pattern moves 99 % of 128 probes into it; "
        "the score of a class is how many robust standard deviations (1.4826 MAD over the classes) "
        "its norm lies below the median, the score of the model the largest. Says nothing with "
        "fewer than 3 classes, and nothing of samples. Needs only a clean probe. Source: Wang et "
        "al. 2019, IEEE S&P, 707."
    ),
    judge=_judge,
)
