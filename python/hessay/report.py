"""What a scan found, as frozen data: every number with its unit and the method behind it.

A :class:`Report` goes to JSON and back without loss. The schema is shipped in
``hessay/schema/report-2.json``; its version stands in every report (``hessay.report/2``). Reports of
version 1, without ``probe.mean`` and ``probe.features``, are read, and written again as they were.
The same seed on the same device gives the same bytes, except for ``seconds``.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hessay import _versions
from hessay._structure import decode, encode, freeze
from hessay._versions import SCHEMA
from hessay.errors import ArgumentError, HessayError
from hessay.verdict import Verdict

MOST_MEANS = 3 * 256 * 256  # inputs with more coordinates leave no mean in a report


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ArgumentError(message)


def _require_share(name: str, value: float | None) -> None:
    _require(value is None or 0 <= value <= 1, f"{name} must lie in [0, 1], got {value}")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One statistic of the scan, with the threshold it was held against."""

    name: str  # identifier, stable across versions
    title: str  # the same in plain words
    value: float  # in ``unit``
    unit: str  # "1" where dimensionless
    threshold: float | None  # in ``unit``; above it speaks for poison
    p_value: float | None  # in [0, 1]; None where no null distribution is known
    decides: bool  # whether the verdict depends on it
    flagged_class: int | None  # class index it points to
    method: str  # how it was computed, with its source
    note: str  # what a reader should know before trusting it

    def __post_init__(self) -> None:
        freeze(self)
        _require_share(f"p_value of {self.name}", self.p_value)


@dataclass(frozen=True, slots=True)
class ClassEvidence:
    """How easily the whole probe is pushed into one class."""

    index: int  # class index, >= 0
    count: int  # probes predicted as this class, >= 0
    reach: float  # inverse first-order distance of the probe to this class, 1 / input, >= 0
    log_ratio: float  # log(reach / usual reach), dimensionless: usual is the median, or as the statistic has it
    deviation: float | None  # z from the class profile of clean references; None without them
    refined_flip_rate: float | None  # share of other probes one refined step sends here, [0, 1]

    def __post_init__(self) -> None:
        freeze(self)
        _require(self.index >= 0 and self.count >= 0, "class index and count must not be negative")
        _require(self.reach >= 0, f"reach of class {self.index} must be >= 0, got {self.reach}")
        # The logarithm of a ratio of two doubles is below 1500.
        _require(abs(self.log_ratio) < 1500, f"log_ratio must be below 1500, got {self.log_ratio}")
        _require_share(f"refined_flip_rate of class {self.index}", self.refined_flip_rate)


