"""The smallest patch that leads to each class: a mask and a pattern, found by gradient descent.

For every class c, over probes x that are not predicted as c,

    x' = (1 - m) x + m p,   minimise  mean CE(f(x'), c) + lambda_c |m|_1,   0 <= m <= 1

with p inside the range of the probe and one m for all channels. lambda_c rises while the patch
works and falls while it does not, so that m shrinks to the edge of not working. All classes are
searched side by side; they do not influence one another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay.errors import ArgumentError, ProbeError, ShapeError
from hessay.hessian.model.evaluate import call, like_model, logits_of, not_differentiable

SUCCESS = 0.99  # share of the probes a patch must move
STEPS = 300
_LEARNING_RATE, _BETAS = 0.1, (0.5, 0.9)  # of Adam, as published
_COST, _UP = 1e-3, 1.05  # first lambda; what success multiplies it by
_DOWN = _UP**1.5  # what failure divides it by
_PASS_ELEMENTS = 1 << 21  # input elements of one pass


@dataclass(frozen=True, slots=True, eq=False)
class InvertedTriggers:
    """The smallest patch found for each class."""

    mask: NDArray[np.float64]  # (C, *shape) in [0, 1], the same in all channels
    pattern: NDArray[np.float64]  # (C, *shape), input units
    norm: NDArray[np.float64]  # (C,): |m|_1, in pixels; NaN where every probe is in the class
    success: NDArray[np.float64]  # (C,): share of the other classes' probes that it moves
    passes: int  # batched backward passes spent, each over all classes and probes


def invert_triggers(
    model: nn.Module, inputs: Tensor, *, steps: int = STEPS, seed: int = 0
) -> InvertedTriggers:
    """Search the smallest patch that leads to each class.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller.
    inputs : (n, d), (n, H, W) or (n, K, H, W) float tensor
        Clean probes; 128 are plenty. The channels, where there are some, come first.
    steps : int, >= 1
        Of Adam.
    seed : int, >= 0
        Of the first masks and patterns.

    Returns
    -------
    InvertedTriggers
        For a class that no patch reached for 99 % of the probes, the last one.

    Raises
    ------
    ArgumentError
        ``steps`` below 1, or all inputs have one value.
    ProbeError
        Inputs are token ids.
    ModelError, NonFinite
        The model raised, is not differentiable, or its logits are not finite.

    Source: Wang et al. 2019, IEEE S&P, 707. There lambda moves by a factor after five
    rounds of success; here by 5 % a step, which needs fewer steps.
    """
    if steps < 1:
        raise ArgumentError(f"steps must be at least 1, got {steps}")
    if not inputs.is_floating_point():
        raise ProbeError("token ids take no patch; trigger inversion needs floating inputs")
    inputs = like_model(model, inputs.detach())
    low, high = float(inputs.min()), float(inputs.max())
    if not low < high:
        raise ArgumentError(f"all inputs have the one value {low}; pass different samples")
    logits = logits_of(model, inputs)
    n_classes = logits.shape[1]
    at_once = max(1, _PASS_ELEMENTS // inputs.numel())
    found = [
        _search(model, inputs, logits.argmax(dim=1), classes, (low, high), steps, seed)
        for classes in torch.split(torch.arange(n_classes), at_once)
    ]
    mask, pattern, success = (torch.cat(parts).double().cpu() for parts in zip(*found, strict=True))
    counts = torch.bincount(logits.argmax(dim=1), minlength=n_classes)
    norm = mask.flatten(1).sum(dim=1).masked_fill(counts == len(inputs), math.nan)
    return InvertedTriggers(
        mask.expand_as(pattern).numpy(),
        pattern.numpy(),
        norm.numpy(),
        success.numpy(),
        steps * len(found),
    )


def _search(
    model: nn.Module,
    inputs: Tensor,
    predicted: Tensor,
    classes: Tensor,
    bounds: tuple[float, float],
    steps: int,
    seed: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Masks, patterns and success of some classes."""
    shape = inputs.shape[1:]
    mask_shape = (1, *shape[1:]) if len(shape) == 3 else tuple(shape)
    starts = [_start(seed, c, mask_shape, tuple(shape)) for c in classes.tolist()]
    free = [
        torch.stack(parts).to(inputs).requires_grad_(True) for parts in zip(*starts, strict=True)
    ]
    rule = torch.optim.Adam(free, lr=_LEARNING_RATE, betas=_BETAS)
    outside = (predicted[None] != classes[:, None]).to(inputs)
    counts = outside.sum(dim=1).clamp(min=1.0)
    towards = classes.to(inputs.device)[:, None].expand(-1, len(inputs))
    cost = torch.full((len(classes),), _COST).to(inputs)
    best_mask, best_pattern = (_unit_interval(raw).detach() for raw in free)
    best_norm = torch.full_like(cost, math.inf)
    best_success = torch.zeros_like(cost)
    for _ in range(steps):
        mask, unit = (_unit_interval(raw) for raw in free)
        pattern = bounds[0] + (bounds[1] - bounds[0]) * unit
        moved = inputs + mask[:, None] * (pattern[:, None] - inputs)
        scores = call(model, moved.flatten(0, 1)).reshape(*towards.shape, -1)
        losses = nn.functional.cross_entropy(scores.movedim(-1, 1), towards, reduction="none")
        norm = mask.flatten(1).sum(dim=1)
        total = (losses * outside).sum(dim=1) / counts + cost * norm
        _set_gradients(total, free)
        with torch.no_grad():
            success = ((scores.argmax(dim=-1) == towards) * outside).sum(dim=1) / counts
            works = success >= SUCCESS
            # Until one works, the latest; afterwards, the smallest that works.
            take = (works & (norm < best_norm)) | torch.isinf(best_norm)
            best_mask[take], best_pattern[take] = mask[take], unit[take]
            best_success[take] = success[take]
            best_norm = torch.where(works, torch.minimum(best_norm, norm), best_norm)
            cost = torch.where(works, cost * _UP, cost / _DOWN)
        rule.step()
    return best_mask, bounds[0] + (bounds[1] - bounds[0]) * best_pattern, best_success


