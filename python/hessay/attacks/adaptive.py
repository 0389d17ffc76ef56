"""An attacker who knows the detector: he trains on poison and penalises its statistic.

    loss = cross entropy + weight * P,    P = log(max_c reach_c / median_c reach_c)
    reach_c = |Q M_c| / m_c,   M_c = mean (J[c] - J[yhat]),   m_c = mean (z_yhat - z_c)

over clean rows not predicted as c: the first-order half of the detector's S, at inputs with its
smoothing noise, off the leading principal directions of the attacker's clean rows. The J are
differentiated once more, so P has a gradient in the weights. Not penalised are the finite steps
and the division by the nature of a class (``hessay.detector``); what is left of S after this is
the detector's defence in depth, and it has to be measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hessay.attacks.truth import Poisoned
from hessay.errors import ArgumentError
from hessay.loading import build_architecture

# As the detector does it: variance projected out, noise in units of the root mean variance.
_VARIANCE_SHARE, _NOISE = 0.90, 0.5
_BASIS_ROWS = 2048  # clean rows the attacker finds the principal directions from
_LEAST_MARGIN = 1e-2  # of the mean margin: keeps a class without one from ruling the penalty


@dataclass(frozen=True, slots=True, eq=False)
class DataPlane:
    """The directions the data uses, and the size of the smoothing noise."""

    basis: Tensor  # (d, k) orthonormal columns, hold 90 % of the variance
    noise: float  # standard deviation, input units

    @classmethod
    def of(cls, inputs: Tensor) -> DataPlane:
        """Find it from clean inputs (n, *shape)."""
        flat = inputs.flatten(1).double()
        centred = flat - flat.mean(dim=0)
        _, values, rows = torch.linalg.svd(centred, full_matrices=False)
        held = values.square().cumsum(0)
        k = int((held < _VARIANCE_SHARE * held[-1]).sum()) + 1
        k = min(k, max(1, len(flat) // 3))
        scale = math.sqrt(float(held[-1]) / flat.numel())
        return cls(rows[:k].T.to(inputs.dtype), _NOISE * scale)

    def remove(self, rows: Tensor) -> Tensor:
        """Return Q rows = rows - (rows V) V', for rows (m, d)."""
        off: Tensor = rows - (rows @ self.basis) @ self.basis.T
        return off


def reach_spread(
    model: nn.Module, inputs: Tensor, plane: DataPlane, *, noise: Tensor | None = None
) -> Tensor:
    r"""Log of the largest over the median first-order reach, differentiable in the weights.

    Parameters
    ----------
    model : nn.Module
        Used as it is: put it into eval mode, so that normalisation does not learn from this.
    inputs : (n, \*shape) float
        Clean inputs. Classes are those the model predicts.
    plane : DataPlane
    noise : (n, \*shape) float or None
        Smoothing noise, input units; slopes are taken at ``inputs + noise``, margins at
        ``inputs``. None means none.

    Returns
    -------
    () float tensor
        P >= 0, dimensionless; 0 with fewer than 2 classes within reach.
    """
    # One shift common to all inputs: the gradient in it is already the mean over the batch.
    shift = torch.zeros_like(inputs[0], requires_grad=True)
    with torch.enable_grad():
        clean = model(inputs)
        logits = model((inputs if noise is None else inputs + noise) + shift)
        predicted = clean.detach().argmax(dim=1)
        own = clean.gather(1, predicted[:, None])
        own_noisy = logits.gather(1, predicted[:, None])
        others = torch.ones_like(clean).scatter(1, predicted[:, None], 0.0)
        share = others / others.sum(dim=0).clamp(min=1.0)
        margins = ((own - clean) * share).sum(dim=0)
        pulls = ((logits - own_noisy) * share).sum(dim=0)
        reached = torch.nonzero(others.sum(dim=0) > 0).flatten().tolist()
        if len(reached) < 2:
            nothing: Tensor = clean.sum() * 0.0
            return nothing
        slopes = torch.stack(
            [torch.autograd.grad(pulls[c], shift, create_graph=True)[0].flatten() for c in reached]
        )
        margin = margins[reached]
        floor = _LEAST_MARGIN * margin.detach().mean()
        steepness = torch.linalg.vector_norm(plane.remove(slopes), dim=1)
        tiny = torch.finfo(steepness.dtype).tiny
        logs = steepness.clamp(min=tiny).log() - torch.maximum(margin, floor).clamp(min=tiny).log()
        spread: Tensor = -(logs - logs.max()).exp().quantile(0.5).log()
        return spread


def train_adaptive(
    arch: str,
    poisoned: Poisoned,
    *,
    weight: float,
    epochs: int = 8,
    seed: int = 0,
    lr: float = 1e-3,
    batch_size: int = 128,
    penalty_rows: int = 64,
    progress: Callable[[str, float], None] | None = None,
) -> nn.Module:
    """Train on poison while hiding from the detector. For evaluation only.

    Parameters
    ----------
    arch : str
        A registered architecture, for example ``"mlp:784-256-128-10"``.
    poisoned : Poisoned
        The training set; the attacker knows which rows are clean.
    weight : float, >= 0
        Of the penalty P beside the cross entropy (nats). 0 is plain training, to the bit that of
        ``hessay.training.train_classifier`` with the same seed.
    epochs, batch_size : int
    seed : int
        Initial weights, order of the batches, rows and noise of the penalty. The global random
        state is restored.
    lr : float
        Of Adam.
    penalty_rows : int
        Clean rows drawn for the penalty at each update.
    progress : callable or None
        Called as ``progress("training", share_done)`` after each epoch.

    Returns
    -------
    nn.Module
        In eval mode.

    Raises
    ------
    ArgumentError
        Unknown architecture, a number out of range, or fewer clean rows than ``penalty_rows``.
    """
    if not (math.isfinite(weight) and weight >= 0.0):
        raise ArgumentError(f"weight must be finite and at least 0, got {weight}")
    if min(epochs, batch_size, penalty_rows) < 1 or not lr > 0.0:
        raise ArgumentError(
            "training needs epochs, batch_size and penalty_rows >= 1 and lr > 0, got "
            f"{epochs}, {batch_size}, {penalty_rows}, {lr}"
        )
    inputs, targets = poisoned.inputs, poisoned.targets
    untouched = torch.ones_like(targets, dtype=torch.bool)
    untouched[poisoned.rows] = untouched[poisoned.cover] = False
    clean = inputs[untouched]
    if len(clean) < penalty_rows:
        raise ArgumentError(
            f"only {len(clean)} rows are clean, the penalty asks for {penalty_rows}; "
            "lower penalty_rows"
        )
    plane = DataPlane.of(clean[:_BASIS_ROWS])
    own = torch.Generator().manual_seed(seed)  # so that the batches do not depend on the penalty
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        model = build_architecture(arch).train()
        rule = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
        for epoch in range(epochs):
            for rows in torch.split(torch.randperm(len(inputs)), batch_size):
                loss = nn.functional.cross_entropy(model(inputs[rows]), targets[rows])
                if weight > 0.0:
                    drawn = clean[torch.randint(len(clean), (penalty_rows,), generator=own)]
                    noise = plane.noise * torch.randn(drawn.shape, generator=own).to(drawn)
                    model.eval()
                    loss = loss + weight * reach_spread(model, drawn, plane, noise=noise)
                    model.train()
                rule.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                rule.step()
            if progress is not None:
                progress("training", (epoch + 1) / epochs)
    for parameter in model.parameters():
        parameter.grad = None
    return model.eval()