@dataclass(frozen=True, slots=True)
class SpectrumSummary:
    """Leading eigenvalues of the input Hessian and the bulk edge fitted to them."""

    values: tuple[float, ...]  # Ritz values, descending, in ``unit``
    unit: str  # loss / input^2, or logit^2 / input^2 for uniform weighting
    method: str  # solver and operator
    certificate: str  # what is certified about the values, and how
    max_residual: float  # largest |H v - lambda v|, in ``unit``
    products: int  # Hessian-vector products spent
    edge_lower: float | None  # lambda_minus, in ``unit``
    edge_upper: float | None  # lambda_plus with the finite-size allowance, in ``unit``
    edge_sigma2: float | None  # bulk variance, in ``unit``
    edge_gamma: float | None  # aspect ratio inputs / probes, dimensionless
    edge_goodness: float | None  # of the fit, as ``edge_method`` defines it
    edge_method: str  # "" where no edge was fitted
    edge_accepted: bool | None  # None where no edge was fitted
    n_outliers: int | None  # eigenvalues above the edge

    def __post_init__(self) -> None:
        freeze(self)
        pairs = zip(self.values, self.values[1:], strict=False)
        _require(all(a >= b for a, b in pairs), "spectrum values must be sorted, largest first")
        _require(
            self.max_residual >= 0 and self.products >= 0, "residual and products must be >= 0"
        )
        outliers = self.n_outliers
        _require(
            outliers is None or 0 <= outliers <= len(self.values),
            f"n_outliers must lie in [0, {len(self.values)}], got {outliers}",
        )


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model was scanned."""

    digest: str  # sha256 over names, shapes, dtypes and bytes of the weights
    source: str  # file name, or "" for a model given in memory
    architecture: str
    n_parameters: int
    n_classes: int

    def __post_init__(self) -> None:
        freeze(self)
        _require(self.n_parameters >= 0, f"n_parameters must be >= 0, got {self.n_parameters}")
        _require(self.n_classes >= 1, f"n_classes must be >= 1, got {self.n_classes}")


@dataclass(frozen=True, slots=True)
class ProbeInfo:
    """Which data the model was asked about."""

    digest: str  # sha256 over dtype, shape and bytes of inputs and targets
    n: int  # probes
    input_shape: tuple[int, ...]  # of one probe
    has_targets: bool
    accuracy: float | None  # of the model on the probe, [0, 1]; None without targets
    # (d,) in input units, beside a trigger direction; None where there is none or d > MOST_MEANS
    mean: tuple[float, ...] | None = None
    features: tuple[str, ...] | None = None  # (d,) names, where somebody gave them

    def __post_init__(self) -> None:
        freeze(self)
        _require(self.n >= 1, f"a probe has at least one input, got n = {self.n}")
        _require(all(side >= 1 for side in self.input_shape), "sides of input_shape must be >= 1")
        _require_share("accuracy", self.accuracy)
        d = math.prod(self.input_shape)
        for name, entries in (("mean", self.mean), ("features", self.features)):
            _require(
                entries is None or len(entries) == d,
                f"probe.{name} must have one entry for each of {d} coordinates, got "
                f"{len(entries or ())}",
            )
        _require(
            self.mean is None or d <= MOST_MEANS,
            f"a probe mean is kept up to {MOST_MEANS} coordinates, got {d}; leave it out",
        )


@dataclass(frozen=True, slots=True)
class Report:
    """Verdict of a scan with everything needed to check and to repeat it.

    Raises
    ------
    ArgumentError
        A field has the wrong type or range, or the fields contradict each other.
    NonFinite
        A number is NaN or infinite; the message names the field.
    """

    verdict: Verdict
    flagged_class: int | None  # index; None unless FLAGGED names one
    alpha: float  # level of the test, (0, 1)
    statistic: float | None  # the deciding statistic, dimensionless
    threshold: float | None  # the statistic was held against this, dimensionless
    p_value: float | None  # [0, 1]; None where no null distribution is known
    reasons: tuple[str, ...]  # plain sentences behind the verdict
    not_excluded: tuple[str, ...]  # attacks this scan would have missed
    evidence: tuple[Evidence, ...]
    classes: tuple[ClassEvidence, ...]
    spectrum: SpectrumSummary | None
    trigger_direction: tuple[float, ...] | None  # (d,), unit norm, towards the flagged class
    class_map: tuple[int, ...] | None  # (C,): where each class goes, for an all-to-all alarm
    model: ModelInfo
    probe: ProbeInfo
    seed: int  # >= 0
    settings: Mapping[str, float | int | str | bool]
    environment: Mapping[str, str]  # versions and device
    cost: Mapping[str, int]  # products, backward passes, ...
    seconds: Mapping[str, float]  # wall time of each phase, s
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        freeze(self)
        _versions.require_known(self.schema)
        _require(
            self.schema == SCHEMA or (self.probe.mean is None and self.probe.features is None),
            f"probe.mean and probe.features are of {SCHEMA}, not of {self.schema}",
        )
        _require(0 < self.alpha < 1, f"alpha must lie in (0, 1), got {self.alpha}")
        _require(self.seed >= 0, f"seed must be >= 0, got {self.seed}")
        _require_share("p_value", self.p_value)
        # The two halves of honesty: an alarm or an abstention says why, a CLEAN says what it missed.
        if self.verdict is Verdict.CLEAN:
            _require(bool(self.not_excluded), "a CLEAN report must say what was not excluded")
        else:
            _require(bool(self.reasons), f"a report that says {self.verdict.value} needs a reason")
        if self.flagged_class is not None:
            _require(
                self.verdict is Verdict.FLAGGED and 0 <= self.flagged_class < self.model.n_classes,
                f"flagged_class {self.flagged_class} needs the verdict FLAGGED and a class below "
                f"{self.model.n_classes}",
            )
        if self.class_map is not None:
            n = self.model.n_classes
            _require(
                self.verdict is Verdict.FLAGGED and sorted(self.class_map) == list(range(n)),
                f"class_map needs the verdict FLAGGED and each of {n} classes once, got "
                f"{self.class_map}",
            )
        if self.trigger_direction is not None:
            d, norm = math.prod(self.probe.input_shape), math.hypot(*self.trigger_direction)
            # Directions come from float32 arithmetic: eps * sqrt(d) stays below 1e-4 for d < 1e6.
            _require(
                len(self.trigger_direction) == d and abs(norm - 1) < 1e-4,
                f"trigger_direction must have length {d} and norm 1, got "
                f"{len(self.trigger_direction)} and {norm:.6g}",
            )

    def __hash__(self) -> int:
        return hash((self.model.digest, self.probe.digest, self.seed, self.verdict))

    def __reduce__(self) -> tuple[Any, ...]:
        # Read-only mappings do not pickle; JSON loses nothing, so copies and workers go through it.
        return Report.from_json, (self.to_json(),)

    def to_json(self) -> str:
        """Write the report as JSON: ASCII, keys sorted, NaN never written, newline at the end."""
        document = _versions.as_written(encode(self))
        return json.dumps(document, sort_keys=True, indent=1, allow_nan=False) + "\n"

    @staticmethod
    def from_json(text: str | bytes) -> Report:
        """Read a report back, trusting nothing in ``text``.

        Parameters
        ----------
        text : str or bytes
            What :meth:`to_json` wrote, in this version or an earlier one.

        Returns
        -------
        Report
            Equal to the one written.

        Raises
        ------
        ArgumentError
            Not JSON, of a later version, a field is unknown, missing, repeated or of the wrong
            type, or a number is not finite.
        """
        document = _versions.read(text)
        try:
            return decode(Report, document)
        except ArgumentError:
            raise
        except (HessayError, OverflowError) as error:
            raise ArgumentError(f"not a report: {error}") from None

    def with_features(self, names: Sequence[str]) -> Report:
        """Return the same report with names for the coordinates of an input.

        Parameters
        ----------
        names : sequence of str
            (d,), in the order of the flattened input; pages name the columns of a table by them.

        Raises
        ------
        ArgumentError
            There is not one name for each coordinate, or one is no string.
        """
        probe = replace(self.probe, features=tuple(names))
        return replace(self, probe=probe, schema=SCHEMA)

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write the report as one self-contained page, in place or not at all.

        Parameters
        ----------
        path : str or path
            File to write; an existing file is replaced.

        Raises
        ------
        ArgumentError
            ``path`` cannot be written, or jinja2 is missing (install ``hessay[cli]``).
        """
        from hessay import render

        render.write(render.html(self), path)
