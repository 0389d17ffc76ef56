"""Probes under one perturbation per class: margins, losses and gradients in bounded passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hessay.hessian.model.evaluate import call, input_gradient

PASS_ELEMENTS = 1 << 21  # input elements a pass: 10 classes of 256 x 784 go together


@dataclass(frozen=True, slots=True, eq=False)
class MovedProbes:
    """A set of probes, each under one perturbation per class: C * n rows in all."""

    model: nn.Module
    inputs: Tensor  # (n, *shape)
    outside: Tensor  # (C, n): 1 where the probe is not predicted as c
    clean_margins: Tensor  # (C, n): max_{k != c} z_k - z_c
    bounds: tuple[float, float]
    classes: Tensor  # (C,) int64: the class each perturbation leads to

    @staticmethod
    def of(
        model: nn.Module,
        inputs: Tensor,
        logits: Tensor,
        bounds: tuple[float, float],
        classes: Tensor,
    ) -> MovedProbes:
        """Prepare the probes inputs (n, *shape) with logits (n, K) for one move to each class."""
        own = logits.argmax(dim=1)[None, :] == classes[:, None]
        clean = margins_to(logits[None].expand(len(classes), *logits.shape), classes)
        return MovedProbes(model, inputs, (~own).to(inputs), clean.to(inputs), bounds, classes)

    def parts(self) -> Iterator[tuple[slice, slice]]:
        """Ranges of classes and probes whose rows make one pass."""
        n_moves, n = self.outside.shape
        width = self.inputs[0].numel()
        probes = min(n, max(1, PASS_ELEMENTS // width))
        classes = min(n_moves, max(1, PASS_ELEMENTS // (width * probes)))
        for c in range(0, n_moves, classes):
            for i in range(0, n, probes):
                yield slice(c, min(c + classes, n_moves)), slice(i, min(i + probes, n))

    def part(self, perturbation: Tensor, classes: slice, probes: slice) -> Tensor:
        """Margins to these classes of these probes, each moved by its class's row."""
        inputs = self.inputs[probes]
        shift = perturbation.reshape(-1, 1, *inputs.shape[1:])
        moved = (inputs[None] + shift).clamp(*self.bounds).flatten(0, 1)
        scores = call(self.model, moved).reshape(len(perturbation), len(inputs), -1)
        return margins_to(scores, self.classes[classes])

    def margins(self, perturbation: Tensor) -> Tensor:
        """Margins (C, n) of every probe moved by every row of the perturbation (C, d)."""
        out = torch.empty_like(self.clean_margins)
        for classes, probes in self.parts():
            out[classes, probes] = self.part(perturbation[classes], classes, probes)
        return out

    def loss_gradient(self, perturbation: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Mean softplus of the margins in units of scale, (C,), and its gradient (C, d)."""
        losses = torch.zeros_like(self.clean_margins[:, 0])
        gradient = torch.zeros_like(perturbation)
        for classes, probes in self.parts():
            with torch.enable_grad():
                variable = perturbation[classes].detach().requires_grad_(True)
                margins = self.part(variable, classes, probes)
                bent = nn.functional.softplus(margins / scale) * self.outside[classes, probes]
                part = bent.sum(dim=1)
                gradient[classes] += input_gradient(
                    part, variable, torch.ones_like(part), keep=False
                )
            losses[classes] += part.detach()
        counts = self.outside.sum(dim=1).clamp(min=1.0)
        return losses / counts, gradient / counts[:, None]

    def means(self, values: Tensor) -> Tensor:
        """Mean over the probes outside class c, for every c: (C,)."""
        return (values * self.outside).sum(dim=1) / self.outside.sum(dim=1).clamp(min=1.0)


def margins_to(scores: Tensor, classes: Tensor) -> Tensor:
    """max_{k != c} z_k - z_c, c the class of each block of ``scores`` (g, n, K): shape (g, n)."""
    every = torch.arange(scores.shape[2], device=scores.device)
    own = every == classes.to(scores.device)[:, None, None]
    rivals = scores.masked_fill(own, float("-inf")).amax(dim=2)
    return rivals - scores.masked_fill(~own, 0.0).sum(dim=2)
