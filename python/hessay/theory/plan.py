"""A monitoring plan: how often to scan, with how many probes, for which poison, at which ridge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from hessay._laws import level, real_vector
from hessay._structure import encode
from hessay.errors import ArgumentError
from hessay.theory._checks import count, fraction, positive
from hessay.theory.classes import Mode
from hessay.theory.delay import Delay, scan_delay
from hessay.theory.haar import PoisonDraws
from hessay.theory.multi_output import attack_success, predict
from hessay.theory.planning import (
    known_trigger_power,
    smallest_theta_known,
    smallest_theta_unknown,
    unknown_trigger_power,
)
from hessay.theory.probes import probes_for_difference, probes_for_rate
from hessay.theory.words import sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MonitoringPlan", "RidgeRow", "ScanRow", "monitoring_plan"]

_SLACK, _MISSES = 1.1, 0.1  # a delay and a miss rate this far from the best count as good
RATE_ERROR = 0.05


@dataclass(frozen=True, slots=True)
class RidgeRow:
    """What a fit on all rows shows at one ridge."""

    ridge: float  # input^2
    visibility: float  # phi / (g (2 - phi)); at most 1 the spectrum shows no faint poison
    attack_success: float  # of the poison asked about, in [0, 1]
    theta_known: float | None  # smallest poisoned fraction found with the trigger known
    theta_unknown: float | None  # smallest poisoned fraction that the spectrum shows


@dataclass(frozen=True, slots=True)
class ScanRow:
    """What scanning at one interval leads to."""

    every: int  # batches between scans
    known: Delay  # trigger known
    unknown: Delay | None  # by the spectrum; None where no ridge shows anything


@dataclass(frozen=True, slots=True)
class MonitoringPlan:
    """The question, tables, the choice, and the choice in words."""

    n_rows: int  # clean rows at the start
    n_inputs: int
    classes: int
    theta: float  # poisoned fraction of the source in arriving batches
    mode: Mode
    strength: float  # length of the trigger, standard deviations of an input
    batch: int  # rows that arrive between two possible scans
    horizon: int  # batches watched
    alpha: float  # chance of a false alarm over the whole horizon
    power: float  # chance of finding that `theta_*` ask for
    ridges: tuple[RidgeRow, ...]
    schedule: tuple[ScanRow, ...]
    ridge_known: float | None  # best ridge with the trigger known, input^2
    ridge_unknown: float | None  # best ridge for the spectrum, input^2
    every: int  # recommended interval, batches
    success_clean: float  # of the trigger on a clean model, in [0, 1]
    success_poisoned: float  # on a model trained at `theta`, in [0, 1]
    probes_confirm: int | None  # triggered inputs that tell both rates apart; None: equal rates
    probes_rate: int  # triggered inputs for the rate to +- 0.05

    @property
    def sees(self) -> bool:
        """Whether any test at any ridge finds some poisoned fraction."""
        return self.ridge_known is not None or self.ridge_unknown is not None

    @property
    def sentences(self) -> tuple[str, ...]:
        """The plan in plain words."""
        return sentences(self)

    def to_dict(self) -> dict[str, Any]:
        """Numbers and words as plain Python values, for JSON."""
        document: dict[str, Any] = encode(self)
        return document | {"sentences": list(self.sentences)}

    def plot(self) -> Figure:
        """Draw what can be seen at which ridge, and the delay at which interval.

        Raises
        ------
        ArgumentError
            matplotlib is missing (extra ``plot``).
        """
        from hessay.theory.drawing import draw_plan

        return draw_plan(self)


def monitoring_plan(
    *,
    n_rows: int,
    n_inputs: int,
    classes: int = 10,
    theta: float = 0.1,
    strength: float = 4.0,
    mode: Mode = "one",
    ridges: Sequence[float] = (0.01, 0.1, 1.0, 10.0),
    batch: int | None = None,
    horizon: int = 12,
    alpha: float = 0.05,
    power: float = 0.8,
    draws: int = 2000,
    seed: int = 0,
) -> MonitoringPlan:
    """Choose ridge, scan interval and probe numbers for a linear model that is refitted as data come.

    Parameters
    ----------
    n_rows : int
        Clean rows at the start.
    n_inputs : int >= 2
    classes : int >= 2
        Equal shares.
    theta : float in (0, 1)
        Poisoned fraction of the source class in the batches that arrive.
    strength : float > 0
        Length of the trigger, standard deviations of an input.
    mode : {"one", "all"}
        Poison from one class, or from all but the target.
    ridges : at least one float > 0, input^2
        To choose from; sklearn's ``alpha / n``.
    batch : int >= 1, optional
        Rows that arrive between two possible scans; a tenth of ``n_rows`` by default.
    horizon : int >= 1
        Batches watched.
    alpha : float in (0, 0.5]
        Chance of a false alarm over the whole horizon; shared equally by the scans.
    power : float in (alpha, 1)
    draws : int
        Simulated spectra behind each number about the unknown trigger; at least ``horizon / alpha``.
    seed : int >= 0

    Raises
    ------
    ArgumentError
        A value is out of range.

    Source: docs/random-matrix-theory.md eq. 6 and 8, derived independently; setting of Granziol &
    Flynn, arXiv 2505.15175.
    """
    theta = fraction("theta", theta)
    if theta == 0:
        raise ArgumentError("theta must be above 0: a plan is for poison of some fraction")
    alpha, horizon = level("alpha", alpha), count("horizon", horizon, 1)
    n, p = count("n_rows", n_rows, 4), count("n_inputs", n_inputs, 2)
    c = count("classes", classes, 2)
    if n < 2 * c + 2:
        raise ArgumentError(f"n_rows must be at least {2 * c + 2} for {c} classes, got {n}")
    size = max(1, n // 10) if batch is None else count("batch", batch, 1)
    grid = sorted({positive("ridge", ridge) for ridge in real_vector("ridges", ridges).tolist()})
    if not grid:
        raise ArgumentError("ridges is empty; give at least one, such as 1.0")
    if count("draws", draws, 1) * alpha < horizon:
        raise ArgumentError(
            f"{draws} draws cannot tell a level of {alpha:g} shared by {horizon} scans;"
            f" draw at least {int(horizon / alpha) + 1}"
        )

    def simulated(rows: int, ridge: float) -> PoisonDraws:
        return PoisonDraws.draw(
            n_rows=rows, n_inputs=p, n_directions=c - 1, ridge=ridge, draws=draws, seed=seed
        )

    table = []
    for ridge in grid:
        law = predict(
            theta=theta, strength=strength, ridge=ridge, n_rows=n, n_inputs=p, classes=c, mode=mode
        )
        known = smallest_theta_known(
            strength=strength,
            ridge=ridge,
            n_rows=n,
            n_inputs=p,
            classes=c,
            mode=mode,
            alpha=alpha,
            power=power,
        )
        unknown = smallest_theta_unknown(
            simulated(n, ridge), strength=strength, classes=c, mode=mode, alpha=alpha, power=power
        )
        table.append(RidgeRow(ridge, law.visibility, attack_success(law), known, unknown))
    best_known = min((r for r in table if r.theta_known), key=_known, default=None)
    best_unknown = min((r for r in table if r.theta_unknown), key=_unknown, default=None)
    shown = (best_unknown or best_known or table[0]).ridge

    def diluted(batches: int) -> tuple[int, float]:
        rows = n + batches * size
        return rows, theta * batches * size / rows

    @cache
    def drawn(rows: int) -> PoisonDraws:
        return simulated(rows, shown)

    def known_power(batches: int, scans: int) -> float:
        rows, share = diluted(batches)
        return known_trigger_power(
            theta=share,
            strength=strength,
            ridge=(best_known or table[0]).ridge,
            n_rows=rows,
            n_inputs=p,
            classes=c,
            mode=mode,
            alpha=alpha / scans,
        )

    def unknown_power(batches: int, scans: int) -> float:
        rows, share = diluted(batches)
        return unknown_trigger_power(
            drawn(rows), theta=share, strength=strength, classes=c, mode=mode, alpha=alpha / scans
        )

    schedule = tuple(
        ScanRow(
            every=every,
            known=scan_delay(known_power, every=every, horizon=horizon),
            unknown=scan_delay(unknown_power, every=every, horizon=horizon)
            if best_unknown
            else None,
        )
        for every in (1, 2, 3, 4, 6, 8, 12, 24)
        if every == 1 or 2 * every <= horizon
    )
    law, clean = (
        predict(theta=x, strength=strength, ridge=shown, n_rows=n, n_inputs=p, classes=c, mode=mode)
        for x in (theta, 0.0)
    )
    rate, base = attack_success(law), attack_success(clean)
    return MonitoringPlan(
        n_rows=n,
        n_inputs=p,
        classes=c,
        theta=theta,
        mode=mode,
        strength=float(strength),
        batch=size,
        horizon=horizon,
        alpha=alpha,
        power=float(power),
        ridges=tuple(table),
        schedule=schedule,
        ridge_known=best_known.ridge if best_known else None,
        ridge_unknown=best_unknown.ridge if best_unknown else None,
        every=_choose_interval(schedule),
        success_clean=base,
        success_poisoned=rate,
        probes_confirm=probes_for_difference(base, rate, alpha=alpha, power=power)
        if rate > base
        else None,
        probes_rate=probes_for_rate(rate, error=RATE_ERROR),
    )


def _known(row: RidgeRow) -> float:
    return row.theta_known or 1.0


def _unknown(row: RidgeRow) -> float:
    return row.theta_unknown or 1.0


def _choose_interval(schedule: Sequence[ScanRow]) -> int:
    """Longest interval that is hardly slower, and misses hardly more, than the best one."""
    delays = [(row.unknown or row.known) for row in schedule]
    shortest, surest = min(d.at_most for d in delays), min(d.missed for d in delays)
    good = [
        row.every
        for row, d in zip(schedule, delays, strict=True)
        if d.at_most <= _SLACK * shortest and d.missed <= surest + _MISSES
    ]
    return max(good, default=1)
