"""Probes under one move per class: margins, losses and gradients in bounded passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hessay.hessian.model.evaluate import call, input_gradient
from hessay.hessian.moves import Move

# Input elements a pass. On the processor networks with convolutions or attention were slower with larger ones, and
# perceptrons with smaller ones; a device needs large passes to be busy.
PASS_ELEMENTS = {"cpu": 1 << 19, "cuda": 1 << 21}


@dataclass(frozen=True, slots=True, eq=False)
class MovedProbes:
    """A set of probes, each under one move per class: C * n rows in all.

    A probe that is predicted as the class already counts nowhere, and is not run.
    """

    model: nn.Module
    inputs: Tensor  # (n, *shape)
    outside: Tensor  # (C, n): 1 where the probe is not predicted as c
    clean_margins: Tensor  # (C, n): max_{k != c} z_k - z_c
    move: Move
    classes: Tensor  # (C,) int64: the class each move leads to

    @staticmethod
    def of(
        model: nn.Module,
        inputs: Tensor,
        logits: Tensor,
        move: Move,
        classes: Tensor,
    ) -> MovedProbes:
        """Prepare the probes inputs (n, *shape) with logits (n, K) for one move to each class."""
        own = logits.argmax(dim=1)[None, :] == classes[:, None]
        clean = margins_to(logits[None].expand(len(classes), *logits.shape), classes[:, None])
        return MovedProbes(model, inputs, (~own).to(inputs), clean.to(inputs), move, classes)

    def parts(self) -> Iterator[tuple[slice, slice]]:
        """Ranges of classes and probes whose rows make one pass."""
        n_moves, n = self.outside.shape
        width = self.inputs[0].numel()
        elements = PASS_ELEMENTS.get(self.inputs.device.type, PASS_ELEMENTS["cpu"])
        probes = min(n, max(1, elements // width))
        classes = min(n_moves, max(1, elements // (width * probes)))
        for c in range(0, n_moves, classes):
            for i in range(0, n, probes):
                yield slice(c, min(c + classes, n_moves)), slice(i, min(i + probes, n))

    def part(self, rows: Tensor, classes: slice, probes: slice) -> Tensor:
        """Margins to these classes of these probes, each moved by its class's row of parameters.

        Those of the class itself keep their clean margin.
        """
        clean = self.clean_margins[classes, probes]
        of_class, of_probe = self.outside[classes, probes].nonzero(as_tuple=True)
        if len(of_class) == 0:
            return clean
        inputs = self.inputs[probes].index_select(0, of_probe)
        moved = self.move.apply(inputs, rows.index_select(0, of_class))
        scores = call(self.model, moved)
        margins = margins_to(scores, self.classes.to(of_class.device)[classes][of_class])
        return clean.index_put((of_class, of_probe), margins)

    def margins(self, rows: Tensor) -> Tensor:
        """Margins (C, n) of every probe moved by every row of parameters (C, p)."""
        out = torch.empty_like(self.clean_margins)
        for classes, probes in self.parts():
            out[classes, probes] = self.part(rows[classes], classes, probes)
        return out

    def loss_gradient(self, rows: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Mean softplus of the margins in units of scale, (C,), and its gradient (C, p)."""
        losses = torch.zeros_like(self.clean_margins[:, 0])
        gradient = torch.zeros_like(rows)
        for classes, probes in self.parts():
            if not bool(self.outside[classes, probes].any()):
                continue  # nothing runs, so there is nothing to differentiate
            with torch.enable_grad():
                variable = rows[classes].detach().requires_grad_(True)
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
    """max_{k != c} z_k - z_c, c the class of each row of ``scores`` (..., K), or of each block."""
    own = (
        torch.arange(scores.shape[-1], device=scores.device) == classes.to(scores.device)[..., None]
    )
    rivals = scores.masked_fill(own, float("-inf")).amax(dim=-1)
    return rivals - scores.masked_fill(~own, 0.0).sum(dim=-1)
