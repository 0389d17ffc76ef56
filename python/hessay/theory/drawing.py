"""The drawing of a monitoring plan."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hessay.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hessay.theory.plan import MonitoringPlan

__all__ = ["draw_plan", "save_plan"]


def draw_plan(plan: MonitoringPlan) -> Figure:
    """Draw the smallest visible fraction over the ridge, and the delay over the interval.

    Raises
    ------
    ArgumentError
        matplotlib is missing (extra ``plot``).
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ArgumentError(
            "a plot needs matplotlib, which is not installed; pip install 'hessay[plot]'"
        ) from None
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, marker in (("theta_known", "o"), ("theta_unknown", "s")):
        points = [(row.ridge, getattr(row, name)) for row in plan.ridges]
        points = [(ridge, theta) for ridge, theta in points if theta is not None]
        label = f"trigger {name.removeprefix('theta_')}"
        left.plot([r for r, _ in points], [t for _, t in points], marker=marker, label=label)
    for row in plan.ridges:
        if row.visibility <= 1:
            left.axvline(row.ridge, color="tab:red", linestyle=":")
    left.axhline(plan.theta, color="black", linestyle="--", label="asked about")
    left.set(xscale="log", yscale="log", xlabel="ridge (input²)", ylim=(None, 1.0))
    left.set_ylabel("smallest poisoned fraction of the source")
    left.set_title(f"found with a power of {100 * plan.power:.3g} %")
    left.legend()
    every = [row.every for row in plan.schedule]
    for name in ("known", "unknown"):
        delays = [getattr(row, name) for row in plan.schedule]
        if None in delays:
            continue
        low, high = [d.at_least for d in delays], [d.at_most for d in delays]
        line = right.plot(every, high, marker="o", label=f"trigger {name}")[0]
        right.fill_between(every, low, high, color=line.get_color(), alpha=0.2)
    right.axvline(plan.every, color="black", linestyle="--", label="recommended")
    right.set(xlabel="batches between scans", ylabel="batches until the alarm", ylim=(0, None))
    right.set_title(f"poison at {100 * plan.theta:.3g} % of the source")
    right.legend()
    return figure


def save_plan(plan: MonitoringPlan, path: str) -> None:
    """Draw a plan into an ``.svg`` or ``.png`` file, whole or not at all.

    The same plan gives the same bytes: no date, fixed identifiers.

    Raises
    ------
    ArgumentError
        matplotlib is missing (extra ``plot``), or the file cannot be written.
    """
    figure = draw_plan(plan)
    from matplotlib import rc_context

    kind = Path(path).suffix.lower().removeprefix(".")
    temporary = Path(path).with_name(f".hessay-{os.getpid()}.{kind}")
    try:
        with rc_context({"svg.hashsalt": "hessay"}):
            figure.savefig(temporary, format=kind, metadata={"Date": None} if kind == "svg" else {})
        temporary.replace(Path(path))
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise ArgumentError(f"cannot write {path}: {error.strerror}") from None
