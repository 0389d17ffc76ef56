"""Finite steps: what a universal perturbation of the probe really does to the predictions.

The Jacobian speaks of infinitely small steps. Two checks take real ones, kept inside the range of
the probe: :func:`flip_rates` along given directions, and :func:`refine_directions`, which improves
one direction per class by gradient steps until it moves as many probes as it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hessay.errors import ArgumentError, ShapeError
from hessay.hessian.model.evaluate import like_model, logits_of
from hessay.hessian.moved_probes import MovedProbes

_MOMENTUM, _STEP = 0.6, 0.25  # of the normalised gradient; the step as a share of the radius


@dataclass(frozen=True, slots=True, eq=False)
class FlipRates:
    """Where steps along k directions, forwards and backwards, send the probes."""

    rate: NDArray[np.float64]  # (k, 2, C): share of the probes outside class c that arrive in c
    radius: float  # input units


@dataclass(frozen=True, slots=True, eq=False)
class RefinedDirections:
    """The best universal perturbation found for each class, at each of R radii."""

    perturbation: NDArray[np.float64]  # (R, C, d), L2 norm <= radius, input units
    margin_drop: NDArray[np.float64]  # (R, C): drop of the mean margin to c, over the clean one
    flip_rate: NDArray[np.float64]  # (R, C): share of the probes outside class c that it sends to c
    radii: tuple[float, ...]  # input units, ascending
    passes: int  # batched backward passes spent


def flip_rates(
    model: nn.Module,
    inputs: Tensor,
    directions: NDArray[np.float64],
    *,
    radius: float,
    bounds: tuple[float, float],
) -> FlipRates:
    """Step every probe by +-radius along each direction and count where it arrives.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller.
    inputs : (n, *shape) float tensor
        The probe.
    directions : (k, d) float64
        Unit vectors in input space.
    radius : float, > 0, input units
        Length of the step before clipping.
    bounds : (low, high), input units
        Range of valid inputs: the stepped probes are clipped to it.

    Raises
    ------
    ShapeError
        ``directions`` is not (k, d) for inputs of d numbers.
    ArgumentError
        ``radius`` not positive, or ``bounds`` empty.
    ModelError, NonFinite
        The model raised, or its logits are not finite.
    """
    inputs = like_model(model, inputs.detach())
    _check(inputs, directions, radius, bounds)
    clean = logits_of(model, inputs).argmax(dim=1)
    steps = torch.from_numpy(directions).to(inputs).reshape(-1, *inputs.shape[1:]) * radius
    rates = []
    for step in steps:
        for signed in (step, -step):
            arrived = logits_of(model, (inputs + signed).clamp(*bounds))
            rates.append(_arrivals(arrived, clean))
    table = torch.stack(rates).reshape(len(steps), 2, -1)
    return FlipRates(table.numpy(), radius)


def refine_directions(
    model: nn.Module,
    inputs: Tensor,
    start: NDArray[np.float64],
    *,
    radii: Sequence[float],
    bounds: tuple[float, float],
    basis: NDArray[np.float64] | None = None,
    steps: int = 3,
    classes: Sequence[int] | None = None,
) -> RefinedDirections:
    """Improve one universal perturbation per class by normalised-gradient steps with momentum.

    Row c of ``start`` is followed downhill on the mean of softplus(max_{k != c} z_k - z_c), over
    the probes not predicted as c, inside balls of growing radius: each radius starts from the
    result of the one before. Classes and probes run together in batches of bounded size. Every
    other probe is used to find the perturbation, the remaining ones to judge it, so the results are not flattered; at
    each radius the iterate that is best on the first kind is kept.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller.
    inputs : (n, *shape) float tensor, n >= 2
        Probes: even rows are moved, odd rows are judged on; 256 in all are plenty.
    start : (C, d) float64
        Directions towards each class, any length; a zero row starts from the first gradient.
        Where ``classes`` are given, one row for each of them, and C is their number below.
    radii : sequence of float, ascending, > 0, input units
        Bounds on the L2 norm of each perturbation.
    bounds : (low, high), input units
        Range of valid inputs: the moved probes are clipped to it.
    basis : (d, k) float64 or None
        Orthonormal columns the gradient is kept orthogonal to.
    steps : int, >= 1
        At each radius.
    classes : sequence of int or None
        The classes to move to; None takes all.

    Returns
    -------
    RefinedDirections

    Raises
    ------
    ShapeError
        ``start`` is not (C, d) with a row for each class, or fewer than 2 inputs.
    ArgumentError
        A class the model does not have, ``radii`` not ascending and positive, ``steps`` below 1, or ``bounds`` empty.
    ModelError, NonFinite
        The model raised, is not differentiable, or its logits are not finite.

    Source: universal perturbations, Moosavi-Dezfooli et al. 2017, CVPR, 1765; momentum on
    normalised gradients, Dong et al. 2018, CVPR, 9185.
    """
    if steps < 1:
        raise ArgumentError(f"steps must be at least 1, got {steps}")
    if not radii or any(b <= a for a, b in pairwise(radii)):
        raise ArgumentError(f"radii must be positive and ascending, got {tuple(radii)}")
    if len(inputs) < 2:
        raise ShapeError(f"at least 2 inputs are needed, got {len(inputs)}")
    inputs = like_model(model, inputs.detach())
    _check(inputs, start, radii[0], bounds)
    logits = logits_of(model, inputs)
    towards = _classes(classes, logits.shape[1])
    if start.shape[0] != len(towards):
        raise ShapeError(
            f"start must have one row for each of {len(towards)} classes, got {start.shape}"
        )
    # Softplus bends at 1: in units of the logits' own scale the path does not depend on it.
    scale = float((logits - logits.mean(dim=1, keepdim=True)).square().mean().sqrt()) or 1.0
    seek = MovedProbes.of(model, inputs[::2], logits[::2], bounds, towards)
    judge = MovedProbes.of(model, inputs[1::2], logits[1::2], bounds, towards)
    keep_off = None if basis is None else torch.from_numpy(basis).to(inputs)

    step = torch.from_numpy(start).to(inputs)
    velocity = torch.zeros_like(step)
    found: list[Tensor] = []
    drops, rates = [], []
    for radius in radii:
        step = _with_norm(step, radius)
        best, best_loss = step, torch.full((len(step),), float("inf")).to(step)
        for _ in range(steps):
            losses, gradient = seek.loss_gradient(step, scale)
            best, best_loss = _better(best, best_loss, step, losses)
            if keep_off is not None:
                gradient = gradient - (gradient @ keep_off) @ keep_off.T
            velocity = _MOMENTUM * velocity - _with_norm(gradient, 1.0)
            step = _inside_ball(step + _STEP * radius * velocity, radius)
        with torch.no_grad():
            losses = seek.means(nn.functional.softplus(seek.margins(step) / scale))
            best, _ = _better(best, best_loss, step, losses)
            margins = judge.margins(best)
        clean = judge.means(judge.clean_margins)
        drops.append(
            (clean - judge.means(margins)) / clean.clamp(min=torch.finfo(clean.dtype).tiny)
        )
        rates.append(judge.means((margins < 0).to(margins)))
        found.append(best)
    return RefinedDirections(
        perturbation=_host(torch.stack(found)),
        margin_drop=_host(torch.stack(drops)),
        flip_rate=_host(torch.stack(rates)),
        radii=tuple(radii),
        passes=steps * len(radii),
    )


def _classes(classes: Sequence[int] | None, n_classes: int) -> Tensor:
    if classes is None:
        return torch.arange(n_classes)
    if not classes or any(not 0 <= c < n_classes for c in classes):
        raise ArgumentError(f"classes must be some of 0 to {n_classes - 1}, got {list(classes)}")
    return torch.tensor(list(classes))


def _better(best: Tensor, best_loss: Tensor, new: Tensor, loss: Tensor) -> tuple[Tensor, Tensor]:
    wins = loss < best_loss
    return torch.where(wins[:, None], new, best), torch.where(wins, loss, best_loss)


def _host(values: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = values.to(device="cpu", dtype=torch.float64).numpy()
    return array


def _arrivals(logits: Tensor, clean: Tensor) -> Tensor:
    n_classes = logits.shape[1]
    into = nn.functional.one_hot(logits.argmax(dim=1), n_classes).double()
    outside = 1.0 - nn.functional.one_hot(clean, n_classes).double()
    return (into * outside).sum(dim=0) / outside.sum(dim=0).clamp(min=1.0)


def _with_norm(rows: Tensor, radius: float) -> Tensor:
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    scaled: Tensor = rows * (radius / norms.clamp(min=torch.finfo(rows.dtype).tiny))
    return scaled


def _inside_ball(rows: Tensor, radius: float) -> Tensor:
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    shrink = (radius / norms.clamp(min=torch.finfo(rows.dtype).tiny)).clamp(max=1.0)
    scaled: Tensor = rows * shrink
    return scaled


def _check(
    inputs: Tensor, directions: NDArray[np.float64], radius: float, bounds: tuple[float, float]
) -> None:
    width = inputs[0].numel()
    if directions.ndim != 2 or directions.shape[1] != width:
        raise ShapeError(
            f"directions must be (k, {width}) for these inputs, got {directions.shape}"
        )
    if not radius > 0:
        raise ArgumentError(f"radius must be positive, in input units, got {radius}")
    if not bounds[0] < bounds[1]:
        raise ArgumentError(f"bounds must be (low, high) with low < high, got {bounds}")
