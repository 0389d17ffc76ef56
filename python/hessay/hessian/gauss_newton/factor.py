"""H = (1/n) B'B: the input Hessian of a piecewise-linear net, held as its factor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hessay import _core
from hessay.errors import ArgumentError, NonFinite, ShapeError
from hessay.hessian.covariance import Covariance, as_covariance
from hessay.hessian.curvature import Curvature
from hessay.hessian.gauss_newton.moment import Moment
from hessay.hessian.gauss_newton.sketch import relative_error, sketch_rows, standard_error
from hessay.hessian.graph.program import LayerProgram
from hessay.hessian.metric import projector
from hessay.hessian.routes.work import keeps_lift
from hessay.hessian.threads import blas_threads

_CHUNK_BYTES = 64 << 20  # rows made at a time where they are not kept, and where they are widened


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """B with H = (1/n) B'B, r rows a sample, the first layer kept apart where that is narrower.

    Row j of sample i is ``rows[i, j] @ lift`` (``rows[i, j]`` when ``lift`` is None). Exact for
    piecewise-linear networks; for others it is the Gauss-Newton part of the Hessian. With
    ``sketch`` the rows are independent random ones with the right mean, and so is H.
    """

    rows: NDArray[np.floating]  # (n, r, m), C-contiguous
    lift: NDArray[np.floating] | None  # (m, d): the first layer's weight, m < d
    sketch: int | None = None  # random rows a sample (then r); None: all rows, H is exact
    threads: int = 1  # products are shared out over so many

    @property
    def n(self) -> int:
        """Samples."""
        return int(self.rows.shape[0])

    @property
    def d(self) -> int:
        """Size of H."""
        return int(self.rows.shape[2] if self.lift is None else self.lift.shape[1])

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Precision of products."""
        return self.rows.dtype

    def apply(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """H V, averaged over the samples, for V (d, k)."""
        v = np.asfortranarray(directions, dtype=self.dtype)
        out = np.empty_like(v, order="F")
        with blas_threads(1):
            _core.factor_apply(self.rows, self.lift, v, out, self.threads)
        return out

    def apply_per_sample(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """H_i V_i for V (n, d, k); the result has the shape of V."""
        if directions.ndim != 3 or directions.shape[:2] != (self.n, self.d):
            raise ShapeError(
                f"per-sample directions must have shape ({self.n}, {self.d}, k), "
                f"got {directions.shape}"
            )
        v = np.ascontiguousarray(directions, dtype=self.dtype)
        out = np.empty_like(v)
        with blas_threads(1):
            _core.factor_apply_per_sample(self.rows, self.lift, v, out, self.threads)
        return out

    def dense(self) -> NDArray[np.float64]:
        """H (d, d), symmetric to the last bit.

        In double from a double-precision factor. From a single-precision one it is right to about
        1e-6 of max |H|: multiplied in single precision, sums over the samples in double.

        Raises
        ------
        NonFinite
            The factor holds NaN or Inf.
        """
        out = np.empty((self.d, self.d), dtype=np.float64, order="F")
        _core.factor_dense(self.rows, self.lift, out)
        if not np.isfinite(out).all():
            raise NonFinite("the factor holds NaN or Inf: the network's derivatives overflow")
        return out

    def moment(self) -> Moment:
        """Second moment of the rows: cheaper products once more than about m / 4 columns come."""
        return Moment.from_chunks([self.rows], self.lift)

    def gram(self) -> NDArray[np.float64]:
        """(1/n) B B' (n r, n r) in double: the non-zero spectrum of H from the sample side."""
        flat = self.matrix().astype(np.float64)
        out = np.empty((len(flat), len(flat)), dtype=np.float64, order="F")
        _core.gram(np.asfortranarray(flat.T), out)
        return out / self.n

    def matrix(self) -> NDArray[np.floating]:
        """B (n r, d), multiplied out."""
        flat = self.rows.reshape(-1, self.rows.shape[2])
        return flat if self.lift is None else flat @ self.lift

    def eigh(self, count: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Eigenvalues (k,) descending and eigenvectors (d, k), exact, in double.

        Goes through the smallest of the Gram matrices of B. All min(d, m, n r) pairs by default.

        Raises
        ------
        ArgumentError
            ``count`` is negative or above min(d, m, n r).
        """
        if count is not None and count < 0:
            raise ArgumentError(f"count must not be negative, got {count}")
        values, vectors = _core.factor_eigen(self.rows, self.lift, -1 if count is None else count)
        return values[:, 0], vectors

    def project_out(self, basis: NDArray[np.floating] | Tensor) -> Factor:
        """Factor of Q H Q, Q = I - V V' for an orthonormal basis V (d, j)."""
        return self.through(projector(basis, self.d).apply)

    def whiten(self, covariance: Covariance | NDArray[np.floating] | Tensor) -> Factor:
        """Factor of C^(-1/2) H C^(-1/2) for a covariance C (d, d)."""
        return self.through(as_covariance(covariance, self.d).inverse_root)

    def through(self, metric: Callable[[NDArray[np.floating]], NDArray[np.float64]]) -> Factor:
        """Return B M, the factor of M H M, for a symmetric map M of V (d, k)."""
        if self.lift is not None:
            lift = np.ascontiguousarray(metric(self.lift.T).T, dtype=self.dtype)
            return Factor(self.rows, lift, self.sketch, self.threads)
        flat = self.rows.reshape(-1, self.d)
        mapped = np.empty_like(flat)
        step = max(1, _CHUNK_BYTES // (8 * self.d))  # the map works in double
        for first in range(0, len(flat), step):
            part = slice(first, first + step)
            mapped[part] = metric(flat[part].T).T
        return Factor(mapped.reshape(self.rows.shape), None, self.sketch, self.threads)

    def standard_error(self, directions: NDArray[np.floating]) -> NDArray[np.float64]:
        """Estimate the standard error (k,) of v'Hv for the columns v of V (d, k).

        Zero unless the rows are a sketch; see :func:`hessay.hessian.gauss_newton.sketch.standard_error`.
        """
        v = np.asarray(directions, dtype=np.float64)
        if v.ndim != 2 or len(v) != self.d:
            raise ShapeError(f"directions must have shape ({self.d}, k), got {v.shape}")
        if self.sketch is None:
            return np.zeros(v.shape[1])
        return standard_error(self.rows, v if self.lift is None else self.lift @ v)

    def relative_error(self) -> float:
        """Estimate |H - E H| / |E H| (Frobenius) from the two halves of the sketch; else zero."""
        return 0.0 if self.sketch is None else relative_error(self.rows, self.lift)


def factor_from_program(
    program: LayerProgram,
    inputs: NDArray[np.floating],
    logits: NDArray[np.floating],
    curvature: Curvature,
    *,
    average: bool,
    sketch: int | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Factor:
    """One native backward pass for all rows together; inputs (n, d) and their logits (n, C).

    The first layer stays apart where that pays (see
    :func:`hessay.hessian.routes.work.keeps_lift`), otherwise the rows are multiplied out. With
    ``sketch`` that many random rows a sample stand in for the curvature's own, where these are
    more.
    """
    every = max(1, len(inputs))
    (rows,) = _row_chunks(program, inputs, logits, curvature, sketch, seed, threads, every)
    drawn = sketch if _is_sketched(curvature, logits, sketch) else None
    weight = program.layers[0][0]
    if weight is None:
        return Factor(rows, None, drawn, threads)
    width, d = weight.shape
    if keeps_lift(width, d, rows.shape[1], average):
        return Factor(rows, weight, drawn, threads)
    return Factor(np.ascontiguousarray(rows @ weight), None, drawn, threads)


def moment_from_program(
    program: LayerProgram,
    inputs: NDArray[np.floating],
    logits: NDArray[np.floating],
    curvature: Curvature,
    *,
    sketch: int | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Moment:
    """Second moment of the factor's rows, made and dropped in chunks: averaged products alone.

    Memory does not grow with the number of samples beside ``inputs`` and ``logits``.
    """
    weight = program.layers[0][0]
    width = inputs.shape[1] if weight is None else weight.shape[0]
    n_rows = curvature.rank(logits.shape[1]) if sketch is None else sketch
    n_bytes = program.dtype.itemsize * n_rows * (width + logits.shape[1])
    chunk = max(1, _CHUNK_BYTES // n_bytes)
    rows = _row_chunks(program, inputs, logits, curvature, sketch, seed, threads, chunk)
    if weight is None or weight.shape[0] < weight.shape[1]:
        return Moment.from_chunks(rows, weight)
    return Moment.from_chunks(part @ weight for part in rows)


def _is_sketched(curvature: Curvature, logits: NDArray[np.floating], sketch: int | None) -> bool:
    """Whether a sketch has fewer rows than the curvature; otherwise the exact rows are taken."""
    if sketch is not None and sketch < 2:
        raise ArgumentError(f"sketch must be at least 2 rows a sample, got {sketch}")
    return sketch is not None and sketch < curvature.rank(logits.shape[1])


def _row_chunks(
    program: LayerProgram,
    inputs: NDArray[np.floating],
    logits: NDArray[np.floating],
    curvature: Curvature,
    sketch: int | None,
    seed: int,
    threads: int,
    chunk: int,
) -> Iterator[NDArray[np.floating]]:
    """Rows (chunk, r, h1) at the first layer's pre-activation, ``chunk`` samples at a time."""
    weight = program.layers[0][0]
    width = inputs.shape[1] if weight is None else weight.shape[0]
    sketched = _is_sketched(curvature, logits, sketch)
    for first in range(0, len(inputs), chunk):
        part = slice(first, first + chunk)
        outputs = logits[part].astype(program.dtype, copy=False)
        if sketched and sketch is not None:
            root = sketch_rows(curvature, outputs, sketch, seed=seed, first=first)
        else:
            root = curvature.root(outputs)
        rows = np.empty((*root.shape[:2], width), dtype=program.dtype)
        with blas_threads(1):
            _core.network_pull_back(program.layers, inputs[part], root, rows, threads)
        yield rows
