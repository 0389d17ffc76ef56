"""What every route gives: products with NumPy arrays, whatever they are computed with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hessay.errors import ArgumentError, DeviceError, NonFinite, ShapeError
from hessay.hessian.model.precision import full_precision

_DENSE_COLUMNS = 64  # of the identity at a time


class Products(Protocol):
    """H V and H_i V_i, and H itself."""

    def apply(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """H V averaged over the points, V (d, k)."""
        ...

    def apply_per_sample(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """H_i V_i, V (n, d, k)."""
        ...

    def dense(self) -> NDArray[np.float64]:
        """H (d, d) in double, averaged over the points."""
        ...


class TensorProducts(Protocol):
    """The first two with tensors."""

    def apply(self, directions: Tensor) -> Tensor:
        """H V averaged over the points, V (d, k)."""
        ...

    def apply_per_sample(self, directions: Tensor) -> Tensor:
        """H_i V_i, V (n, d, k)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class TorchProducts:
    """Products computed by torch, on its device."""

    inner: TensorProducts
    like: Tensor  # one number in the dtype and on the device of the products
    d: int
    whole: Callable[[], Tensor] | None = (
        None  # H (d, d) in double, where there is a shorter way to it
    )

    def apply(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """H V averaged over the points, V (d, k)."""
        return self._run(self.inner.apply, directions)

    def apply_per_sample(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """H_i V_i, V (n, d, k)."""
        return self._run(self.inner.apply_per_sample, directions)

    def dense(self) -> NDArray[np.float64]:
        """H (d, d) in double, symmetrised: d products where there is no shorter way."""
        if self.whole is not None:
            at_once: NDArray[np.float64] = self.whole().cpu().numpy()
            return at_once
        full = np.empty((self.d, self.d))
        for first in range(0, self.d, _DENSE_COLUMNS):
            columns = slice(first, min(first + _DENSE_COLUMNS, self.d))
            unit = np.eye(self.d, columns.stop - first, k=-first)
            full[:, columns] = self.apply(unit)
        symmetric: NDArray[np.float64] = (full + full.T) / 2
        return symmetric

    def on_device(self, directions: Tensor) -> Tensor:
        """H V averaged over the points for a tensor (d,) or (d, k), which stays on its device.

        Raises
        ------
        DeviceError, ShapeError
            Another device than the operator's, another shape, or numbers that are not real.
        NonFinite
            The product holds NaN or Inf, or the directions do.
        """
        v = directions[:, None] if directions.ndim == 1 else directions
        if v.ndim != 2 or len(v) != self.d:
            raise ShapeError(
                f"directions must have shape ({self.d},) or ({self.d}, k), got "
                f"{tuple(directions.shape)}"
            )
        if v.is_complex():
            raise ShapeError(f"directions must be real numbers, got dtype {v.dtype}")
        if v.device != self.like.device:
            raise DeviceError(
                f"directions are on {v.device} and the operator on {self.like.device}; move them "
                "to one device"
            )
        with full_precision():
            product = self.inner.apply(v.detach().to(self.like.dtype))
        if not bool(torch.isfinite(product).all()):
            raise NonFinite(
                "the product is NaN or Inf: the directions hold one or are too large, or the model "
                "has no finite second derivative at some points"
            )
        return (product[:, 0] if directions.ndim == 1 else product).to(directions.dtype)

    def _run(
        self, apply: Callable[[Tensor], Tensor], directions: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        # A copy: torch does not take memory that is read-only.
        tensor = torch.from_numpy(np.array(directions, order="C")).to(self.like)
        with full_precision():
            product: NDArray[np.floating] = apply(tensor).cpu().numpy()
        return product


@dataclass(frozen=True, slots=True, eq=False)
class DenseProducts:
    """H formed once: the cheapest route when many directions are coming."""

    matrix: NDArray[np.floating]  # (d, d) in the precision of the products
    exact: NDArray[np.float64]  # (d, d)

    def apply(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """H V, V (d, k)."""
        product: NDArray[np.floating] = self.matrix @ directions
        return product

    def apply_per_sample(self, directions: NDArray[np.floating]) -> NDArray[np.floating]:
        """Refuse: one matrix has no samples."""
        raise ArgumentError(
            f"products per sample ({directions.shape}) need the operators of every sample, and "
            "this is their mean; use another backend"
        )

    def dense(self) -> NDArray[np.float64]:
        """H (d, d) in double."""
        return self.exact.copy()
