"""What is asked of every sample of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay.detector.measure import flatten
from hessay.detector.validity import MIN_PROBES
from hessay.errors import ArgumentError, ProbeError
from hessay.hessian.model.evaluate import logits_of
from hessay.probe import Probe
from hessay.samples.hidden import HiddenFilter, represented
from hessay.samples.matched_filter import MatchedFilter
from hessay.samples.null import SampleNull
from hessay.samples.ways import Way

EXPLAINED = 0.1  # p-value from which on it is asked what a sample is without its share of the way


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What was found of m samples, held against k ways."""

    labels: NDArray[np.int64]  # (m,)
    labelled: bool  # whether they came with the data
    standard: NDArray[np.float64]  # (m, k): the statistic, in deviations from the label's class
    share: NDArray[np.float64]  # (m, k): of the way's change that the input carries
    margin_drop: NDArray[np.float64]  # (m, k) logits; NaN where it was not asked


@dataclass(frozen=True, slots=True, eq=False)
class Examiner:
    """All that is needed to look at a batch; the model is frozen by the caller."""

    model: nn.Module
    ways: tuple[Way, ...]
    explained: frozenset[int]  # classes of which every sample is asked what it is without the way
    filters: MatchedFilter  # column j for way j
    input_nulls: tuple[SampleNull, ...]  # of the cotangent, one for each way
    hidden: HiddenFilter | None
    hidden_nulls: tuple[SampleNull, ...]  # of the share in the hidden layer; none without
    clean: NDArray[np.float64]  # (n, k): the statistic of each probe, by filters built without it
    nulls: tuple[SampleNull, ...]  # of the statistic
    probe_labels: NDArray[np.int64]  # (n,)
    n_classes: int

    @staticmethod
    def of(
        model: nn.Module, probe: Probe, ways: Sequence[Way], explained: Sequence[int] | None = None
    ) -> Examiner:
        """Build filters and nulls from the probe; ``explained`` is every way's class unless given."""
        logits = logits_of(model, probe.inputs).numpy()
        n_classes = logits.shape[1]
        known = probe.class_numbers
        labels = logits.argmax(axis=1) if known is None else known.cpu().numpy()
        labels = labels.astype(np.int64)
        classes = [way.index for way in ways]
        if int(labels.max()) >= n_classes or any(not 0 <= c < n_classes for c in classes):
            raise ArgumentError(
                f"the model has classes 0 to {n_classes - 1}, but the probe has target "
                f"{int(labels.max())} and the suspects are {sorted(set(classes))}"
            )
        if probe.n < MIN_PROBES:
            raise ProbeError(
                f"{probe.n} probes are too few for a null, {MIN_PROBES} are needed and 512 are usual"
            )
        filters = MatchedFilter.fit(flatten(probe), np.stack([way.change for way in ways]))
        input_nulls = _nulls(filters.clean.cotangent, labels, n_classes)
        clean = _standardised(input_nulls, filters.clean.cotangent, labels)
        hidden = HiddenFilter.of(model, probe, labels, ways)
        hidden_nulls: tuple[SampleNull, ...] = ()
        if hidden is not None:
            share = hidden.clean
            hidden_nulls = _nulls(share, labels, n_classes)
            clean = clean + _standardised(hidden_nulls, share, labels)
        return Examiner(
            model,
            tuple(ways),
            frozenset(classes if explained is None else explained),
            filters,
            input_nulls,
            hidden,
            hidden_nulls,
            clean,
            _nulls(clean, labels, n_classes),
            labels,
            n_classes,
        )

    def examine(self, inputs: Tensor, targets: Tensor | None) -> Answers:
        """Look at one batch, inputs (m, *shape)."""
        seen = None if self.hidden is None else represented(self.model, inputs)
        logits = None if seen is None else seen.logits
        if targets is None:
            if logits is None:
                logits = logits_of(self.model, inputs)
            labels = logits.numpy().argmax(axis=1).astype(np.int64)
        else:
            labels = targets.numpy().astype(np.int64)
        response = self.filters.respond(inputs.flatten(1).cpu().double().numpy())
        value = _standardised(self.input_nulls, response.cotangent, labels)
        if self.hidden is not None and seen is not None:
            share = self.hidden.respond(seen.values, labels)
            value = value + _standardised(self.hidden_nulls, share, labels)
        drop = np.full(value.shape, np.nan)
        for j, way in enumerate(self.ways):
            mine = np.flatnonzero(labels == way.index)
            if len(mine) == 0:
                continue
            if way.index not in self.explained:
                mine = mine[self.nulls[j].p_value(value[mine, j], labels[mine]) <= EXPLAINED]
            if len(mine) > 0:
                drop[mine, j] = self._margin_drop(inputs[mine], way, response.share[mine, j])
        standard = _standardised(self.nulls, value, labels)
        return Answers(labels, targets is not None, standard, response.share, drop)

    def _margin_drop(
        self, inputs: Tensor, way: Way, share: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Margin of the way's class over the best other, minus the same without the way, (m,)."""
        margins = []
        for points in (inputs, way.undo(inputs, share)):
            logits = logits_of(self.model, points).clone()
            own = logits[:, way.index].clone()
            logits[:, way.index] = -float("inf")
            margins.append((own - logits.amax(dim=1)).numpy())
        drop: NDArray[np.float64] = margins[0] - margins[1]
        return drop


def _nulls(
    values: NDArray[np.float64], labels: NDArray[np.int64], n_classes: int
) -> tuple[SampleNull, ...]:
    return tuple(SampleNull.fit(column, labels, n_classes) for column in values.T)


def _standardised(
    nulls: Sequence[SampleNull], values: NDArray[np.float64], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    columns = [n.standardise(column, labels) for n, column in zip(nulls, values.T, strict=True)]
    return np.stack(columns, axis=1)
