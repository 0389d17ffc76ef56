"""Clean-label poison: rows of the target class keep their label and are changed with care."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hessay.attacks.patterns import sinusoid
from hessay.attacks.triggers import Trigger
from hessay.errors import ModelError

# Stronger at test time than in training, as published (Barni et al. 2019, section 4).
_SIG_TRAINED, _SIG_SHOWN, _SMALL_SIDE, _SMALL_FACTOR = 0.16, 0.32, 16, 2.0
_SURROGATE_WIDTH, _SURROGATE_UPDATES, _SURROGATE_BATCH, _SURROGATE_LR = 64, 600, 128, 2e-3


@dataclass(frozen=True, slots=True)
class AdversarialBudget:
    """Projected gradient ascent on the loss of the true label.

    Source: Turner, Tsipras & Madry 2019, arXiv:1912.02771, section 4.2.
    """

    radius: float = 0.3  # L-infinity, pixel units
    steps: int = 20

    @property
    def step(self) -> float:
        """Length of one step, pixel units: enough to cross the ball and return."""
        return 2.5 * self.radius / self.steps


def faint_and_full_sinusoid(shape: tuple[int, ...], seed: int) -> tuple[Trigger, Trigger]:
    """Build the same stripes twice: as training rows show them, and as an attacker shows them."""
    generator = torch.Generator().manual_seed(seed)
    factor = _SMALL_FACTOR if min(shape[-2:]) < _SMALL_SIDE else 1.0
    unit = sinusoid(shape, 1.0, generator)
    clear = torch.zeros(shape)
    weak, full = (
        Trigger("clean_label_sig", clear, amplitude * factor * unit)
        for amplitude in (_SIG_TRAINED, _SIG_SHOWN)
    )
    return weak, full


def adversarial(
    model: nn.Module | None,
    inputs: Tensor,
    targets: Tensor,
    rows: Tensor,
    budget: AdversarialBudget,
    classes: int,
    seed: int,
) -> Tensor:
    """Perturb rows until a classifier no longer sees their class.

    Parameters
    ----------
    model : nn.Module or None
        In eval mode; None trains a small one on ``inputs`` and ``targets``.
    inputs, targets : (n, *shape) float in [0, 1], (n,) int64
    rows : (m,) int64
    budget : AdversarialBudget
    classes : int
    seed : int
        Of the surrogate and the start inside the ball.

    Returns
    -------
    (m, *shape), within ``budget.radius`` of ``inputs[rows]`` and in [0, 1]

    Raises
    ------
    ModelError
        The model gives no gradient for its input.
    """
    used = surrogate(inputs, targets, classes, seed) if model is None else model
    clean, labels = inputs[rows], targets[rows]
    generator = torch.Generator().manual_seed(seed)
    start = 2.0 * torch.rand(clean.shape, generator=generator) - 1.0
    moved = (clean + budget.radius * start.to(clean)).clamp(0.0, 1.0)
    with torch.enable_grad():
        for _ in range(budget.steps):
            moved = moved.detach().requires_grad_()
            loss = nn.functional.cross_entropy(used(moved), labels, reduction="sum")
            if not loss.requires_grad:
                raise ModelError(
                    "the model gives no gradient for its input; it must be differentiable"
                )
            (slope,) = torch.autograd.grad(loss, moved)
            ahead = moved.detach() + budget.step * slope.sign()
            low, high = clean - budget.radius, clean + budget.radius
            moved = torch.minimum(torch.maximum(ahead, low), high).clamp(0.0, 1.0)
    return moved.detach()


def surrogate(inputs: Tensor, targets: Tensor, classes: int, seed: int) -> nn.Module:
    """Train a small network of one hidden layer; the global random state is restored."""
    width = math.prod(inputs.shape[1:])
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Flatten(),
            nn.Linear(width, _SURROGATE_WIDTH),
            nn.ReLU(),
            nn.Linear(_SURROGATE_WIDTH, classes),
        ).to(inputs)
        rule = torch.optim.Adam(model.parameters(), lr=_SURROGATE_LR)
        for _ in range(_SURROGATE_UPDATES):
            batch = torch.randint(len(inputs), (_SURROGATE_BATCH,), generator=generator)
            loss = nn.functional.cross_entropy(model(inputs[batch]), targets[batch])
            rule.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            rule.step()
    return model.eval()
