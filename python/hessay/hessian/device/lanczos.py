"""Eigenpairs of an operator whose vectors are on a CUDA device, with the basis there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from hessay.errors import ArgumentError, DeviceError, NonFinite, ShapeError
from hessay.hessian.device.module import columns, require_device, stream_of, workspace

_PACK = 16  # bytes; columns that begin at multiples of it are read four floats at a time
_REMEDY = "lower max_basis, block or k, or use float32; everything taken so far is given back"


class DeviceOperator:
    """A symmetric operator on a device, by hessay's own kernels or by a function of tensors.

    Parameters
    ----------
    like : Tensor
        float32 or float64; vectors have its dtype and are on its device.
    size : int
        d.
    native : object of hessay._cuda, optional
        What the module multiplies with by itself, in launches that it may record.
    function : callable, optional
        In its place: V (d, b) to A V, tensors on the device.
    """

    def __init__(
        self,
        like: Tensor,
        size: int,
        *,
        native: Any = None,
        function: Callable[[Tensor], Any] | None = None,
    ) -> None:
        self._like, self._size = like, size
        self._native, self._function = native, function

    def solve(
        self, options: Mapping[str, Any], seed: int, start: Tensor | None
    ) -> Mapping[str, Any]:
        """Find eigenpairs; ``vectors`` is a tensor (d, k) on the device.

        Raises
        ------
        DeviceError
            The device is out of memory, or a product is on another one.
        """
        device = self._like.device
        room = _Room(self._like, self._size)
        try:
            found = require_device(device).lanczos(
                self._native or self._callback(room),
                self._size,
                self._like.dtype == torch.float32,
                room,
                **options,
                seed=seed,
                start=start,
                device=device.index or 0,
                stream=stream_of(device),
            )
            vectors = room.answer(len(found["values"]))
        finally:
            room.held = self._like.new_empty((self._size, 0))
        # What was recorded tells tests that it was; it is no property of the answer.
        return {name: found[name] for name in found if name != "replayed"} | {"vectors": vectors}

    def start_block(self, start: Any) -> Tensor:
        """Bring start vectors, (d,) or (d, j), an array or tensor, to the device.

        Raises
        ------
        ShapeError
            Other than d rows, or no column.
        ArgumentError
            Not real numbers.
        NonFinite
            NaN or Inf among them.
        """
        given = torch.as_tensor(start).detach()
        given = given[:, None] if given.ndim == 1 else given
        if given.ndim != 2 or given.shape[0] != self._size or given.shape[1] == 0:
            raise ShapeError(
                f"start must hold vectors of length d = {self._size}, as (d,) or (d, j), got shape "
                f"{tuple(given.shape)}"
            )
        if given.is_complex():
            raise ArgumentError(f"start must be real, got dtype {given.dtype}")
        block = given[:, : self._size].to(self._like).T.contiguous().T
        if not bool(torch.isfinite(block).all()):
            raise NonFinite(f"start holds NaN or Inf (as {block.dtype})")
        return block

    def _callback(self, room: _Room) -> Callable[[int, int, int], None]:
        assert self._function is not None
        function, like = self._function, self._like

        def multiply(first: int, count: int, target: int) -> None:
            # A copy: the function may keep or change what it is given.
            v = room.held[:, first : first + count].clone(memory_format=torch.contiguous_format)
            product = function(v)
            if not isinstance(product, Tensor) or product.device != like.device:
                where = product.device if isinstance(product, Tensor) else type(product).__name__
                raise DeviceError(
                    f"the operator maps a tensor on {like.device} to one on {where}; it must stay "
                    "on the device"
                )
            if product.shape != v.shape:
                raise ShapeError(
                    f"the operator maps {tuple(v.shape)} to {tuple(product.shape)}; it must keep "
                    "the shape"
                )
            if product.is_complex() or product.dtype == torch.bool:
                raise ShapeError(
                    f"the operator returned dtype {product.dtype}; it must be real numbers"
                )
            room.held[:, target : target + count] = product.detach()

        return multiply


class _Room:
    """Memory for one solve, allocated by torch."""

    def __init__(self, like: Tensor, size: int) -> None:
        self._like, self._size = like, size
        self.held = like.new_empty((size, 0))  # the basis

    def basis(self, count: int) -> Tensor:
        self.held = self._matrix(count, "the basis of the eigensolver")
        return self.held

    def aside(self, count: int) -> Tensor:
        return self._matrix(count, "a block that waits")

    def workspace(self, doubles: int) -> Tensor:
        return workspace(doubles, self._like, remedy=_REMEDY)

    def answer(self, k: int) -> Tensor:
        """Copy the first k columns of the basis, so that the rest can go."""
        out = columns(self._size, k, self._like, what="the eigenvectors", remedy=_REMEDY)
        return out.copy_(self.held[:, :k])

    def _matrix(self, count: int, what: str) -> Tensor:
        whole = _PACK // self._like.element_size()
        rows = -(-self._size // whole) * whole
        return columns(rows, count, self._like, what=what, remedy=_REMEDY)[: self._size]


def dense_operator(matrix: Tensor) -> DeviceOperator:
    """Take a symmetric matrix (d, d), float32 or float64, on a device."""
    a = matrix.detach()
    if 1 not in a.stride() or max(a.stride()) < len(a):
        a = a.contiguous()
    if a.stride(0) != 1:
        a = a.T  # symmetric: its own transpose
    module = require_device(a.device)
    return DeviceOperator(
        a.new_empty(0), len(a), native=module.dense_operator(a, stream_of(a.device))
    )
