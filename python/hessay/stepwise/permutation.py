"""F-to-enter corrected for the choice of the best column: the largest F of permuted residuals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hessay.errors import ArgumentError
from hessay.stepwise.cross_validation import supports_along
from hessay.stepwise.row_inputs import matrix, same_rows, weights

if TYPE_CHECKING:
    from hessay.stepwise import StepwisePath

Floats = NDArray[np.float64]
_LOST = 1e-20  # ||z_perp||^2 / ||z||^2: nothing of the column is left (FORMULAS 7.7)
_BATCH_BYTES = 64 * 2**20  # of permuted residuals at a time


@dataclass(frozen=True, slots=True)
class PermutationPath:
    """A forward path with the corrected p-value of every step that was tested."""

    path: StepwisePath  # forward, as far as max_features
    supports: tuple[tuple[int, ...], ...]  # columns before the first step, after one, ...
    p_values: tuple[float, ...]  # of steps 1, 2, ...; the last one is the first above the level
    best: int  # number of steps with p <= alpha before the first other one
    n_permutations: int


def permutation_path(
    X: ArrayLike,
    y: ArrayLike,
    *,
    alpha: float = 0.05,
    n_permutations: int = 199,
    seed: int = 0,
    max_features: int | None = None,
    fit_intercept: bool = True,
    sample_weight: ArrayLike | None = None,
    forced: tuple[int, ...] = (),
    forbidden: tuple[int, ...] = (),
) -> PermutationPath:
    """Enter columns while the best one beats the best ones of permuted residuals.

    At every step the residuals of the current model are permuted over the rows and the largest
    delta RSS / RSS over all remaining columns is taken (maxT); the p-value of the real one is
    (1 + exceedances) / (1 + permutations). It holds for any error law that is the same in all rows.

    Parameters
    ----------
    X : (n, p) real
    y : (n,) or (n, C) real
    alpha : float
        Level of each step, in (0, 1).
    n_permutations : int
        At least 1 / alpha - 1, or no step could pass.
    seed : int
    max_features : int or None
        Longest path tested; None: min(p, n / 2).
    fit_intercept, sample_weight, forced, forbidden
        As for :func:`hessay.stepwise.stepwise_path`; weights positive.

    Returns
    -------
    PermutationPath

    Raises
    ------
    ArgumentError
        ``alpha`` or ``n_permutations`` is out of range.
    ShapeError, NonFinite
        The arrays are of other shapes, no numbers, or hold NaN or Inf.

    Source: Freedman & Lane 1983, J. Bus. Econ. Stat. 1, 292; Westfall & Young 1993.
    """
    from hessay.stepwise import stepwise_path

    if not 0 < alpha < 1:
        raise ArgumentError(f"alpha must lie in (0, 1), got {alpha}; 0.05 is usual")
    if n_permutations < 1 / alpha - 1:
        raise ArgumentError(
            f"n_permutations must be at least 1 / alpha - 1 = {1 / alpha - 1:.0f}, got {n_permutations}"
        )
    x, outputs = matrix(X, "X", np.float64), matrix(y, "y", np.float64)
    same_rows(x, outputs)
    n, p = x.shape
    weight = weights(sample_weight, n)
    longest = min(p - len(set(forbidden)), max(1, n // 2)) if max_features is None else max_features
    path = stepwise_path(
        x,
        outputs[:, 0] if outputs.shape[1] == 1 else outputs,
        direction="forward",
        criterion=None,
        n_features=longest,
        fit_intercept=fit_intercept,
        sample_weight=weight,
        forced=forced,
        forbidden=forbidden,
    )
    supports = supports_along(path)
    root = np.ones((n, 1)) if weight is None else np.sqrt(weight)[:, None]
    state = _Residuals(x * root, outputs * root, root if fit_intercept else None)
    state.enter(supports[0])
    rng = np.random.default_rng(seed)
    p_values: list[float] = []
    for held, step in zip(supports, path.steps, strict=False):
        open_columns = np.setdiff1d(np.arange(p), [*held, *forbidden])
        real = state.largest_share(open_columns, state.e[:, :, None])[0]
        drawn = _permuted_shares(state, open_columns, rng, n_permutations)
        # A permutation that reproduces the data must count, whatever the rounding.
        p_values.append((1 + int((drawn >= real * (1 - 1e-9)).sum())) / (1 + n_permutations))
        if p_values[-1] > alpha:
            break
        state.enter(step.columns)
    passed = sum(value <= alpha for value in p_values)
    return PermutationPath(path, supports, tuple(p_values), passed, n_permutations)


class _Residuals:
    """Columns and outputs with the current model projected out; scaled rows."""

    def __init__(self, x: Floats, y: Floats, ones: Floats | None) -> None:
        self.z, self.e = x.copy(), y.copy()
        self.size = (x**2).sum(axis=0)
        self.q = np.zeros((len(x), 0))
        if ones is not None:
            self._project(ones / np.linalg.norm(ones))

    def enter(self, columns: tuple[int, ...]) -> None:
        for column in columns:
            z = self.z[:, column]
            if z @ z > _LOST * self.size[column]:
                self._project((z / np.linalg.norm(z))[:, None])

    def _project(self, q: Floats) -> None:
        for _ in range(2):
            q = q - self.q @ (self.q.T @ q)
        q /= np.linalg.norm(q)
        self.q = np.hstack([self.q, q])
        self.z -= q @ (q.T @ self.z)
        self.e -= q @ (q.T @ self.e)

    def largest_share(self, columns: NDArray[np.intp], errors: Floats) -> Floats:
        """Largest delta RSS / RSS over columns, for errors (n, C, B); (B,)."""
        n, c, b = errors.shape
        flat = errors.reshape(n, c * b)
        z = self.z[:, columns]
        size = (z**2).sum(axis=0)
        good = size > _LOST * self.size[columns]
        left = flat - self.q @ (self.q.T @ flat)
        rss = (left**2).sum(axis=0).reshape(c, b).sum(axis=0)
        if not good.any() or not rss.all():
            return np.zeros(b)
        fall = (z[:, good].T @ left) ** 2 / size[good, None]
        return np.asarray(fall.reshape(-1, c, b).sum(axis=1).max(axis=0) / rss)


def _permuted_shares(
    state: _Residuals, columns: NDArray[np.intp], rng: np.random.Generator, count: int
) -> Floats:
    n, c = state.e.shape
    batch = max(1, min(count, _BATCH_BYTES // (8 * n * c)))
    shares: list[Floats] = []
    for first in range(0, count, batch):
        orders = [rng.permutation(n) for _ in range(min(batch, count - first))]
        errors = np.stack([state.e[order] for order in orders], axis=2)
        shares.append(state.largest_share(columns, errors))
    return np.concatenate(shares)
