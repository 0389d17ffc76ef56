"""The detector in scikit-learn manners: the sample is a model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hessay.detector.alarms import comparable_statistic
from hessay.detector.plan import Plan
from hessay.detector.reference_table import ReferenceTable
from hessay.errors import ArgumentError
from hessay.hessian.model.evaluate import Model
from hessay.report import Report
from hessay.verdict import Verdict

_SIGN = {Verdict.CLEAN: 1, Verdict.FLAGGED: -1, Verdict.INCONCLUSIVE: 0}


class Detector:
    """Scans many models on one probe, calibrated on clean ones where there are any.

    Parameters
    ----------
    alpha : float in (0, 1)
        Level of the test.
    seed : int, >= 0
        Of every random choice.

    Attributes
    ----------
    reference_statistics_ : (m,) float64 or None
        S of the clean models ``fit`` was given.
    references_ : ReferenceTable or None
        All that was measured on them.

    Examples
    --------
    ::

        detector = Detector(alpha=0.01).fit(clean_models, probe)
        detector.predict(suspects)  # +1 clean, -1 flagged, 0 inconclusive
    """

    def __init__(self, *, alpha: float = 0.01, seed: int = 0) -> None:
        self.alpha = alpha
        self.seed = seed

    def fit(self, clean_models: Iterable[Model] | None, probe: object) -> Detector:
        """Measure the clean models on the probe.

        Parameters
        ----------
        clean_models : iterable of nn.Module or None
            At least 4 models of the same task, known to be clean. Trained like the models to be
            scanned, m of them give conformal p-values down to 1/(m + 1); below that, and for
            others, the law fitted to the tuning population serves. None leaves S alone to decide.
        probe : Probe, array, (inputs, targets), DataLoader or path

        Raises
        ------
        ArgumentError
            ``alpha`` or ``seed`` out of range, no models, or one that cannot be measured.
        ProbeError, ShapeError, ModelError, NonFinite
            As :func:`hessay.scan`.
        """
        self._plan = Plan.of(probe, alpha=self.alpha, seed=self.seed, progress=None)
        self.references_: ReferenceTable | None = None
        self.reference_statistics_: NDArray[np.float64] | None = None
        if clean_models is not None:
            self.references_ = self._plan.references(clean_models)
            self.reference_statistics_ = self.references_.log_ratios.max(axis=1)
        return self

    def scan(self, model: Model, *, source: str = "") -> Report:
        """Full report on one model; see :func:`hessay.scan`."""
        return self._fitted().scan(model, self.references_, source)

    def predict(self, models: Iterable[Model]) -> NDArray[np.intp]:
        """+1 for CLEAN, -1 for FLAGGED, 0 for INCONCLUSIVE, (k,): the third is never a pass."""
        return np.array([_SIGN[self.scan(model).verdict] for model in models], dtype=np.intp)

    def score_samples(self, models: Iterable[Model]) -> NDArray[np.float64]:
        """Return -S, with references -z, of each model, (k,): the lower, the more suspect.

        S of a network with a law of its own (:mod:`hessay.detector.kinds`) is moved to where it is as improbable
        under the law of plain ones. NaN where it is not defined.
        """
        plan, references = self._fitted(), self.references_
        scores = []
        for model in models:
            measured = plan.measure(model).measured
            if measured is None:
                scores.append(np.nan)
            elif references is None:
                scores.append(-comparable_statistic(measured))
            else:
                scores.append(-float(references.deviations(measured).max()))
        return np.array(scores, dtype=np.float64)

    def _fitted(self) -> Plan:
        plan: Plan | None = getattr(self, "_plan", None)
        if plan is None:
            raise ArgumentError("this Detector is not fitted; call fit(clean_models, probe) first")
        return plan
