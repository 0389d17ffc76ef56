"""What is asked of every sample of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay.detector.measure import flatten
from hessay.detector.suspects import Suspect
from hessay.detector.validity import MIN_PROBES
from hessay.errors import ArgumentError, ProbeError
from hessay.hessian.model.evaluate import like_model, logits_of
from hessay.probe import Probe
from hessay.samples.matched_filter import MatchedFilter
from hessay.samples.null import SampleNull

# Of the radii of a suspect: the shortest way in is the closest to what was planted. Longer ones
# spend their length on features of the class itself.
RADIUS = 0


@dataclass(frozen=True, slots=True, eq=False)
class Examiner:
    """All that is needed to look at a batch; the model is frozen by the caller."""

    model: nn.Module
    suspects: tuple[Suspect, ...]
    filters: MatchedFilter  # column i for suspect i
    nulls: tuple[SampleNull, ...]  # one for each suspect
    probe_labels: NDArray[np.int64]  # (n,)
    n_classes: int

    @staticmethod
    def of(model: nn.Module, probe: Probe, suspects: tuple[Suspect, ...]) -> Examiner:
        """Build filters and nulls from the probe."""
        logits = logits_of(model, like_model(model, probe.inputs)).numpy()
        n_classes = logits.shape[1]
        known = probe.class_numbers
        labels = logits.argmax(axis=1) if known is None else known.cpu().numpy()
        if int(labels.max()) >= n_classes or any(not 0 <= s.index < n_classes for s in suspects):
            raise ArgumentError(
                f"the model has classes 0 to {n_classes - 1}, but the probe has target "
                f"{int(labels.max())} and the suspects are {[s.index for s in suspects]}"
            )
        if probe.n < MIN_PROBES:
            raise ProbeError(
                f"{probe.n} probes are too few for a null, {MIN_PROBES} are needed and 512 are usual"
            )
        filters = MatchedFilter.fit(
            flatten(probe), np.stack([s.perturbation[RADIUS] for s in suspects])
        )
        nulls = tuple(
            SampleNull.fit(column, labels, n_classes) for column in filters.clean.cotangent.T
        )
        return Examiner(model, suspects, filters, nulls, labels.astype(np.int64), n_classes)

    def examine(
        self, inputs: Tensor, targets: Tensor | None
    ) -> tuple[dict[str, NDArray[np.float64]], bool]:
        """Columns of one batch, and whether it had labels."""
        if targets is None:
            labels = logits_of(self.model, like_model(self.model, inputs)).numpy().argmax(axis=1)
        else:
            labels = targets.numpy()
        flat = inputs.flatten(1).cpu().double().numpy()
        response = self.filters.respond(flat)
        standard = np.stack(
            [
                null.standardise(column, labels)
                for null, column in zip(self.nulls, response.cotangent.T, strict=True)
            ],
            axis=1,
        )
        against = standard.argmax(axis=1)
        p_values, drop = np.ones(len(labels)), np.full(len(labels), np.nan)
        examined = np.zeros(len(labels), dtype=np.bool_)
        for i, suspect in enumerate(self.suspects):
            mine = np.flatnonzero(labels == suspect.index)
            if len(mine) == 0:
                continue
            against[mine] = i
            examined[mine] = True
            p_values[mine] = self.nulls[i].p_value(response.cotangent[mine, i], labels[mine])
            drop[mine] = self._margin_drop(inputs[mine], suspect, response.share[mine, i])
        rows = np.arange(len(labels))
        z = standard[rows, against]
        columns = {
            "labels": labels.astype(np.float64),
            "scores": np.where(examined, _positive(z), -_positive(-z)),
            "p_values": p_values,
            "suspect": np.array([s.index for s in self.suspects], dtype=np.float64)[against],
            "projection": response.share[rows, against],
            "margin_drop": drop,
        }
        return columns, targets is not None

    def _margin_drop(
        self, inputs: Tensor, suspect: Suspect, share: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Margin of the suspicious class over the best other, minus the same without t u, (m,)."""
        moved = suspect.perturbation[RADIUS].reshape(1, *inputs.shape[1:])
        step = torch.from_numpy(share.reshape(-1, *[1] * (inputs.ndim - 1)) * moved)
        without = inputs.double() - step.to(inputs.device)
        margins = []
        for points in (inputs, without):
            logits = logits_of(self.model, like_model(self.model, points)).clone()
            own = logits[:, suspect.index].clone()
            logits[:, suspect.index] = -torch.inf
            margins.append((own - logits.amax(dim=1)).numpy())
        drop: NDArray[np.float64] = margins[0] - margins[1]
        return drop


def _positive(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map the line onto the positive half, smoothly and in order: 1 + z, or 1 / (1 - z)."""
    mapped: NDArray[np.float64] = np.where(z >= 0, 1.0 + z, 1.0 / (1.0 - np.minimum(z, 0.0)))
    return mapped
