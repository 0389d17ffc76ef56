"""A least-squares fit that follows its rows: add and delete without fitting again."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular

from hessay import _core
from hessay.errors import ArgumentError, ShapeError
from hessay.stepwise.row_inputs import matrix, same_rows, support_indices, weights

Floats = NDArray[Any]
_CHUNK_BYTES = 32 * 2**20  # of rows scaled and handed to the core at a time


class FittedRows:
    """A linear fit on fixed columns, kept as the triangle R of its QR decomposition.

    Rows come and go by rotations and reflections of R, in O(m k (k + C)) for m rows; no earlier row
    is needed again, except those to be deleted. An operation that fails leaves everything as it was.

    Parameters
    ----------
    X : (n, p) real
    y : (n,) or (n, C) real
    support : positions or mask of the columns that are used, None for all
        Rows given later have all p columns too.
    fit_intercept : bool
    sample_weight : (n,) float, positive
    ridge : float
        Added to the objective as ``ridge * ||coef||^2``; the intercept is free. >= 0, unit y^2 per
        squared unit of the coefficients.
    dtype : float32 or float64, default float64
        Of R and of every operation; sums of squares are float64.

    Raises
    ------
    ArgumentError
        Fewer rows than coefficients, or a column that others explain (the message names it).
    ShapeError, NonFinite
        The arrays are of other shapes, no numbers, or hold NaN or Inf.

    Source: Golub & Van Loan 2013, Matrix Computations, section 6.5; FORMULAS 7.3.

    Examples
    --------
    >>> fit = FittedRows(np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 5.0]))
    >>> fit.add(np.array([[3.0]]), np.array([7.0]))
    >>> fit.n_rows, round(float(fit.coef[0]), 12), round(float(fit.intercept), 12)
    (4, 2.0, 1.0)
    """

    def __init__(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        support: ArrayLike | Sequence[int] | None = None,
        fit_intercept: bool = True,
        sample_weight: ArrayLike | None = None,
        ridge: float = 0.0,
        dtype: type[Any] = np.float64,
    ) -> None:
        if dtype not in (np.float32, np.float64):
            raise ArgumentError(f"dtype must be numpy.float32 or numpy.float64, got {dtype!r}")
        if not (np.isfinite(ridge) and ridge >= 0):
            raise ArgumentError(f"ridge must be finite and not negative, got {ridge}")
        self._dtype: type[Any] = dtype
        x = matrix(X, "X", dtype)
        outputs = matrix(y, "y", dtype)
        same_rows(x, outputs)
        weight = weights(sample_weight, len(x))
        self._support = support_indices(support, x.shape[1])
        self._width = x.shape[1]
        self._single = np.ndim(y) == 1
        self._fit_intercept = bool(fit_intercept)
        self._ridge = float(ridge)
        # A fixed origin near the data: R of columns far from 0 would hold little but their means.
        # It cancels in coef and rss, and the intercept takes it back.
        self._x_origin = np.zeros(len(self._support), dtype)
        self._y_origin = np.zeros(outputs.shape[1], dtype)
        if self._fit_intercept and len(x):
            self._x_origin = x[:, self._support].mean(axis=0, dtype=np.float64).astype(dtype)
            self._y_origin = outputs.mean(axis=0, dtype=np.float64).astype(dtype)
        k = len(self._support) + self._fit_intercept
        if len(x) < k and not ridge:
            raise ArgumentError(
                f"{len(x)} rows do not determine {k} coefficients; give more rows, fewer columns, or ridge"
            )
        self._factor = np.zeros((k, k + outputs.shape[1]), dtype)
        self._rss = np.zeros((outputs.shape[1], 1))
        self._n_rows = 0
        if ridge and len(self._support):
            penalty = np.zeros((len(self._support), self._factor.shape[1]), dtype)
            penalty[:, int(self._fit_intercept) : k] = np.sqrt(ridge) * np.eye(len(self._support))
            _core.rows_add(self._factor, self._rss, penalty)
        self._add(x, outputs, weight)
        self._check_rank()

    def add(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Add rows (m, p) with their y (m,) or (m, C) and weights (m,), positive.

        Raises
        ------
        ShapeError, NonFinite, ArgumentError
            The rows do not fit; nothing has changed.
        """
        self._add(*self._checked(X, y, sample_weight))

    def delete(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Delete rows that were added: the same X, y and weights again.

        Returns
        -------
        float
            A lower bound on the smallest eigenvalue of I - H of these rows, in (0, 1]: 1 - h for a
            single row. The rounding of the fit grows by about its inverse.

        Raises
        ------
        ArgumentError
            Without these rows the fit would be singular, or they are no rows of it; the message
            names the first row that cannot go. Nothing has changed.
        ShapeError, NonFinite
            The rows do not fit; nothing has changed.
        """
        x, outputs, weight = self._checked(X, y, sample_weight)
        if len(x) > self._n_rows:
            raise ArgumentError(f"cannot delete {len(x)} rows of a fit on {self._n_rows}")
        if not len(x):
            return 1.0
        factor, rss = self._factor.copy(), self._rss.copy()
        margin = _core.rows_delete(factor, rss, self._scaled(x, outputs, weight))
        self._factor, self._rss, self._n_rows = factor, rss, self._n_rows - len(x)
        return margin

    def restricted(self, support: ArrayLike | Sequence[int]) -> FittedRows:
        """Give the fit of the same rows on fewer columns, in O(k^3) without the rows.

        Parameters
        ----------
        support : positions among the p columns, a subset of this fit's

        Raises
        ------
        ArgumentError
            A column that this fit does not have.
        """
        chosen = support_indices(support, self._width)
        place = {int(column): i for i, column in enumerate(self._support)}
        if missing := [int(c) for c in chosen if int(c) not in place]:
            raise ArgumentError(f"columns {missing} are not in this fit's support")
        at = np.array([place[int(c)] for c in chosen], dtype=np.intp)
        first, k = int(self._fit_intercept), len(self._factor)
        kept = np.concatenate([np.arange(first), at + first])
        smaller = copy(self)
        smaller._support, smaller._x_origin = chosen, self._x_origin[at]
        smaller._factor = np.zeros((len(kept), len(kept) + self._factor.shape[1] - k), self._dtype)
        smaller._rss = self._rss.copy()
        # What the other columns explained is left over and joins the residuals.
        columns = np.concatenate([kept, np.arange(k, self._factor.shape[1])])
        rows = np.ascontiguousarray(self._factor[:, columns])
        _core.rows_add(smaller._factor, smaller._rss, rows)
        return smaller

    def among(self, support: ArrayLike | Sequence[int], width: int) -> FittedRows:
        """Give the same fit, its columns at these positions of rows that are ``width`` wide."""
        moved = copy(self)
        moved._support, moved._width = support_indices(support, width), width
        return moved

    @property
    def n_rows(self) -> int:
        """Rows in the fit."""
        return self._n_rows

    @property
    def support(self) -> NDArray[np.intp]:
        """(k,) positions of the columns in use."""
        return self._support.copy()

    @property
    def coef(self) -> Floats:
        """(k,) or (C, k), in the order of ``support``; unit y per unit x."""
        w = self._solution()[int(self._fit_intercept) :]
        return w[:, 0] if self._single else np.ascontiguousarray(w.T)

    @property
    def intercept(self) -> Any:
        """Float or (C,), unit of y; zero without an intercept."""
        values = self._intercepts()
        return float(values[0]) if self._single else values

    @property
    def rss(self) -> float:
        """Residual sum of squares over rows and outputs, weighted, without the ridge term; y^2."""
        return float(self.rss_per_output.sum())

    @property
    def rss_per_output(self) -> NDArray[np.float64]:
        """(C,) residual sum of squares of each output; y^2."""
        sums = self._rss[:, 0].copy()
        if self._ridge:
            w = self._solution()[int(self._fit_intercept) :].astype(np.float64)
            sums = np.maximum(sums - self._ridge * (w**2).sum(axis=0), 0.0)
        return sums

    def predict(self, X: ArrayLike) -> Floats:
        """(n,) or (n, C) fitted values of rows (n, p)."""
        x = self._rows(X)
        w = self._solution()[int(self._fit_intercept) :]
        values = x[:, self._support] @ w + self._intercepts()
        return values[:, 0] if self._single else values

    def leverage(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> Floats:
        """(n,) leverage h of rows (n, p) of the fit, in [0, 1]."""
        x = self._rows(X)
        k = len(self._factor)
        nothing = np.zeros((len(x), self._factor.shape[1] - k), self._dtype)
        scaled = self._scaled(x, nothing, weights(sample_weight, len(x)))
        q = solve_triangular(self._factor[:, :k], scaled[:, :k].T, trans="T", check_finite=False)
        return np.asarray((q**2).sum(axis=0))

    def _solution(self) -> Floats:
        k = len(self._factor)
        if not k:
            return np.zeros((0, self._factor.shape[1]), self._dtype)
        return np.asarray(
            solve_triangular(self._factor[:, :k], self._factor[:, k:], check_finite=False)
        )

    def _intercepts(self) -> Floats:
        w = self._solution()
        if not self._fit_intercept:
            return np.zeros(w.shape[1], self._dtype)
        return np.asarray(w[0] + self._y_origin - self._x_origin @ w[1:])

    def _rows(self, X: ArrayLike) -> Floats:
        x = matrix(X, "X", self._dtype)
        if x.shape[1] != self._width:
            raise ShapeError(f"X has {x.shape[1]} columns, the fit was made on {self._width}")
        return x

    def _checked(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[Floats, Floats, Floats | None]:
        x, outputs = self._rows(X), matrix(y, "y", self._dtype)
        same_rows(x, outputs)
        if outputs.shape[1] != len(self._y_origin):
            wanted = len(self._y_origin)
            raise ShapeError(f"y has {outputs.shape[1]} outputs, the fit was made on {wanted}")
        return x, outputs, weights(sample_weight, len(x))

    def _scaled(self, x: Floats, outputs: Floats, weight: Floats | None) -> Floats:
        # Row by row [1, x - origin, y - origin] * sqrt(w), as the core wants it.
        k = len(self._factor)
        rows = np.empty((len(x), self._factor.shape[1]), self._dtype)
        if self._fit_intercept:
            rows[:, 0] = 1
        np.subtract(x[:, self._support], self._x_origin, out=rows[:, int(self._fit_intercept) : k])
        np.subtract(outputs, self._y_origin, out=rows[:, k:])
        if weight is not None:
            rows *= np.sqrt(weight)[:, None].astype(self._dtype)
        return rows

    def _add(self, x: Floats, outputs: Floats, weight: Floats | None) -> None:
        factor, rss = self._factor.copy(), self._rss.copy()
        step = max(1, _CHUNK_BYTES // (self._factor.shape[1] * self._factor.itemsize or 1))
        for first in range(0, len(x), step):
            part = slice(first, first + step)
            scaled = self._scaled(x[part], outputs[part], None if weight is None else weight[part])
            _core.rows_add(factor, rss, scaled)
        if not (np.isfinite(factor).all() and np.isfinite(rss).all()):
            raise ArgumentError(
                f"the sums leave the range of {self._dtype.__name__}; scale X and y"
            )
        self._factor, self._rss, self._n_rows = factor, rss, self._n_rows + len(x)

    def _check_rank(self) -> None:
        k = len(self._factor)
        triangle = self._factor[:, :k]
        lengths = np.sqrt((triangle.astype(np.float64) ** 2).sum(axis=0))
        rounding = np.finfo(self._dtype).eps * max(k, 1) * 16
        lost = np.abs(np.diagonal(triangle)) <= rounding * lengths
        # A constant column minus its mean is rounding itself.
        if self._fit_intercept:
            scale = np.abs(self._x_origin.astype(np.float64)) * np.sqrt(self._n_rows)
            lost[1:] |= np.abs(np.diagonal(triangle))[1:] <= rounding * scale
        if lost.any():
            position = int(np.argmax(lost)) - self._fit_intercept
            name = "the intercept" if position < 0 else f"column {self._support[position]}"
            raise ArgumentError(
                f"{name} is a linear combination of the columns before it (or constant); leave it "
                "out of support, or give ridge"
            )
