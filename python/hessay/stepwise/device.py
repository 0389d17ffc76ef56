"""Passes over an X on a CUDA device, or streamed through one, by hessay._cuda; the core decides.

The only module of this package that needs torch: it is loaded where a tensor or a device was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hessay.errors import ArgumentError, DeviceError
from hessay.hessian.device.module import (
    columns,
    is_device,
    memory_for,
    require_device,
    stream_of,
    workspace,
)
from hessay.stepwise.design import Array
from hessay.stepwise.outputs import receive, standardise
from hessay.stepwise.streaming import panels_of

_PANEL_BYTES: Final = 1 << 30  # of scratch where X is not kept standardised
_KEPT_SHARE: Final = 0.5  # of the device's free memory that Z may take where no limit is given
_GRAM_COLUMNS: Final = 256  # of Z'Z at a time
_ROWS: Final = 256  # a panel is a multiple of so many rows: the pieces of hessay._cuda
_REMEDY: Final = "lower max_bytes, which makes the panels smaller"


class DevicePasses:
    """What ``_core.Selection`` asks of X (cpp/bindings/callback_passes.hpp), answered on a device.

    Z, the standardised X, is made there once and kept where ``max_bytes`` has room for it; otherwise
    panel by panel in every pass. All memory is torch's, all work on its current stream; every
    method waits for its result.

    Parameters
    ----------
    x : (n, p) tensor on a CUDA device, or NumPy array, float32 or float64
        An array of the processor is streamed through two buffers.
    device : str or None
        Such as "cuda:1"; None is where X lies.
    double : bool
        Precision of products.
    max_bytes : int or None
        Of memory on the device beside X; None: half of what is free.

    Raises
    ------
    ArgumentError
        No CUDA device, or another one than that of X.
    DeviceError
        The module, the driver or the device is missing or too old, or its memory ran out.
    """

    def __init__(
        self,
        x: Tensor | NDArray[np.floating],
        *,
        device: str | None,
        double: bool,
        max_bytes: int | None,
    ) -> None:
        place = _place(x, device)
        self._module = require_device(place)
        self.shape: tuple[int, int] = (int(x.shape[0]), int(x.shape[1]))
        self._x = x.detach() if isinstance(x, Tensor) else x
        self.single = x.dtype in (torch.float32, np.dtype(np.float32))
        self._wide = torch.empty(0, dtype=torch.float64, device=place)
        self._like = self._wide if double else self._wide.float()
        n, p = self.shape
        item = self._like.element_size()
        room = _free_bytes(place) * _KEPT_SHARE if max_bytes is None else max_bytes
        self._keeps = n * p * item <= room
        scratch = min(room, _PANEL_BYTES) if max_bytes is None else max_bytes
        # Two buffers of X where it is streamed, its panel of Z, and of what is combined from it.
        row_bytes = p * (item + (0 if isinstance(x, Tensor) else 2 * x.dtype.itemsize)) + 8 * 64
        self._panel = min(n, max(_ROWS, int(scratch) // row_bytes // _ROWS * _ROWS))
        self._kept: tuple[Array, Array, Tensor] | None = None

    def begin(self, y: Array, root: Array, centre: bool) -> tuple[Array, Array, float, Array]:
        """Take over Y (n, C) and the roots of the weights, (n,) or empty.

        From now on the outputs are root (Y - mean) scale. Mean (C,), 0 without ``centre``, largest size of Y (C,),
        scale, a power of two, and the outputs' products (C, C).
        """
        n, outputs = y.shape
        self._root = self._sent(root) if len(root) else None
        self._y = columns(outputs, n, self._wide, what="y", remedy=_REMEDY)
        there = self._y.T  # row after row, as on the processor
        receive(y, there)
        mean, largest, scale = standardise(there, self._root, centre)
        total = self._zeros(outputs, outputs)
        self._add(self._y, self._y, total)
        return _host(mean), _host(largest), scale, _host(total)

    def read_rows(self, which: list[int]) -> Array:
        """Rows of X (m, p), column after column as the core takes them."""
        rows = self._x[which]
        if not isinstance(rows, Tensor):
            return _host(rows)
        return _host(rows.T.clone(memory_format=torch.contiguous_format)).T

    def read_column(self, j: int) -> Array:
        """Column of X (n,)."""
        return _host(self._x[:, j])

    def measure(self, mean: Array, scale: Array) -> tuple[Array, Array]:
        """|z_j|^2 (p,) and Z'[root, Y] (p, 1 + C)."""
        p, right = self.shape[1], 1 + len(self._y)
        squares, out = self._zeros(p, 1), self._zeros(p, right)
        for first, z in self._standardised(mean, scale):
            rows = slice(first, first + z.shape[1])
            panel = self._new(right, z.shape[1], self._like)
            panel[0] = 1.0 if self._root is None else self._root[rows]
            panel[1:] = self._y[:, rows]
            self._add(z, panel, out)
            scratch = self._scratch(self._module.stepwise_squares_scratch(p, z.shape[1]))
            self._module.stepwise_squares(z, squares, scratch, self._stream)
        return _host(squares[:, 0]), _host(out)

    def gram_columns(self, mean: Array, scale: Array, chosen: list[int]) -> Array:
        """Z'Z[:, chosen] (p, L)."""
        out = self._zeros(self.shape[1], len(chosen))
        self._gram(self._standardised(mean, scale), chosen, out)
        return _host(out)

    def full_gram(self, mean: Array, scale: Array) -> Array:
        """Z'Z (p, p)."""
        p = self.shape[1]
        out = self._zeros(p, p)
        for first, z in self._standardised(mean, scale):
            for j in range(0, p, _GRAM_COLUMNS):
                some = list(range(j, min(j + _GRAM_COLUMNS, p)))
                self._gram([(first, z)], some, out[:, j : j + len(some)])
        return _host(out)

    def project(self, mean: Array, scale: Array, chosen: list[int], a: Array, b: Array) -> Array:
        """Z'F (p, q) for F = Z[:, chosen] a + Y b, rounded to the precision of products."""
        out = self._zeros(self.shape[1], a.shape[1])
        given = self._given(mean, scale, chosen, a, b)
        for first, x in self._raw():
            _, f = self._combined(first, x, given)
            z = self._panel_of(first, x, mean, scale)
            with memory_for("a combination of columns", f.nbytes, f.device, remedy=_REMEDY):
                rounded = f.T.to(self._like.dtype).T
            self._add(z, rounded, out)
        return _host(out)

    def sums(
        self, mean: Array, scale: Array, chosen: list[int], a: Array, b: Array
    ) -> tuple[Array, Array]:
        """Z[:, chosen]'F (k, q) and F'F (q, q), in double."""
        k, q = a.shape
        cross, products = self._zeros(k, q), self._zeros(q, q)
        given = self._given(mean, scale, chosen, a, b)
        for first, x in self._raw():
            z, f = self._combined(first, x, given)
            self._add(f, f, products)
            if k:
                self._add(z, f, cross)
        return _host(cross), _host(products)

    def _gram(self, panels: Any, chosen: list[int], out: Tensor) -> None:
        which = self._sent(np.array(chosen, dtype=np.float64))
        for _, z in panels:
            right = self._new(len(chosen), z.shape[1], self._like)
            self._module.stepwise_gather(z, which, right, self._stream)
            self._add(z, right, out)

    def _add(self, z: Tensor, right: Tensor, out: Tensor) -> None:
        """Out += z right' for z (p, rows) and right (L, rows) of one precision."""
        p, rows = z.shape
        single = z.element_size() == 4
        doubles = self._module.stepwise_project_scratch(p, right.shape[0], rows, single)
        self._module.stepwise_project(z, right, out, self._scratch(doubles), self._stream)

    def _given(
        self, mean: Array, scale: Array, chosen: list[int], a: Array, b: Array
    ) -> tuple[Tensor, ...]:
        which = np.array(chosen, dtype=np.float64)
        vectors = tuple(self._sent(v) for v in (which, mean, scale))
        return (*vectors, *(self._sent(np.ascontiguousarray(m.T)).T for m in (a, b)))

    def _combined(self, first: int, x: Tensor, given: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Rows of Z[:, chosen] and of F, transposed: (k, rows) and (q, rows) in double."""
        which, mean, scale, a, b = given
        rows = len(x)
        z = self._new(len(which), rows, self._wide)
        if len(which):
            self._standardise(first, x, which, mean, scale, z)
        f = self._new(b.shape[1], rows, self._wide)
        y = self._y[:, first : first + rows]
        scratch = self._scratch(self._module.stepwise_combine_scratch())
        self._module.stepwise_combine(z, y, a, b, f, scratch, self._stream)
        return z, f

    def _standardised(self, mean: Array, scale: Array) -> Iterator[tuple[int, Tensor]]:
        """Panels (first row, Z' (p, rows)), the whole of it where it is kept."""
        if not self._keeps:
            for first, x in self._raw():
                yield first, self._panel_of(first, x, mean, scale)
            return
        if self._kept is None or not _same(self._kept, mean, scale):
            n, p = self.shape
            whole = self._new(p, n, self._like) if self._kept is None else self._kept[2]
            self._kept = None
            centre, unit = self._sent(mean), self._sent(scale)
            for first, x in self._raw():
                part = whole[:, first : first + len(x)]
                self._standardise(first, x, None, centre, unit, part)
            self._kept = (mean.copy(), scale.copy(), whole)
        yield 0, self._kept[2]

    def _panel_of(self, first: int, x: Tensor, mean: Array, scale: Array) -> Tensor:
        if self._kept is not None and _same(self._kept, mean, scale):
            return self._kept[2][:, first : first + len(x)]
        z = self._new(self.shape[1], len(x), self._like)
        self._standardise(first, x, None, self._sent(mean), self._sent(scale), z)
        return z

    def _standardise(
        self, first: int, x: Tensor, which: Tensor | None, mean: Tensor, scale: Tensor, z: Tensor
    ) -> None:
        transposed = x.stride(1) == 1 and x.stride(0) >= x.shape[1]
        if not transposed and not (x.stride(0) == 1 and x.stride(1) >= len(x)):
            with memory_for("a panel of X", x.nbytes, x.device, remedy=_REMEDY):
                x, transposed = x.contiguous(), True
        root = None if self._root is None else self._root[first : first + len(x)]
        table = x.T if transposed else x
        self._module.stepwise_standardise(
            table, transposed, which, mean, scale, root, z, self._stream
        )

    def _raw(self) -> Iterator[tuple[int, Tensor]]:
        """Panels (first row, X (rows, p)) on the device."""
        return panels_of(self._x, self._panel, self._wide.device)

    @property
    def _stream(self) -> int:
        return stream_of(self._wide.device)

    def _sent(self, array: Array) -> Tensor:
        place = self._wide.device
        with memory_for("y and the standard of X", array.nbytes, place, remedy=_REMEDY):
            return torch.from_numpy(array.copy()).to(place)

    def _zeros(self, rows: int, cols: int) -> Tensor:
        return self._new(rows, cols, self._wide).zero_()

    def _new(self, rows: int, cols: int, like: Tensor) -> Tensor:
        return columns(rows, cols, like, what="a pass over X", remedy=_REMEDY)

    def _scratch(self, doubles: int) -> Tensor:
        return workspace(doubles, self._wide, remedy=_REMEDY)


def _place(x: Tensor | NDArray[np.floating], device: str | None) -> torch.device:
    try:
        place = (
            x.device if device is None and isinstance(x, Tensor) else torch.device(device or "cpu")
        )
    except RuntimeError as unknown:
        raise ArgumentError(f"device must name a CUDA device, got {device!r}") from unknown
    own = _device_of(x)
    if not is_device(place):
        raise ArgumentError(
            f"device must name a CUDA device such as 'cuda:0', got {device!r}; leave it out for an X "
            "on the processor"
        )
    if own is not None and str(place) not in (str(own), own.type):
        raise DeviceError(f"X is on {own} and device is {device!r}; move X, or leave device out")
    return place if own is None else own


def _device_of(x: object) -> torch.device | None:
    return x.device if isinstance(x, Tensor) else None


def _free_bytes(place: torch.device) -> int:
    return int(torch.cuda.mem_get_info(place)[0]) if place.type == "cuda" else 2 * _PANEL_BYTES


def _same(kept: tuple[Array, Array, Tensor], mean: Array, scale: Array) -> bool:
    return np.array_equal(kept[0], mean) and np.array_equal(kept[1], scale)


def _host(values: Tensor | NDArray[np.floating]) -> Array:
    """Copy to the processor in double; waits for the device."""
    if isinstance(values, Tensor):
        there: Array = values.double().cpu().numpy()
        return there
    return np.asarray(values, dtype=np.float64)
