"""Rank a training set: one pass over it, statistics from the clean probe only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hessay.detector.alarms import reach_null
from hessay.detector.suspects import Suspect, find_suspects
from hessay.errors import ArgumentError
from hessay.hessian.model.freeze import frozen
from hessay.hessian.model.layout import channels_last
from hessay.loading import model_digest
from hessay.probe import as_probe
from hessay.report import Report
from hessay.samples.examine import RADIUS, Examiner
from hessay.samples.null import MIN_OF_CLASS
from hessay.samples.ranking import Ranking, SuspectClass
from hessay.samples.stream import Digest, stream
from hessay.verdict import Verdict

Progress = Callable[[str, float], None]


def rank_samples(
    model: nn.Module,
    data: object,
    *,
    probe: object,
    report: Report | None = None,
    classes: Sequence[int] | None = None,
    suspects: Sequence[Suspect] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Ranking:
    r"""Rank the samples of a training set by how likely they are to be poison.

    A sample labelled with a suspicious class is held against the shortest perturbation that leads
    there, by the coherence of :mod:`hessay.samples.matched_filter`; its p-value is explained in
    :mod:`hessay.samples.null`. Samples with other labels come after them: poison of an all-to-one
    attack carries the label its trigger leads to.

    Parameters
    ----------
    model : nn.Module
        Returns logits (n, C). Its mode, weights and gradients are left as they were.
    data : DataLoader, (inputs, targets), array, Probe, data set or path of an ``.npz``
        The training set, inputs (N, \*shape) as the model takes them, in one pass and batch by
        batch. Without labels the model's predictions stand for them, and ``labels_from`` and
        ``reasons`` say so.
    probe : Probe, (n, \*shape) array, (inputs, targets), DataLoader or path
        Clean inputs that are not from ``data``, as for :func:`hessay.scan`: mean, covariance and
        null come from them alone. 512 are a good size.
    report : Report or None
        Of the scan of this model: which classes are above the line, and its p-value.
    classes : sequence of int or None
        The classes to examine, whatever the report says. They are then taken for targets: the
        error control no longer holds for a model that is clean.
    suspects : sequence of Suspect or None
        What :func:`hessay.detector.suspects.find_suspects` found on this model and probe, where it
        was asked already: most of the time goes there.
    seed : int, >= 0
        Of the smoothing noise.
    progress : callable or None
        Called as ``progress(phase, share_done)``.

    Returns
    -------
    Ranking
        Also for a clean model, where the one class that is reached most easily is examined.

    Raises
    ------
    ArgumentError
        The classes are none of the model's, or the report is of another model; as
        :class:`hessay.detector.suspects.ReachUndefined`, the way into the classes is not defined.
    ProbeError, ShapeError
        Probe or data are not usable: no samples, labels out of range, another shape, a loader that
        raises.
    NonFinite
        Samples hold NaN or Inf; the message counts them and names the first row.
    ModelError
        The model raised, is not deterministic or not differentiable.

    Source: Benjamini & Hochberg 1995, J. R. Stat. Soc. B 57, 289, for :meth:`Ranking.selected`.
    """
    tell = progress or _silent
    clean = as_probe(probe)
    own_digest = model_digest(model)
    if report is not None and report.model.digest != own_digest:
        raise ArgumentError(
            f"the report is of another model ({report.model.digest[:12]}, this one is "
            f"{own_digest[:12]}); scan this model, or pass report=None"
        )
    tell("the way into suspicious classes", 0.0)
    if suspects is None:
        suspects = find_suspects(model, clean, report=report, classes=classes, seed=seed)
    elif classes is not None:
        raise ArgumentError("give classes or suspects, not both: suspects name their classes")
    if not suspects:
        raise ArgumentError("suspects is empty; pass None to have them found")
    with frozen(model), channels_last(model, clean.inputs):
        examiner = Examiner.of(model, clean, tuple(suspects))
        digest, parts = Digest(), _Parts()
        tell("samples", 0.5)
        for inputs, targets in stream(
            data, shape=clean.shape, n_classes=examiner.n_classes, digest=digest
        ):
            parts.add(*examiner.examine(inputs, targets))
            tell(f"{parts.rows} samples", 0.5)
    given = classes is not None
    columns = parts.columns()
    labels = columns["labels"].astype(np.int64)
    described = tuple(
        SuspectClass(
            index=s.index,
            log_ratio=s.log_ratio,
            p_value=None if given else _class_p_value(s, i, report, examiner.n_classes),
            radius=s.radii[RADIUS],
            flip_rate=float(s.flip_rate[RADIUS]),
            n_labelled=int((labels == s.index).sum()),
            n_probes=int((examiner.probe_labels == s.index).sum()),
        )
        for i, s in enumerate(suspects)
    )
    doubts = _doubts(described, report)
    notes = _notes(labelled=parts.labelled, probe_labelled=clean.targets is not None, given=given)
    own_class = np.ones(examiner.n_classes)
    for c in described:
        own_class[c.index] = 0.0 if c.p_value is None else c.p_value
    tell("done", 1.0)
    return Ranking(
        scores=columns["scores"],
        p_values=np.maximum(columns["p_values"], own_class[labels]),
        p_values_given_class=columns["p_values"],
        labels=labels,
        suspect=columns["suspect"].astype(np.int64),
        projection=columns["projection"],
        margin_drop=columns["margin_drop"],
        classes=described,
        labels_from="data" if parts.labelled else "predictions",
        n_classes=examiner.n_classes,
        digest=digest.hex(),
        probe_digest=clean.digest,
        model_digest=own_digest,
        seed=seed,
        reasons=(*notes, *doubts),
        conclusive=not doubts,
    )


@dataclass(slots=True, eq=False)
class _Parts:
    """Columns of the batches seen so far."""

    parts: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    rows: int = 0
    labelled: bool = True

    def add(self, columns: dict[str, NDArray[np.float64]], labelled: bool) -> None:
        for name, column in columns.items():
            self.parts.setdefault(name, []).append(column)
        self.rows += len(columns["scores"])
        self.labelled = labelled

    def columns(self) -> dict[str, NDArray[np.float64]]:
        return {name: np.concatenate(parts) for name, parts in self.parts.items()}


def _class_p_value(suspect: Suspect, position: int, report: Report | None, n_classes: int) -> float:
    first = position == 0 or (report is not None and suspect.index == report.flagged_class)
    single = report is not None and report.class_map is None
    if report is not None and report.p_value is not None and first and single:
        return report.p_value
    return reach_null(n_classes, suspect.soft).p_value(suspect.log_ratio, n_classes)


def _doubts(classes: tuple[SuspectClass, ...], report: Report | None) -> tuple[str, ...]:
    """Why a selection of nothing would not speak for clean data."""
    doubts = []
    if report is not None and report.verdict is Verdict.INCONCLUSIVE:
        doubts.append(f"the scan of this model was inconclusive: {report.reasons[0]}")
    for c in classes:
        if c.n_probes < MIN_OF_CLASS:
            doubts.append(
                f"only {c.n_probes} probes are of class {c.index}, {MIN_OF_CLASS} are needed: its "
                "samples are compared with the other classes"
            )
        if c.n_labelled == 0:
            doubts.append(f"no sample is labelled {c.index}: there was nothing to examine")
    return tuple(doubts)


def _notes(*, labelled: bool, probe_labelled: bool, given: bool) -> tuple[str, ...]:
    notes = []
    if not labelled:
        notes.append("the data have no labels: the model's predictions stand for them")
    if not probe_labelled:
        notes.append("the probe has no labels: the model's predictions stand for them")
    if given:
        notes.append("the classes were given: on a clean model the selection has no error control")
    return tuple(notes)


def _silent(phase: str, share: float) -> None:
    del phase, share
