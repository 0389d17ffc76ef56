"""A direction in a space that is no picture: its strongest coordinates, by name."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hessay.report import Report

MOST_ROWS = 20


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One coordinate of the direction."""

    name: str  # as given, else its place in the input
    entry: float  # of the unit vector, dimensionless
    share: float  # of the squared length, [0, 1]
    mean: float | None  # of the probe, input units
    length: float  # |entry| over the largest, [0, 1]


@dataclass(frozen=True, slots=True)
class PositionRow:
    """One position of a sequence."""

    position: int  # from 0
    share: float  # of the direction's squared length, [0, 1]


def feature_rows(report: Report, most: int = MOST_ROWS) -> list[FeatureRow]:
    """Give the strongest coordinates of the trigger direction, largest first."""
    if report.trigger_direction is None:
        return []
    direction = np.asarray(report.trigger_direction)
    order = np.argsort(-np.abs(direction), kind="stable")[:most].tolist()
    shape, names, mean = report.probe.input_shape, report.probe.features, report.probe.mean
    largest = abs(report.trigger_direction[order[0]]) or 1.0
    rows = []
    for place in order:
        entry = report.trigger_direction[place]
        if names is not None:
            name = names[place]
        elif len(shape) == 1:
            name = f"feature {place}"
        else:
            name = f"entry {[int(i) for i in np.unravel_index(place, shape)]}"
        own = None if mean is None else mean[place]
        rows.append(FeatureRow(name, entry, entry * entry, own, abs(entry) / largest))
    return rows


def position_rows(report: Report, most: int = 12) -> list[PositionRow]:
    """Give the positions of a sequence (T, E) that hold most of the direction, largest first."""
    shape = report.probe.input_shape
    if report.trigger_direction is None or len(shape) != 2 or math.prod(shape) == 0:
        return []
    share = (np.asarray(report.trigger_direction).reshape(shape) ** 2).sum(axis=1)
    order = np.argsort(-share, kind="stable")[:most].tolist()
    return [PositionRow(place, float(share[place])) for place in order]
