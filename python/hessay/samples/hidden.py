"""The same question asked of the last hidden layer: whether a sample looks there like inputs led into its class.

The input shows triggers that are a fixed pattern. What the network makes of a trigger is a fixed pattern even
where the trigger is not, as with warps: after the last hidden layer h, inputs led into class c by a way u
lie at some offset from the class's own,

    o = mean h(x + u) - mean_c h(x),   the first over the probes of other classes that arrive, the second over those of c

and a matched filter for o, with the covariance of the probe within its classes, says what share of it a sample
carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay.errors import HessayError
from hessay.hessian.model.representation import Representations, representations
from hessay.probe import Probe
from hessay.samples.matched_filter import MatchedFilter
from hessay.samples.ways import Way

MIN_ARRIVED = 20  # probes that must arrive for their mean; fewer, and all that were led are taken


@dataclass(frozen=True, slots=True, eq=False)
class HiddenFilter:
    """Matched filters in the last hidden layer, one for each way."""

    means: NDArray[np.float64]  # (C, h): of each class's probes
    filters: MatchedFilter
    used: NDArray[np.intp]  # (j,): ways that change the layer at all, and have a filter
    n_ways: int

    @staticmethod
    def of(
        model: nn.Module,
        probe: Probe,
        labels: NDArray[np.int64],
        ways: Sequence[Way],
    ) -> HiddenFilter | None:
        """Build them; None where there is no hidden layer, or nothing in it varies.

        Parameters
        ----------
        model : nn.Module
            Frozen by the caller.
        probe : Probe
        labels : (n,) int64
            Of the probes.
        ways : sequence of Way
        """
        seen = represented(model, probe.inputs)
        if seen is None or _is_input(seen.values, probe):
            return None
        clean = seen.values.double().numpy()
        counts = np.bincount(labels, minlength=seen.n_classes)
        means = np.tile(clean.mean(axis=0), (seen.n_classes, 1))
        for c in np.flatnonzero(counts):
            means[c] = clean[labels == c].mean(axis=0)
        offsets, used = [], []
        for i, way in enumerate(ways):
            led = represented(model, way.take(probe))
            others = labels != way.index
            if led is None or not others.any():
                continue
            arrived = others & (led.logits.argmax(dim=1).numpy() == way.index)
            chosen = arrived if int(arrived.sum()) >= MIN_ARRIVED else others
            offset = led.values.double().numpy()[chosen].mean(axis=0) - means[way.index]
            if bool(offset.any()):
                offsets.append(offset)
                used.append(i)
        # A probe pulls its class's mean towards itself: n_c / (n_c - 1) of the variance is left.
        shrunk = np.sqrt(counts / np.maximum(counts - 1, 1))[labels]
        within = (clean - means[labels]) * shrunk[:, None]
        if not used or not bool(within.any()):
            return None
        filters = MatchedFilter.fit(within, np.stack(offsets))
        return HiddenFilter(means, filters, np.array(used, dtype=np.intp), len(ways))

    @property
    def clean(self) -> NDArray[np.float64]:
        """Share of every way that each probe carries, by the filter built without it, (n, k)."""
        return self._spread(self.filters.clean.share)

    def respond(self, values: Tensor, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of every way that inputs with representations (m, h) carry, (m, k)."""
        centred = values.double().numpy() - self.means[labels]
        return self._spread(self.filters.respond(centred).share)

    def _spread(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = np.zeros((len(share), self.n_ways))
        whole[:, self.used] = share
        return whole


def represented(model: nn.Module, inputs: Tensor) -> Representations | None:
    """Return what the last hidden layer makes of inputs; None where no linear layer ends the model."""
    try:
        return representations(model, inputs)
    except HessayError:
        return None


def _is_input(values: Tensor, probe: Probe) -> bool:
    """Whether the network is one linear layer, so that its last hidden layer is the input again."""
    flat = probe.flat.cpu()
    return values.shape == flat.shape and torch.equal(values.double(), flat.double())
