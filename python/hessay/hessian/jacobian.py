"""Class-conditional means of the logit Jacobian: what the detector's first statistic is made of.

J_i = d logits / dx at probe i is C x d, one matrix for every probe. The detector needs only its
means over the probes of each predicted class, C x C x d in all, so nothing is kept per probe. Of
many classes even that is too much: then only what is summed over the sources is kept, 2 x C x d.
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

    # (C, C, d): [s, c] = mean of d logit_c / dx over predicted class s; None where not asked for
    mean: NDArray[np.float64] | None
    own: NDArray[np.float64]  # (C, d): mean of d logit_s / dx over predicted class s
    total: NDArray[np.float64]  # (C, d): mean of d logit_c / dx over all probes
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
    pairs: bool = True,
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
    pairs : bool
        Whether to form ``mean``, the table of all pairs of classes; without it, memory and time
        grow with C and not with C^2.

    Returns
    -------
    ClassJacobians
        float64, ``mean[s]`` and ``own[s]`` zero where no probe is predicted as class s.

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
    >>> bool(np.allclose(found.total, linear.weight)), int(found.counts.sum())
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

    width = inputs[0].numel()
    groups = n_classes if pairs else 1
    sums = torch.zeros(groups, n_classes, width, dtype=torch.float64)
    own_sums = torch.zeros(n_classes, width, dtype=torch.float64)
    agreeing, seen, passes = 0, 0, 0
    graph, program = follow(model, inputs)
    for rows, points in noisy_points(inputs, noise, draws, seed):
        own = predicted[rows]
        group = own if pairs else torch.zeros_like(own)
        if isinstance(program, LayerProgram):
            noisy_logits = _add_group_sums_natively(program, points, group, sums)
        elif isinstance(graph, Graph):
            part, noisy_logits = class_sums(graph, points, group, groups)
            sums += part.to(device="cpu", dtype=torch.float64)
        else:
            noisy_logits = _add_group_sums(model, points, group, sums)
        if not pairs:
            _add_own_sums(model, points, own, own_sums)
        agreeing += int((noisy_logits.argmax(dim=1).cpu() == own).sum())
        seen += len(own)
        passes += n_classes + (not pairs)
    diagonal = torch.arange(n_classes)
    spread = (counts.clamp(min=1) * (seen // len(inputs))).double()
    return ClassJacobians(
        mean=(sums / spread[:, None, None]).numpy() if pairs else None,
        own=((sums[diagonal, diagonal] if pairs else own_sums) / spread[:, None]).numpy(),
        total=(sums.sum(dim=0) / seen).numpy(),
        counts=counts.numpy(),
        predicted=predicted.numpy(),
        logits=logits.numpy(),
        agreement=agreeing / seen,
        noise=float(noise),
        passes=passes,
    )


def _add_group_sums(model: nn.Module, points: Tensor, group: Tensor, sums: Tensor) -> Tensor:
    """Add to ``sums[g, c]`` the rows d logit_c / dx of the probes of group g; return the logits."""
    groups, n_classes = sums.shape[:2]
    with torch.enable_grad():
        points = points.requires_grad_(True)
        scores = call(model, points)
        one_hot = nn.functional.one_hot(group.to(points.device), groups).to(scores.dtype).T
        for c in range(n_classes):
            cotangent = torch.zeros_like(scores)
            cotangent[:, c] = 1.0
            gradient = input_gradient(scores, points, cotangent, keep=c + 1 < n_classes)
            sums[:, c] += (one_hot @ gradient.flatten(1)).to(device="cpu", dtype=torch.float64)
    return scores.detach()


def _add_group_sums_natively(
    program: LayerProgram, points: Tensor, group: Tensor, sums: Tensor
) -> Tensor:
    """Do what :func:`_add_group_sums` does, in one native pass for all classes together."""
    flat = points.flatten(1).contiguous().numpy()
    sums += torch.from_numpy(program.group_sums(flat, group.numpy(), len(sums)))
    return torch.from_numpy(program.logits(flat))


def _add_own_sums(model: nn.Module, points: Tensor, own: Tensor, sums: Tensor) -> None:
    """Add to ``sums[s]`` the rows d logit_s / dx of the probes of class s."""
    with torch.enable_grad():
        points = points.detach().requires_grad_(True)
        scores = call(model, points)
        cotangent = nn.functional.one_hot(own.to(points.device), len(sums)).to(scores)
        gradient = input_gradient(scores, points, cotangent, keep=False)
    sums.index_add_(0, own, gradient.flatten(1).to(device="cpu", dtype=torch.float64))
