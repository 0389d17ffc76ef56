"""One direction that moves every class to another one: the finite step behind an all-to-all alarm.

A universal perturbation towards one class has a fixed goal. Here the goal is a map of the classes
onto each other, without fixed points, and is found together with the perturbation: the assignment
that the moved logits favour most is taken anew every few gradient steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from hessay.errors import ArgumentError, ShapeError
from hessay.hessian.model.evaluate import call, input_gradient, like_model, logits_of

_MOMENTUM, _STEP = 0.6, 0.25  # of the normalised gradient; the step as a share of the radius
_KEEP_MAP = 3  # gradient steps between two assignments
_FIRST, _KEPT = 4, 2  # steps from every start, and how many paths go on from there


@dataclass(frozen=True, slots=True, eq=False)
class ClassMap:
    """The map of classes that one short perturbation comes closest to."""

    destination: NDArray[np.int64]  # (C,): where class c goes, never c itself
    arrived: NDArray[np.float64]  # (C,): share of the judged probes of class c that do, [0, 1]
    flip_rate: float  # share of all judged probes that arrive at their destination, [0, 1]
    perturbation: NDArray[np.float64]  # (d,), L2 norm <= radius, input units
    radius: float  # input units


def find_class_map(
    model: nn.Module,
    inputs: Tensor,
    starts: NDArray[np.float64],
    *,
    radius: float,
    bounds: tuple[float, float],
    basis: NDArray[np.float64] | None = None,
    steps: int = 16,
) -> ClassMap:
    """Look for a direction that sends the probes of every class to one other class each.

    Parameters
    ----------
    model : nn.Module
        Frozen by the caller.
    inputs : (n, *shape) float tensor, n >= 2
        Probes: even rows are moved, odd rows are judged on.
    starts : (m, d) float64
        Directions to start from, forwards and backwards.
    radius : float, > 0, input units
        Bound on the L2 norm of the perturbation.
    bounds : (low, high), input units
        Range of valid inputs: the moved probes are clipped to it.
    basis : (d, k) float64 or None
        Orthonormal columns the gradient is kept orthogonal to.
    steps : int, >= 1
        Gradient steps from each start.

    Returns
    -------
    ClassMap
        Of the start that moves most of the even rows, counted on the odd ones.

    Raises
    ------
    ShapeError
        ``starts`` is not (m, d) with m > 0, or fewer than 2 inputs.
    ArgumentError
        ``radius`` not positive, or ``steps`` below 1.
    ModelError, NonFinite
        The model raised, is not differentiable, or its logits are not finite.

    Source: the assignment, Kuhn 1955, Naval Res. Logist. Q. 2, 83, as SciPy solves it.
    """
    if steps < 1 or not radius > 0.0:
        raise ArgumentError(f"steps must be >= 1 and radius > 0, got {steps} and {radius}")
    width = inputs[0].numel() if len(inputs) else 0
    if len(inputs) < 2 or starts.ndim != 2 or len(starts) == 0 or starts.shape[1] != width:
        raise ShapeError(
            f"starts must be (m, {width}) with m > 0, and at least 2 inputs are needed; got "
            f"{starts.shape} and {len(inputs)}"
        )
    inputs = like_model(model, inputs.detach())
    logits = logits_of(model, inputs)
    seek = _Moved(model, inputs[::2], logits[::2].argmax(dim=1), bounds)
    judge = _Moved(model, inputs[1::2], logits[1::2].argmax(dim=1), bounds)
    scale = float((logits - logits.mean(dim=1, keepdim=True)).square().mean().sqrt()) or 1.0
    keep_off = None if basis is None else torch.from_numpy(basis).to(inputs)

    rows = torch.from_numpy(starts).to(inputs)
    paths = [_Path(seek, start, radius, scale, keep_off) for row in rows for start in (row, -row)]
    first = min(steps, _FIRST)
    for path in paths:
        path.walk(first)
    # Most starts lead nowhere, and a few steps show it.
    paths = sorted(paths, key=lambda path: -path.rate)[:_KEPT]
    for path in paths:
        path.walk(steps - first)
    best = max(paths, key=lambda path: path.rate)
    step, goal = best.step, best.goal
    arrived = judge.arrivals(step, goal)
    by_class = np.array(
        [
            float(arrived[judge.predicted == c].mean())
            if bool((judge.predicted == c).any())
            else 0.0
            for c in range(logits.shape[1])
        ]
    )
    perturbation: NDArray[np.float64] = step.to(device="cpu", dtype=torch.float64).numpy()
    return ClassMap(goal, by_class, float(arrived.mean()), perturbation, radius)


class _Path:
    """One perturbation on its way, with the map of classes it is heading for."""

    def __init__(
        self, probes: _Moved, start: Tensor, radius: float, scale: float, keep_off: Tensor | None
    ) -> None:
        self.probes, self.radius, self.scale, self.keep_off = probes, radius, scale, keep_off
        self.step = start * (radius / start.norm().clamp(min=torch.finfo(start.dtype).tiny))
        self.velocity = torch.zeros_like(start)
        self.walked = 0
        self.goal, _ = probes.assignment(self.step)
        self.rate = 0.0  # share of the probes that arrive, after a walk

    def walk(self, steps: int) -> None:
        """Follow the normalised gradient with momentum, inside the ball."""
        for _ in range(steps):
            if self.walked > 0 and self.walked % _KEEP_MAP == 0:
                self.goal, _ = self.probes.assignment(self.step)
            gradient = self.probes.gradient(self.step, self.goal, self.scale)
            if self.keep_off is not None:
                gradient = gradient - self.keep_off @ (self.keep_off.T @ gradient)
            slope = gradient.norm().clamp(min=torch.finfo(gradient.dtype).tiny)
            self.velocity = _MOMENTUM * self.velocity - gradient / slope
            step = self.step + _STEP * self.radius * self.velocity
            self.step = step * min(1.0, self.radius / float(step.norm()))
            self.walked += 1
        self.goal, arrived = self.probes.assignment(self.step)
        self.rate = float(arrived.mean())


@dataclass(frozen=True, slots=True, eq=False)
class _Moved:
    """Some probes, moved together by one perturbation."""

    model: nn.Module
    inputs: Tensor  # (n, *shape)
    predicted: Tensor  # (n,) class at the clean input, on the CPU
    bounds: tuple[float, float]

    def logits(self, step: Tensor) -> Tensor:
        moved = (self.inputs + step.reshape(self.inputs.shape[1:])).clamp(*self.bounds)
        return call(self.model, moved)

    def assignment(self, step: Tensor) -> tuple[NDArray[np.int64], Tensor]:
        """Map without fixed points with the largest sum of mean logits after the step.

        Beside it, which probes arrive: (n,) float64.
        """
        with torch.no_grad():
            logits = self.logits(step)
        scores = logits.double().cpu()
        n_classes = scores.shape[1]
        scores = scores - scores.mean(dim=1, keepdim=True)
        gain = torch.zeros(n_classes, n_classes, dtype=torch.float64)
        gain.index_add_(0, self.predicted, scores)
        counts = torch.bincount(self.predicted, minlength=n_classes).clamp(min=1)
        gain /= counts[:, None]
        gain.fill_diagonal_(-1e3 * float(gain.abs().max() + 1.0))
        destination: NDArray[np.int64] = linear_sum_assignment(gain.numpy(), maximize=True)[1]
        return destination, self._arrived(logits, destination)

    def gradient(self, step: Tensor, goal: NDArray[np.int64], scale: float) -> Tensor:
        """Gradient (d,) of the mean softplus of the margins to the destinations."""
        towards = torch.from_numpy(goal)[self.predicted][:, None].to(step.device)
        with torch.enable_grad():
            variable = step.detach().requires_grad_(True)
            scores = self.logits(variable)
            own = scores.gather(1, towards)[:, 0]
            rivals = scores.scatter(1, towards, float("-inf")).amax(dim=1)
            loss = nn.functional.softplus((rivals - own) / scale).mean()
            return input_gradient(loss, variable, torch.ones_like(loss), keep=False)

    def arrivals(self, step: Tensor, goal: NDArray[np.int64]) -> Tensor:
        """1 where a probe arrives at its destination, else 0: (n,) float64."""
        with torch.no_grad():
            return self._arrived(self.logits(step), goal)

    def _arrived(self, logits: Tensor, goal: NDArray[np.int64]) -> Tensor:
        return (logits.argmax(dim=1).cpu() == torch.from_numpy(goal)[self.predicted]).double()
