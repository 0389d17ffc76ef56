"""Other ways to the same path, each from X and y: Gram matrices and all. X and y are centred."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[np.float64]


def residualise_all(x: Array, y: Array, k: int) -> list[int]:
    """Project every column after every choice: the plainest exact way."""
    z, e, chosen = np.array(x, order="F"), y.copy(), []
    size = (z**2).sum(axis=0)
    for _ in range(k):
        norms = (z**2).sum(axis=0)
        falls = ((z.T @ e) ** 2).sum(axis=1)
        falls = np.where(norms > 1e-20 * size, falls / np.where(norms > 0, norms, 1), -1)
        falls[chosen] = -1
        s = int(np.argmax(falls >= falls.max() * (1 - 1e-9)))
        q = z[:, s] / np.linalg.norm(z[:, s])
        for _ in range(2):
            z -= np.outer(q, q @ z)
        e = e - np.outer(q, q @ e)
        chosen.append(s)
    return chosen


def _select(size: Array, c: Array, k: int, column: Any) -> list[int]:
    rows = np.empty((k, len(size)))
    norms, chosen = size.copy(), []
    for t in range(k):
        fine = norms > 1e-10 * size
        falls = np.where(fine, (c**2).sum(axis=1) / np.where(fine, norms, 1), -1)
        falls[chosen] = -1
        s = int(np.argmax(falls >= falls.max() * (1 - 1e-9)))
        w = (column(s, falls) - rows[:t, s] @ rows[:t]) / np.sqrt(norms[s])
        rows[t] = w
        c = c - np.outer(w, c[s] / np.sqrt(norms[s]))
        norms = norms - w**2
        chosen.append(s)
    return chosen


def lazy(x: Array, y: Array, k: int) -> list[int]:
    """One pass over X a step."""
    return _select(np.einsum("ij,ij->j", x, x), x.T @ y, k, lambda s, _: x.T @ x[:, s])


def block_lazy(x: Array, y: Array, k: int, width: int = 24) -> list[int]:
    """Gram columns of the 24 best candidates a pass."""
    cache: dict[int, Array] = {}

    def column(s: int, falls: Array) -> Array:
        if s not in cache:
            best = [int(j) for j in np.argsort(-falls)[: width + len(cache)] if j not in cache]
            list_ = [s, *[j for j in best if j != s][: width - 1]]
            for j, products in zip(list_, (x.T @ x[:, list_]).T, strict=True):
                cache[j] = products
        return cache[s]

    return _select(np.einsum("ij,ij->j", x, x), x.T @ y, k, column)


def full_gram(x: Array, y: Array, k: int) -> list[int]:
    """All of X'X first, then Cholesky."""
    gram = x.T @ x  # NumPy notices the symmetry
    return _select(np.diag(gram).copy(), x.T @ y, k, lambda s, _: gram[s])


def sweep(x: Array, y: Array, penalty: float) -> list[int]:
    """Best addition or removal by n log RSS + penalty * m, sweeping the whole Gram matrix."""
    n, p = x.shape
    a = np.empty((p + 1, p + 1))
    a[:p, :p] = x.T @ x
    a[:p, p] = a[p, :p] = x.T @ y[:, 0]
    a[p, p] = y[:, 0] @ y[:, 0]
    size = np.diag(a).copy()[:p]
    inside = np.zeros(p, bool)
    while True:
        pivots, last = np.diag(a)[:p], a[:p, p]
        fine = inside | (pivots > 1e-10 * size)
        change = np.where(fine, last * a[p, :p] / np.where(fine, pivots, 1), 0)
        rss = np.where(fine, a[p, p] - np.where(inside, -np.abs(change), np.abs(change)), np.inf)
        score = n * np.log(rss / a[p, p]) + np.where(inside, -penalty, penalty)
        s = int(np.argmin(score))
        if score[s] >= -1e-9:
            return sorted(np.flatnonzero(inside).tolist())
        pivot, row, column = a[s, s], a[s].copy(), a[:, s].copy()
        linalg.blas.dger(-1.0 / pivot, row, column, a=a.T, overwrite_a=1)
        a[s], a[:, s] = row / pivot, -column / pivot
        a[s, s] = 1 / pivot
        inside[s] = not inside[s]


def omp_gram(x: Array, y: Array, k: int) -> list[int]:
    """scikit-learn's orthogonal matching pursuit: by correlation, so another path (one output)."""
    from sklearn.linear_model import orthogonal_mp_gram

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coef = orthogonal_mp_gram(x.T @ x, x.T @ y[:, 0], n_nonzero_coefs=k, copy_Gram=False)
    return np.flatnonzero(coef).tolist()


def lars_gram(x: Array, y: Array, k: int) -> list[int]:
    """scikit-learn's least angle regression: another path (one output)."""
    from sklearn.linear_model import lars_path_gram

    out = lars_path_gram(
        x.T @ y[:, 0], x.T @ x, n_samples=len(y), max_iter=k, method="lar", copy_Gram=False
    )
    return [int(j) for j in out[1]]


def abess(x: Array, y: Array, sizes: Any, criterion: str = "bic") -> list[int]:
    """Package abess: splicing to the best subset of given sizes."""
    linear = importlib.import_module("abess.linear")
    kind = linear.LinearRegression if y.shape[1] == 1 else linear.MultiTaskRegression
    model = kind(support_size=sizes, ic_type=criterion, fit_intercept=False)
    model.fit(x, y[:, 0] if y.shape[1] == 1 else y)
    coef = np.atleast_2d(model.coef_.T if y.shape[1] > 1 else model.coef_)
    return np.flatnonzero(np.abs(coef).max(axis=0) > 0).tolist()


def statsmodels_loop(x: Array, y: Array, k: int) -> list[int]:
    """One statsmodels fit a candidate."""
    api = importlib.import_module("statsmodels.api")
    chosen: list[int] = []
    for _ in range(k):
        others = [j for j in range(x.shape[1]) if j not in chosen]
        chosen.append(min(others, key=lambda j: api.OLS(y[:, 0], x[:, [*chosen, j]]).fit().ssr))
    return chosen


def lstsq_loop(x: Array, y: Array, k: int) -> list[int]:
    """One least-squares fit a candidate."""
    chosen: list[int] = []

    def rss(j: int) -> float:
        z = x[:, [*chosen, j]]
        return float(((y - z @ np.linalg.lstsq(z, y, rcond=None)[0]) ** 2).sum())

    for _ in range(k):
        chosen.append(min((j for j in range(x.shape[1]) if j not in chosen), key=rss))
    return chosen


def installed(package: str) -> bool:
    """Whether a package can be imported."""
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True