def _set_gradients(losses: Tensor, free: list[Tensor]) -> None:
    try:
        gradients = torch.autograd.grad(losses.sum(), free)
    except RuntimeError as error:
        raise not_differentiable(error, "its input") from error
    for variable, gradient in zip(free, gradients, strict=True):
        variable.grad = gradient


def _start(seed: int, index: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    """Raw numbers whose places in (0, 1) are uniform, of a class whatever others are searched."""
    rng = np.random.default_rng((seed, index))
    return [torch.atanh(torch.from_numpy(1.98 * rng.random(shape) - 0.99)) for shape in shapes]


def _unit_interval(raw: Tensor) -> Tensor:
    return torch.tanh(raw) / 2.0 + 0.5


def anomaly_index(norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far below the median each class's norm lies, in robust standard deviations.

    Parameters
    ----------
    norms : (C,) float64
        NaN where a class has none; at least 3 are numbers.

    Returns
    -------
    (C,) float64
        (median - norm) / (1.4826 median |norm - median|); above 2, a small outlier at 95 % were
        the norms normal. Zeros when all norms are the same, NaN where the norm is.

    Raises
    ------
    ShapeError
        Fewer than 3 norms: of two, each is as far from the median as the other.

    Source: Wang et al. 2019, IEEE S&P, 707; Hampel 1974, JASA 69, 383.
    """
    known = norms[~np.isnan(norms)]
    if norms.ndim != 1 or len(known) < 3:
        raise ShapeError(
            f"an outlier needs norms of at least 3 classes, got {len(known)} in shape {norms.shape}"
        )
    below = float(np.median(known)) - norms
    spread = 1.4826 * float(np.nanmedian(np.abs(below)))
    # More than half of the norms the same: their rounding is the only scale left.
    floor = float(np.finfo(np.float64).eps) * float(np.abs(known).max())
    scaled: NDArray[np.float64] = below / max(spread, floor, float(np.finfo(np.float64).tiny))
    return scaled
