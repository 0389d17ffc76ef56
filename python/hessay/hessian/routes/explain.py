"""What was chosen, why, and what it was to cost and did cost, in words."""

from __future__ import annotations

from dataclasses import dataclass

from hessay.hessian.routes.choice import Choice


@dataclass(frozen=True, slots=True)
class Spent:
    """What a route has cost so far, wall time."""

    setup: float  # seconds
    products: float  # seconds
    columns: int


def explain(choice: Choice, reason: str, spent: Spent) -> str:
    """Put a choice and its costs into a few lines."""
    columns = choice.work.expected
    lines = [
        f"{choice.backend}: {reason}",
        f"{'route':<10}{'set-up':>10}{'a column':>11}{f'{columns} columns':>13}   (predicted)",
    ]
    for name, cost in sorted(choice.estimates.items(), key=lambda item: item[1].total(columns)):
        times = (cost.setup, cost.column, cost.total(columns))
        lines.append(f"{name:<10}{_ms(times[0]):>10}{_ms(times[1]):>11}{_ms(times[2]):>13}")
    measured = f"measured: set up in {_ms(spent.setup)}"
    if spent.columns:
        each = spent.products / spent.columns
        measured += f", {_ms(each)} a column over {spent.columns} columns"
    return "\n".join([*lines, measured])


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
