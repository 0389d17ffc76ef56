"""The fitted estimator as a plain table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hessay._printable import printable

_MOST_OUTPUTS = 6  # coefficients of more outputs are shown as their norm


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Align cells to the right under their heads, the first column to the left."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    rule = tuple("-" * width for width in widths)
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, rule, *rows)
    ]


def number(value: object) -> str:
    """Six significant digits; a dash for nothing."""
    return "-" if value is None else f"{float(value):.6g}"  # type: ignore[arg-type]


def step_rows(path: Any, names: Sequence[object]) -> list[tuple[str, ...]]:
    """One row a step: what happened, delta RSS, RSS, criterion, p-value."""
    return [
        (
            str(i + 1),
            step.action,
            ", ".join(printable(str(names[c])) for c in step.columns),
            number(step.delta_rss),
            number(step.rss),
            number(step.criterion),
            number(step.p_value),
        )
        for i, step in enumerate(path.steps)
    ]


STEP_HEAD = ("step", "action", "column", "delta RSS", "RSS", "criterion", "p-value")


def summarize(model: Any, names: Sequence[object]) -> str:
    """Render the steps and the coefficients of a fitted StepwiseRegression."""
    path, fit = model.path_, model.rows_
    explained = 1 - fit.rss / path.tss if path.tss else 0.0
    lines = [
        (
            f"{len(model.order_)} of {model.n_features_in_} columns, {fit.n_rows} rows, "
            f"{path.n_outputs} {'output' if path.n_outputs == 1 else 'outputs'}, criterion "
            f"{model.criterion or 'none'}, direction {model.direction}"
        ),
        f"RSS {number(fit.rss)}" + (f", R2 {explained:.4f}" if fit.n_rows == path.n_rows else ""),
        "",
    ]
    if path.steps:
        lines += [*table(STEP_HEAD, step_rows(path, names)), ""]
    if len(path.collinear):
        listed = ", ".join(printable(str(names[c])) for c in path.collinear)
        lines += [f"Linear combinations of other columns, never entered: {listed}", ""]
    coef, intercept = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    many = len(coef) > _MOST_OUTPUTS
    head = ("column", *(["norm"] if many else [f"coef {c}" for c in range(len(coef))]))

    def cells(values: Any) -> tuple[str, ...]:
        return (number(np.linalg.norm(values)),) if many else tuple(number(v) for v in values)

    body = [("(intercept)", *cells(intercept))] if model.fit_intercept else []
    body += [(printable(str(names[c])), *cells(coef[:, c])) for c in model.order_]
    return "\n".join(lines + table(head, body)) + "\n"
