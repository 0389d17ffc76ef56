"""Rank a training set: one pass over it, statistics from the clean probe only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from hessay.detector.suspects import RADII, Suspect, find_suspects
from hessay.errors import ArgumentError
from hessay.hessian.model.freeze import frozen
from hessay.hessian.model.layout import channels_last
from hessay.loading import model_digest
from hessay.probe import as_probe
from hessay.report import Report
from hessay.samples.collected import Collected, class_excess, p_values_of, scores_of
from hessay.samples.examine import Examiner
from hessay.samples.null import MIN_OF_CLASS
from hessay.samples.ranking import CLASS_LEVEL, Ranking, SuspectClass
from hessay.samples.stream import Digest, stream
from hessay.samples.stretch import unstretched
from hessay.samples.ways import RADIUS, ways_into
from hessay.verdict import Verdict

Progress = Callable[[str, float], None]
CANDIDATES = 5  # classes whose samples are looked at, however harmless the scan finds them


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

    A sample labelled with a suspicious class is held against the shortest shift that leads there, or
    the smooth warp of pictures where that is what makes the class suspicious, in the input by the coherence of :mod:`hessay.samples.matched_filter` and in
    the last hidden layer (:mod:`hessay.samples.hidden`); its p-value is explained in
    :mod:`hessay.samples.null`. Samples with other labels come after them: poison of an all-to-one
    attack carries the label its trigger leads to.

    Beside the classes that the scan finds suspicious, those next in order are looked at, five in all:
    where more samples carry the way into their class than clean data would have
    (:mod:`hessay.samples.excess`), the data speak against the class though the model alone does not.

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
        was asked already. These classes alone are examined then, each by the one way that makes it
        suspicious, and the data are not asked about others.
    seed : int, >= 0
        Of the smoothing noise.
    progress : callable or None
        Called as ``progress(phase, share_done)``.

    Returns
    -------
    Ranking
        Also for a clean model, where the most suspicious class is examined.

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
    searched = suspects is None
    if suspects is None:
        suspects = find_suspects(
            model,
            clean,
            report=report,
            classes=classes,
            seed=seed,
            at_least=CANDIDATES,
            radii=RADII[: RADIUS + 1],
        )
    elif classes is not None:
        raise ArgumentError("give classes or suspects, not both: suspects name their classes")
    if not suspects:
        raise ArgumentError("suspects is empty; pass None to have them found")
    given = classes is not None
    by_scan = {s.index: _class_p_value(s, i, report) for i, s in enumerate(suspects)}
    sure = [c for i, c in enumerate(by_scan) if i == 0 or by_scan[c] <= CLASS_LEVEL or given]
    with frozen(model), channels_last(model, clean.inputs):
        ways = ways_into(suspects, clean)
        examiner = Examiner.of(model, clean, ways, sure)
        digest, collected = Digest(), Collected()
        tell("samples", 0.5)
        for inputs, targets in stream(
            data, shape=clean.shape, n_classes=examiner.n_classes, digest=digest
        ):
            collected.add(examiner.examine(inputs, targets))
            tell(f"{collected.rows} samples", 0.5)
    found = collected.all()
    found = replace(found, standard=unstretched(examiner, found))
    excess = class_excess(examiner, found)
    suspicious = _suspicious(by_scan, excess if searched else None, everyone=given or not searched)
    scores, against = scores_of(found, suspicious, examiner)
    rows = np.arange(len(scores))
    by_index = {s.index: (s, way) for s, way in zip(suspects, ways, strict=True)}
    described = tuple(
        SuspectClass(
            index=c,
            log_ratio=by_index[c][0].log_ratio,
            p_value=None if given else by_scan[c],
            excess_p_value=excess[c] if searched and not given else None,
            way="warp" if by_index[c][1].bent else "shift",
            radius=by_index[c][1].radius,
            flip_rate=by_index[c][1].flip_rate,
            n_labelled=int((found.labels == c).sum()),
            n_probes=int((examiner.probe_labels == c).sum()),
        )
        for c in suspicious
    )
    doubts = _doubts(described, report)
    notes = _notes(labelled=found.labelled, probe_labelled=clean.targets is not None, given=given)
    own_class = np.ones(examiner.n_classes)
    for one in described:
        own_class[one.index] = one.chance
    tell("done", 1.0)
    examined = np.isin(found.labels, suspicious)
    p_values = p_values_of(found, suspicious, examiner)
    return Ranking(
        scores=scores,
        p_values=np.maximum(p_values, own_class[found.labels]),
        p_values_given_class=p_values,
        labels=found.labels,
        suspect=np.array([way.index for way in ways])[against],
        projection=found.share[rows, against],
        margin_drop=np.where(examined, found.margin_drop[rows, against], np.nan),
        classes=described,
        labels_from="data" if found.labelled else "predictions",
        n_classes=examiner.n_classes,
        digest=digest.hex(),
        probe_digest=clean.digest,
        model_digest=own_digest,
        seed=seed,
        reasons=(*notes, *_by_the_data(described), *doubts),
        conclusive=not doubts,
    )


def _class_p_value(suspect: Suspect, position: int, report: Report | None) -> float:
    first = position == 0 or (report is not None and suspect.index == report.flagged_class)
    single = report is not None and report.class_map is None
    if report is not None and report.p_value is not None and first and single:
        return report.p_value
    return suspect.p_value


def _suspicious(
    by_scan: dict[int, float], excess: dict[int, float] | None, *, everyone: bool
) -> list[int]:
    """Classes above the line of the scan or of the data, the most suspicious first; at least one."""

    def chance(c: int) -> float:
        return min(by_scan[c], 1.0 if excess is None else excess[c])

    order = sorted(by_scan, key=chance)  # stable: those of a scan in its order
    if everyone:
        return list(by_scan)
    return [c for c in order if chance(c) <= CLASS_LEVEL] or order[:1]


def _by_the_data(classes: tuple[SuspectClass, ...]) -> tuple[str, ...]:
    """Say which classes the samples speak against and the model alone does not."""
    return tuple(
        f"more samples of class {c.index} carry the way into it than clean data would have "
        f"(p = {c.excess_p_value:.2g}), though the model alone would pass (p = {c.p_value:.2g})"
        for c in classes
        if c.excess_p_value is not None
        and c.p_value is not None
        and c.excess_p_value <= CLASS_LEVEL < c.p_value
    )


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
