"""Walking a path: which move comes next, when to stop, and what is written down."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hessay.stepwise.criteria import Judge
from hessay.stepwise.design import Array
from hessay.stepwise.engine import Engine
from hessay.stepwise.result import Step


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Where a path ends whatever the criterion says."""

    target: int | None  # columns to end with; None leaves it to the criterion
    most: int  # columns at most
    most_reason: str
    alpha: float  # level of the F test to enter


_NO_MOVE: tuple[int, list[int], float, Array] = (-1, [], 0.0, np.zeros((0, 0)))


@dataclass(slots=True, eq=False)
class Walk:
    """A path under way."""

    engine: Engine
    judge: Judge
    limits: Limits
    floor: float  # residual sum of squares that is rounding alone, y^2
    progress: Callable[[Step], object] | None
    steps: list[Step] = field(default_factory=list)
    stopped: str = ""

    @property
    def size(self) -> int:
        """Columns in the model."""
        return len(self.engine.columns)

    def forward(self) -> None:
        """Add while the criterion improves, or until the target."""
        value = self.judge.value(self.engine.cross, self.size)
        while not self.stopped and not self._full():
            unit, columns, change, cross = self.engine.best_add()
            if unit < 0:
                self.stopped = "no candidate is left that would lower the residual sum of squares"
            elif self._too_large(columns):
                continue
            elif self.limits.target is None and not self._enters(columns, cross, value):
                return
            else:
                value = self._add(unit, change)

    def backward(self) -> None:
        """Drop while the criterion improves, or until the target."""
        value = self.judge.value(self.engine.cross, self.size)
        target = self.limits.target
        while not self.stopped:
            if target is not None and self.size <= target:
                self.stopped = f"n_features = {target} columns are left"
                return
            unit, columns, change, cross = self.engine.best_drop()
            if unit < 0:
                self.stopped = "no column is left that may be dropped"
                return
            if target is None and not self._leaves(columns, cross, value):
                return
            value = self._drop(unit, columns, change, cross)

    def both(self) -> None:
        """Make the move, addition or removal, that improves the criterion most."""
        if self.judge.name == "f":
            self._both_by_tests()
            return
        value = self.judge.value(self.engine.cross, self.size)
        while not self.stopped:
            drop = self.engine.best_drop()
            after_drop = math.nan
            if drop[0] >= 0:
                after_drop = self.judge.value(self.engine.cross + drop[3], self.size - len(drop[1]))
            full = self._full()
            add = _NO_MOVE if full else self.engine.best_add()
            after_add = math.nan
            if add[0] >= 0 and self.size + len(add[1]) <= self.limits.most:
                after_add = self.judge.value(self.engine.cross - add[3], self.size + len(add[1]))
            dropping = self.judge.improves(after_drop, value)
            adding = self.judge.improves(after_add, value)
            if dropping and not (adding and self.judge.improves(after_add, after_drop)):
                self.stopped = ""  # of being full
                value = self._drop(*drop)
            elif adding:
                value = self._add(add[0], add[2])
            elif not full:
                self.stopped = self._best("move", (after_add, after_drop), value)

    def _both_by_tests(self) -> None:
        # Removals first: what is no longer significant must not help to judge the next candidate.
        value, seen = math.nan, {frozenset(self.engine.columns)}
        while not self.stopped:
            drop = self.engine.best_drop()
            if drop[0] >= 0 and self._leaves(drop[1], drop[3], value):
                value = self._drop(*drop)
            else:
                self.stopped = ""  # of keeping what is significant
                if self._full():
                    return
                add = self.engine.best_add()
                if add[0] < 0:
                    self.stopped = (
                        "no candidate is left that would lower the residual sum of squares"
                    )
                    return
                if self._too_large(add[1]) or not self._enters(add[1], add[3], value):
                    return
                value = self._add(add[0], add[2])
            now = frozenset(self.engine.columns)
            if now in seen:
                self.stopped = "the tests to enter and to leave lead back to an earlier model"
            seen.add(now)

    def _full(self) -> bool:
        rss = float(np.trace(self.engine.cross))
        target = self.limits.target
        if target is not None and self.size >= target:
            self.stopped = f"n_features = {target} columns are in"
        elif rss <= self.floor:
            self.stopped = "the columns chosen determine y: what is left of it is rounding"
        elif self.size >= self.limits.most:
            self.stopped = self.limits.most_reason
        return bool(self.stopped)

    def _too_large(self, columns: list[int]) -> bool:
        if self.size + len(columns) > self.limits.most:
            self.stopped = (
                f"the best group, columns {columns}, is too large: {self.limits.most_reason}"
            )
        elif self.limits.target is not None and self.size + len(columns) > self.limits.target:
            self.stopped = (
                f"the best group, columns {columns}, would exceed n_features = {self.limits.target}"
            )
        return bool(self.stopped)

    def _enters(self, columns: list[int], cross: Array, value: float) -> bool:
        m = self.size + len(columns)
        after = self.engine.cross - cross
        if self.judge.name == "f":
            p = self._corrected(self.judge.p_value(self.engine.cross, after, len(columns), m))
            if not p <= self.limits.alpha:
                self.stopped = (
                    f"the best candidate, columns {columns}, has p = {p:.3g} after Bonferroni's"
                    f" correction, above alpha_enter = {self.limits.alpha:g}"
                )
            return not self.stopped
        new = self.judge.value(after, m)
        if not self.judge.improves(new, value):
            self.stopped = self._best(f"addition, columns {columns},", (new,), value)
        return not self.stopped

    def _leaves(self, columns: list[int], cross: Array, value: float) -> bool:
        before = self.engine.cross + cross
        if self.judge.name == "f":
            p = self._corrected(
                self.judge.p_value(before, self.engine.cross, len(columns), self.size)
            )
            if p > self.limits.alpha:
                return True
            why = f"every column is significant: the least, {columns}, has p = {p:.3g} after correction"
        else:
            new = self.judge.value(before, self.size - len(columns))
            if self.judge.improves(new, value):
                return True
            why = self._best(f"removal, columns {columns},", (new,), value)
        self.stopped = why
        return False

    def _best(self, what: str, after: tuple[float, ...], old: float) -> str:
        real = [value for value in after if not math.isnan(value)]
        if not real:
            return "no move is left"
        best = max(real) if self.judge.name == "adj_r2" else min(real)
        return f"no move improves {self.judge.name}: the best {what} would change it from {old:.6g} to {best:.6g}"

    def _corrected(self, p: float) -> float:
        return min(1.0, p * max(1, self.judge.candidates))

    def _add(self, unit: int, change: float) -> float:
        before = self.engine.cross
        ends = self.limits.target if self.limits.target is not None else self.limits.most
        least = 0.0 if self.limits.target is not None else self.judge.least_ratio(self.limits.alpha)
        entered = self.engine.add(unit, max(1, ends - self.size), least)
        if not entered:  # turned out to depend on the model: it is refused from now on
            return self.judge.value(before, self.size)
        p = self.judge.p_value(before, self.engine.cross, len(entered), self.size)
        return self._record("add", entered, change, p)

    def _drop(self, unit: int, columns: list[int], change: float, cross: Array) -> float:
        now = self.engine.cross
        p = self.judge.p_value(now + cross, now, len(columns), self.size)
        self.engine.drop(unit)
        return self._record("drop", columns, change, p)

    def _record(self, action: str, columns: list[int], change: float, p: float) -> float:
        cross = self.engine.cross
        value = self.judge.value(cross, self.size)
        step = Step(
            "add" if action == "add" else "drop",
            tuple(columns),
            float(np.trace(cross)),
            np.diag(cross).copy(),
            float(change),
            self._corrected(p) if self.judge.name == "f" else value,
            p,
            self.size,
            self.engine.condition,
        )
        self.steps.append(step)
        if self.progress is not None and self.progress(step) is False:
            self.stopped = "progress returned False"
        return value
