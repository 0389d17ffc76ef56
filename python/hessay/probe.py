"""Step 2 of the flow: the inputs at which a model is examined, checked and frozen."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hessay.errors import ArgumentError, ProbeError, ShapeError
from hessay.loading.batches import take
from hessay.loading.images import is_pictures, read_pictures
from hessay.loading.npz import read_npz
from hessay.loading.preprocessing import Preprocessing
from hessay.loading.probe_arrays import dtype_name, own_inputs, own_targets, require_class_numbers


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class Probe:
    """Clean inputs in the scale the model was trained on, with their targets where known.

    Arrays are copied: later changes to the caller's data do not reach the probe. Half precision
    (float16, bfloat16) is widened to float32, float64 stays float64; tensors keep their device and
    lose their graph. Treat ``inputs`` and ``targets`` as read-only: the digest is taken once.

    Parameters
    ----------
    inputs : (n, *shape) float tensor or array, or int32 or int64 for token ids
        n >= 1; any strides, read-only memory and other byte orders are fine. Token ids stay
        integers; they have no derivative themselves, see ``wrt`` of
        :class:`hessay.hessian.InputHessian`.
    targets : tensor, array or sequence, optional
        (n,) integers: class numbers, 0 or more. (n,) or (n, C) floats: the numbers a regression
        is fitted to, or probabilities of the model's C outputs.

    Raises
    ------
    ProbeError
        NaN or Inf, inputs of another dtype (pictures of bytes among them), all inputs the same,
        targets that are neither class numbers nor finite floats.
    ShapeError
        No inputs, no feature axis, an empty feature axis, targets of another shape.

    Examples
    --------
    >>> probe = Probe(np.eye(3, dtype=np.float32), targets=[0, 1, 2])
    >>> probe.n, probe.d, probe.shape
    (3, 3, (3,))
    """

    inputs: Tensor  # (n, *shape) float32 or float64 in the model's unit, int32 or int64 ids
    targets: Tensor | None  # (n,) int64 class numbers, or (n,) or (n, C) floats; same device
    digest: str = field(compare=False)  # sha256 over dtype, shape and bytes of both

    def __init__(
        self,
        inputs: Tensor | NDArray[Any],
        targets: Tensor | NDArray[Any] | Iterable[float] | None = None,
    ) -> None:
        # Outside inference mode: tensors made inside it can never take part in a derivative.
        with torch.inference_mode(False):
            own = own_inputs(inputs)
            labels = None if targets is None else own_targets(targets, own)
        object.__setattr__(self, "inputs", own)
        object.__setattr__(self, "targets", labels)
        object.__setattr__(self, "digest", _digest(own, labels))

    @property
    def n(self) -> int:
        """Number of inputs."""
        return int(self.inputs.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.inputs.shape[1:])

    @property
    def d(self) -> int:
        """Number of coordinates of one input, the product of ``shape``."""
        return math.prod(self.shape)

    @property
    def class_numbers(self) -> Tensor | None:
        """The targets, (n,) int64, for whoever needs classes.

        Raises
        ------
        ProbeError
            The targets are floats.
        """
        if self.targets is not None:
            require_class_numbers(self.targets)
        return self.targets

    @property
    def flat(self) -> Tensor:
        """The inputs as an (n, d) view."""
        return self.inputs.view(self.n, self.d)

    def __repr__(self) -> str:
        labels = "with targets" if self.targets is not None else "without targets"
        dtype = dtype_name(self.inputs.dtype)
        return f"Probe(n={self.n}, shape={self.shape}, {dtype}, {labels}, {self.digest[:12]})"

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        preprocessing: Preprocessing | None = None,
        n: int = 512,
    ) -> Probe:
        """Probe from a file of arrays, or from a folder or parquet file of pictures.

        Nothing is unpickled, and sizes are checked before memory is taken (limits in
        ``hessay.loading.npz`` and ``hessay.loading.images``).

        Parameters
        ----------
        path : path-like
            ``.npz`` with arrays ``inputs`` and, optionally, ``targets``, in the dtypes and shapes
            the class itself takes; a folder with one folder of pictures a class; or ``.parquet``
            with columns ``image`` and, optionally, ``label``.
        preprocessing : Preprocessing, optional
            Of pictures; without it their pixels are scaled to [0, 1] and must be of one size.
        n : int, at least 1
            Pictures to take, classes in turn; an ``.npz`` is taken whole.

        Raises
        ------
        ProbeError, ShapeError
            The file is missing, damaged, of another kind, holds other arrays or objects, or the
            arrays make no probe; the message names the file.
        ArgumentError
            ``n`` is below 1, or ``preprocessing`` is given with an ``.npz``.
        """
        file = Path(path)
        if n < 1:
            raise ArgumentError(f"n must be at least 1, got {n}")
        if is_pictures(file) and file.exists():
            inputs, labels = read_pictures(file, preprocessing, n)
            try:
                return cls(inputs, labels)
            except (ProbeError, ShapeError) as error:
                raise type(error)(f"{file}: {error}") from error
        if preprocessing is not None:
            raise ArgumentError(f"{file} holds arrays; a preprocessing is for pictures only")
        arrays = read_npz(file, ("inputs", "targets"))
        if "inputs" not in arrays:
            raise ProbeError(
                f"{file} holds no array 'inputs'; write it with np.savez(path, inputs=..., targets=...)"
            )
        try:
            return cls(arrays["inputs"], arrays.get("targets"))
        except (ProbeError, ShapeError) as error:
            raise type(error)(f"{file}: {error}") from error

    @classmethod
    def from_loader(cls, loader: Iterable[Any], n: int = 512, *, check: bool = True) -> Probe:
        """Take the first ``n`` inputs of a ``DataLoader``, data set or iterable; fewer if it ends.

        Parameters
        ----------
        loader : iterable
            Batches x or (x, y, ...); samples (x, number) of a data set also serve.
        n : int, at least 1
            Inputs to take.
        check : bool
            Read the loader twice and compare. One-shot iterators cannot be checked.

        Raises
        ------
        ProbeError
            The loader is empty, raises, yields something else, or differs between the passes.
        ArgumentError
            ``n`` is below 1.

        Examples
        --------
        >>> Probe.from_loader([(torch.eye(2), torch.tensor([0, 1]))] * 4, n=3).n
        3
        """
        if n < 1:
            raise ArgumentError(f"n must be at least 1, got {n}")
        probe = cls(*take(loader, n))
        if check and iter(loader) is not loader:
            again = cls(*take(loader, n))
            if again.digest != probe.digest:
                if again.inputs.shape == probe.inputs.shape:
                    rows = int((again.flat != probe.flat).any(dim=1).sum())
                    differ = f"differ in {rows} of {probe.n} inputs"
                else:
                    differ = f"have shapes {tuple(probe.inputs.shape)}, {tuple(again.inputs.shape)}"
                raise ProbeError(
                    f"probe is not deterministic: two passes {differ}; turn off shuffling and "
                    "augmentation"
                )
        return probe


def as_probe(obj: object) -> Probe:
    """Make a probe from whatever the caller has.

    Parameters
    ----------
    obj : Probe, tensor, array, (inputs, targets), path for :meth:`Probe.load`, or DataLoader
        A probe is returned as it is; loaders give their first 512 inputs.

    Raises
    ------
    ProbeError, ShapeError
        It makes no probe; the message says why.

    Examples
    --------
    >>> as_probe((np.eye(2), [1, 0])).targets
    tensor([1, 0])
    """
    if isinstance(obj, Probe):
        return obj
    if isinstance(obj, str | os.PathLike):
        return Probe.load(obj)
    if isinstance(obj, Tensor | np.ndarray):
        return Probe(obj)
    if isinstance(obj, tuple) and len(obj) == 2 and isinstance(obj[0], Tensor | np.ndarray):
        return Probe(obj[0], obj[1])
    if hasattr(obj, "__iter__") or (hasattr(obj, "__getitem__") and hasattr(obj, "__len__")):
        return Probe.from_loader(cast("Iterable[Any]", obj))
    raise ProbeError(
        f"cannot make a probe from {type(obj).__name__}; pass hessay.Probe(inputs, targets), an "
        "array, a DataLoader or the path of an .npz file"
    )


def _digest(inputs: Tensor, targets: Tensor | None) -> str:
    digest = hashlib.sha256(b"hessay.probe/1\n")
    for values in (inputs, targets):
        if values is None:
            digest.update(b"none\n")
            continue
        digest.update(f"{values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.cpu().numpy().data)
    return digest.hexdigest()
