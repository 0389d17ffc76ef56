"""What single rows and blocks of rows do to a fit: leverage, residuals, Cook's distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from hessay.errors import ArgumentError
from hessay.stepwise.row_inputs import matrix, same_rows, support_indices, weights

Floats = NDArray[np.float64]
_SMALLEST_MARGIN = 1e-12  # 1 - h below this: the row alone determines a coefficient


@dataclass(frozen=True, slots=True, eq=False)
class RowInfluence:
    """Influence of every row of a fit with C outputs and k coefficients (intercept included).

    Arrays of C outputs have shape (n,) when y had one dimension. With weights, residuals and
    leverages are those of rows scaled by the root of their weight.
    """

    leverage: Floats  # (n,) h, in [0, 1]
    residuals: Floats  # (n, C), unit of y
    internal: Floats  # (n, C) e / (s sqrt(1 - h)), standard deviations
    external: Floats  # (n, C) the same with s of the fit without the row; t with n - k - 1 d.o.f.
    deleted: Floats  # (n, C) e / (1 - h): y minus the prediction of the fit without the row
    cooks: Floats  # (n,) h ||e||^2 / ((1 - h)^2 k C s^2), dimensionless
    dffits: Floats  # (n, C) external * sqrt(h / (1 - h)), standard deviations
    sigma2: Floats  # (C,) RSS / (n - k), y^2
    n_coefficients: int  # k


@dataclass(frozen=True, slots=True, eq=False)
class BlockInfluence:
    """What deleting a block U of rows would do."""

    rows: NDArray[np.intp]  # (m,) positions of the block
    deleted: Floats  # (m, C) or (m,): (I - H_UU)^-1 E_U, residuals from the fit without the block
    coef_change: Floats  # (C, k) or (k,): coefficients without the block minus with it
    intercept_change: Floats  # (C,) or (): the same for the intercept
    delta_rss: float  # by how much RSS falls, y^2, >= 0
    leverage: float  # largest eigenvalue of H_UU, in [0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    x: Floats  # (n, k) scaled columns, ones first
    q: Floats  # (n, k)
    r: Floats  # (k, k)
    y: Floats  # (n, C)
    e: Floats  # (n, C)
    intercept: bool
    single: bool

    def shaped(self, values: Floats) -> Floats:
        return values[:, 0] if self.single else values


def _fit(
    X: ArrayLike,
    y: ArrayLike,
    support: ArrayLike | Sequence[int] | None,
    fit_intercept: bool,
    sample_weight: ArrayLike | None,
) -> _Fit:
    x, outputs = matrix(X, "X", np.float64), matrix(y, "y", np.float64)
    same_rows(x, outputs)
    weight = weights(sample_weight, len(x))
    chosen = support_indices(support, x.shape[1])
    columns = x[:, chosen]
    if fit_intercept:
        columns = np.column_stack([np.ones(len(x)), columns - columns.mean(axis=0)])
    k = columns.shape[1]
    if len(x) <= k:
        raise ArgumentError(
            f"{len(x)} rows leave no residual for {k} coefficients; give more rows or fewer columns"
        )
    if weight is not None:
        columns = columns * np.sqrt(weight)[:, None]
        outputs = outputs * np.sqrt(weight)[:, None]
    q, r = np.linalg.qr(columns)
    size = np.sqrt((columns**2).sum(axis=0))
    lost = np.abs(np.diagonal(r)) <= 16 * np.finfo(float).eps * len(x) ** 0.5 * size
    if fit_intercept:
        spread = np.abs(x[:, chosen]).max(axis=0, initial=0.0) * len(x) ** 0.5
        lost[1:] |= np.abs(np.diagonal(r))[1:] <= 16 * np.finfo(float).eps * spread
    if lost.any():
        position = int(np.argmax(lost)) - fit_intercept
        name = "the intercept" if position < 0 else f"column {chosen[position]}"
        raise ArgumentError(
            f"{name} is a linear combination of the columns before it (or constant); leave it out"
        )
    # Twice: one projection leaves |Q'E| ~ eps ||y||, which is seen where the fit is nearly exact.
    e = outputs - q @ (q.T @ outputs)
    e -= q @ (q.T @ e)
    return _Fit(columns, q, r, outputs, e, bool(fit_intercept), np.ndim(y) == 1)


def row_influence(
    X: ArrayLike,
    y: ArrayLike,
    support: ArrayLike | Sequence[int] | None = None,
    *,
    fit_intercept: bool = True,
    sample_weight: ArrayLike | None = None,
) -> RowInfluence:
    """Leverage, studentised residuals, Cook's distance and DFFITS of every row.

    Parameters
    ----------
    X : (n, p) real
    y : (n,) or (n, C) real
    support : positions or mask of the columns in use, None for all
    fit_intercept : bool
    sample_weight : (n,) float, positive

    Returns
    -------
    RowInfluence

    Raises
    ------
    ArgumentError
        n <= k, dependent columns, or a row with 1 - h < 1e-12 (the message names it): it alone
        determines a coefficient and its residual says nothing.
    ShapeError, NonFinite
        The arrays are of other shapes, no numbers, or hold NaN or Inf.

    Source: Cook & Weisberg 1982, Residuals and Influence in Regression, chapters 2-3; FORMULAS 7.3.
    """
    fit = _fit(X, y, support, fit_intercept, sample_weight)
    n, k = fit.q.shape
    c = fit.e.shape[1]
    h = (fit.q**2).sum(axis=1)
    margin = 1 - h
    if (margin < _SMALLEST_MARGIN).any():
        row = int(np.argmin(margin))
        raise ArgumentError(
            f"row {row} has leverage 1 - {max(margin[row], 0.0):.3g}: it alone determines a "
            "coefficient; leave out the row, or the column that only it fills"
        )
    rss = (fit.e**2).sum(axis=0)
    sigma2 = rss / (n - k)
    deleted = fit.e / margin[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        internal = fit.e / np.sqrt(sigma2 * margin[:, None])
        free = n - k - 1
        without = np.maximum(rss - fit.e * deleted, 0.0) / free if free else np.zeros_like(fit.e)
        external = fit.e / np.sqrt(without * margin[:, None])
        cooks = h * (fit.e**2).sum(axis=1) / (margin**2 * k * c * sigma2.mean())
    # 0 / 0 of an exact fit: no residual, no influence.
    internal, external, cooks = (np.nan_to_num(a, nan=0.0, posinf=np.inf, neginf=-np.inf)
                                 for a in (internal, external, cooks))  # fmt: skip
    return RowInfluence(
        leverage=h,
        residuals=fit.shaped(fit.e),
        internal=fit.shaped(internal),
        external=fit.shaped(external),
        deleted=fit.shaped(deleted),
        cooks=cooks,
        dffits=fit.shaped(external * np.sqrt(h / margin)[:, None]),
        sigma2=sigma2,
        n_coefficients=k,
    )


def block_influence(
    X: ArrayLike,
    y: ArrayLike,
    rows: ArrayLike,
    support: ArrayLike | Sequence[int] | None = None,
    *,
    fit_intercept: bool = True,
    sample_weight: ArrayLike | None = None,
) -> BlockInfluence:
    """Say what deleting the rows ``rows`` together would do to the fit, without fitting again.

    Parameters
    ----------
    X, y, support, fit_intercept, sample_weight
        As for :func:`row_influence`.
    rows : positions or mask (n,) of the block

    Returns
    -------
    BlockInfluence

    Raises
    ------
    ArgumentError
        As :func:`row_influence`, or I - H_UU is singular: without the block nothing determines the
        fit.

    Source: Cook & Weisberg 1982, section 3.6; FORMULAS 7.3.
    """
    fit = _fit(X, y, support, fit_intercept, sample_weight)
    block = support_indices(rows, len(fit.q))
    q, e = fit.q[block], fit.e[block]
    # (I - H_UU)^-1 = I + Q_U (I - Q_U'Q_U)^-1 Q_U': k x k instead of m x m.
    inner = np.eye(q.shape[1]) - q.T @ q
    smallest = float(np.linalg.eigvalsh(inner)[0]) if len(inner) else 1.0
    if smallest < _SMALLEST_MARGIN:
        raise ArgumentError(
            f"the {len(block)} rows have joint leverage 1 - {max(smallest, 0.0):.3g}: without them "
            "the coefficients are not determined; take a smaller block"
        )
    pulled = cho_solve(cho_factor(inner), q.T @ e)
    deleted = e + q @ pulled
    # W_(U) = W - (X'X)^-1 X_U' (I - H_UU)^-1 E_U  and  (X'X)^-1 X_U' = R^-1 Q_U'.
    change = -solve_triangular(fit.r, q.T @ deleted)
    first = int(fit.intercept)
    shift: Any = np.zeros(e.shape[1])
    if fit.intercept:
        chosen = support_indices(support, np.asarray(X).shape[1] if np.ndim(X) > 1 else 1)
        means = matrix(X, "X", np.float64)[:, chosen].mean(axis=0)
        shift = change[0] - means @ change[1:]
    return BlockInfluence(
        rows=block,
        deleted=fit.shaped(deleted),
        coef_change=change[first:, 0] if fit.single else change[first:].T,
        intercept_change=np.asarray(shift[0] if fit.single else shift),
        delta_rss=float((e * deleted).sum()),
        leverage=1 - smallest,
    )
