"""Everyone who finds eigenpairs, behind one call; every product is counted on its way."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse.linalg
import torch
from numpy.typing import NDArray

from eigs.problems import TOL, Eigenproblem, K, judge
from hessay.errors import NotConverged
from hessay.spectrum import eigsh

Matrix = NDArray[np.float64]
PYHESSIAN_ITERATIONS = 1000  # per eigenvector


class CannotDo(Exception):
    """The contender is not made for this problem, or not installed."""


class Counter:
    """A matrix that counts the columns it multiplies and the calls."""

    def __init__(self, matrix: Matrix) -> None:
        self.matrix, self.columns, self.calls = matrix, 0, 0
        self.dtype = matrix.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """(d, d)."""
        return self.matrix.shape

    def __matmul__(self, v: Matrix) -> Matrix:
        self.columns += 1 if v.ndim == 1 else v.shape[1]
        self.calls += 1
        return self.matrix @ v

    def as_scipy(self) -> scipy.sparse.linalg.LinearOperator:
        """Wrap it for SciPy."""
        return scipy.sparse.linalg.LinearOperator(
            self.shape, matvec=self.__matmul__, matmat=self.__matmul__, dtype=self.dtype
        )


@dataclass
class Answer:
    """What a contender returned, and what its certificate cost if it makes one."""

    values: Matrix  # (K,)
    vectors: Matrix  # (d, K)
    check_columns: int = 0
    certified: bool | None = None  # None: it makes no such statement


Solve = Callable[[Counter, Eigenproblem], Answer]


@dataclass(frozen=True)
class Contender:
    """A name and a way to solve."""

    name: str
    solve: Solve


def ours(block: int) -> Solve:
    """``hessay.eigsh``."""

    def solve(a: Counter, problem: Eigenproblem) -> Answer:
        found = eigsh(a, K, problem.which, TOL, block=block, partial=True)
        return Answer(found.values, found.vectors, found.stats.check_products, found.certified)

    return solve


def arpack(ncv: int | None) -> Solve:
    """``scipy.sparse.linalg.eigsh``, which curvlinops uses through ``to_scipy``."""

    def solve(a: Counter, problem: Eigenproblem) -> Answer:
        v0 = np.random.default_rng(0).standard_normal(problem.d)
        return Answer(
            *scipy.sparse.linalg.eigsh(
                a.as_scipy(), K, which=problem.which, tol=TOL, ncv=ncv, v0=v0
            )
        )

    return solve


def lobpcg(a: Counter, problem: Eigenproblem) -> Answer:
    """``scipy.sparse.linalg.lobpcg``; its tolerance is absolute."""
    if problem.which == "LM" and problem.wanted[0] < -TOL * problem.norm:
        raise CannotDo("largest only")
    start = np.random.default_rng(0).standard_normal((problem.d, K))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it stopped early shows in the residual
        values, vectors = scipy.sparse.linalg.lobpcg(
            a.as_scipy(), start, tol=TOL * problem.norm, maxiter=500, largest=True
        )
    return Answer(values, vectors)


def primme(a: Counter, problem: Eigenproblem) -> Answer:
    """``primme.eigsh`` with its own choice of method."""
    try:
        import primme as package
    except ImportError as error:
        raise CannotDo("not installed") from error
    return Answer(*package.eigsh(a.as_scipy(), K, which=problem.which, tol=TOL))


def eigenthings(a: Counter, problem: Eigenproblem) -> Answer:
    """``hessian_eigenthings.lanczos``: max_iter is the user's, so ten more until it is right.

    Only the last run is counted, as if the user had known.
    """
    try:
        from hessian_eigenthings.algorithms.lanczos import lanczos
        from hessian_eigenthings.operators.base import LambdaOperator
    except ImportError as error:
        raise CannotDo("not installed") from error

    def product(v: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(a @ v.numpy())

    operator = LambdaOperator(product, problem.d, dtype=torch.float64)
    for steps in range(2 * K, 10 * K, K):
        a.columns = a.calls = 0
        found = lanczos(
            operator, k=K, max_iter=steps, which=problem.which, seed=0, reorthogonalize=True
        )
        answer = Answer(found.eigenvalues.numpy(), found.eigenvectors.numpy().T)
        if judge(problem, answer.values, answer.vectors).good:
            break
    return answer


def power(to_residual: bool) -> Solve:
    """PyHessian's loop: power iteration, earlier eigenvectors projected out.

    It stops when the eigenvalue changes by less than 1e-3 relative, 100 times at most (its
    defaults); or, ``to_residual``, when the residual is small enough.
    """

    def solve(a: Counter, problem: Eigenproblem) -> Answer:
        rng = np.random.default_rng(0)
        limit = PYHESSIAN_ITERATIONS if to_residual else 100
        values, vectors = np.zeros(K), np.zeros((problem.d, K))
        for i in range(K):
            v, value = rng.standard_normal(problem.d), np.nan  # no change is seen yet
            for _ in range(limit):
                v -= vectors[:, :i] @ (vectors[:, :i].T @ v)
                v /= max(np.linalg.norm(v), 1e-300)
                vectors[:, i], product = v, a @ v
                before, value = value, float(v @ product)
                change = abs(value - before) <= 1e-3 * (abs(before) + 1e-6)
                small = np.linalg.norm(product - value * v) <= TOL * problem.norm
                if small if to_residual else change:
                    break
                v = product
            values[i] = value
        return Answer(values, vectors)

    return solve


CONTENDERS = [
    *(Contender(f"hessay, block {block}", ours(block)) for block in (1, 2, 4)),
    Contender("scipy eigsh", arpack(None)),
    Contender("scipy eigsh, ncv 40", arpack(40)),
    Contender("scipy lobpcg", lobpcg),
    Contender("primme", primme),
    Contender("hessian-eigenthings, best max_iter", eigenthings),
    Contender("PyHessian's loop, defaults", power(to_residual=False)),
    Contender("PyHessian's loop, to the residual", power(to_residual=True)),
]
FAILURES = (NotConverged, scipy.sparse.linalg.ArpackError, np.linalg.LinAlgError, ValueError)
