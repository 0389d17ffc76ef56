"""The way from a file of arriving data to the report of a batch; ``hessay watch-data`` takes it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

import hessay
from hessay._scan_file import load_probe, open_samples, pictures_as
from hessay.detector.suspects import Suspect, find_suspects
from hessay.errors import ArgumentError, ProbeError
from hessay.hessian.model.freeze import frozen
from hessay.loading import load_model, model_digest
from hessay.loading.preprocessing import Preprocessing
from hessay.monitor import ExceedanceTest, combined
from hessay.monitor.batches import CONFIDENCE
from hessay.probe import Probe
from hessay.report import Report
from hessay.samples import Ranking, rank_samples
from hessay.samples.examine import Examiner
from hessay.samples.null import MIN_OF_CLASS
from hessay.samples.ways import ways_into
from hessay.store import BatchReport


@dataclass(frozen=True, slots=True, eq=False)
class BatchRanker:
    """Everything that batches of one series share: the model, the probe, the way into its classes."""

    model: nn.Module
    arch: str
    probe: Probe
    report: Report | None
    suspects: tuple[Suspect, ...]
    tests: tuple[ExceedanceTest, ...]  # one a suspect
    cuts: tuple[float, ...]  # p-values below which a sample counts, one a suspect
    fdr: float
    seed: int
    how: Preprocessing | None

    @classmethod
    def load(
        cls,
        weights: str | os.PathLike[str],
        arch: str,
        probe: str | os.PathLike[str],
        *,
        report: Report | None = None,
        fdr: float = 0.05,
        seed: int = 0,
        preprocessing: str | os.PathLike[str] | None = None,
        device: str = "cpu",
    ) -> BatchRanker:
        """Load model and probe, and find the way into the suspicious classes, once for all batches.

        Parameters
        ----------
        weights, arch, probe, preprocessing, device
            As for :func:`hessay._scan_file.scan_file`.
        report : Report or None
            Of the scan of this model: which classes are suspicious.
        fdr : float in (0, 1)
            False discovery rate of the selection in a batch.
        seed : int, >= 0

        Raises
        ------
        ArgumentError
            ``fdr`` is out of range, or the report is of another model; as
            :class:`hessay.detector.suspects.ReachUndefined`, the way into the classes is not defined.
        HessayError
            Model or probe cannot be loaded or used.
        """
        if not 0.0 < fdr < 1.0:
            raise ArgumentError(f"fdr must lie in (0, 1), got {fdr}; 0.05 is usual")
        # A factory or a model that prints must not get between the reader and the result.
        with contextlib.redirect_stdout(sys.stderr):
            # A folder stands for the batches that are still to come.
            how = pictures_as(preprocessing, weights, probe, os.curdir)
            model, clean = load_model(weights, arch, device=device), load_probe(probe, how)
            if report is not None and report.model.digest != model_digest(model):
                raise ArgumentError(
                    "the report is of another model; scan this one, or give no report"
                )
            suspects = find_suspects(model, clean, report=report, seed=seed)
            with frozen(model):
                examiner = Examiner.of(model, clean, ways_into(suspects, clean))
        # Of several classes each bound holds less often, so that all hold with the stated confidence.
        each = 1 - (1 - CONFIDENCE) / len(suspects)
        tests, cuts = zip(
            *(_test(examiner, i, s.index, each) for i, s in enumerate(suspects)), strict=True
        )
        return cls(model, arch, clean, report, suspects, tests, cuts, fdr, seed, how)

    @property
    def settings(self) -> dict[str, object]:
        """What all batches of a series share."""
        return {
            "arch": self.arch,
            "model": model_digest(self.model),
            "probe": self.probe.digest,
            "preprocessing": None if self.how is None else repr(self.how),
            "report": None if self.report is None else _digest(self.report),
            "classes": [suspect.index for suspect in self.suspects],
            "fdr": self.fdr,
            "seed": self.seed,
            "hessay": hessay.__version__,
        }

    def rank(self, path: Path, progress: Callable[[str, float], None]) -> BatchReport:
        """Rank one batch.

        Raises
        ------
        HessayError
            As :func:`hessay.samples.rank_samples`.
        """
        with contextlib.redirect_stdout(sys.stderr):
            samples, names = open_samples(path, self.how)
            ranking = rank_samples(
                self.model,
                samples,
                probe=self.probe,
                report=self.report,
                suspects=self.suspects,
                seed=self.seed,
                progress=progress,
            )
        whole = json.loads(ranking.to_json(self.fdr, names))
        return self._reported(ranking, whole)

    def _reported(self, ranking: Ranking, whole: dict[str, object]) -> BatchReport:
        chosen = ranking.selected(self.fdr)
        classes = []
        for suspect, test, cut in zip(self.suspects, self.tests, self.cuts, strict=True):
            mine = ranking.p_values_given_class[ranking.labels == suspect.index]
            count, n = int((mine < cut).sum()), len(mine)
            classes.append(
                {
                    "index": suspect.index,
                    "n_samples": n,
                    "count": count,
                    "cut": cut,
                    "rate": test.rate,
                    "log_e": test.log_e(count, n),
                }
            )
        verdict = "FLAGGED" if len(chosen) else "CLEAN" if ranking.conclusive else "INCONCLUSIVE"
        of_chosen = np.bincount(ranking.labels[chosen], minlength=ranking.n_classes)
        return BatchReport(
            verdict=verdict,
            n_samples=ranking.n,
            n_selected=len(chosen),
            smallest_p_value=float(ranking.p_values_given_class.min()),
            log_e=combined([float(str(c["log_e"])) for c in classes]),
            flagged_class=int(of_chosen.argmax()) if len(chosen) else None,
            model_digest=ranking.model_digest,
            probe_digest=ranking.probe_digest,
            test={"confidence": CONFIDENCE, "classes": classes},
            ranking=whole,
        )


def _digest(report: Report) -> str:
    return hashlib.sha256(report.to_json().encode()).hexdigest()


def _test(
    examiner: Examiner, position: int, index: int, confidence: float
) -> tuple[ExceedanceTest, float]:
    """Test samples of a class against the probes of that class alone, whatever the other classes do.

    Returns the test, and the p-value of the (j + 1)-th largest probe of the class: samples of the
    class lie above that probe exactly where their p-values are smaller.
    """
    mine = np.sort(examiner.clean[examiner.probe_labels == index, position])
    if len(mine) < MIN_OF_CLASS:
        raise ProbeError(
            f"{len(mine)} probes are of class {index}, {MIN_OF_CLASS} are needed to test batches; "
            "give a probe with more of them"
        )
    test = ExceedanceTest.of(len(mine), confidence=confidence)
    value, label = mine[-test.above - 1 :][:1], np.array([index])
    return test, float(examiner.nulls[position].p_value(value, label)[0])
