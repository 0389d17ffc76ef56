"""Which training samples are poison, as frozen data."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hessay._printable import spreadsheet_cell
from hessay.errors import ArgumentError, ShapeError
from hessay.samples.null import benjamini_hochberg

SCHEMA = "hessay.ranking/1"
CLASS_LEVEL = 0.01  # of the test that a class is suspicious at all, as hessay.scan has it
Labels = Literal["data", "predictions"]
Way = Literal["shift", "warp"]
_COLUMNS = (
    *("label", "score", "p_value", "p_value_given_class"),
    *("suspect_class", "projection", "margin_drop"),
)


@dataclass(frozen=True, slots=True)
class SuspectClass:
    """One class whose samples were examined."""

    index: int  # class number
    log_ratio: float  # log(reach / median reach), dimensionless
    p_value: float | None  # of a clean model with such a class, [0, 1]; None: given by the caller
    excess_p_value: float | None  # of clean data with so many such samples; None where not asked
    way: Way  # what its samples were held against
    radius: float  # allowed to it: L2 norm, input units; of a warp root mean square, pixels
    flip_rate: float  # share of the other probes it sends to the class, [0, 1]
    n_labelled: int  # samples that carry this label
    n_probes: int  # probes of this class behind the null

    @property
    def chance(self) -> float:
        """p-value of both together, [0, 1]; 0 for a class that the caller named."""
        if self.p_value is None:
            return 0.0
        if self.excess_p_value is None:
            return self.p_value
        return min(1.0, 2.0 * min(self.p_value, self.excess_p_value))

    def passes(self, level: float) -> bool:
        """Whether the model or the data speak against it at this level each."""
        if self.p_value is None:
            return True
        return (
            min(self.p_value, 1.0 if self.excess_p_value is None else self.excess_p_value) <= level
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one sample stands where it stands."""

    row: int  # in the data, from 0
    label: int  # class number
    suspect: int  # the suspicious class whose perturbation it was held against
    examined: bool  # whether it carries that class's label
    score: float  # see Ranking.scores
    projection: float  # shares of the perturbation it carries
    margin_drop: float | None  # logits its own label loses without that share; None if not examined
    p_value: float  # [0, 1]
    rank: int  # 0 is the most suspicious


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """All samples of a training set, by how likely they are to be poison.

    The score is positive exactly where the label is a suspicious class: poison carries the label
    its trigger leads to. There it is 1 + z, for z >= 0, or 1 / (1 - z), with z the robust standard
    score of the matched filter; elsewhere it is minus that of -z, so those samples come after.
    """

    scores: NDArray[np.float64]  # (N,) dimensionless, larger is more suspicious
    p_values: NDArray[np.float64]  # (N,): the model is clean, or at least this sample is; [0, 1]
    p_values_given_class: NDArray[np.float64]  # (N,): the same if its class is known to be a target
    labels: NDArray[np.int64]  # (N,) class numbers
    suspect: NDArray[np.int64]  # (N,): the suspicious class each was held against
    projection: NDArray[np.float64]  # (N,): shares of that class's perturbation, 1 is all of it
    margin_drop: NDArray[
        np.float64
    ]  # (N,) logits; NaN where the label is not suspicious or not asked
    classes: tuple[SuspectClass, ...]  # most suspicious first
    labels_from: Labels  # whether the labels came with the data
    n_classes: int
    digest: str  # sha256 of the data, whatever the batches
    probe_digest: str
    model_digest: str
    seed: int
    reasons: tuple[str, ...]  # what a reader should know before trusting it
    conclusive: bool  # if not, selecting nothing does not speak for clean data

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.scores)

    @property
    def examined(self) -> NDArray[np.bool_]:
        """Whether each sample carries the label of a suspicious class, (N,)."""
        return np.isin(self.labels, [c.index for c in self.classes])

    def order(self) -> NDArray[np.intp]:
        """Rows from the most to the least suspicious, (N,); equal scores by row."""
        return np.argsort(-self.scores, kind="stable")

    def selected(self, fdr: float = 0.05) -> NDArray[np.intp]:
        """Rows to be taken for poison, most suspicious first.

        Two steps. A class passes if a clean model would have one as suspicious with probability at
        most 0.01 (the level of a scan; ``fdr`` where that is less), if clean data would have so many
        samples that carry the way into it with at most that probability, or if the caller named it.
        Among the samples labelled with a class that passed, Benjamini and Hochberg's step-up procedure
        selects. On clean data this selects anything with at most twice that probability; on poisoned ones the expected share of clean
        samples among the selected is at most ``fdr`` where clean samples of the class are further
        from their class's median no more often than the probe's inputs are from theirs.

        Parameters
        ----------
        fdr : float in (0, 1)
            Accepted false discovery rate.

        Raises
        ------
        ArgumentError
            ``fdr`` is outside (0, 1).

        Source: Benjamini & Hochberg 1995, J. R. Stat. Soc. B 57, 289.
        """
        if not 0.0 < fdr < 1.0:
            raise ArgumentError(
                f"fdr is a false discovery rate in (0, 1), got {fdr}; 0.05 is usual"
            )
        level = min(fdr, CLASS_LEVEL)
        passed = [c.index for c in self.classes if c.passes(level)]
        rows = np.flatnonzero(np.isin(self.labels, passed))
        chosen = rows[benjamini_hochberg(self.p_values_given_class[rows], fdr)]
        return chosen[np.argsort(-self.scores[chosen], kind="stable")]

    def explain(self, row: int) -> Explanation:
        """Say why one sample stands where it stands.

        Raises
        ------
        ArgumentError
            No such row.
        """
        if not 0 <= row < self.n:
            raise ArgumentError(f"row must lie in [0, {self.n - 1}], got {row}")
        drop = float(self.margin_drop[row])
        mine = self.scores[row]
        before = int((self.scores > mine).sum()) + int((self.scores[:row] == mine).sum())
        return Explanation(
            row=row,
            label=int(self.labels[row]),
            suspect=int(self.suspect[row]),
            examined=bool(self.scores[row] > 0),
            score=float(mine),
            projection=float(self.projection[row]),
            margin_drop=None if math.isnan(drop) else drop,
            p_value=float(self.p_values[row]),
            rank=before,
        )

    def to_json(self, fdr: float = 0.05, names: Sequence[str] | None = None) -> str:
        """Write everything as JSON: ASCII, keys sorted, columns by row, no NaN, newline at the end.

        Parameters
        ----------
        fdr : float in (0, 1)
            Of the selection that is written with it.
        names : (N,) str or None
            Of the samples, files for instance.

        Raises
        ------
        ShapeError
            Not one name a sample.
        """
        self._check_names(names)
        columns = dict(zip(_COLUMNS, self._columns(), strict=True))
        document = {
            "schema": SCHEMA,
            "n": self.n,
            "n_classes": self.n_classes,
            "data_digest": self.digest,
            "probe_digest": self.probe_digest,
            "model_digest": self.model_digest,
            "seed": self.seed,
            "labels_from": self.labels_from,
            "reasons": list(self.reasons),
            "conclusive": self.conclusive,
            "classes": [
                {name: getattr(c, name) for name in SuspectClass.__dataclass_fields__}
                for c in self.classes
            ],
            "fdr": fdr,
            "selected": self.selected(fdr).tolist(),
            "samples": {name: column.tolist() for name, column in columns.items()}
            | {"margin_drop": [None if math.isnan(v) else v for v in self.margin_drop.tolist()]}
            | ({} if names is None else {"name": list(names)}),
        }
        return json.dumps(document, sort_keys=True, allow_nan=False) + "\n"

    def to_csv(self, fdr: float = 0.05, names: Sequence[str] | None = None) -> str:
        """Write one line a sample, most suspicious first, with a header; no number where none is.

        Parameters
        ----------
        fdr : float in (0, 1)
            Of the column ``selected``, 1 or 0.
        names : (N,) str or None
            Of the samples, files for instance: a last column ``name``, made harmless for
            spreadsheets by :func:`hessay._printable.spreadsheet_cell`.

        Raises
        ------
        ShapeError
            Not one name a sample.
        """
        self._check_names(names)
        chosen = np.zeros(self.n, dtype=np.int64)
        chosen[self.selected(fdr)] = 1
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(("row", "selected", *_COLUMNS, *(() if names is None else ("name",))))
        columns = [column.tolist() for column in self._columns()]
        for row in self.order().tolist():
            cells = ["" if math.isnan(column[row]) else column[row] for column in columns]
            name = () if names is None else (spreadsheet_cell(names[row]),)
            writer.writerow((row, int(chosen[row]), *cells, *name))
        return table.getvalue()

    def _check_names(self, names: Sequence[str] | None) -> None:
        if names is not None and len(names) != self.n:
            raise ShapeError(f"names must be one a sample, {self.n}, got {len(names)}")

    def _columns(self) -> tuple[NDArray[np.float64] | NDArray[np.int64], ...]:
        return (
            self.labels,
            self.scores,
            self.p_values,
            self.p_values_given_class,
            self.suspect,
            self.projection,
            self.margin_drop,
        )
