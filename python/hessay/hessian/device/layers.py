"""A layer program on a CUDA device: its weights there, and what its passes found not to be finite."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hessay.errors import NonFinite
from hessay.hessian.device.module import memory_for
from hessay.hessian.graph.program import LayerProgram

# In the order of hessay/elementwise.hpp.
ACTIVATIONS: Final = (
    *("identity", "relu", "leaky_relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid"),
    *("softplus", "elu"),
)


def uploaded(program: LayerProgram, like: Tensor) -> list[tuple[Any, ...]]:
    """Copy a program's layers to the device of ``like``, as hessay._cuda takes them."""
    return [
        (
            _there(weight, like, transposed=True),
            _there(bias, like),
            ACTIVATIONS.index(activation),
            parameter,
            source,
            skip,
            width,
        )
        for (weight, bias, activation, parameter, source, skip), width in zip(
            program.layers, program.widths[1:], strict=True
        )
    ]


def require_finite(largest: Tensor) -> None:
    """Name the first layer and sample whose pre-activation is not finite; waits for the device.

    Parameters
    ----------
    largest : (layers, n) float64 tensor
        Largest magnitudes.

    Raises
    ------
    NonFinite
    """
    bad = (~torch.isfinite(largest)).nonzero()[:1].tolist()
    if bad:
        layer, sample = bad[0]
        raise NonFinite(f"layer {layer} is NaN or Inf at sample {sample}")


def _there(
    array: NDArray[np.floating] | None, like: Tensor, *, transposed: bool = False
) -> Tensor | None:
    if array is None:
        return None
    remedy = "take a device with more memory, or the processor"
    with memory_for("a layer of the network", array.nbytes, like.device, remedy=remedy):
        there = torch.from_numpy(np.array(array)).to(like)
    return there.T if transposed else there
