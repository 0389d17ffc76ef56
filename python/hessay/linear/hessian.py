"""The input Hessian ``2 W W'`` of the squared error of a linear model, and its spectrum.

``|W'x + b - y|^2`` has the Hessian ``2 W W'`` at every input: one probe is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hessay._laws import FloatArray
from hessay.errors import ArgumentError
from hessay.linear.fit import RidgeModel
from hessay.theory._checks import at_least, count

__all__ = ["Coordinates", "HessianSpectrum", "input_hessian", "input_hessian_spectrum"]

Coordinates = Literal["raw", "off_data", "whitened"]


@dataclass(frozen=True, slots=True, eq=False)
class HessianSpectrum:
    """Eigenpairs, the ``min(p, C)`` largest; every other eigenvalue is 0. Arrays are read-only."""

    values: FloatArray  # (k,) descending, >= 0; loss / input^2, or loss when whitened
    vectors: FloatArray  # (p, k) orthonormal; in whitened coordinates when whitened
    coordinates: Coordinates
    removed: int  # leading principal directions of the data left out, off_data only


def input_hessian(model: RidgeModel) -> FloatArray:
    """``2 W W'``, (p, p), loss / input^2.

    Source: docs/random-matrix-theory.md eq. 6; setting of Granziol & Flynn, arXiv 2505.15175.

    Examples
    --------
    >>> from hessay.linear import fit_ridge
    >>> input_hessian(fit_ridge([[0.0], [1.0]], [-1.0, 1.0], ridge=0.25)).round(9).tolist()
    [[2.0]]
    """
    hessian: FloatArray = 2 * model.weights @ model.weights.T
    return hessian


def input_hessian_spectrum(
    model: RidgeModel,
    *,
    coordinates: Coordinates = "raw",
    rank: int | None = None,
    shrink: float | None = None,
) -> HessianSpectrum:
    """Eigenpairs of ``2 W W'`` in raw, off-data or whitened coordinates.

    Parameters
    ----------
    model : RidgeModel
    coordinates : {"raw", "off_data", "whitened"}
        ``off_data`` projects out the ``rank`` leading principal directions of the inputs, where a
        clean model has its largest slopes. ``whitened`` is ``C^-1/2 H C^-1/2`` with
        ``C = S + shrink``, S the sample covariance: slopes against the size that the data have.
    rank : int in [1, p - 1]
        For ``off_data`` alone.
    shrink : float > 0, input^2, optional
        For ``whitened`` alone; the ridge of the model by default.

    Raises
    ------
    ArgumentError
        An option is missing, out of range, or does not belong to the coordinates.

    Source: docs/random-matrix-theory.md eq. 6.

    Examples
    --------
    >>> from hessay.linear import fit_ridge
    >>> model = fit_ridge([[0.0], [1.0]], [-1.0, 1.0], ridge=0.25)
    >>> input_hessian_spectrum(model, coordinates="whitened").values.round(9).tolist()
    [4.0]
    """
    if coordinates not in ("raw", "off_data", "whitened"):
        raise ArgumentError(
            f"coordinates must be 'raw', 'off_data' or 'whitened', got {coordinates!r}"
        )
    if (rank is not None) != (coordinates == "off_data"):
        raise ArgumentError(f"rank belongs to off_data coordinates, got {rank!r} for {coordinates}")
    if shrink is not None and coordinates != "whitened":
        raise ArgumentError(f"shrink belongs to whitened coordinates, got {shrink!r}")
    weights, data = model.weights, model.inputs
    removed = 0
    if coordinates == "off_data":
        removed = count("rank", rank, 1)
        if removed >= data.n_inputs:
            raise ArgumentError(f"rank must be below {data.n_inputs}, the inputs, got {rank}")
        basis = data.directions[:, :removed]
        weights = weights - basis @ (basis.T @ weights)
    elif coordinates == "whitened":
        floor = model.ridge if shrink is None else at_least("shrink", shrink, 0.0)
        if floor == 0:
            raise ArgumentError("shrink must be positive where the model has no ridge, got 0")
        # C^-1/2 = V ((x + f)^-1/2 - f^-1/2) V' + f^-1/2
        outside = floor**-0.5
        inside = (data.values + floor) ** -0.5 - outside
        along = inside[:, None] * (data.directions.T @ weights)
        weights = outside * weights + data.directions @ along
    vectors, singular, _ = np.linalg.svd(weights, full_matrices=False)
    values: FloatArray = np.asarray(2 * singular**2, dtype=np.float64)
    for array in (values, vectors):
        array.flags.writeable = False
    return HessianSpectrum(values, np.asarray(vectors), coordinates, removed)
