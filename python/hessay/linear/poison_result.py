"""The answer of ``poison_report``: verdict, evidence, suspected rows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from hessay._printable import printable
from hessay.linear.poison_effect import IndicatorUpdate
from hessay.verdict import Verdict

_SHOWN = 10  # rows and columns in the text

BLIND_SPOTS = (
    "triggers spread thinly over many columns, or fewer than about 8 poisoned rows",
    "poison whose label the other columns predict anyway (clean-label attacks)",
    "trigger columns that the linear fit already uses for the label as strongly as the poison does",
    "a genuine rule that holds only beyond a threshold of a column looks the same as a trigger",
)


@dataclass(frozen=True, slots=True)
class TriggerColumn:
    """A column in which the suspected rows differ from the rows they resemble."""

    column: int  # position in X
    name: str
    shift: float  # standard deviations of the column
    delta_rss: float  # largest over the tails of this column alone, y^2


@dataclass(frozen=True, slots=True)
class SuspectedRow:
    """A row that carries the trigger and the label."""

    row: int  # position in X
    score: float  # 0 at the source rows, 1 at source plus trigger
    deleted_residual: (
        float  # y minus the prediction without all suspected rows, y (one-hot: 0 to 1)
    )


@dataclass(frozen=True, slots=True)
class CandidateGroup:
    """A tail whose indicator explains labels beyond the level."""

    columns: tuple[int, ...]  # positions in X
    directions: tuple[int, ...]  # +1 upper, -1 lower tail
    residualised: bool  # of the column given all others
    detached: bool  # parted from the other rows by a gap
    n_rows: int
    label: str
    delta_rss: float  # y^2
    p_corrected: float  # Bonferroni over all tails
    purity: float  # share of the label
    lift: float  # label minus prediction without the group, y
    verdict: str  # "poison-like", or why not


@dataclass(frozen=True, slots=True)
class PoisonReport:
    """What a linear model says about poison in a table."""

    verdict: Verdict
    reasons: tuple[str, ...]
    alpha: float  # level of the corrected test
    p_value: float  # smallest corrected p-value of a poison-like group; 1 when there is none
    n_tests: int  # tails looked at: the Bonferroni factor
    n_rows: int
    n_columns: int
    target: str | None  # label of the suspected rows
    trigger: tuple[TriggerColumn, ...]  # strongest shift first
    rows: tuple[SuspectedRow, ...]  # most suspicious first
    update: IndicatorUpdate | None  # of the suspected rows
    candidates: tuple[CandidateGroup, ...]  # smallest p-value first, at most 20
    delta_rss: tuple[float, ...]  # (p,) spectrum: largest over the tails of each column, y^2
    not_excluded: tuple[str, ...] = BLIND_SPOTS

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings."""
        return {**asdict(self), "verdict": self.verdict.name, "format": "hessay-poison-1"}

    def to_json(self) -> str:
        """One JSON object, strict: no NaN."""
        return json.dumps(_plain(self.to_dict()), indent=2, allow_nan=False) + "\n"

    def __str__(self) -> str:
        lines = [f"{self.verdict.name}: {self.reasons[0]}", *self.reasons[1:], ""]
        lines.append(
            f"{self.n_rows} rows, {self.n_columns} columns, {self.n_tests} tails tested, corrected "
            f"p-value {self.p_value:.3g}, level {self.alpha:g}"
        )
        if self.trigger:
            lines += ["", "Trigger columns (shift in standard deviations):"]
            lines += [f"  {t.name}: {t.shift:+.2f}" for t in self.trigger[:_SHOWN]]
        if self.rows:
            lines += ["", f"Suspected rows, label {self.target} ({len(self.rows)} in all):"]
            lines += [
                f"  row {r.row}: trigger {r.score:.2f}, label minus prediction "
                f"{r.deleted_residual:+.2f}"
                for r in self.rows[:_SHOWN]
            ]
        if self.update is not None:
            u = self.update
            lines += [
                "",
                (
                    f"Without them the largest eigenvalue of 2WW' goes from {u.hessian_before:.4g} to "
                    f"{u.hessian_deleted:.4g}; their own column explains delta RSS {u.delta_rss:.4g} "
                    f"and moves 2WW' by about {u.spike:.4g}."
                ),
            ]
        lines += ["", "Not excluded:", *(f"  {spot}" for spot in self.not_excluded)]
        return "\n".join(printable(line) for line in lines) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
