"""What a group of rows does to W and to the input Hessian 2WW'."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hessay.errors import ArgumentError
from hessay.linear.poison_scan import Problem

Floats = NDArray[np.float64]
_SMALLEST_MARGIN = 1e-12


@dataclass(frozen=True, slots=True)
class IndicatorUpdate:
    """The indicator column of a group entered into the fit, W_new = [W - k g; g].

    W holds coefficients per standard deviation of a column, the intercept left out.
    """

    delta_rss: float  # ||z_perp||^2 ||g||^2, y^2
    gamma: tuple[float, ...]  # (C,) coefficients of the indicator: the shift of each output, y
    pinv_norm: float  # ||k||, k = X^+ z on the columns
    spike: float  # 2 ||g||^2 (1 + ||k||^2): scale of the change of 2WW', y^2
    hessian_before: float  # largest eigenvalue of 2WW' with the group, y^2
    hessian_after: float  # the same once the group has its own column
    hessian_deleted: float  # the same fitted without the group
    joint_leverage: float  # largest eigenvalue of H_UU
    mean_deleted_residual: tuple[float, ...]  # (C,) mean of (I - H_UU)^-1 E_U, y


def indicator_update(problem: Problem, rows: NDArray[np.intp]) -> tuple[IndicatorUpdate, Floats]:
    """Enter the indicator of ``rows``, and delete them (FORMULAS 7.1, 7.3).

    Returns
    -------
    IndicatorUpdate
    deleted : (m, C) float64
        Residuals of the rows from the fit without them, y.

    Raises
    ------
    ArgumentError
        Without the rows, or with their column, the fit is singular.
    """
    n = len(problem.x)
    indicator = np.zeros(n)
    indicator[rows] = 1
    q = problem.q
    left = indicator - q @ (q.T @ indicator)
    left -= q @ (q.T @ left)
    length = float(left @ left)
    inner = np.eye(q.shape[1]) - q[rows].T @ q[rows]
    smallest = float(np.linalg.eigvalsh(inner)[0])
    if smallest < _SMALLEST_MARGIN or length < _SMALLEST_MARGIN * n:
        raise ArgumentError(
            f"without the {len(rows)} rows of the group the other columns are not determined"
        )
    gamma = left @ problem.y / length
    # Coefficients of a fitted vector v in span([1, X]): the least-norm solution for [1, X].
    design = np.column_stack([np.ones(n), problem.x])
    solve = np.linalg.pinv(design, rcond=1e-10)
    w, k = solve @ problem.y, solve @ indicator
    e = problem.e[rows]
    deleted = e + q[rows] @ np.linalg.solve(inner, q[rows].T @ e)
    # W_(U) = X^+ (Y with the deleted prediction in place of the group's y): those rows then pull nothing.
    replaced = problem.y.copy()
    replaced[rows] -= deleted
    w_deleted = solve @ replaced
    entered = np.vstack([w[1:] - np.outer(k[1:], gamma)])
    return IndicatorUpdate(
        delta_rss=length * float(gamma @ gamma),
        gamma=tuple(float(g) for g in gamma),
        pinv_norm=float(np.linalg.norm(k[1:])),
        spike=2 * float(gamma @ gamma) * (1 + float(k[1:] @ k[1:])),
        hessian_before=_top(w[1:]),
        hessian_after=_top(entered),
        hessian_deleted=_top(w_deleted[1:]),
        joint_leverage=1 - smallest,
        mean_deleted_residual=tuple(float(v) for v in deleted.mean(axis=0)),
    ), deleted


def _top(w: Floats) -> float:
    return 2 * float(np.linalg.norm(w, ord=2)) ** 2
