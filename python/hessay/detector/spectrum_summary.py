"""The spectrum shown in a report: the input Hessian off the data's own directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hessay.detector.measure import some_inputs
from hessay.edge import BulkEdge, fit_edge
from hessay.errors import ArgumentError
from hessay.hessian import InputHessian
from hessay.hessian.model.evaluate import Model
from hessay.probe import Probe
from hessay.report import SpectrumSummary
from hessay.spectrum import eigsh

EIGENPAIRS = 10  # asked of the iterative solver, where the whole spectrum is out of reach
MAX_EXACT_SIZE = 2048  # a dense eigenproblem of this size takes seconds on one core
MAX_FACTOR_NUMBERS = 1 << 26  # 256 MiB in single precision
_UNIT = "logit^2 / input^2"


def off_data_spectrum(
    model: Model, probe: Probe, basis: NDArray[np.float64], n_classes: int, seed: int
) -> SpectrumSummary:
    """Spectrum of Q H Q with uniform logit curvature, and the bulk fitted to it.

    The whole non-trivial spectrum where the factor's small side allows it, with a
    Marchenko-Pastur fit whose rejection is reported as such; the leading eigenvalues otherwise.

    Parameters
    ----------
    model : nn.Module
    probe : Probe
    basis : (d, k) float64
        Orthonormal columns, projected out: Q = I - basis basis'.
    n_classes : int
        C; with large inputs fewer probes are used, so that the factor stays within bounds.
    seed : int
        Of the starting block.

    Raises
    ------
    NotConverged
        The eigensolver spent its budget.
    """
    rows = probe.n * MAX_FACTOR_NUMBERS // max(1, probe.n * n_classes * probe.d)
    used = probe if rows >= probe.n else Probe(some_inputs(probe, max(2, rows)))
    hessian = InputHessian(model, used, weighting="uniform", backend="factor")
    operator = hessian.project_out(basis)
    over = "" if used is probe else f", over {used.n} of the probes"
    factor = operator.factor()
    n_rows = factor.rows.shape[0] * factor.rows.shape[1]
    if min(factor.d, factor.rows.shape[2], n_rows) <= MAX_EXACT_SIZE:
        values, vectors = factor.eigh()
        top = vectors[:, :1]
        residual = float(np.linalg.norm(factor.apply(top) - values[0] * top))
        # Projected directions leave rounding behind: zeros of Q H Q, not part of its bulk.
        live = values[values > values[0] * np.finfo(factor.dtype).eps * factor.d]
        return _summary(
            live,
            method="all eigenvalues of the factored, projected, uniformly weighted input Hessian"
            + over,
            certificate="the whole spectrum was computed",
            residual=residual,
            products=0,
            edge=_edge(live),
        )
    pairs = eigsh(operator, k=min(EIGENPAIRS, probe.d), which="LA", seed=seed)
    return _summary(
        pairs.values,
        method="block Lanczos on the projected, uniformly weighted input Hessian" + over,
        certificate=pairs.explain(),
        residual=float(np.max(pairs.residuals)),
        products=pairs.stats.products,
        edge=None,
    )


def _edge(values: NDArray[np.float64]) -> BulkEdge | None:
    try:
        return fit_edge(values)
    except ArgumentError:  # too few eigenvalues for a bulk, or all equal
        return None


def _summary(
    values: NDArray[np.float64],
    *,
    method: str,
    certificate: str,
    residual: float,
    products: int,
    edge: BulkEdge | None,
) -> SpectrumSummary:
    return SpectrumSummary(
        values=tuple(float(v) for v in values),
        unit=_UNIT,
        method=method,
        certificate=certificate,
        max_residual=residual,
        products=products,
        edge_lower=None if edge is None else edge.lower,
        edge_upper=None if edge is None else edge.upper,
        edge_sigma2=None if edge is None else edge.sigma2,
        edge_gamma=None if edge is None else edge.gamma,
        edge_goodness=None if edge is None else edge.goodness,
        edge_method="" if edge is None else edge.method,
        edge_accepted=None if edge is None else edge.accepted,
        n_outliers=None if edge is None or not edge.accepted else edge.n_outliers,
    )
