"""What the loss adds to a tangent pass: its gradient on the logits and its curvature S there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from hessay.hessian.curvature import Curvature
from hessay.hessian.loss import Loss


@dataclass(frozen=True, slots=True, eq=False)
class LogitTerms:
    """Gradient and curvature of the loss of each sample with respect to its logits."""

    gradient: Tensor | None  # (n, C); None where H is J'SJ by definition
    diagonal: Tensor  # (n, C): S = diag(diagonal) - scale * outer outer'
    outer: Tensor | None  # (n, C)
    scale: float

    def curve(self, tangent: Tensor, rows: slice) -> Tensor:
        """S u for u (m, k, C) at these samples; m is their number, or 1 for shared ones."""
        result: Tensor = self.diagonal[rows, None] * tangent
        if self.outer is not None:
            outer = self.outer[rows, None]
            along = (outer * tangent).sum(dim=2, keepdim=True)
            result = result - self.scale * along * outer
        return result


def logit_terms(logits: Tensor, loss: Loss, curvature: Curvature) -> LogitTerms:
    """Take the derivatives of the loss at logits (n, C), those of all points in their order."""
    classes = logits.shape[1]
    gradient = loss.gradient(logits, slice(None)) if curvature.is_loss else None
    if curvature.kind == "mse":
        return LogitTerms(gradient, torch.full_like(logits, 2.0 / classes), None, 0.0)
    if curvature.kind == "logistic":  # sigmoid(-z) is 1 - p without cancellation
        diagonal = torch.sigmoid(logits) * torch.sigmoid(-logits) / classes
        return LogitTerms(gradient, diagonal, None, 0.0)
    if curvature.is_loss:
        p = torch.softmax(logits / loss.scale, dim=1)
        return LogitTerms(gradient, p / loss.scale**2, p, 1.0 / loss.scale**2)
    ones = torch.ones_like(logits)
    if curvature.kind == "uniform":
        return LogitTerms(None, ones, ones, 1.0 / classes)
    difference = -functional.one_hot(logits.argmax(dim=1), classes).to(logits)
    difference[:, curvature.target] += 1.0
    return LogitTerms(None, torch.zeros_like(logits), difference, -1.0)
