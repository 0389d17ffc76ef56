"""Finite steps: what a universal perturbation of the probe really does to the predictions.

The Jacobian speaks of infinitely small steps. :func:`refine_directions` takes real ones, inside the
range of the probe, and improves one direction per class by gradient steps until it moves as many probes
as it can; :func:`refine_warps` does so with smooth warps of pictures, whose change is another one in
every picture. Steps along given directions are those of :mod:`hessay.hessian.straight_steps`.
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
from hessay.hessian.moves import Move, Shift, SmoothWarp
from hessay.hessian.straight_steps import check_rows

_MOMENTUM, _STEP = 0.6, 0.25  # of the normalised gradient; the step as a share of the radius


@dataclass(frozen=True, slots=True, eq=False)
class RefinedDirections:
    """The best universal perturbation found for each class, at each of R radii.

    Of warps, the parameters of :class:`hessay.hessian.moves.SmoothWarp`, (R, C, p), and radii in pixels.
    """

    perturbation: NDArray[np.float64]  # (R, C, d), L2 norm <= radius, input units
    margin_drop: NDArray[np.float64]  # (R, C): drop of the mean margin to c, over the clean one
    flip_rate: NDArray[np.float64]  # (R, C): share of the probes outside class c that it sends to c
    radii: tuple[float, ...]  # input units, ascending
    passes: int  # batched backward passes spent


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
    _check_path(radii, steps, len(inputs))
    inputs = like_model(model, inputs.detach())
    check_rows(inputs, start, radii[0], bounds)
    logits = logits_of(model, inputs)
    towards = _classes(classes, logits.shape[1])
    if start.shape[0] != len(towards):
        raise ShapeError(
            f"start must have one row for each of {len(towards)} classes, got {start.shape}"
        )
    keep_off = None if basis is None else torch.from_numpy(basis).to(inputs)
    path = _Path(tuple(radii), steps, keep_off)
    move = Shift(inputs[0].numel(), bounds)
    return path.follow(model, inputs, logits, towards, torch.from_numpy(start).to(inputs), move)


def refine_warps(
    model: nn.Module,
    inputs: Tensor,
    *,
    radii: Sequence[float],
    steps: int = 3,
    classes: Sequence[int] | None = None,
) -> RefinedDirections:
    """Find one smooth warp per class that moves as many pictures there as it can, as :func:`refine_directions` does.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller.
    inputs : (n, H, W) or (n, C, H, W) float tensor, n >= 2, H and W >= 4
        Probes: even rows are moved, odd rows are judged on.
    radii : sequence of float, ascending, > 0, pixels
        Bounds on the root mean square of each warp's displacements.
    steps : int, >= 1
        At each radius; the first warp starts from its first gradient.
    classes : sequence of int or None
        The classes to move to; None takes all.

    Raises
    ------
    ShapeError
        The inputs are no pictures of at least 4 x 4, or fewer than 2.
    ArgumentError, ModelError, NonFinite
        As :func:`refine_directions`.
    """
    _check_path(radii, steps, len(inputs))
    if inputs.ndim not in (3, 4) or min(inputs.shape[-2:]) < 4:
        raise ShapeError(
            "warps are of pictures (n, H, W) or (n, C, H, W), H and W at least 4, got "
            f"{tuple(inputs.shape)}"
        )
    inputs = like_model(model, inputs.detach())
    logits = logits_of(model, inputs)
    towards = _classes(classes, logits.shape[1])
    move = SmoothWarp.of(tuple(inputs.shape[1:]), inputs)
    start = inputs.new_zeros(len(towards), move.width)
    path = _Path(tuple(radii), steps, None)
    return path.follow(model, inputs, logits, towards, start, move)


@dataclass(frozen=True, slots=True, eq=False)
class _Path:
    """Lengths of the steps of a refinement, and what they keep off."""

    radii: tuple[float, ...]
    steps: int
    keep_off: Tensor | None  # (p, k), orthonormal

    def follow(
        self,
        model: nn.Module,
        inputs: Tensor,
        logits: Tensor,
        towards: Tensor,
        start: Tensor,
        move: Move,
    ) -> RefinedDirections:
        """Refine one row of parameters (C, p) for each class."""
        # Softplus bends at 1: in units of the logits' own scale the path does not depend on it.
        scale = float((logits - logits.mean(dim=1, keepdim=True)).square().mean().sqrt()) or 1.0
        seek = MovedProbes.of(model, inputs[::2], logits[::2], move, towards)
        judge = MovedProbes.of(model, inputs[1::2], logits[1::2], move, towards)
        step, velocity = start, torch.zeros_like(start)
        found: list[Tensor] = []
        drops, rates = [], []
        for radius in self.radii:
            step = _with_norm(step, radius)
            best, best_loss = step, torch.full((len(step),), float("inf")).to(step)
            for _ in range(self.steps):
                losses, gradient = seek.loss_gradient(step, scale)
                best, best_loss = _better(best, best_loss, step, losses)
                if self.keep_off is not None:
                    gradient = gradient - (gradient @ self.keep_off) @ self.keep_off.T
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
            radii=self.radii,
            passes=self.steps * len(self.radii),
        )


def _check_path(radii: Sequence[float], steps: int, n: int) -> None:
    if steps < 1:
        raise ArgumentError(f"steps must be at least 1, got {steps}")
    if not radii or radii[0] <= 0 or any(b <= a for a, b in pairwise(radii)):
        raise ArgumentError(f"radii must be positive and ascending, got {tuple(radii)}")
    if n < 2:
        raise ShapeError(f"at least 2 inputs are needed, got {n}")


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


def _with_norm(rows: Tensor, radius: float) -> Tensor:
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    scaled: Tensor = rows * (radius / norms.clamp(min=torch.finfo(rows.dtype).tiny))
    return scaled


def _inside_ball(rows: Tensor, radius: float) -> Tensor:
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    shrink = (radius / norms.clamp(min=torch.finfo(rows.dtype).tiny)).clamp(max=1.0)
    scaled: Tensor = rows * shrink
    return scaled
