"""Class-conditional means of the logit Jacobian: what the detector's first statistic is made of.

J_i = d logits / dx at probe i is C x d, one matrix for every probe. The detector needs only its
means over the probes of each predicted class, C x C x d in all, so nothing is kept per probe.
Native passes sum before the first layer's weights are met, tangent passes before the first
convolution. Elsewhere C backward passes do it: cotangent e_c for every probe of a chunk together
gives row c of all their Jacobians, and a one-hot product sorts them by class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay.errors import ShapeError
from hessay.hessian.graph.operations import Graph
from hessay.hessian.graph.program import LayerProgram, follow
from hessay.hessian.model.evaluate import call, input_gradient, like_model, logits_of
from hessay.hessian.model.noise import check_noise, noisy_points
from hessay.hessian.tangent.products import class_sums


@dataclass(frozen=True, slots=True, eq=False)
class ClassJacobians:
    """Means of d logits / dx over the probes of each predicted class."""

    mean: NDArray[np.float64]  # (C, C, d): [s, c] = mean of d logit_c / dx over predicted class s
    counts: NDArray[np.int64]  # (C,): probes predicted as each class at the clean inputs
    predicted: NDArray[np.int64]  # (n,): class of each probe at the clean input
    logits: NDArray[np.float64]  # (n, C) at the clean inputs
    agreement: float  # share of noisy predictions equal to the clean one; 1 without noise
    noise: float  # standard deviation used, input units
    passes: int  # batched backward passes spent


def class_jacobians(
    model: nn.Module,
    inputs: Tensor,
    *,
    noise: float = 0.0,
    draws: int = 1,
    seed: int = 0,
) -> ClassJacobians:
    """Average the logit Jacobian over the probes of each predicted class.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller (eval mode, parameters without gradients).
    inputs : (n, *shape) float tensor
        The probe; moved to the dtype and device of the model.
    noise : float, >= 0, input units
        Standard deviation of Gaussian noise added before differentiating: the Jacobian of the
        smoothed network, E J(x + noise * g). Classes and logits stay those of the clean input.
    draws : int, >= 1
        Noise draws a probe. They come in antithetic pairs (g, -g), which cancels the part of
        the error that is odd in g. Not used when ``noise`` is 0.
    seed : int
        Of the noise.

    Returns
    -------
    ClassJacobians
        float64, ``mean[s]`` zero where no probe is predicted as class s.

    Raises
    ------
    ArgumentError
        ``noise`` negative or not finite, or ``draws`` below 1.
    ShapeError
        ``inputs`` without rows or without a feature axis.
    ModelError, NonFinite
        The model raised, is not differentiable, or its logits are not finite.

    Source: smoothing, Smilkov et al. 2017, arXiv:1706.03825; antithetic variates, Hammersley &
    Morton 1956, Proc. Camb. Phil. Soc. 52, 449.

    Examples
    --------
    >>> linear = nn.Linear(3, 2).requires_grad_(False)
    >>> found = class_jacobians(linear, torch.randn(50, 3))
    >>> bool(np.allclose(found.mean[0], linear.weight)), int(found.counts.sum())
    (True, 50)
    """
    check_noise(noise, draws)
    if inputs.ndim < 2 or len(inputs) == 0:
        raise ShapeError(f"inputs must be (n, *shape) with n > 0, got {tuple(inputs.shape)}")
    inputs = like_model(model, inputs.detach())
    logits = logits_of(model, inputs)
    n_classes = logits.shape[1]
    predicted = logits.argmax(dim=1)
    counts = torch.bincount(predicted, minlength=n_classes)

    sums = torch.zeros(n_classes, n_classes, inputs[0].numel(), dtype=torch.float64)
    agreeing, seen, passes = 0, 0, 0
    graph, program = follow(model, inputs)
    for rows, points in noisy_points(inputs, noise, draws, seed):
        own = predicted[rows]
        if isinstance(program, LayerProgram):
            noisy_logits = _add_class_sums_natively(program, points, own, sums)
        elif isinstance(graph, Graph):
            part, noisy_logits = class_sums(graph, points, own, n_classes)
            sums += part.to(device="cpu", dtype=torch.float64)
        else:
            noisy_logits = _add_class_sums(model, points, own, sums)
        agreeing += int((noisy_logits.argmax(dim=1).cpu() == own).sum())
        seen += len(own)
        passes += n_classes
    repeats = seen // len(inputs)
    mean = sums / (counts.clamp(min=1) * repeats)[:, None, None]
    return ClassJacobians(
        mean=mean.numpy(),
        counts=counts.numpy(),
        predicted=predicted.numpy(),
        logits=logits.numpy(),
        agreement=agreeing / seen,
        noise=float(noise),
        passes=passes,
    )


def _add_class_sums(model: nn.Module, points: Tensor, own: Tensor, sums: Tensor) -> Tensor:
    """Add to ``sums[s, c]`` the rows d logit_c / dx of the probes of class s; return the logits."""
    n_classes = sums.shape[0]
    with torch.enable_grad():
        points = points.requires_grad_(True)
        scores = call(model, points)
        one_hot = nn.functional.one_hot(own.to(points.device), n_classes).to(scores.dtype).T
        for c in range(n_classes):
            cotangent = torch.zeros_like(scores)
            cotangent[:, c] = 1.0
            gradient = input_gradient(scores, points, cotangent, keep=c + 1 < n_classes)
            sums[:, c] += (one_hot @ gradient.flatten(1)).to(device="cpu", dtype=torch.float64)
    return scores.detach()


def _add_class_sums_natively(
    program: LayerProgram, points: Tensor, own: Tensor, sums: Tensor
) -> Tensor:
    """Do what :func:`_add_class_sums` does, in one native pass for all classes together."""
    flat = points.flatten(1).contiguous().numpy()
    sums += torch.from_numpy(program.class_sums(flat, own.numpy()))
    return torch.from_numpy(program.logits(flat))
